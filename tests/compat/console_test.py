# SPDX-License-Identifier: MIT
"""Every console command, right and wrong, in several states: the same replies as the original.

The original is played live when it is installed; when it is not, its recorded transcripts are used
(golden/, made anew with --record).
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from console import PROMPT, Console  # noqa: E402
from intended_differences import (  # noqa: E402
    ADDED_COMMANDS,
    DIFFERENCES,
    OPTION_DIFFERENCES,
    Difference,
    expected,
)
from player import Exchange, play, read_transcript, write_transcript  # noqa: E402
from scenarios import SCENARIOS, Scenario  # noqa: E402
from switch_process import ORIGINAL, Switch, original_installed, switch_program  # noqa: E402
from waiting import wait_until  # noqa: E402

GOLDEN = HERE / "golden"

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def golden_file(scenario: Scenario) -> Path:
    return GOLDEN / f"{scenario.name}.txt"


def can_play(scenario: Scenario) -> bool:
    if scenario.needs and not Path(scenario.needs).exists():
        return False
    return os.geteuid() == 0 or not (scenario.tap or scenario.root)


@functools.cache
def live_original(scenario_name: str) -> tuple[Exchange, ...]:
    scenario = next(one for one in SCENARIOS if one.name == scenario_name)
    return tuple(play(scenario, ORIGINAL))


def original_transcript(scenario: Scenario) -> list[Exchange]:
    if original_installed() and can_play(scenario):
        return list(live_original(scenario.name))
    return read_transcript(golden_file(scenario))


def is_help(step: str) -> bool:
    return step == "help" or step.startswith("help ")


def without_added_commands(exchange: Exchange) -> Exchange:
    """`help` with our own commands taken away, which must be its last entries."""
    if not is_help(exchange.step):
        return exchange
    *table, dot, status = exchange.reply.split("\n")
    while table and table[-1].split(" ")[0] in ADDED_COMMANDS:
        table.pop()
    return Exchange(exchange.step, "\n".join([*table, dot, status]))


@each_scenario
def test_recorded_transcripts_are_what_the_original_says(
    scenario: Scenario, request: pytest.FixtureRequest
) -> None:
    if not original_installed():
        pytest.skip("the original vde_switch is not installed; its recorded transcripts are used")
    if not can_play(scenario):
        pytest.skip(f"needs root{scenario.needs and ' and ' + scenario.needs}")
    played = list(live_original(scenario.name))
    if request.config.getoption("--record"):
        write_transcript(golden_file(scenario), played)
    assert played == read_transcript(golden_file(scenario))


@pytest.mark.ours
@each_scenario
def test_ours_answers_as_the_original(scenario: Scenario) -> None:
    if not can_play(scenario):
        pytest.skip(f"needs root{scenario.needs and ' and ' + scenario.needs}")
    wanted = [
        (exchange.step, expected(scenario.name, exchange.step, exchange.reply))
        for exchange in original_transcript(scenario)
    ]
    played = [without_added_commands(exchange) for exchange in play(scenario, switch_program())]
    wrong = [
        f">>> {step}\n--- wanted\n{reply}\n--- got\n{exchange.reply}"
        for (step, reply), exchange in zip(wanted, played, strict=True)
        if exchange.reply != reply
    ]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason)
def test_every_intended_difference_changes_something(difference: Difference) -> None:
    changed = [
        exchange.step
        for scenario in SCENARIOS
        for exchange in read_transcript(golden_file(scenario))
        if difference.applies(scenario.name, exchange.step)
        and difference.change(exchange.reply) != exchange.reply
    ]
    assert changed


def test_the_manual_lists_the_differences() -> None:
    page = (HERE.parents[1] / "man/vde-compat.7").read_text()
    listed = page.partition(".Sh DIFFERENCES")[2].partition(".El")[0].split(".It\n")[1:]
    shown = {re.sub(r" \(.*\)$", "", " ".join(item.split())) for item in listed}
    reasons = [one.reason.replace("`", "") for one in (*DIFFERENCES, *OPTION_DIFFERENCES)]
    missing = [one for one in reasons if one not in shown and not one.endswith("not there yet")]
    assert missing == []


def test_every_command_of_the_original_is_played() -> None:
    table = read_transcript(golden_file(SCENARIOS[0]))
    listed = next(exchange.reply for exchange in table if exchange.step == "help").split("\n")
    wanted = [line.split(" ")[0] for line in listed if "/" in line.split(" ")[0]]
    played = {step.split(" ")[0] for scenario in SCENARIOS for step in scenario.steps}
    assert len(wanted) > 30
    assert [path for path in wanted if path not in played] == []


# -- bytes around the replies --------------------------------------------------------------------


def test_banner_and_prompt(switch: Switch) -> None:
    first, second, rest = switch.console().banner.split(b"\n", 2)
    assert first.startswith(b"VDE switch V.")
    assert second.startswith(b"(C) ")
    assert rest == PROMPT


def test_logout_says_end_of_session_and_closes(switch: Switch) -> None:
    console = switch.console()
    console.send(b"logout\n")
    assert console.read_to_end() == b"9999 END OF SESSION"
    assert switch.console().run("port/showinfo").ok


def test_shutdown_says_end_of_session_and_ends_the_switch(switch: Switch) -> None:
    console = switch.console()
    console.send(b"shutdown\n")
    assert console.read_to_end() == b"9999 END OF SESSION"
    assert switch.wait_exit() == 0
    assert "Shutdown from mgmt command" in switch.log_text()
    assert not switch.ctl_dir.exists()
    assert not switch.mgmt_path.exists()


def test_sessions_do_not_see_each_others_replies_or_events(switch: Switch) -> None:
    one, two = switch.console(), switch.console()
    one.check("debug/add port")
    assert two.code("debug/del port") == 1002
    switch.client(description="alice")
    assert [line[:4] for line in one.wait_events(3)] == ["3021", "3031", "3023"]
    two.check("port/showinfo")
    assert two.events == []
    three = switch.console()
    three.check("debug/add port")
    three.close()
    switch.client(description="bob")
    assert len(one.wait_events(3)) == 3


def test_endpoints_in_events_have_the_numbers_of_the_table_padded_with_blanks(
    switch: Switch,
) -> None:
    console = switch.console()
    console.check("debug/add port/ep/+")
    switch.client()
    number = int(console.check("port/print 1")[4].split()[3])
    assert console.wait_events(1) == [f"3031 port/ep/+ Port 01 FD {number:2d}"]


def test_a_command_without_newline_runs(switch: Switch) -> None:
    console = switch.console()
    console.send(b"port/showinfo")
    assert console.read_reply().ok


def test_showinfo_tells_pid_mac_and_console_mode(start_switch: Callable[..., Switch]) -> None:
    switch = start_switch("--macaddr", "00:ff:01:02:03:04", "--mgmtmode", "0640")
    lines = switch.console().check("showinfo")
    assert lines[-2].startswith(f"pid {switch.pid} MAC 00:ff:01:02:03:04 uptime ")
    assert lines[-1] == f"mgmt {switch.mgmt_path} perm 0640"


# -- the console on standard input ---------------------------------------------------------------

STDIN_COMMANDS = (
    "port/showinfo",
    "vlan/create 10",
    "vlan/create 10",
    "vlan/print",
    "port/create 3",
    "port/allprint",
    "bogus",
    "logout",
    "hash/showinfo",
)


def play_on_stdin(program: Path) -> str:
    with Switch(program=program) as switch:
        for command in STDIN_COMMANDS:
            before = len(switch.output_text())
            switch.stdin(command + "\n")
            if (
                command == "logout"
            ):  # says nothing; the original takes what it reads at once for one command
                wait_until("logout read", lambda: unread(switch) == 0)
            else:
                wait_until(
                    f"reply to {command}", lambda: ended_reply(switch.output_text()[before:])
                )
        return switch.output_text()


def unread(switch: Switch) -> int:
    """Bytes in the pipe that is the switch's standard input."""
    assert switch.process.stdin
    return struct.unpack("i", fcntl.ioctl(switch.process.stdin, termios.FIONREAD, b"\0" * 4))[0]


def ended_reply(text: str) -> bool:
    return any(line.startswith("1") and line[:4].isdigit() for line in text.split("\n")[:-1])


def test_stdin_is_a_console(switch: Switch) -> None:
    switch.stdin("version\n")
    wait_until("the one line that test drivers wait for", lambda: "\n" in switch.output_text())
    assert switch.output_text() == "1038 Function not implemented\n"


@pytest.mark.ours
def test_stdin_answers_as_the_original() -> None:
    if not original_installed():
        pytest.skip("the original vde_switch is not installed")
    assert play_on_stdin(switch_program()) == play_on_stdin(ORIGINAL)


def test_debug_lines_come_to_stdout_when_stdin_asked(switch: Switch) -> None:
    switch.stdin("debug/add port\n")
    wait_until("reply", lambda: ended_reply(switch.output_text()))
    switch.client(description="alice")
    wait_until("event", lambda: "3021 port/+ 01\n" in switch.output_text())


# -- what the original does wrong ----------------------------------------------------------------


@pytest.mark.ours
def test_numbers_are_decimal_or_hexadecimal_never_octal(switch: Switch) -> None:
    console = switch.console()
    console.check("vlan/create 10")
    console.check("port/create 8")
    console.check("port/setvlan 008 010")
    assert console.check("port/allprint 8")[0].startswith("Port 0008 untagged_vlan=0010")
    console.check("vlan/create 20")
    console.check("vlan/addport 0x14 0x8")
    assert " -- Port 0008 tagged=1 active=0 status=Learning" in console.check("vlan/allprint 20")


@pytest.mark.ours
def test_vlan_4094_works(switch: Switch) -> None:
    console = switch.console()
    console.check("port/create 1")
    assert [
        console.code(command)
        for command in (
            "vlan/create 4094",
            "vlan/create 4094",
            "vlan/create 4095",
            "port/setvlan 1 4094",
            "vlan/remove 4094",
            "port/setvlan 1 0",
            "vlan/remove 4094",
        )
    ] == [1000, 1017, 1022, 1000, 1098, 1000, 1000]


@pytest.mark.ours
@pytest.mark.parametrize(
    "command",
    [
        "hash/setexpire -1",
        "hash/setgcint -1",
        "hash/setminper -1",
        "port/setnumports 2147483647",
        "hash/setsize 2147483647",
    ],
)
def test_numbers_without_sense_are_refused(switch: Switch, command: str) -> None:
    console = switch.console()
    assert console.code(command) in (1012, 1022)
    assert console.run("port/showinfo").ok


@pytest.mark.ours
def test_n_ports_are_usable(start_switch: Callable[..., Switch]) -> None:
    console = start_switch("-n", "3").console()
    assert [console.code("port/createauto") for _ in range(4)] == [1000, 1000, 1000, 1028]
    assert console.code("port/create 3") == 1017
    assert console.code("port/create 4") == 1022


@pytest.mark.ours
def test_load_takes_blank_lines_and_remarks(switch: Switch) -> None:
    script = switch.directory / "script"
    script.write_text("# first\n\n   \nvlan/create 7\n")
    console = switch.console()
    reply = console.run(f"load {script}")
    assert reply.ok
    assert "1038" not in reply.raw
    console.check("vlan/print 7")


@pytest.mark.ours
def test_nameless_users_with_long_numbers_are_printed(start_switch: Callable[..., Switch]) -> None:
    console: Console = start_switch().console()
    console.check("port/create 1")
    console.check("port/setuser 1 3000000000")
    console.check("port/setgroup 1 2000000000")
    assert "(User: 3000000000 - Group: 2000000000)" in console.check("port/allprint 1")[1]
