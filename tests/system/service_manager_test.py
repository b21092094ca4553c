# SPDX-License-Identifier: MIT
"""Under a service manager: what it hears, what it stores, and a keeper that comes back from that."""

from __future__ import annotations

import array
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console import Console
from frames import BROADCAST, frame, mac
from kept import switch_process
from networks_daemon import RpcClient, daemon_program
from switch_process import REPOSITORY, Switch, switch_program
from vde_client import VdeClient
from waiting import readable, wait_until

pytestmark = pytest.mark.ours

FIRST_STORED = 3


class Manager:
    """Hears notifications and stores descriptors by name, as sd_notify(3) has it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.heard: list[str] = []
        self.stored: dict[str, int] = {}

    def listen(self, seconds: float = 0.3) -> None:
        deadline = time.monotonic() + seconds
        while readable(self.socket, deadline - time.monotonic()):
            room = socket.CMSG_SPACE(4)
            data, control, _flags, _address = self.socket.recvmsg(4096, room)
            lines = data.decode().splitlines()
            self.heard += lines
            values = dict(line.split("=", 1) for line in lines)
            if "FDSTORE" in values:
                numbers = array.array("i")
                numbers.frombytes(control[0][2])
                self._forget(values["FDNAME"])
                self.stored[values["FDNAME"]] = numbers[0]
            if "FDSTOREREMOVE" in values:
                self._forget(values["FDNAME"])

    def _forget(self, name: str) -> None:
        if name in self.stored:
            os.close(self.stored.pop(name))

    def close(self) -> None:
        for name in list(self.stored):
            self._forget(name)
        self.socket.close()


@pytest.fixture(name="manager")
def _manager(directory: Path) -> Iterator[Manager]:
    manager = Manager(directory)
    yield manager
    manager.close()


def test_it_hears_when_everybody_is_served_and_that_we_live(
    manager: Manager, directory: Path
) -> None:
    env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "100000"}
    with Switch("--keeper", directory=directory, env=env) as switch:
        manager.listen()
        assert "READY=1" in manager.heard
        assert "WATCHDOG=1" in manager.heard
        switch.stop()
        manager.listen(0)
        assert "STOPPING=1" in manager.heard


def test_it_hears_a_switch_without_a_keeper_too(manager: Manager, directory: Path) -> None:
    with Switch(directory=directory, env={"NOTIFY_SOCKET": str(manager.path)}):
        manager.listen()
        assert "READY=1" in manager.heard


def test_it_stores_what_clients_hang_on_to(manager: Manager, directory: Path) -> None:
    with Switch("--keeper", directory=directory, env={"NOTIFY_SOCKET": str(manager.path)}) as switch:
        manager.listen(1.0)
        before = set(manager.stored)
        assert "state" in before
        guest = switch.client()

        def difference() -> int:
            manager.listen(0.05)
            return len(set(manager.stored) - before)

        wait_until("its connection and its frames", lambda: difference() == 2)
        guest.close()
        wait_until("neither", lambda: difference() == 0)


def test_a_keeper_comes_back_with_what_was_stored(manager: Manager, directory: Path) -> None:
    env = {"NOTIFY_SOCKET": str(manager.path)}
    with Switch("--keeper", "-p", "pid", directory=directory, env=env) as switch:
        guest, peer = switch.client(), switch.client()

        def stored() -> bool:
            manager.listen(0.05)
            return len(manager.stored) == 2 * 2 + 4  # and ctl, its directory, console, state

        wait_until("all of it is stored", stored)
        # The whole service, as its control group would go.
        process = switch_process(switch.pid)
        os.kill(switch.pid, signal.SIGSTOP)
        os.kill(process, signal.SIGKILL)
        os.kill(switch.pid, signal.SIGKILL)
        switch.wait_exit()
        names = list(manager.stored)
        numbers = [manager.stored[name] for name in names]
        with start_again(switch, names, numbers) as again:
            data = frame(BROADCAST, mac(1))

            def arrives() -> bool:
                guest.send(data)
                return data in peer.drain(0.05)

            wait_until("a frame arrives", arrives)
            assert (directory / "pid").read_text() == f"{again.pid}\n"
            again.send_signal(signal.SIGTERM)
            assert again.wait(5) == 0
        assert not switch.ctl_dir.exists()
        assert not (directory / "pid").exists()


def start_again(switch: Switch, names: list[str], numbers: list[int]) -> subprocess.Popen[bytes]:
    """The same command with the descriptors from 3 on; a shell has no room for so many."""
    program = (
        "import os, sys\n"
        "count = int(sys.argv[1])\n"
        "high = [os.dup(int(n)) for n in sys.argv[2:2 + count]]\n"
        "high = [__import__('fcntl').fcntl(n, 1030, 500) for n in high]\n"
        f"for i, n in enumerate(high): os.dup2(n, {FIRST_STORED} + i)\n"
        f"os.closerange({FIRST_STORED} + count, 1000)\n"
        "os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()))\n"
        "os.execv(sys.argv[2 + count], sys.argv[2 + count:])\n"
    )
    command = [sys.executable, "-c", program, str(len(numbers)), *map(str, numbers)]
    return subprocess.Popen(
        [*command, *switch.command],
        env={**os.environ, "HOME": str(switch.directory), "LISTEN_FDNAMES": ":".join(names)},
        pass_fds=numbers,
        stdin=subprocess.PIPE,
        cwd=switch.directory,
    )


# A user's service has no User=, which the tool takes for root's.
AS_A_USER = "User=somebody\nRemoveIPC=yes\n"


@pytest.mark.parametrize(
    ("unit", "more", "score"),
    [
        ("lanyard.service", "", 2.0),
        ("lanyard-switch.service", "", 1.0),
        # A NAT network's way out alone counts 1.0: Internet sockets to anywhere.
        ("user/lanyard.service", AS_A_USER, 1.2),
    ],
)
def test_the_example_unit_exposes_little(
    unit: str, more: str, score: float, directory: Path
) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("not installed: systemd-analyze")
    text = (REPOSITORY / "examples/systemd" / unit).read_text()
    file = directory / Path(unit).name
    file.write_text(text.replace("[Service]\n", f"[Service]\n{more}"))
    shown = subprocess.run(
        [tool, "security", "--offline=true", str(file)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    last = shown.strip().splitlines()[-1]
    assert float(last.split(": ")[1].split()[0]) <= score, last


# -- sockets that the service manager has opened ---------------------------------------------------


def listening(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen(8)
    return made


@pytest.fixture(name="given", params=[[], ["--keeper"]], ids=["alone", "kept"])
def _given(request: pytest.FixtureRequest, directory: Path) -> Iterator[Given]:
    with Given(directory, *request.param) as given:
        yield given


class Given:
    """A switch that was started because somebody came to one of its sockets; as often as wanted."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.options = options
        self.sockets = [listening(directory / "ctl/ctl"), listening(directory / "mgmt")]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: socket.socket) -> None:
        command = [str(switch_program()), "-s", str(self.directory / "ctl"), "--nostdin"]
        command += ["-M", str(self.directory / "mgmt"), *self.options]
        with (self.directory / "log").open("ab") as log:
            self.process = start_with(command, self.directory, [*self.sockets, *more], stderr=log)

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def __enter__(self) -> Given:
        return self

    def __exit__(self, *_: object) -> None:
        # By its own signal: a switch process outlives its keeper.
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(5)
        for one in self.sockets:
            one.close()


def start_with(
    command: list[str], directory: Path, sockets: list[socket.socket], **how: Any
) -> subprocess.Popen[bytes]:
    """The command with these sockets as descriptors from 3 on, as sd_listen_fds(3) wants them."""
    script = f"LISTEN_FDS={len(sockets)} LISTEN_PID=$$ exec \"$@\" "
    high = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in sockets]
    script += " ".join(f"{FIRST_STORED + i}<&{n} {n}<&-" for i, n in enumerate(high))
    try:
        return subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            env={**os.environ, "HOME": str(directory)},
            pass_fds=high,
            stdin=subprocess.DEVNULL,
            cwd=directory,
            **how,
        )
    finally:
        for number in high:
            os.close(number)


def test_who_came_before_it_ran_is_served(given: Given) -> None:
    early = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    early.connect(str(given.directory / "mgmt"))
    given.start()
    early.settimeout(5)
    assert b"VDE switch" in early.recv(4096)
    early.close()
    with VdeClient(given.directory / "ctl") as one, VdeClient(given.directory / "ctl") as two:
        data = frame(BROADCAST, mac(1))
        one.send(data)
        assert two.recv() == data


def test_the_sockets_are_there_for_the_next_one(given: Given) -> None:
    for _ in range(2):
        given.start()
        VdeClient(given.directory / "ctl").close()
        Console(given.directory / "mgmt").close()
        assert given.stop() == 0
        assert (given.directory / "ctl/ctl").is_socket()
        assert (given.directory / "mgmt").is_socket()
    assert "Could not remove" not in given.log()


def test_after_a_crash_they_are_served_on(directory: Path) -> None:
    with Given(directory, "--keeper") as given:
        given.start()
        Console(directory / "mgmt").close()
        assert given.process
        old = switch_process(given.process.pid)
        os.kill(old, signal.SIGKILL)
        Console(directory / "mgmt").close()
        VdeClient(directory / "ctl").close()
        assert given.stop() == 0
        assert (directory / "ctl/ctl").is_socket()
        assert (directory / "mgmt").is_socket()


def test_a_socket_that_is_of_no_use_is_named(given: Given) -> None:
    with listening(given.directory / "other") as other:
        given.start(other)
        Console(given.directory / "mgmt").close()
        wait_until("a word about it", lambda: f"{given.directory}/other" in given.log())


NETWORK = """
[network.blue]
kind = "internal"
"""


@pytest.mark.parametrize("options", [[], ["--keeper"]], ids=["alone", "kept"])
def test_a_daemon_of_networks_takes_them_too(directory: Path, options: list[str]) -> None:
    run = directory / "run"
    (directory / "lanyard.toml").write_text(NETWORK)
    sockets = [listening(run / "control"), listening(run / "blue/ctl")]
    command = [str(daemon_program()), "--config", str(directory / "lanyard.toml")]
    command += ["--runtime-directory", str(run), "--state-directory", str(directory / "state")]
    command += ["--control", str(run / "control"), *options]
    with RpcClient(run / "control") as early:
        number = early.send("daemon.status")
        process = start_with(command, directory, sockets)
        try:
            assert early.line()["id"] == number
            VdeClient(run / "blue").close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            process.kill()
            process.wait(5)
    assert (run / "control").is_socket()
    assert (run / "blue/ctl").is_socket()
    for one in sockets:
        one.close()
