# SPDX-License-Identifier: MIT
"""--keeper: guests outlive a crash, a hang and an upgrade of the switch process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from console import Console
from faults import Faults
from frames import BROADCAST, frame, mac
from kept import Echo, children_of, switch_process, thrown_away, wait_for_other
from switch_process import Switch, no_descriptors_left, pid_in, switch_program
from vde_client import VdeClient
from waiting import wait_until

pytestmark = pytest.mark.ours

Start = Callable[..., Switch]

OURS = switch_program().parent.parent / "lib/lanyard/plugins"
VDE2_IPLOG = Path("/usr/lib/vde2/plugins/iplog.so")

CRASHES_MAX = 5  # within 10 s
CRASH_LOOP = 70  # the exit code of a keeper that gives up
LOST_MAX = 64  # frames a port, of issue and design


@pytest.fixture(name="kept")
def _kept(start_switch: Start) -> Switch:
    return start_switch("--keeper")


def kill_switch_process(keeper: int) -> int:
    """SIGKILL, and the successor's pid."""
    old = switch_process(keeper)
    os.kill(old, signal.SIGKILL)
    return wait_for_other(keeper, old)


def assert_reaches(guest: VdeClient, peer: VdeClient, source: bytes = mac(1)) -> None:
    """Frames flow; the first may have been read by the keeper."""
    data = frame(BROADCAST, source)

    def arrives() -> bool:
        guest.send(data)
        return data in peer.drain(0.05)

    wait_until("a frame arrives", arrives)


def shown(switch: Switch) -> list[str]:
    """All that the console shows and that must be the same afterwards."""
    console = switch.console()
    lines = []
    for command in ("port/showinfo", "port/allprint", "vlan/allprint", "port/guard", "ds/showinfo"):
        reply = console.run(command)
        lines += [command, *(line for line in reply.lines if not line.startswith(" IN:"))]
    console.close()
    return [line for line in lines if "bytes" not in line and "uptime" not in line]


# -- a crash -------------------------------------------------------------------------------------


def test_clients_outlive_sigkill_under_load(kept: Switch) -> None:
    one, two = kept.client(), kept.client()
    with Echo(one, two) as echo:
        for _ in range(CRASHES_MAX - 1):
            sent = echo.sent
            kill_switch_process(kept.pid)
            wait_until("frames flow again", lambda sent=sent: echo.newest > sent + 20)
        echo.stop()
        lost = echo.lost - thrown_away(kept.log_text())
        # For each crash, and what was in its hands on the way there and back.
        assert lost <= (CRASHES_MAX - 1) * 2 * LOST_MAX, f"{lost} of {echo.sent}"
    assert not one.ctl_closed()


def test_what_was_configured_is_the_same_after_a_crash(kept: Switch) -> None:
    console = kept.console()
    for command in (
        "vlan/create 5",
        "vlan/create 7",
        "port/create 9",
        "port/setvlan 9 5",
        "vlan/addport 7 9",
        "port/setuser 9 1234",
        "port/setgroup 9 4321",
        "port/allocatable 9 1",
        "hash/setexpire 55",
        "port/setnumports 17",
        "port/passtags 9 1",
        "port/setqueue 9 70000",
        "port/setguard 9 isolated on",
        "port/setguard 9 max_macs 3",
    ):
        console.check(command)
    kept.client(description="with a name")
    kept.client(port=4)
    before = shown(kept)
    kill_switch_process(kept.pid)
    assert shown(kept) == before
    assert any("with a name" in line for line in before)


@pytest.mark.parametrize("way", ["crash", "upgrade"])
def test_plugins_are_there_again_with_all_that_was_said(kept: Switch, way: str) -> None:
    acl = OURS / "acl.so"
    if not acl.exists():
        pytest.skip("the plugin acl is not built")
    console = kept.console()
    for command in (
        f"plugin/add {acl}",
        "acl/default deny",
        f"acl/add allow src {mac(1).hex(':')}",
        "acl/add allow type arp",
        "acl/del 2",
    ):
        console.check(command)
    console.run("acl/list")
    before = console.run("acl/list").lines
    console.close()
    if way == "crash":
        kill_switch_process(kept.pid)
    else:
        upgraded(kept)
    console = kept.console()
    assert console.run("plugin/list").lines[2:] == ["acl                    allow or deny frames"]
    assert console.run("acl/list").lines == before
    guest, peer = kept.client(), kept.client()
    assert_reaches(guest, peer)
    guest.send(frame(BROADCAST, mac(3)))
    guest.send(frame(BROADCAST, mac(1)))
    assert set(peer.drain(0.2)) == {frame(BROADCAST, mac(1))}


@pytest.mark.skipif(not VDE2_IPLOG.exists(), reason="the plugins of the vde2 package are not installed")
@pytest.mark.usefixtures("keeps_memory")
def test_plugins_of_vde_switch_are_there_again(kept: Switch) -> None:
    console = kept.console()
    for command in (f"plugin/add {VDE2_IPLOG}", "iplog/ipadd 10.0.0.0/8", "iplog/setexpire 77"):
        console.check(command)
    before = console.run("iplog/showinfo").lines + console.run("iplog/list").lines
    console.close()
    kill_switch_process(kept.pid)
    console = kept.console()
    assert console.run("iplog/showinfo").lines + console.run("iplog/list").lines == before


def test_a_client_that_has_its_answer_is_never_lost(kept: Switch) -> None:
    """Killed at the very moment at which a client has been answered."""
    peer = kept.client()
    for number in range(CRASHES_MAX - 1):
        guest = kept.client()
        kill_switch_process(kept.pid)
        assert_reaches(guest, peer, mac(100 + number))
        guest.close()


def test_a_process_in_a_sandbox_is_kept_too(start_switch: Start) -> None:
    kept = start_switch("--keeper", "--sandbox")
    guest, peer = kept.client(), kept.client()
    kill_switch_process(kept.pid)
    assert_reaches(guest, peer)
    assert_reaches(kept.client(), peer)


def test_a_client_that_left_during_a_crash_is_gone(kept: Switch) -> None:
    guest = kept.client()
    old = switch_process(kept.pid)
    os.kill(old, signal.SIGSTOP)
    guest.close()
    os.kill(old, signal.SIGKILL)
    wait_for_other(kept.pid, old)
    console = kept.console()
    wait_until("its port is free", lambda: not any("endpoint" in s for s in console.check("port/print")))


def test_new_clients_come_after_a_crash(kept: Switch) -> None:
    first = kept.client()
    kill_switch_process(kept.pid)
    second = kept.client()
    assert second.port != first.port
    assert_reaches(second, first)


def test_a_client_that_leaves_is_let_go_by_the_keeper_too(kept: Switch) -> None:
    kept.console()
    wait_until("a successor stands by", lambda: len(children_of(kept.pid)) > 1)
    base = kept.descriptors()
    guests = [kept.client() for _ in range(8)]
    wait_until("the keeper holds them", lambda: kept.descriptors() >= base + 16)
    for guest in guests:
        guest.close()
    wait_until("the keeper has let go", lambda: kept.descriptors() <= base)


@pytest.mark.root
def test_a_tap_keeps_its_frames_and_goes_at_the_end(start_switch: Start) -> None:
    kept = start_switch("--keeper", "-t", "lykept0")
    index = Path("/sys/class/net/lykept0/ifindex").read_text()
    kill_switch_process(kept.pid)
    assert Path("/sys/class/net/lykept0/ifindex").read_text() == index
    console = kept.console()
    assert any("lykept0" in line for line in console.check("port/print"))
    kept.stop()
    assert not Path("/sys/class/net/lykept0").exists()


@pytest.mark.root
def test_a_tap_that_was_closed_can_be_opened_again_at_once(start_switch: Start) -> None:
    kept = start_switch("--keeper", "-t", "lykept1")
    console = kept.console()
    for _ in range(5):
        line = next(s for s in console.check("port/print") if "lykept1" in s)
        port = next(s for s in console.check("port/print") if s.startswith("Port "))
        endpoint = int(line.split("endpoint ID ")[1].split()[0])
        console.check(f"port/epclose {int(port[5:9])} {endpoint}")
        console.check("port/plug tap://lykept1")


def test_a_cable_is_plugged_in_again(start_switch: Start, kept: Switch) -> None:
    other = start_switch()
    kept.console().check(f"port/plug plug://{other.ctl_dir}")
    near, far = kept.client(), other.client()
    kill_switch_process(kept.pid)

    def crosses() -> bool:
        near.send(frame(BROADCAST, mac(1)))
        return far.recv(0.1) is not None

    wait_until("frames cross", crosses)


def test_who_dies_again_and_again_is_given_up(kept: Switch) -> None:
    guest = kept.client()
    deadline = time.monotonic() + 60
    while kept.alive() and time.monotonic() < deadline:
        # It may end at this very moment.
        with contextlib.suppress(OSError, AssertionError):
            os.kill(switch_process(kept.pid), signal.SIGKILL)
    assert kept.wait_exit() == CRASH_LOOP
    assert "has ended 5 times" in kept.log_text()
    assert guest.ctl_closed(1.0)


# -- silence -------------------------------------------------------------------------------------


def test_while_the_switch_process_hangs_no_client_blocks(kept: Switch) -> None:
    guest, _peer = kept.client(), kept.client()
    process = switch_process(kept.pid)
    guest.send(frame(BROADCAST, mac(1)))
    os.kill(process, signal.SIGSTOP)
    blocked = 0.0
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        before = time.monotonic()
        for _ in range(100):
            guest.send(frame(BROADCAST, mac(1)))
        blocked = max(blocked, time.monotonic() - before)
    os.kill(process, signal.SIGCONT)
    assert blocked < 0.2, f"blocked for {blocked:.3f} s"
    kept.wait_log("is heard again")
    assert switch_process(kept.pid) == process


def test_who_hangs_for_long_is_replaced(kept: Switch) -> None:
    guest, peer = kept.client(), kept.client()
    process = switch_process(kept.pid)
    os.kill(process, signal.SIGSTOP)
    wait_for_other(kept.pid, process, timeout=10)
    assert_reaches(guest, peer)


def test_a_keeper_that_was_stopped_blames_nobody(kept: Switch) -> None:
    """By a shell (Ctrl-Z), a debugger, or with its machine."""
    one, two = kept.client(), kept.client()
    process = switch_process(kept.pid)
    with Echo(one, two) as echo:
        for _ in range(3):  # on a busy machine the process may have been silent indeed
            complaints = kept.log_text().count("silent")
            os.kill(kept.pid, signal.SIGSTOP)
            time.sleep(1.0)
            os.kill(kept.pid, signal.SIGCONT)
            sent = echo.sent
            wait_until("frames flow", lambda sent=sent: echo.newest > sent + 20)
            if kept.log_text().count("silent") == complaints:
                break
        else:
            raise AssertionError(kept.log_text())
    assert switch_process(kept.pid) == process


# -- upgrade -------------------------------------------------------------------------------------


def upgraded(switch: Switch) -> int:
    """SIGUSR2, and the new process's pid."""
    old = switch_process(switch.pid)
    count = switch.log_text().count("upgraded from")
    os.kill(switch.pid, signal.SIGUSR2)
    wait_until("an upgrade", lambda: switch.log_text().count("upgraded from") > count)
    return wait_for_other(switch.pid, old)


def test_an_upgrade_under_load_loses_nothing(kept: Switch) -> None:
    one, two = kept.client(), kept.client()
    with Echo(one, two) as echo:
        for _ in range(10):
            sent = echo.sent
            upgraded(kept)
            wait_until("frames flow", lambda sent=sent: echo.newest > sent + 20)
        echo.stop()
        lost = echo.lost - thrown_away(kept.log_text())
        assert lost <= 0, f"{lost} of {echo.sent}"


def test_addresses_counters_and_consoles_go_over(kept: Switch) -> None:
    one, two = kept.client(), kept.client()
    one.send(frame(BROADCAST, mac(1)))
    assert two.recv()
    console = kept.console()

    def books() -> list[str]:
        # The hash is each process's own, and a second may end between two looks.
        stations = [line.split(" Addr: ")[1].split(" age ")[0] for line in console.check("hash/print")]
        return console.check("port/allprint") + stations

    before = books()
    assert any(line.startswith("02:4c") for line in before)
    upgraded(kept)
    assert books() == before


def test_the_console_asks_for_an_upgrade(kept: Switch) -> None:
    old = switch_process(kept.pid)
    console = kept.console()
    assert console.run("lanyard/upgrade").ok
    wait_for_other(kept.pid, old)
    console.check("port/print")


def test_without_a_keeper_there_is_no_upgrade(switch: Switch) -> None:
    assert not switch.console().run("lanyard/upgrade").ok


def test_an_upgrade_needs_no_descriptor(kept: Switch) -> None:
    guest, peer = kept.client(), kept.client()
    with no_descriptors_left(switch_process(kept.pid)):
        upgraded(kept)
        guest.send(frame(BROADCAST, mac(1)))
        assert peer.recv() == frame(BROADCAST, mac(1))
    assert "killed" not in kept.log_text()


def test_what_cannot_be_handed_over_is_kept(start_switch: Start, directory: Path) -> None:
    """The old process has no memory for the state: it is told so by the keeper, and goes on."""
    faults = Faults(directory)
    kept = start_switch("--keeper", env=faults.env, directory=directory)
    guest, peer = kept.client(), kept.client()
    process = switch_process(kept.pid)
    with faults.failing("memfd_create", "ENOMEM", 1):
        reply = kept.console().run("lanyard/upgrade")
    assert not reply.ok
    assert "has not made room in time" in reply.raw
    assert switch_process(kept.pid) == process
    assert_reaches(guest, peer)
    upgraded(kept)
    assert_reaches(guest, peer)


def test_who_finds_no_memory_for_a_moment_is_heard_all_the_same(start_switch: Start, directory: Path) -> None:
    """Nothing but the words between the two is allocated for, and each of them fails once."""
    faults = Faults(directory)
    kept = start_switch("--keeper", env=faults.env, directory=directory)
    guest, peer = kept.client(), kept.client()
    process = switch_process(kept.pid)
    for skip in range(6):
        before = faults.failed("malloc")
        with faults.failing_after(skip, "malloc", "ENOMEM", 1):
            wait_until("an allocation fails", lambda: faults.failed("malloc") > before)  # noqa: B023
        silent = time.monotonic() + 0.4
        while time.monotonic() < silent:
            assert_reaches(guest, peer)
    assert "silent" not in kept.log_text()
    assert switch_process(kept.pid) == process


@pytest.fixture(name="copied")
def _copied(start_switch: Start, directory: Path) -> Switch:
    """A switch whose program is a file of its own, which a test may replace."""
    program = directory / "vde_switch"
    shutil.copy2(switch_program().resolve(), program)
    return start_switch("--keeper", program=program)


@pytest.mark.parametrize(
    ("successor", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "ended with code 3"),
        ("#!/bin/sh\nkill -SEGV $$\n", "killed by signal 11"),
        ("no program\n", "cannot start"),
        (None, "cannot start"),
    ],
)
def test_a_successor_that_cannot_leaves_everything_as_it_was(
    copied: Switch, successor: str | None, reason: str
) -> None:
    guest, peer = copied.client(), copied.client()
    process = switch_process(copied.pid)
    copied.program.unlink()
    if successor is not None:
        copied.program.write_text(successor)
        copied.program.chmod(0o755)
    reply = copied.console().run("lanyard/upgrade")
    assert not reply.ok
    assert reason in reply.raw
    assert switch_process(copied.pid) == process
    assert_reaches(guest, peer)


def test_a_crash_after_the_program_was_replaced_is_no_upgrade(copied: Switch) -> None:
    guest, peer = copied.client(), copied.client()
    copied.program.unlink()
    copied.program.write_text("no program\n")
    kill_switch_process(copied.pid)
    assert_reaches(guest, peer)


# -- beginning and end ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("crashed", [False, True], ids=["fresh", "after a crash"])
@pytest.mark.parametrize("daemon", [False, True], ids=["foreground", "daemon"])
def test_signals_end_it_as_without_a_keeper(
    start_switch: Start, number: int, crashed: bool, daemon: bool
) -> None:
    kept = start_switch("--keeper", daemon=daemon)
    guest = kept.client()
    if daemon:
        assert pid_in(kept.pid_file) == kept.pid
    if crashed:
        kill_switch_process(kept.pid)
        Console(kept.mgmt_path).close()
    assert kept.stop(number) == (-number if number == signal.SIGINT else 0)
    assert not kept.ctl_dir.exists()
    assert not kept.mgmt_path.exists()
    assert not kept.pid_file.exists()
    assert guest.ctl_closed(1.0)


def test_the_end_of_standard_input_ends_it(kept: Switch) -> None:
    kill_switch_process(kept.pid)
    kept.console().check("port/print")
    kept.close_stdin()
    assert kept.wait_exit() == 0


def test_a_start_that_fails_has_its_own_exit_code(kept: Switch) -> None:
    second = Switch("--keeper", directory=kept.directory, wait=False)
    try:
        assert second.wait_exit() == 255
    finally:
        second._clean_up()  # noqa: SLF001  (it never came to be a context)


def test_a_start_that_is_killed_is_no_silent_end(directory: Path) -> None:
    switch = Switch("--keeper", directory=directory, wait=False)
    try:
        child = wait_until("a child", lambda: children_of(switch.pid), step=0.001)[0]
        os.kill(child, signal.SIGKILL)  # long before it is ready
        assert switch.wait_exit() not in (0, None)
        assert f"(pid {child}) was killed by signal 9 before it served anybody" in switch.log_text()
    finally:
        switch._clean_up()  # noqa: SLF001  (it never came to be a context)


def test_without_its_keeper_the_switch_process_goes_on(kept: Switch) -> None:
    guest, peer = kept.client(), kept.client()
    process = switch_process(kept.pid)
    os.kill(kept.pid, signal.SIGKILL)
    kept.wait_exit()
    assert_reaches(guest, peer)
    os.kill(process, signal.SIGTERM)
    wait_until("it ends and tidies up", lambda: not kept.ctl_dir.exists())
