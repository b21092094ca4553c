# SPDX-License-Identifier: MIT
"""Under a service manager: what it hears, what it stores, and a keeper that comes back from that."""

from __future__ import annotations

import array
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import BROADCAST, frame, mac
from kept import switch_process
from switch_process import REPOSITORY, Switch, switch_program
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


@pytest.mark.parametrize(("unit", "score"), [("lanyard.service", 2.0)])
def test_the_example_unit_exposes_little(unit: str, score: float) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("not installed: systemd-analyze")
    shown = subprocess.run(
        [tool, "security", "--offline=true", str(REPOSITORY / "examples/systemd" / unit)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    last = shown.strip().splitlines()[-1]
    assert float(last.split(": ")[1].split()[0]) <= score, last
    assert switch_program().exists()
