# SPDX-License-Identifier: MIT
"""System calls and allocations of a program that fail while a test wants it: tests/support/faults.c."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frames import BROADCAST, frame, mac
from kept import Echo
from switch_process import REPOSITORY, Switch, is_sanitized, switch_program
from vde_client import NoAnswer, Refused, VdeClient
from waiting import wait_until

ROW = struct.Struct("<32sIiQQQQ")  # name, every, error, skip, fail, calls, failed
EVERY, ERROR, SKIP, FAIL = 32, 36, 40, 48
ROWS_MAX = 64
ALL = 1 << 62  # fail
BURST = 8  # frames


def library() -> Path:
    folder = os.environ.get("LANYARD_BIN") or str(REPOSITORY / "build/release/bin")
    return Path(folder).absolute().parent / "tests/faults.so"


# Call, errors that it can have, every how many.
FAULTS = [
    ("accept4", ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EINTR", "EPERM"), 2),
    ("bind", ("ENOMEM", "EACCES", "ENOSPC", "EADDRINUSE"), 2),
    ("connect", ("EAGAIN", "ECONNREFUSED", "EINTR"), 2),
    ("epoll_ctl", ("ENOMEM", "ENOSPC"), 3),
    ("epoll_pwait", ("EINTR",), 3),
    ("fstatat", ("ENOMEM",), 2),
    ("getsockopt", ("ENOBUFS",), 3),
    ("malloc", ("ENOMEM",), 101),
    ("malloc", ("ENOMEM",), 7),
    ("open", ("EMFILE", "ENFILE", "ENOMEM"), 2),
    ("ppoll", ("EINTR", "ENOMEM"), 2),
    ("read", ("EINTR", "EIO"), 3),
    ("recv", ("EINTR", "ENOMEM", "ENOBUFS"), 3),
    ("recvmmsg", ("EINTR", "ENOMEM", "ENOBUFS"), 5),
    ("send", ("EINTR", "EAGAIN", "ENOMEM", "ENOBUFS"), 3),
    ("sendmmsg", ("EINTR", "EAGAIN", "ENOMEM", "ENOBUFS"), 5),
    ("setsockopt", ("ENOMEM", "EPERM"), 2),
    ("socket", ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"), 2),
    ("unlinkat", ("EIO", "EROFS"), 2),
    ("writev", ("EINTR", "EIO", "EAGAIN"), 3),
]


class Faults:
    """The table that the library and a test share. `env` is for the program that is to suffer."""

    def __init__(self, directory: Path) -> None:
        if is_sanitized(switch_program()):
            pytest.skip("a sanitizer has an allocator of its own")
        path = directory / "faults"
        path.write_bytes(bytes(ROW.size * ROWS_MAX))
        with path.open("r+b") as file:
            self._table = mmap.mmap(file.fileno(), 0)
        self.env = {"LD_PRELOAD": str(library()), "LANYARD_FAULTS": str(path)}

    def _row(self, name: str) -> int:
        for at in range(0, len(self._table), ROW.size):
            found = self._table[at : at + 32].split(b"\0")[0].decode()
            if found == name:
                return at
            if not found:
                break
        raise KeyError(f"no program with the library runs, or it does not know {name}")

    @contextlib.contextmanager
    def failing(self, name: str, error: str, every: int) -> Iterator[None]:
        """Every so many calls of this name fail, while the block lasts."""
        at = self._row(name)
        struct.pack_into("<i", self._table, at + ERROR, getattr(errno, error))
        struct.pack_into("<I", self._table, at + EVERY, every)
        try:
            yield
        finally:
            struct.pack_into("<I", self._table, at + EVERY, 0)

    @contextlib.contextmanager
    def failing_after(self, skip: int, name: str, error: str, count: int = ALL) -> Iterator[None]:
        """So many calls succeed, then so many fail, while the block lasts."""
        at = self._row(name)
        struct.pack_into("<i", self._table, at + ERROR, getattr(errno, error))
        struct.pack_into("<Q", self._table, at + SKIP, skip)
        struct.pack_into("<Q", self._table, at + FAIL, count)
        try:
            yield
        finally:
            struct.pack_into("<Q", self._table, at + FAIL, 0)

    def die_after(self, skip: int, name: str) -> None:
        """The program that makes this call after so many others of its name dies in it."""
        at = self._row(name)
        struct.pack_into("<iQQ", self._table, at + ERROR, 0, skip, 1)

    def failed(self, name: str) -> int:
        """How many calls of this name have failed so far."""
        return int(ROW.unpack_from(self._table, self._row(name))[6])

    def calls(self, name: str) -> int:
        return int(ROW.unpack_from(self._table, self._row(name))[5])

    def blocks(self) -> int:
        """Of memory, that have been allocated and not freed."""
        return self.calls("malloc") - self.failed("malloc") - self.calls("free")


def burst(switch: Switch, client: VdeClient) -> None:
    """Frames that the switch finds all at once, which is when it sends several in a call."""
    os.kill(switch.pid, signal.SIGSTOP)
    try:
        for _ in range(BURST):
            client.send(frame(BROADCAST, mac(3)))
    finally:
        os.kill(switch.pid, signal.SIGCONT)


def come_and_go(switch: Switch, seconds: float) -> None:
    """Clients, consoles and a cable for a while; what they suffer is theirs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, AssertionError, Refused, NoAnswer):
            with VdeClient(switch.ctl_dir, timeout=0.1) as client:
                burst(switch, client)
        with contextlib.suppress(OSError, AssertionError):
            console = switch.console(timeout=0.1)
            for command in ("port/allprint", "vlan/create 9", "hash/print", "vlan/remove 9"):
                console.run(command)
            console.close()


def flows(echo: Echo) -> None:
    sent = echo.sent
    wait_until("frames flow again", lambda: max(echo.back) > sent + 20)
