# SPDX-License-Identifier: MIT
"""What tests of the keeper share: its child, and a client that counts what comes back."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from frames import frame, mac
from vde_client import VdeClient
from waiting import readable, wait_until


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def serves(pid: int) -> bool:
    """Whether it waits in an event loop; one that stands by has none yet."""
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(link) == "anon_inode:[eventpoll]":
                    return True
    return False


def switch_process(keeper: int) -> int:
    """The pid of the switch process: the keeper's youngest child that serves and has the keeper's own name. One that has
    been exchanged has a moment left."""

    def find() -> int | None:
        for pid in reversed(children_of(keeper)):
            if Path(name_of(pid)).name == Path(name_of(keeper)).name and serves(pid):
                return pid
        return None

    return wait_until("a switch process", find, step=0.001)


def wait_for_standby(keeper: int, old: int) -> None:
    """Until another process has made itself ready to go on where `old` ends, and does nothing more."""
    seen: dict[int, str] = {}

    def rests() -> bool:
        before = seen.copy()
        with contextlib.suppress(OSError):
            for pid in set(children_of(keeper)) - {old}:
                seen[pid] = Path(f"/proc/{pid}/stat").read_text()  # has its page faults and its time
                if seen[pid] == before.get(pid) and not serves(pid):
                    return True
        return False

    wait_until("another process that stands by", rests, step=0.05)


def wait_for_other(keeper: int, old: int, timeout: float = 5.0) -> int:
    """The pid of the switch process once it is another one than `old`."""

    def other() -> int | None:
        now = switch_process(keeper)
        return now if now != old else None

    return wait_until(f"a successor of {old}", other, timeout, step=0.001)


@dataclass
class Echo:
    """Two guests: one sends numbered frames, the other sends each back. What is missing is lost."""

    one: VdeClient
    two: VdeClient
    per_second: int = 2000
    sent: int = 0
    back: set[int] = field(default_factory=set)
    newest: int = -1  # of those that came back
    gaps: list[float] = field(default_factory=list)
    blocked_s: float = 0.0

    def __enter__(self) -> Echo:
        self._end = threading.Event()  # nothing more is said
        self._returned = threading.Event()  # and all of it has been sent back
        self._threads = [threading.Thread(target=run) for run in (self._say, self._return, self._hear)]
        for thread in self._threads:
            thread.start()
        wait_until("the first frame is back", lambda: self.back)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._end.is_set():
            return
        self._end.set()
        for thread in self._threads:
            thread.join(10)

    @property
    def lost(self) -> int:
        return self.sent - len(self.back)

    def worst_gap_ms(self) -> float:
        return 1000 * max(self.gaps, default=0.0)

    def _say(self) -> None:
        start = time.monotonic()
        while not self._end.is_set():
            due = int((time.monotonic() - start) * self.per_second)
            while self.sent < due and not self._end.is_set():
                before = time.monotonic()
                try:
                    self.one.send(frame(mac(2), mac(1), payload=self.sent.to_bytes(8, "big")))
                except ConnectionError:
                    return  # cut off; what is missing says so
                self.blocked_s = max(self.blocked_s, time.monotonic() - before)
                self.sent += 1
            time.sleep(0.5 / self.per_second)

    def _return(self) -> None:
        self.two.send(frame(b"\xff" * 6, mac(2)))
        ending = False
        while not ending:
            ending = self._end.is_set()
            while (data := self.two.recv(0.3 if ending else 0.05)) is not None:
                if data[:6] == mac(2):
                    self.two.send(mac(1) + mac(2) + data[12:])
        self._returned.set()

    def _hear(self) -> None:
        last = time.monotonic()
        ending = False
        while not ending:
            ending = self._returned.is_set()
            if not readable(self.one.data, 0.3 if ending else 0.05):
                continue
            ending = False
            data = self.one.data.recv(2048)
            if data[:6] != mac(1):
                continue
            now = time.monotonic()
            self.gaps.append(now - last)
            last = now
            number = int.from_bytes(data[14:22], "big")
            self.back.add(number)
            self.newest = max(self.newest, number)


def thrown_away(log: str) -> int:
    """Frames that a keeper has read for a switch process that had no time: on a busy machine."""
    return sum(int(count) for count in re.findall(r"(\d+) frames were thrown away", log))
