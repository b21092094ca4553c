# SPDX-License-Identifier: MIT
"""A client of the management console: commands in, replies and asynchronous lines out."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from waiting import readable, wait_until

PROMPT = b"\nvde$ "
STATUS = re.compile(r"^(1\d{3}) (.*)$")
EVENT = re.compile(rb"^3[0-7]{3} [^\n]*$")
DATA_BEGIN = "0000 DATA END WITH '.'"


@dataclass
class Reply:
    """lines: the data block without its frame; code and text: the status line; raw: the bytes."""

    lines: list[str]
    code: int
    text: str
    raw: str

    @property
    def ok(self) -> bool:
        return self.code == 1000


def parse_reply(raw: str) -> Reply:
    lines = raw.split("\n")
    code, text = 0, ""
    data: list[str] = []
    inside = False
    for line in lines:
        match = STATUS.match(line)
        if inside:
            inside = line != "."
            if inside:
                data.append(line)
        elif line == DATA_BEGIN:
            inside = True
        elif match:
            code, text = int(match[1]), match[2]
    return Reply(data, code, text, raw)


class Console:
    def __init__(self, path: Path | str, timeout: float = 10.0) -> None:
        self.timeout = timeout
        self.events: list[str] = []
        self.buffer = b""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.settimeout(timeout)
            self.socket.connect(os.fspath(path))
            self.banner = self.read_until_prompt() + PROMPT
        except BaseException:
            self.socket.close()
            raise

    def run(self, command: str, timeout: float | None = None) -> Reply:
        """One command and its reply. Asynchronous lines go to `events`."""
        self.send(command.encode() + b"\n")
        return self.read_reply(timeout)

    def check(self, command: str) -> list[str]:
        """One command that must succeed; its data lines."""
        reply = self.run(command)
        assert reply.ok, f"{command}: {reply.raw}"
        return reply.lines

    def code(self, command: str) -> int:
        return self.run(command).code

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_reply(self, timeout: float | None = None) -> Reply:
        return parse_reply(
            self._without_events(self.read_until_prompt(timeout)).decode(errors="replace")
        )

    def read_until_prompt(self, timeout: float | None = None) -> bytes:
        """The bytes before the next prompt. ConnectionError when the session ends first."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while PROMPT not in self.buffer:
            if not self._fill(deadline - time.monotonic()):
                raise TimeoutError(f"no prompt; so far {self.buffer[-200:]!r}")
        before, _, self.buffer = self.buffer.partition(PROMPT)
        return before

    def read_to_end(self, timeout: float | None = None) -> bytes:
        """Everything until the switch ends the session."""
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            while self._fill(deadline - time.monotonic()):
                pass
        except ConnectionError:
            data, self.buffer = self.buffer, b""
            return data
        raise TimeoutError(f"the session did not end; so far {self.buffer[-200:]!r}")

    def _fill(self, timeout: float) -> bool:
        if timeout <= 0 or not readable(self.socket, timeout):
            return False
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("the session ended")
        self.buffer += part
        return True

    def _without_events(self, data: bytes) -> bytes:
        kept = []
        for line in data.split(b"\n"):
            if EVENT.match(line):
                self.events.append(line.decode(errors="replace"))
            else:
                kept.append(line)
        return b"\n".join(kept)

    def wait_events(self, count: int, timeout: float = 5.0) -> list[str]:
        """At least so many asynchronous lines; they are taken out of `events`."""
        deadline = time.monotonic() + timeout
        while True:
            *whole, rest = self.buffer.split(b"\n")
            if all(EVENT.match(line) for line in whole):
                self.events += [line.decode(errors="replace") for line in whole]
                self.buffer = rest
            if len(self.events) >= count:
                found, self.events = self.events, []
                return found
            if not self._fill(deadline - time.monotonic()):
                raise AssertionError(f"{count} events wanted, these came: {self.events}")

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_console(path: Path | str, timeout: float = 5.0) -> Console:
    """A console of a switch that may still be making its socket."""

    def connected() -> Console | None:
        try:
            return Console(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    return wait_until(f"console at {path}", connected, timeout)
