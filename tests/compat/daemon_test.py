# SPDX-License-Identifier: MIT
"""Standard input, the log, and daemon mode: ready and true when the command returns."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console import Console, open_console
from modes import GROUP, mode_of
from netns import NetNamespace
from switch_process import (
    Switch,
    adopt_orphans,
    pid_in,
    run_switch,
    switch_program,
    wait_for_orphan,
)
from vde_client import VdeClient, connect_stream
from waiting import wait_until

Start = Callable[..., Switch]


# -- standard input and daemon mode --------------------------------------------------------------


def test_end_of_standard_input_ends_it(switch: Switch) -> None:
    switch.close_stdin()
    assert switch.wait_exit() == 0
    assert "EOF on stdin, cleaning up and exiting" in switch.log_text()
    assert not switch.ctl_dir.exists()


@pytest.mark.ours
@pytest.mark.parametrize("spelling", ["--nostdin", "-nostdin", "--nos"])
def test_without_console_on_standard_input(start_switch: Start, spelling: str) -> None:
    switch = start_switch(spelling)
    switch.close_stdin()
    assert switch.console().run("port/showinfo").ok
    assert switch.client().port == 1
    assert switch.alive()


def test_log_lines_begin_with_the_name_it_was_started_by(switch: Switch) -> None:
    switch.stop()
    names = (f"{switch.program}: ", f"{switch.program.name}: ")
    assert all(line.startswith(names) for line in switch.log_text().splitlines())
    assert switch.log_text()


@pytest.mark.ours
def test_a_daemon_is_ready_when_the_command_returns(
    start_switch: Start, namespace: NetNamespace, directory: Path
) -> None:
    (directory / "lab.rc").write_text("vlan/create 10\nport/setvlan 1 10\nport/create 9\n")
    switch = start_switch(
        "-t",
        "lydt0",
        "-f",
        "lab.rc",
        netns=namespace.name,
        directory=directory,
        daemon=True,
        wait=False,
    )
    assert switch.pid_file.read_text() == f"{switch.pid}\n"
    with Console(switch.mgmt_path) as console:
        ports = console.check("port/allprint")
    assert ports[0].startswith("Port 0001 untagged_vlan=0010 ACTIVE")
    assert ports[4] == "  -- endpoint ID" + ports[4][16:21] + " module tuntap      : lydt0"
    assert ports[5].startswith("Port 0009 ")


def test_a_daemon_lets_go_of_terminal_and_session(start_switch: Start) -> None:
    switch = start_switch(daemon=True)
    assert os.getsid(switch.pid) != os.getsid(0)
    assert [os.readlink(f"/proc/{switch.pid}/fd/{number}") for number in range(3)] == [
        "/dev/null"
    ] * 3
    assert Path(os.readlink(f"/proc/{switch.pid}/cwd")) == switch.directory
    assert switch.stop() == 0
    assert not switch.ctl_dir.exists()
    assert not switch.pid_file.exists()


def test_a_daemon_does_not_hold_the_callers_pipe(directory: Path) -> None:
    adopt_orphans()
    done = run_switch("-d", "-s", str(directory / "ctl"), "-p", str(directory / "pid"), timeout=5)
    assert (
        done.returncode == 0
    )  # communicate() inside run_switch ends only when nobody holds the pipes
    pid = pid_in(directory / "pid")
    os.kill(pid, signal.SIGTERM)
    assert wait_for_orphan(pid) == 0


@pytest.fixture
def relative_daemon(directory: Path) -> Iterator[Path]:
    """A daemon whose every path is relative, started in `directory`."""
    adopt_orphans()
    (directory / "lab.rc").write_text("port/create 3\n")
    assert (
        run_switch(
            "-d", "-s", "net", "-M", "net.mgmt", "-p", "net.pid", "-f", "lab.rc", cwd=directory
        ).returncode
        == 0
    )
    pid = pid_in(directory / "net.pid")
    try:
        yield directory
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for_orphan(pid)


@pytest.mark.ours
def test_relative_paths_of_a_daemon(relative_daemon: Path) -> None:
    assert not Path("/net.mgmt").exists()
    with Console(relative_daemon / "net.mgmt") as console:
        assert console.check("ds/showinfo")[0] == f"ctl dir {relative_daemon}/net"
        assert console.check("showinfo")[-1].endswith("net.mgmt perm 0600")
        assert console.check("port/allprint")[0].startswith("Port 0003 ")
    with VdeClient(relative_daemon / "net") as client:
        assert client.port == 1


@pytest.mark.ours
@pytest.mark.parametrize(
    "options, code",
    [
        ("-p /nonexistent/pid", 1),
        ("--macaddr xx", 1),
        ("-g nosuchgroup", 1),
        ("-M /nonexistent/mgmt", 0),
        ("-t nonexistent/tap", 0),
    ],
    ids=str,
)
def test_a_daemon_returns_the_true_exit_code(directory: Path, options: str, code: int) -> None:
    adopt_orphans()
    done = run_switch(
        "-d",
        "-s",
        str(directory / "ctl"),
        "-p",
        str(directory / "pid"),
        *options.split(),
        cwd=directory,
    )
    try:
        assert done.returncode == code
        assert (
            "nonexistent" in done.stderr
            or "xx" in done.stderr
            or "nosuchgroup" in done.stderr
            or "No such file" in done.stderr
        )
    finally:
        if done.returncode == 0:
            pid = pid_in(directory / "pid")
            os.kill(pid, signal.SIGTERM)
            wait_for_orphan(pid)


@pytest.mark.root
def test_start_and_stop_by_the_debian_interface_hooks(
    namespace: NetNamespace, directory: Path
) -> None:
    adopt_orphans()
    base = directory / "tap0"
    namespace.add_tap("lydt0")
    program = str(switch_program())
    namespace.run(
        "start-stop-daemon",
        "--start",
        "--quiet",
        "--pidfile",
        f"{base}.pid",
        "--exec",
        program,
        "--",
        "-s",
        f"{base}.ctl",
        "-m",
        "660",
        "-g",
        GROUP,
        "-p",
        f"{base}.pid",
        "-t",
        "lydt0",
        "-M",
        f"{base}.mgmt",
        "--mgmtmode",
        "660",
        "-d",
    )
    pid = pid_in(f"{base}.pid")
    try:
        with open_console(f"{base}.mgmt") as console:
            assert "lydt0" in "\n".join(console.check("port/print"))
        assert oct(mode_of(f"{base}.ctl")) == oct(0o2770)
        assert oct(mode_of(f"{base}.mgmt")) == oct(0o660)
    finally:
        stopped = namespace.run(
            "start-stop-daemon",
            "--stop",
            "--quiet",
            "--pidfile",
            f"{base}.pid",
            "--exec",
            program,
            check=False,
        )
        if stopped.returncode != 0:
            os.kill(pid, signal.SIGKILL)
        code = wait_for_orphan(pid)
    assert (stopped.returncode, code) == (0, 0)
    assert not Path(f"{base}.ctl").exists()


def test_ctl_takes_clients_as_soon_as_a_daemon_returns(directory: Path) -> None:
    adopt_orphans()
    for _ in range(5):
        assert (
            run_switch("-d", "-s", str(directory / "ctl"), "-p", str(directory / "pid")).returncode
            == 0
        )
        connect_stream(directory / "ctl/ctl").close()
        VdeClient(directory / "ctl").close()
        pid = pid_in(directory / "pid")
        os.kill(pid, signal.SIGTERM)
        assert wait_for_orphan(pid) == 0


def test_a_start_is_fast(directory: Path) -> None:
    """Far above what the benchmark measures; this only finds a start that waits for something."""
    with Switch(directory=directory, wait=False) as switch:
        wait_until("first port", lambda: served(switch.ctl_dir), timeout=1.0, step=0.001)


def served(folder: Path) -> bool:
    try:
        VdeClient(folder).close()
    except (OSError, socket.error, subprocess.SubprocessError):
        return False
    return True
