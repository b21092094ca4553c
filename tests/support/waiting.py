# SPDX-License-Identifier: MIT
"""Waiting for events with a deadline instead of sleeping for a time."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def readable(sock: socket.socket, timeout: float) -> bool:
    """True when there is something to read, or an end. By poll(): select() ends at 1023."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(max(0.0, timeout) * 1000))


def writable(sock: socket.socket, timeout: float) -> bool:
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    return bool(poller.poll(max(0.0, timeout) * 1000))


def wait_until(
    what: str, condition: Callable[[], T | None], timeout: float = 5.0, step: float = 0.01
) -> T:
    """Returns the first true value of the condition; fails with `what` after the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(step)
