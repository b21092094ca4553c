# SPDX-License-Identifier: MIT
"""The console under bad input, slow readers and many sessions, and a log that nobody reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console import PROMPT, Console, parse_reply
from frames import broadcast, mac
from kept import switch_process, wait_for_other
from switch_process import Switch, is_sanitized, switch_program
from vde_client import VdeClient, connect_stream, outcome_of
from waiting import readable, wait_until

Start = Callable[..., Switch]
pytestmark = pytest.mark.ours  # most of this kills, blocks or confuses the original

ELOOP = 1040


class Traffic:
    """A pair of clients; check() fails when a frame between them takes long."""

    def __init__(self, switch: Switch) -> None:
        self.sender, self.receiver = switch.client(), switch.client()
        self.count = 0

    def check(self, limit: float = 0.5) -> None:
        self.count += 1
        data = broadcast(mac(1), self.count.to_bytes(4, "big"))
        self.sender.send(data, timeout=limit)
        assert self.receiver.recv(limit) == data


@pytest.fixture
def traffic(switch: Switch) -> Traffic:
    return Traffic(switch)


def still_in_step(console: Console) -> None:
    """The session's next command gets its own reply: nothing was lost or run twice."""
    lines = console.check("port/showinfo")
    assert lines[0].startswith("Numports=")
    assert console.buffer == b""


# -- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [126, 127, 128, 129, 255, 256, 257, 1000, 4000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["newline", "return", "nothing"])
def test_a_long_line_is_one_command(switch: Switch, length: int, end: bytes) -> None:
    console = switch.console()
    console.send(b"port/create 3".ljust(length) + end)
    assert console.read_reply().code == 1000
    console.send(b"x" * length + end)
    assert console.read_reply().code == 1038
    console.send(b"#" * length + end)
    assert console.read_reply().code == 0
    still_in_step(console)
    assert len(console.check("port/allprint")) == 4


def test_a_line_of_a_megabyte_is_an_error_and_the_session_goes_on(
    switch: Switch, traffic: Traffic
) -> None:
    console = switch.console()
    before = switch.resident_kib()
    console.send(b"x" * 1_000_000 + b"\n")
    reply = console.read_reply()
    assert reply.code in (1022, 1038, 1007, 1090)
    still_in_step(console)
    traffic.check()
    assert switch.resident_kib() - before < 4096


def test_a_line_without_end_costs_no_memory_and_delays_nobody(
    switch: Switch, traffic: Traffic
) -> None:
    console, other = switch.console(), switch.console()
    before = switch.resident_kib()
    console.socket.setblocking(False)
    for _ in range(160):
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            console.socket.send(b"y" * 50_000)
        traffic.check()
    still_in_step(other)
    assert switch.resident_kib() - before < 4096


def test_blanks_before_a_command_are_skipped(switch: Switch) -> None:
    console = switch.console()
    for command in ("  port/showinfo", "\tport/showinfo", " \t  port/showinfo   "):
        assert console.run(command).ok


@pytest.mark.parametrize(
    "command, code",
    [
        (b"port/create 3\r\n", 1000),
        (b"port/setuser 3 root\r\n", 1000),
        (b"hash/setsize 64\r", 1000),
        (b"\r\n", 0),
        (b"\r", 0),
    ],
    ids=repr,
)
def test_carriage_returns_are_dropped(switch: Switch, command: bytes, code: int) -> None:
    console = switch.console()
    console.run("port/create 3" if b"setuser" in command else "")
    console.send(command)
    assert console.read_reply().code == code
    still_in_step(console)


def test_binary_input_is_answered_with_errors(switch: Switch, traffic: Traffic) -> None:
    console = switch.console()
    lines = [bytes([value]) * 20 for value in range(256) if value not in b"\n\r \t#\0"]
    for line in lines:
        console.send(line + b"\n")
        assert console.read_reply().code == 1038
    console.send(b"\0port/showinfo\0\n")
    console.read_reply()
    console.send(bytes(range(256)) * 20 + b"\n")
    wait_until("all of it answered", lambda: last_of_pipelined(console))
    still_in_step(switch.console())
    traffic.check()


def last_of_pipelined(console: Console) -> bool:
    """Reads until the reply of a command with a number nobody else prints."""
    console.send(b"port/setnumports 77\nport/showinfo\n")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if "Numports=77" in console.read_until_prompt().decode(errors="replace"):
            return True
    return False


def test_commands_in_one_write_all_run_in_order(switch: Switch) -> None:
    console = switch.console()
    console.send(b"port/create 3\nport/create 3\n\nport/create 4\nbogus\nport/showinfo\n")
    assert [console.read_reply().code for _ in range(6)] == [1000, 1017, 0, 1000, 1038, 1000]
    console.send(b"".join(b"vlan/create %d\n" % number for number in range(1, 1001)))
    assert [console.read_reply().code for _ in range(1000)] == [1000] * 1000
    still_in_step(console)


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_command_in_two_writes_is_one_command(switch: Switch, cut: int) -> None:
    console = switch.console()
    command = b"port/create 3\n"
    for _ in range(20):
        start = time.monotonic()
        console.send(command[:cut])
        console.send(command[cut:])
        in_time = time.monotonic() - start < 0.001
        if in_time:
            break
        # The second half came too late to tell; begin again in a session that is in step.
        console.close()
        console = switch.console()
    assert console.read_reply().code in (1000, 1017)
    still_in_step(console)
    assert len(console.check("port/allprint")) == 4


# -- readers -------------------------------------------------------------------------------------


def test_5000_ports_reach_a_slow_reader_whole(start_switch: Start) -> None:
    switch = start_switch("-n", "6000")
    console, other, traffic = switch.console(), switch.console(), Traffic(switch)
    for first in range(3, 5001, 500):
        console.send(
            b"".join(
                b"port/create %d\n" % number for number in range(first, min(first + 500, 5001))
            )
        )
        for _ in range(first, min(first + 500, 5001)):
            assert console.read_reply().ok
    console.send(b"port/allprint\n")
    data = b""
    deadline = time.monotonic() + 10
    while not data.endswith(PROMPT) and time.monotonic() < deadline:
        assert readable(console.socket, 5)
        data += console.socket.recv(32768)
        traffic.check()
        still_in_step(other)
    reply = parse_reply(data.removesuffix(PROMPT).decode())
    assert reply.ok
    numbers = [int(line[5:9]) for line in reply.lines if line.startswith("Port ")]
    assert numbers == list(range(1, 5001))
    assert len(data) > 800_000
    still_in_step(console)


def test_a_reader_that_never_reads_costs_little_and_delays_nobody(start_switch: Start) -> None:
    switch = start_switch("-n", "1000")
    console, deaf, traffic = switch.console(), switch.console(), Traffic(switch)
    for number in range(3, 1000):
        console.check(f"port/create {number}")
    before = switch.resident_kib()
    deaf.socket.setblocking(False)
    for _ in range(500):
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            deaf.socket.send(b"port/allprint\n" * 20)
        traffic.check()
    still_in_step(console)
    assert switch.resident_kib() - before < 8192
    assert switch.cpu_share(0.3) < 0.1


def test_events_for_a_reader_that_never_reads_are_lost_not_stored(
    switch: Switch, traffic: Traffic
) -> None:
    deaf, other = switch.console(), switch.console()
    deaf.check("debug/add")
    sender = switch.client()
    before = switch.resident_kib()
    for number in range(20_000):
        sender.send(broadcast(mac(1000 + number % 5000)))
        if number % 50 == 0:
            traffic.receiver.drain()
            traffic.sender.drain()
        if number % 5000 == 0:
            other.check("hash/setsize 128")
    traffic.receiver.drain(0.02)
    traffic.check()
    still_in_step(other)
    assert switch.resident_kib() - before < 8192


def test_a_session_that_ends_inside_its_reply_leaves_nothing(start_switch: Start) -> None:
    switch = start_switch("-n", "1000")
    console = switch.console()
    for number in range(1, 1000):
        console.check(f"port/create {number}")
    before = switch.descriptors()
    for _ in range(50):
        gone = Console(switch.mgmt_path)
        gone.send(b"port/allprint\n" * 5)
        gone.close()
    wait_until("descriptors back", lambda: switch.descriptors() <= before)
    still_in_step(console)


def test_a_half_closed_session_ends(switch: Switch) -> None:
    before = switch.descriptors()
    for command in (b"", b"port/showinfo\n", b"port/showinfo", b"port/sh"):
        console = switch.console()
        console.send(command)
        console.socket.shutdown(socket.SHUT_WR)
        console.read_to_end()
        console.close()
    wait_until("descriptors back", lambda: switch.descriptors() <= before)


# -- sessions ------------------------------------------------------------------------------------


def test_100_sessions(switch: Switch, traffic: Traffic) -> None:
    before = switch.descriptors()
    sessions = [switch.console() for _ in range(100)]
    for session in sessions:
        session.send(b"debug/add port\n")
    assert [session.read_reply().code for session in sessions] == [1000] * 100
    VdeClient(switch.ctl_dir, description="alice").close()
    for session in sessions:
        assert len(session.wait_events(5)) >= 5  # port/+, ep/+, descr, ep/-, port/-
    for number, session in enumerate(sessions):
        session.send(b"vlan/create %d\n" % (number + 1))
    assert [session.read_reply().code for session in sessions] == [1000] * 100
    traffic.check()
    for session in sessions:
        session.close()
    wait_until("descriptors back", lambda: switch.descriptors() <= before)


def test_1000_sessions_one_after_the_other(switch: Switch) -> None:
    before = switch.descriptors()
    for _ in range(1000):
        with Console(switch.mgmt_path) as console:
            console.send(b"port/showinfo\n")
    wait_until("descriptors back", lambda: switch.descriptors() <= before)
    still_in_step(switch.console())


# -- scripts -------------------------------------------------------------------------------------


def write_script(switch: Switch, name: str, text: str) -> Path:
    path = switch.directory / name
    path.write_text(text.replace("DIR", str(switch.directory)))
    return path


@pytest.mark.parametrize(
    "one, two",
    [
        ("load DIR/one\n", ""),
        ("load DIR/two\n", "load DIR/one\n"),
        ("load DIR/one\nload DIR/one\n", ""),
        ("load DIR/two\nload DIR/two\n", "load DIR/one\nload DIR/one\n"),
        ("load DIR/one\n" * 20, ""),
    ],
    ids=["itself", "each other", "itself twice", "each other twice", "itself 20 times"],
)
def test_a_script_that_loads_itself_ends_with_an_error(
    switch: Switch, traffic: Traffic, one: str, two: str
) -> None:
    write_script(switch, "two", two)
    script = write_script(switch, "one", one)
    console = switch.console()
    before = switch.descriptors()
    reply = console.run(f"load {script}", timeout=5.0)
    assert f"{ELOOP} Too many levels of symbolic links" in reply.raw
    assert switch.descriptors() == before
    still_in_step(console)
    traffic.check()


def test_rc_file_that_loads_itself_starts(start_switch: Start, directory: Path) -> None:
    (directory / "lab.rc").write_text(f"load {directory}/lab.rc\nport/create 3\n")
    switch = start_switch("-f", "lab.rc", directory=directory)
    assert switch.console().check("port/allprint")[0].startswith("Port 0003")


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/tty", "/dev/stdin", "/proc/self/mem", "fifo", "socket", "big"]
)
def test_load_of_what_is_no_script_delays_nobody(
    switch: Switch, traffic: Traffic, path: str
) -> None:
    os.mkfifo(switch.directory / "fifo")
    (switch.directory / "big").write_bytes(b"z" * 20_000_000)
    console = switch.console()
    before = switch.resident_kib()
    named = {
        "fifo": switch.directory / "fifo",
        "socket": switch.mgmt_path,
        "big": switch.directory / "big",
    }
    console.send(f"load {named.get(path, path)}\n".encode())
    traffic.check()
    assert console.read_reply(timeout=2.0).code != 0
    still_in_step(console)
    if not is_sanitized(switch_program()):  # which keeps what was freed
        assert switch.resident_kib() - before < 4096


def test_a_long_script_runs_whole(switch: Switch) -> None:
    text = "".join(f"vlan/create {number}\n" for number in range(1, 4001))
    console = switch.console()
    reply = console.run(f"load {write_script(switch, 'long', text)}")
    assert reply.raw.count("1000 Success") == 4001
    assert console.run("vlan/print 4000").ok


LAST = 800
# More than a script says before it waits for its reader, whose socket takes some, too.
LONG_ANSWERS = "".join(f"help\nvlan/create {number}\n" for number in range(1, LAST + 1))


def test_nobody_waits_for_a_script_but_who_reads_it(switch: Switch, traffic: Traffic) -> None:
    reading, other = switch.console(), switch.console()
    reading.send(f"load {write_script(switch, 'long', LONG_ANSWERS)}\n".encode())
    wait_until("it has begun", lambda: other.run("vlan/print 1").ok)
    traffic.check()
    assert not other.run(f"vlan/print {LAST}").ok, "it has run to its end with nobody reading"
    assert reading.read_reply(timeout=10.0).raw.count("1000 Success") == 2 * LAST + 1
    assert other.run(f"vlan/print {LAST}").ok
    still_in_step(reading)


@pytest.mark.parametrize("lines", [f"vlan/create 7\nvlan/create {LAST}\n", "load DIR/long\n"], ids=["lines", "script"])
def test_commands_of_who_does_not_wait_for_replies_are_run(switch: Switch, lines: str) -> None:
    write_script(switch, "long", LONG_ANSWERS)
    os.kill(switch.pid, signal.SIGSTOP)
    try:
        with connect_stream(switch.mgmt_path) as hasty:
            hasty.sendall(lines.replace("DIR", str(switch.directory)).encode())
    finally:
        os.kill(switch.pid, signal.SIGCONT)
    wait_until("all of them have run", lambda: switch.console().run(f"vlan/print {LAST}").ok)


def test_a_script_and_lines_after_it_outlive_an_upgrade(start_switch: Start) -> None:
    kept = start_switch("--keeper")
    console, old = kept.console(), switch_process(kept.pid)
    console.send(f"load {write_script(kept, 'long', LONG_ANSWERS)}\nvlan/create 3000\n".encode())
    wait_until("it has begun", lambda: kept.console().run("vlan/print 1").ok)
    assert kept.console().run("lanyard/upgrade").ok
    wait_for_other(kept.pid, old)
    assert not kept.console().run(f"vlan/print {LAST}").ok, "it has run to its end with nobody reading"
    assert console.read_reply(timeout=10.0).raw.count("1000 Success") == 2 * LAST + 1
    assert console.read_reply().ok
    assert kept.console().run("vlan/print 3000").ok
    still_in_step(console)


# -- a log nobody reads --------------------------------------------------------------------------


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that is full, and whose reading end is open but never read."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        # A second description of the same end: the flag must not become the switch's.
        filler = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(filler, b"-")
        os.close(filler)
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def provoke_log_lines(switch: Switch) -> None:
    for _ in range(20):
        assert outcome_of(switch.ctl_dir / "ctl", b"\0" * 122) == "closed"


def test_a_full_log_pipe_stops_nothing(start_switch: Start) -> None:
    with full_pipe() as log:
        switch = start_switch(stderr=log)
        console, traffic = switch.console(), Traffic(switch)
        provoke_log_lines(switch)
        traffic.check()
        still_in_step(console)
        assert switch.client().port == 3
        assert switch.cpu_share(0.2) < 0.1
        assert switch.stop() == 0


def test_a_log_pipe_without_reader_stops_nothing(start_switch: Start) -> None:
    reader, writer = os.pipe()
    switch = start_switch(stderr=writer)
    os.close(writer)
    os.close(reader)
    console, traffic = switch.console(), Traffic(switch)
    provoke_log_lines(switch)
    traffic.check()
    still_in_step(console)
    assert switch.stop() == 0


def test_standard_output_that_nobody_reads_stops_nothing(
    directory: Path, start_switch: Start
) -> None:
    os.mkfifo(directory / "stdout")
    reader = os.open(directory / "stdout", os.O_RDONLY | os.O_NONBLOCK)
    try:
        switch = start_switch(directory=directory)
        console, traffic = switch.console(), Traffic(switch)
        for number in range(3, 32):
            console.check(f"port/create {number}")
        assert switch.process.stdin
        os.set_blocking(switch.process.stdin.fileno(), False)
        for _ in range(60):
            with contextlib.suppress(BlockingIOError):
                os.write(switch.process.stdin.fileno(), b"port/allprint\n" * 10)
            traffic.check()
        still_in_step(console)
        assert switch.cpu_share(0.2) < 0.1
    finally:
        os.close(reader)
