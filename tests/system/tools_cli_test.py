# SPDX-License-Identifier: MIT
"""`lanyard plug`, `lanyard cable` and `lanyard console` beside the programs they stand in for."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cables import ALICE, assert_joined, crosses
from client_process import ClientProcess, need_original, need_programs, plugged, wait_plugged
from frames import broadcast
from switch_process import ORIGINAL, Switch, descriptors_of, switch_program
from waiting import wait_until

pytestmark = pytest.mark.ours

LANYARD = switch_program().parent / "lanyard"


def lanyard(*words: object, text: str | None = None, timeout: float = 20.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LANYARD, *map(str, words)], input=text, capture_output=True, text=True,
                          timeout=timeout, check=False)


@pytest.fixture
def two(start_switch: Callable[..., Switch]) -> tuple[Switch, Switch]:
    return start_switch(), start_switch()


# --- plug ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [
    "dpipe {lanyard} plug {left} = vde_plug {right}",
    "dpipe vde_plug {left} = {lanyard} plug {right}",
    "dpipe {lanyard} plug {left} = {lanyard} plug vde://{right}",
    "dpipe {lanyard} plug {left} = wirefilter = {lanyard} plug {right}",
    "{lanyard} plug {left} = vde_plug {right}",
    "{lanyard} plug {left} = {lanyard} plug {right}",
    "vde_plug {left} = {lanyard} plug {right}",
])
def test_plug_joins_two_switches(two: tuple[Switch, Switch], command: str) -> None:
    need_programs("dpipe", "vde_plug", "wirefilter")
    left, right = two
    words = command.format(lanyard=LANYARD, left=left.ctl_dir, right=right.ctl_dir).split()
    with ClientProcess(*words):
        assert_joined(left, right)
    for switch in two:
        wait_until("nothing stays plugged in", lambda switch=switch: not plugged(switch))


def test_plug_asks_the_original_for_a_port(start_switch: Callable[..., Switch]) -> None:
    need_original()
    far = start_switch(program=ORIGINAL)
    with ClientProcess(LANYARD, "plug", "-p", "5", far.ctl_dir):
        wait_plugged(far, "lanyard: user=")
        assert list(plugged(far)) == [5]


def test_plug_ends_with_its_input_and_with_the_switch(switch: Switch) -> None:
    with ClientProcess(LANYARD, "plug", switch.ctl_dir) as plug:
        wait_plugged(switch, "lanyard:")
        plug.stdin.close()
        assert plug.wait_exit() == 0
    with ClientProcess(LANYARD, "plug", switch.ctl_dir) as plug:
        with switch.client() as bob:
            # The switch has it in its table a moment before the cable is ready.
            data = broadcast(ALICE, b"hello")
            plug.stdin.write(struct.pack("!H", len(data)) + data)
            assert bob.recv() == data
        switch.stop()
        assert plug.wait_exit() == 0


def test_plug_says_why_it_cannot(tmp_path: Path) -> None:
    done = lanyard("plug", tmp_path / "none", text="")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    done = lanyard("plug", "--prot", "3", text="")
    assert done.returncode == 2
    assert "there is no option --prot" in done.stderr
    assert lanyard("plug", "a", "b", text="").returncode == 2
    assert "--frame-max" in lanyard("plug", "--help").stdout
    done = lanyard("plug", tmp_path / "none", "=", tmp_path / "no-program")
    assert done.returncode == 1


# --- cable ---------------------------------------------------------------------------------------


def test_cable_joins_and_comes_back(start_switch: Callable[..., Switch], directory: Path) -> None:
    need_original()
    left = start_switch()
    right = start_switch(program=ORIGINAL, directory=directory)
    with ClientProcess(LANYARD, "cable", left.ctl_dir, right.ctl_dir) as cable:
        assert_joined(left, right)
        descriptors = descriptors_of(cable.pid)
        right.stop(signal.SIGKILL)
        wait_until("it is said", lambda: "the other end is gone" in cable.log_text())
        again = start_switch(program=ORIGINAL, directory=directory)
        assert_joined(left, again)
        assert descriptors_of(cable.pid) <= descriptors
        cable.process.terminate()
        assert cable.wait_exit() == 0
    wait_until("nothing stays plugged in", lambda: not plugged(left))


def test_many_cables_from_a_file(start_switch: Callable[..., Switch], tmp_path: Path) -> None:
    a, b, c = (start_switch() for _ in range(3))
    file = tmp_path / "cables"
    file.write_text(f"# two of them\n{a.ctl_dir} {b.ctl_dir}   # here\n\nvde://{b.ctl_dir} {c.ctl_dir}\n")
    with ClientProcess(LANYARD, "cable", "-q", "-f", file):
        assert_joined(a, c)


def test_a_cable_needs_two_ends(tmp_path: Path) -> None:
    assert lanyard("cable", "/tmp/x").returncode == 2
    file = tmp_path / "cables"
    file.write_text("/tmp/a /tmp/b /tmp/c\n")
    done = lanyard("cable", "-f", file)
    assert (done.returncode, done.stderr) == (2, f"lanyard cable: {file}:1: a cable has two ends, not 3\n")
    assert lanyard("cable", "-f", tmp_path / "none").returncode == 3
    assert lanyard("cable", "tap://", "/tmp/x", timeout=5).returncode == 2


# --- console -------------------------------------------------------------------------------------


@pytest.fixture(params=["ours", "original"])
def either(request: pytest.FixtureRequest, start_switch: Callable[..., Switch]) -> Switch:
    if request.param == "original":
        need_original()
        return start_switch(program=ORIGINAL)
    return start_switch()


def test_console_runs_the_lines_of_its_input(either: Switch) -> None:
    done = lanyard("console", either.mgmt_path, text="vlan/create 7\n# a remark\nvlan/print\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "VLAN 0000\nVLAN 0007\n", "")


def test_console_ends_with_the_last_failing_commands_code(either: Switch) -> None:
    done = lanyard("console", either.mgmt_path, "-c", "vlan/create 9999", "-c", "bogus", "-c", "port/showinfo")
    assert done.returncode == 38
    assert done.stdout.startswith("Numports=32\n")
    assert done.stderr == ("vlan/create 9999: 1022 Invalid argument\n"
                           "bogus: 1038 Function not implemented\n")


def test_console_ends_at_logout(either: Switch) -> None:
    done = lanyard("console", either.mgmt_path, text="logout\nvlan/create 7\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_console_says_who_is_not_there(tmp_path: Path) -> None:
    done = lanyard("console", tmp_path / "none", text="")
    assert done.returncode == 5
    assert "No such file or directory" in done.stderr


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *words: object, home: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(str(words[0]), [str(word) for word in words],
                      {**os.environ, "HOME": str(home), "TERM": "vt100"})
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def wait(self, pattern: str, timeout: float = 10.0) -> str:
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.shown)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} in {self.shown!r}"
            if select.select([self.fd], [], [], left)[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self.fd, 65536).decode(errors="replace")
        self.shown = self.shown[found.end():]
        return found[0]

    def close(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_console_at_a_terminal(either: Switch, tmp_path: Path) -> None:
    terminal = Terminal(LANYARD, "console", either.mgmt_path, home=tmp_path)
    terminal.wait(r"VDE switch V\.")
    terminal.wait(r"vde\$ ")
    terminal.type("debug/add port\r")
    terminal.wait("1000 Success")
    # The switch's own lines come while a line is being written, which stays.
    terminal.wait(r"vde\$ ")
    terminal.type("port/sh")
    terminal.wait("port/sh")
    with either.client(description="alice"):
        terminal.wait(r"3021 port/\+ 01")
        terminal.wait(r"vde\$ port/sh")
    terminal.type("\t\r")
    terminal.wait("Numports=32")
    terminal.wait("1000 Success")
    terminal.wait(r"vde\$ ")
    terminal.type("\x1b[A\r")
    terminal.wait("Numports=32")
    terminal.wait(r"vde\$ ")
    terminal.type("\x04")
    assert terminal.close() == 0
    history = tmp_path / ".lanyard_console"
    assert history.read_text().split("\n")[:2] == ["debug/add port", "port/showinfo "]
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_capture_file_is_played_into_a_switch(switch: Switch, tmp_path: Path) -> None:
    """`lanyard cable` takes every backend: one that records and, when it is done, one that plays."""
    file = tmp_path / "lab.pcap"
    with ClientProcess(LANYARD, "cable", f"record://{file}", switch.ctl_dir), switch.client() as alice:
        wait_plugged(switch, "lanyard:")
        wait_until("the capture has begun", file.exists)
        alice.send(broadcast(ALICE, b"hello"))
        wait_until("it is written", lambda: file.exists() and file.stat().st_size == 24 + 16 + 60)
    with switch.client() as bob:
        done = lanyard("cable", f"replay://{file}?speed=max", switch.ctl_dir)
        assert done.returncode == 0, done.stderr
        got = bob.recv()
        assert got is not None and got[6:12] == ALICE
        assert not crosses(bob, bob, ALICE)


@pytest.mark.parametrize(
    "end, sentence",
    [("replay:///nonexistent/x.pcap", "No such file"), ("record:///nonexistent/x.pcap", "No such file"),
     ("replay:///etc/passwd", "unknown file format")],
)
def test_a_cable_whose_file_cannot_be_opened_fails(switch: Switch, end: str, sentence: str) -> None:
    done = lanyard("cable", end, switch.ctl_dir)
    assert (done.returncode, sentence in done.stderr) == (1, True), done.stderr
