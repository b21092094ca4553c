# SPDX-License-Identifier: MIT
"""The command line of vde_switch: every option in every spelling, exit codes and messages."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from console import open_console
from modes import GROUP, group_of, mode_of
from netns import NetNamespace
from switch_process import (
    Switch,
    is_original,
    run_switch,
    switch_program,
)
from vde_client import VdeClient

Start = Callable[..., Switch]


# -- spellings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        "-s {}",
        "-s{}",
        "--sock {}",
        "--sock={}",
        "-sock {}",
        "--so {}",
        "-so {}",
        "--vdesock {}",
        "-vdesock {}",
        "--vde {}",
        "--unix {}",
        "-unix {}",
        "--un {}",
    ],
)
def test_directory(start_switch: Start, directory: Path, spelling: str) -> None:
    switch = start_switch(*spelling.format(directory / "other").split())
    assert switch.console().check("ds/showinfo")[0] == f"ctl dir {directory}/other"
    assert not switch.ctl_dir.exists()  # the last one of a repeated option wins
    VdeClient(directory / "other").close()


@pytest.mark.parametrize(
    "spelling",
    [
        "-n 64",
        "-n64",
        "-n 0x40",
        "--numports 64",
        "--numports=64",
        "-numports 64",
        "-numports=64",
        "--num 64",
        "-num 64",
        "-n 5 -n 64",
        "-xn64",
        "-Fn 64",
    ],
)
def test_number_of_ports(start_switch: Start, spelling: str) -> None:
    assert "Numports=64" in start_switch(*spelling.split()).console().check("port/showinfo")


@pytest.mark.parametrize("spelling", ["-x", "--hub", "-hub", "--hu", "-xF", "-Fx", "-hu"])
def test_hub(start_switch: Start, spelling: str) -> None:
    assert "HUB=true" in start_switch(*spelling.split()).console().check("port/showinfo")


@pytest.mark.parametrize(
    "spelling",
    [
        "-F",
        "--fstp",
        "-fstp",
        "--fs",
        "-F --priority 0x1000",
        "-priority 4096",
        "--pri 1",
        "-D 3",
        "--debugclients 3",
        "-debugclients 3",
        "--deb 3",
    ],
)
def test_accepted(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert switch.console().run("port/showinfo").ok
    assert "option" not in switch.log_text()


@pytest.mark.parametrize(
    "spelling", ["--macaddr {}", "--macaddr={}", "-macaddr {}", "--mac {}", "-mac {}"]
)
@pytest.mark.parametrize("written", ["00:ff:01:02:03:04", "00.FF.01.02.03.04", "0:ff:1:2:3:4"])
def test_mac_address(start_switch: Start, spelling: str, written: str) -> None:
    lines = start_switch(*spelling.format(written).split()).console().check("showinfo")
    assert " MAC 00:ff:01:02:03:04 " in lines[-2]


def test_random_mac_address_has_the_known_beginning(switch: Switch) -> None:
    assert " MAC 00:ff:" in switch.console().check("showinfo")[-2]


@pytest.mark.parametrize("spelling", ["--hashsize 100", "-hashsize 100", "--hash 100", "-hash=100"])
def test_hash_size_is_rounded_up(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert switch.console().check("hash/showinfo")[0] == "Hash size 128"
    assert "Hash size must be a power of 2. 100 rounded to 128" in switch.log_text()


@pytest.mark.parametrize(
    "spelling",
    ["-m 660", "-m660", "--mode 660", "-mode 660", "--mode=660", "--mod 660", "-mod 660"],
)
def test_mode(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert switch.console().check("ds/showinfo")[1] == "std mode 0660"
    assert mode_of(switch.ctl_dir / "ctl") == 0o660


@pytest.mark.root
@pytest.mark.parametrize("spelling", ["-g {}", "-g{}", "--group {}", "-group {}", "--gr {}"])
def test_group(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.format(GROUP).split())
    assert group_of(switch.ctl_dir) == GROUP
    assert group_of(switch.ctl_dir / "ctl") == GROUP
    assert group_of(switch.client().switch_path) == GROUP


@pytest.mark.parametrize("spelling", ["-M {}", "--mgmt {}", "-mgmt {}", "--mgmt={}"])
def test_console_socket(start_switch: Start, directory: Path, spelling: str) -> None:
    switch = start_switch(
        "--nostdin" if not is_original(switch_program()) else "-x",
        *spelling.format(directory / "m").split(),
        mgmt=False,
    )
    with open_console(directory / "m") as console:
        assert console.run("port/showinfo").ok
    assert mode_of(directory / "m") == 0o600
    switch.stop()
    assert not (directory / "m").exists()


@pytest.mark.parametrize("spelling", ["--mgmtmode 0640", "-mgmtmode 640", "--mgmtm 640"])
def test_console_mode(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert mode_of(switch.mgmt_path) == 0o640


@pytest.mark.root
@pytest.mark.parametrize("spelling", ["--mgmtgroup {}", "-mgmtgroup {}", "--mgmtg {}"])
def test_console_group(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.format(GROUP).split())
    assert group_of(switch.mgmt_path) == GROUP


@pytest.mark.root
@pytest.mark.parametrize(
    "spelling",
    ["-t lydt0 -t lydt1", "--tap lydt0 --tap lydt1", "-tap lydt0 -tap lydt1", "--ta lydt0 -tlydt1"],
)
def test_taps(start_switch: Start, namespace: NetNamespace, spelling: str) -> None:
    switch = start_switch(*spelling.split(), netns=namespace.name)
    text = "\n".join(switch.console().check("port/print"))
    assert "module tuntap      : lydt0" in text
    assert "module tuntap      : lydt1" in text
    assert {"lydt0", "lydt1"} <= set(namespace.links())


@pytest.mark.root
@pytest.mark.parametrize("name", ["lyd/0", "lo"])
def test_a_tap_that_cannot_be_opened_is_only_logged(
    start_switch: Start, namespace: NetNamespace, name: str
) -> None:
    switch = start_switch("-t", name, netns=namespace.name)
    assert "ERROR OPENING tap interface" in switch.log_text()
    assert switch.client().port == 1


@pytest.mark.root
def test_taps_with_one_name_are_one_bad_name(start_switch: Start, namespace: NetNamespace) -> None:
    switch = start_switch("-t", "lydt0,lydt1", netns=namespace.name)
    assert "lydt1" not in namespace.links()
    assert switch.client().port in (1, 2)


@pytest.mark.root
def test_a_prepared_tap_needs_no_privilege(
    start_switch: Start, namespace: NetNamespace, directory: Path
) -> None:
    namespace.add_tap("lydt0", user="nobody")
    namespace.ip("link", "set", "lydt0", "up")
    os.chown(directory, 65534, 65534)
    # /dev/net/tun is open to all on Debian; where it is not, the switch sees a node that is.
    prepare = (
        f"mknod -m 666 {directory}/tun c 10 200 && mount --bind {directory}/tun /dev/net/tun && "
        'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    )
    switch = start_switch(
        "-t",
        "lydt0",
        netns=namespace.name,
        directory=directory,
        prefix=("unshare", "-m", "sh", "-c", prepare, "sh"),
    )
    assert "module tuntap      : lydt0" in "\n".join(switch.console().check("port/print"))
    assert switch.log_text() == ""


@pytest.mark.root
def test_a_tap_that_is_down_is_said_to_be(start_switch: Start, namespace: NetNamespace) -> None:
    switch = start_switch("-t", "lydt0", netns=namespace.name)
    assert switch.log_text().splitlines() == [
        "vde_switch: lydt0 is down until you say: ip link set lydt0 up"
    ]


@pytest.mark.parametrize("option", ["--bogus", "-bogus=3", "--mg", "-Z"])
def test_an_unknown_option_is_reported_and_the_switch_starts(
    start_switch: Start, option: str
) -> None:
    switch = start_switch(option)
    assert switch.client().port == 1
    assert "option" in switch.log_text()


@pytest.mark.parametrize("option", ["-n", "--numports", "-t", "--macaddr", "-f"])
def test_a_missing_argument_is_reported_and_the_switch_starts(
    start_switch: Start, option: str
) -> None:
    switch = start_switch(option)
    assert switch.client().port == 1
    assert "requires an argument" in switch.log_text()


# -- exit codes and messages ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, code, message",
    [
        ("-n 0", 1, "The switch must have at least 1 port"),
        ("-n -3", 1, "The switch must have at least 1 port"),
        ("--macaddr xx", 1, "Invalid MAC Addr xx"),
        ("--macaddr 00:ff:01:02:03", 1, "Invalid MAC Addr 00:ff:01:02:03"),
        ("-g nosuchgroup", 1, "No such group 'nosuchgroup'"),
        ("--mgmtgroup nosuchgroup", 1, "No such group 'nosuchgroup'"),
        (
            "-s /proc/nothing",
            255,
            "Cannot create ctl directory '/proc/nothing': No such file or directory",
        ),
        (
            "-s /nonexistent/a/b",
            255,
            "Cannot create ctl directory '/nonexistent/a/b': No such file or directory",
        ),
        ("-d -s /nonexistent/a/b", 255, ""),
        ("-p /nonexistent/pid", 1, "Error in pidfile creation: No such file or directory"),
    ],
    ids=str,
)
def test_refused_at_start(directory: Path, options: str, code: int, message: str) -> None:
    done = run_switch("-s", str(directory / "ctl"), *options.split(), cwd=directory)
    assert done.returncode == code
    assert message in done.stderr


def test_a_file_in_place_of_the_directory(directory: Path) -> None:
    (directory / "file").write_text("precious")
    done = run_switch("-s", str(directory / "file"), cwd=directory)
    assert done.returncode == 255
    assert "Not a directory" in done.stderr
    assert (directory / "file").read_text() == "precious"


@pytest.mark.parametrize("option", ["-h", "--help", "-help", "--hel"])
def test_help_is_on_standard_output_with_exit_code_1(option: str) -> None:
    done = run_switch(option)
    assert done.returncode == 1
    assert done.stdout.startswith("Usage: vde_switch [OPTIONS]\n")
    for word in (
        "--help",
        "--version",
        "--numports",
        "--hub",
        "--fstp",
        "--macaddr",
        "--priority",
        "--hashsize",
        "--sock",
        "--vdesock",
        "--unix",
        "--mode",
        "--dirmode",
        "--group",
        "--daemon",
        "--pidfile",
        "--rcfile",
        "--mgmt ",
        "--mgmtmode",
        "--mgmtgroup",
        "--debugclients",
        "--tap",
    ):
        assert word in done.stdout


@pytest.mark.parametrize("option", ["-v", "--version", "-version", "--ver"])
def test_version(option: str) -> None:
    done = run_switch(option)
    assert (done.returncode, done.stdout[:9]) == (0, "VDE 2.3.2")


def test_words_without_option_are_a_usage_error(directory: Path) -> None:
    done = run_switch("-s", str(directory / "ctl"), "word")
    assert done.returncode == 1
    assert "Usage: " in done.stdout + done.stderr
    assert not (directory / "ctl").exists()
