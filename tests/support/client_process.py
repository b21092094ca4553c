# SPDX-License-Identifier: MIT
"""Runs the real programs of the VDE world, unchanged, and looks at them through the switch's console."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from types import TracebackType
from typing import IO

import pytest

from console import Console
from switch_process import ORIGINAL, Switch, original_installed
from waiting import wait_until


def need_programs(*names: str) -> None:
    """Skips the test when one of the programs is not installed."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def need_original() -> None:
    if not original_installed():
        pytest.skip(f"no original vde_switch at {ORIGINAL} to be a peer")


class ClientProcess:
    """A program and all that it starts, ended with the `with` block.

    It leads a process group of its own, but no session: dpipe cannot start as a session leader.
    """

    def __init__(self, *command: object, netns: str | None = None, text: bool = False) -> None:
        words = [str(word) for word in command]
        if netns:
            words = ["ip", "netns", "exec", netns, *words]
        self.words = words
        self._log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
                                        process_group=0, text=text, bufsize=0 if not text else -1)
        self.pid = self.process.pid

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout
        return self.process.stdout

    def log_text(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def wait_exit(self, timeout: float = 5.0) -> int:
        return self.process.wait(timeout)

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(1.0)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait(5.0)
        for stream in (self.process.stdin, self.process.stdout, self._log):
            if stream:
                stream.close()

    def __enter__(self) -> ClientProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is not None:
            print(f"--- {' '.join(self.words)} (exit {self.process.poll()}) ---\n{self.log_text()}")
        self.close()


def plugged(switch: Switch) -> dict[int, list[str]]:
    """Port number to the descriptions of its endpoints, as the console tells them."""
    with Console(switch.mgmt_path) as console:
        found: dict[int, list[str]] = {}
        for line in console.check("port/print"):
            if match := re.match(r"Port (\d+) ", line):
                port = int(match[1])
            elif match := re.match(r"  -- endpoint ID \d{4,} module (\S+(?: prog)?) *: (.*)", line):
                found.setdefault(port, []).append(match[2])
        return found


def wait_plugged(switch: Switch, text: str, count: int = 1, timeout: float = 5.0) -> None:
    """Until so many endpoints carry the text in their description."""
    def there() -> bool:
        return sum(text in one for many in plugged(switch).values() for one in many) == count

    try:
        wait_until(f"{count} x {text!r}", there, timeout)
    except AssertionError as error:
        raise AssertionError(f"{error}; plugged are {plugged(switch)}") from None
