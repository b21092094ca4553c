# SPDX-License-Identifier: MIT
"""From start to end: modes and owners, signals, files it finds and leaves, rc file."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from frames import broadcast, mac
from modes import GROUP, group_of, mode_of
from netns import NetNamespace
from switch_process import (
    Switch,
    is_original,
    run_switch,
    switch_program,
)
from vde_client import VdeClient, as_user
from waiting import wait_until

Start = Callable[..., Switch]


# -- modes and owners (directory and ctl) --------------------------------------------------------


@pytest.mark.parametrize(
    "options, ctl, folder",
    [
        ("", 0o600, 0o2700),
        ("-m 660", 0o660, 0o2770),
        ("-m 666", 0o666, 0o2777),
        ("-m 640", 0o640, 0o2750),
        pytest.param("-m 0", 0o000, 0o2000, marks=pytest.mark.root),
        ("--dirmode 0750", 0o640, 0o750),
        ("--dirmode 2777", 0o666, 0o2777),
        ("-m 600 --dirmode 2755", 0o600, 0o2755),
        ("--dirmode 0755 -m 666", 0o666, 0o755),
        ("-m nonsense", 0o600, 0o2700),
    ],
    ids=str,
)
def test_modes(start_switch: Start, options: str, ctl: int, folder: int) -> None:
    switch = start_switch(*options.split(), preexec=lambda: os.umask(0o077) and None)
    assert oct(mode_of(switch.ctl_dir / "ctl")) == oct(ctl)
    assert oct(mode_of(switch.ctl_dir)) == oct(folder)


@pytest.mark.root
@pytest.mark.parametrize(
    "options, uid, mode, group",
    [
        ("-m 666", 0, 0o600, "root"),
        ("-m 666", 65534, 0o600, "root"),
        (f"-m 666 -g {GROUP}", 65534, 0o600, GROUP),
        ("-m 777", 65534, 0o700, "root"),
    ],
    ids=str,
)
def test_modes_of_a_data_socket(
    start_switch: Start, options: str, uid: int, mode: int, group: str
) -> None:
    switch = start_switch(*options.split())
    with as_user(uid) if uid else contextlib.nullcontext():
        client = switch.client()
    status = os.stat(client.switch_path)
    assert (status.st_uid, oct(stat.S_IMODE(status.st_mode)), group_of(client.switch_path)) == (
        uid,
        oct(mode),
        group,
    )


@pytest.mark.root
def test_modes_of_a_switch_without_privilege(start_switch: Start, directory: Path) -> None:
    os.chown(directory, 65534, 65534)
    switch = start_switch(
        "-m",
        "660",
        directory=directory,
        prefix=("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"),
    )
    assert oct(mode_of(switch.ctl_dir)) == oct(0o2770)
    with as_user(65534):
        client = switch.client()
    assert oct(mode_of(client.switch_path)) == oct(0o660)
    assert os.stat(client.switch_path).st_uid == 65534


@pytest.mark.root
def test_a_client_may_change_the_mode_of_its_data_socket(start_switch: Start) -> None:
    """As libvdeplug does after the handshake, for the mode its user asked for."""
    switch = start_switch("-m", "666")
    with as_user(65534):
        client = switch.client()
        os.chmod(client.switch_path, 0o770)
    assert oct(mode_of(client.switch_path)) == oct(0o770)


# -- signals -------------------------------------------------------------------------------------


def test_sigterm_cleans_up(switch: Switch) -> None:
    assert switch.stop(signal.SIGTERM) == 0
    assert "Caught signal 15, cleaning up and exiting" in switch.log_text()
    assert not switch.ctl_dir.exists()
    assert not switch.mgmt_path.exists()


def test_sigint_cleans_up_and_dies_of_it(switch: Switch) -> None:
    assert switch.stop(signal.SIGINT) == -signal.SIGINT
    assert "Caught signal 2, cleaning up and exiting" in switch.log_text()
    assert not switch.ctl_dir.exists()
    assert not switch.mgmt_path.exists()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_hard_end_leaves_the_files_and_a_new_start_takes_them(
    start_switch: Start, directory: Path, number: signal.Signals
) -> None:
    first = start_switch(directory=directory)
    first.client()
    assert first.stop(number) == -number
    assert (first.ctl_dir / "ctl").exists()
    second = start_switch(directory=directory)
    assert second.client().port == 1
    assert second.console().run("port/showinfo").ok


@pytest.mark.parametrize(
    "name", ["HUP", "PIPE", "ALRM", "USR1", "USR2", "PROF", "VTALRM", "IO", "PWR"]
)
def test_ignored_signals(switch: Switch, name: str) -> None:
    console = switch.console()
    for _ in range(5):
        os.kill(switch.pid, getattr(signal, f"SIG{name}"))
        assert console.run("port/showinfo").ok


# -- files ---------------------------------------------------------------------------------------


def test_pid_file(start_switch: Start, directory: Path) -> None:
    switch = start_switch("-p", str(directory / "pidfile"))
    assert (directory / "pidfile").read_text() == f"{switch.pid}\n"
    assert oct(mode_of(directory / "pidfile")) == oct(0o644)
    switch.stop()
    assert not (directory / "pidfile").exists()


@pytest.mark.ours
@pytest.mark.parametrize("content", ["99999999\n", "", "garbage", "-5\n", "0\n"], ids=repr)
def test_a_stale_pid_file_is_overwritten(
    start_switch: Start, directory: Path, content: str
) -> None:
    (directory / "pidfile").write_text(content)
    switch = start_switch("-p", str(directory / "pidfile"))
    assert (directory / "pidfile").read_text() == f"{switch.pid}\n"


@pytest.mark.ours
def test_a_pid_file_left_by_kill_9_does_not_stop_a_restart(
    start_switch: Start, directory: Path
) -> None:
    first = start_switch(directory=directory, daemon=True)
    first.stop(signal.SIGKILL)
    second = start_switch(directory=directory, daemon=True)
    assert second.pid_file.read_text() == f"{second.pid}\n" != f"{first.pid}\n"


@pytest.mark.parametrize("daemon", [(), ("-d",)], ids=["foreground", "daemon"])
def test_the_pid_file_of_a_living_switch_is_refused(
    start_switch: Start, directory: Path, daemon: tuple[str, ...]
) -> None:
    if daemon and is_original(switch_program()):
        pytest.skip("the original finds out after the parent returned")
    first = start_switch("-p", str(directory / "pidfile"))
    done = run_switch(
        "-s", str(directory / "second"), "-p", str(directory / "pidfile"), *daemon, cwd=directory
    )
    assert done.returncode == 1
    assert "Error in pidfile creation: File exists" in done.stderr
    if not first.is_original:  # which removes the file that is not its own
        assert (directory / "pidfile").read_text() == f"{first.pid}\n"
        assert not (directory / "second" / "ctl").exists()


def test_a_second_switch_on_the_same_directory_is_refused(start_switch: Start) -> None:
    first = start_switch()
    client = first.client()
    for mode in ("--hub", "--daemon"):
        done = run_switch("-s", str(first.ctl_dir), mode)
        assert done.returncode == 255
        assert (
            f"Could not bind to socket '{first.ctl_dir}/ctl': Address already in use" in done.stderr
        )
    other = first.client()
    client.send(broadcast(mac(1)))
    assert other.recv() == broadcast(mac(1))


def test_the_console_of_a_living_switch_is_not_taken(start_switch: Start, directory: Path) -> None:
    first = start_switch()
    second = start_switch(
        "-s", str(directory / "two"), "-M", str(first.mgmt_path), mgmt=False, wait=False
    )
    wait_until("second switch", lambda: (directory / "two/ctl").exists())
    assert first.console().check("ds/showinfo")[0] == f"ctl dir {first.ctl_dir}"
    second.stop()
    assert first.console().check("ds/showinfo")[0] == f"ctl dir {first.ctl_dir}"


@pytest.mark.ours
def test_a_file_that_is_no_socket_is_not_taken_for_a_console(
    start_switch: Start, directory: Path
) -> None:
    (directory / "mgmt").write_text("precious")
    switch = start_switch(directory=directory, wait=False)
    switch.wait_log("mgmt bind")
    VdeClient(switch.ctl_dir).close()
    switch.stop()
    assert (directory / "mgmt").read_text() == "precious"


def test_a_console_socket_that_cannot_be_made_is_only_logged(start_switch: Start) -> None:
    switch = start_switch("-M", "/nonexistent/mgmt", mgmt=False)
    switch.wait_log("mgmt bind")
    assert switch.client().port == 1


def test_an_existing_directory_is_used_and_foreign_files_stay(
    start_switch: Start, directory: Path
) -> None:
    (directory / "ctl").mkdir(mode=0o755)
    (directory / "ctl" / "notes").write_text("mine")
    switch = start_switch(directory=directory)
    assert oct(mode_of(switch.ctl_dir)) == oct(0o2700)
    switch.stop()
    assert (directory / "ctl" / "notes").read_text() == "mine"
    assert not (directory / "ctl" / "ctl").exists()
    assert f"Could not remove ctl dir '{switch.ctl_dir}': Directory not empty" in switch.log_text()


def test_the_sockets_of_a_successor_are_left_alone(start_switch: Start) -> None:
    first = start_switch()
    (first.ctl_dir / "ctl").unlink()
    with Switch("-s", str(first.ctl_dir)) as second:
        first.stop()
        assert "Cleanup not removing files" in first.log_text()
        VdeClient(first.ctl_dir).close()
        second.stop()
    assert not first.ctl_dir.exists()


def test_the_directory_is_made_canonical(start_switch: Start, directory: Path) -> None:
    (directory / "real").mkdir()
    (directory / "link").symlink_to("real")
    switch = start_switch("-s", "link/net", directory=directory)
    assert switch.console().check("ds/showinfo")[0] == f"ctl dir {directory}/real/net"
    with VdeClient(directory / "link/net") as client:
        assert client.switch_path.startswith(f"{directory}/real/net/001.")


@pytest.mark.parametrize("length", [20, 60, 85, 92])
def test_long_directory_names_work(start_switch: Start, directory: Path, length: int) -> None:
    name = str(directory) + "/" + "d" * (length - len(str(directory)) - 1)
    start_switch("-s", name)
    wait_until("ctl", Path(name, "ctl").exists)
    # The client's own name must be short enough as well, so it lives elsewhere.
    with VdeClient(name, path=directory / "own", port=31) as client:
        assert Path(client.switch_path).parent == Path(name)
        assert Path(client.switch_path).name.startswith("031.")


@pytest.mark.ours
@pytest.mark.parametrize("length", [100, 103, 104, 106, 107, 108, 109, 120, 300])
def test_too_long_directory_names_are_refused_with_a_reason(directory: Path, length: int) -> None:
    name = "d" * 80 + "/" + "e" * 200
    path = f"{directory}/{name}"[:length]
    (directory / ("d" * 80)).mkdir(exist_ok=True)
    done = run_switch("-s", path)
    assert done.returncode not in (0, 127)
    assert str(len(path)) in done.stderr
    assert "92" in done.stderr  # what it may be
    assert list((directory / ("d" * 80)).iterdir()) == []


# -- rc file -------------------------------------------------------------------------------------


def test_rc_file_from_home(start_switch: Start, directory: Path) -> None:
    (directory / ".vde2").mkdir()
    (directory / ".vde2/vde_switch.rc").write_text(
        "# lab\nport/create 3\n\nbogus\nvlan/create 10\nport/setvlan 3 10\n"
        "logout\nshutdown\nload x\nport/create 7"
    )
    switch = start_switch(directory=directory)
    ports = switch.console().check("port/allprint")
    assert ports[0].startswith("Port 0003 untagged_vlan=0010 INACTIVE - NOT")
    assert ports[4].startswith("Port 0007 ")
    assert "1000" not in switch.log_text() + switch.output_text()


@pytest.mark.parametrize(
    "spelling", ["-f {}", "-f{}", "--rcfile {}", "--rcfile={}", "-rcfile {}", "--rc {}"]
)
def test_rc_file_by_option_replaces_the_one_from_home(
    start_switch: Start, directory: Path, spelling: str
) -> None:
    (directory / ".vde2").mkdir()
    (directory / ".vde2/vde_switch.rc").write_text("port/create 3\n")
    (directory / "lab.rc").write_text("port/create 4\n")
    switch = start_switch(*spelling.format("lab.rc").split(), directory=directory)
    assert [line[:9] for line in switch.console().check("port/allprint")[::4]] == ["Port 0004"]


def test_an_absent_rc_file_is_no_error_and_none_is_read_instead(
    start_switch: Start, directory: Path
) -> None:
    (directory / ".vde2").mkdir()
    (directory / ".vde2/vde_switch.rc").write_text("port/create 3\n")
    switch = start_switch("-f", "/nonexistent.rc", directory=directory)
    assert switch.console().check("port/allprint") == []


@pytest.mark.root
def test_rc_file_runs_when_the_taps_exist(
    start_switch: Start, namespace: NetNamespace, directory: Path
) -> None:
    (directory / "lab.rc").write_text("vlan/create 10\nport/setvlan 1 10\n")
    switch = start_switch("-t", "lydt0", "-f", "lab.rc", netns=namespace.name, directory=directory)
    assert (
        switch.console().check("port/print 1")[0].startswith("Port 0001 untagged_vlan=0010 ACTIVE")
    )


@pytest.mark.ours
def test_rc_file_takes_long_lines(start_switch: Start, directory: Path) -> None:
    (directory / "lab.rc").write_text(
        "#" * 500 + "\n" + " " * 300 + "port/create 3\nport/create 4\n"
    )
    switch = start_switch("-f", "lab.rc", directory=directory)
    assert [line[:9] for line in switch.console().check("port/allprint")[::4]] == [
        "Port 0003",
        "Port 0004",
    ]
