# SPDX-License-Identifier: MIT
"""What the console tells about ports: who is plugged, what went through, what was dropped."""

from __future__ import annotations

import re

from console import Console
from switch_process import Switch
from vde_client import VdeClient
from waiting import wait_until


def ports(console: Console) -> list[int]:
    """The numbers of the ports that have an endpoint."""
    return [int(line[5:9]) for line in console.check("port/print") if line.startswith("Port ")]


def endpoints(console: Console) -> list[str]:
    """The descriptions in the port table."""
    return [
        line.split(": ", 1)[1]
        for line in console.check("port/print")
        if line.startswith("  -- endpoint")
    ]


def assert_nothing_left(switch: Switch, console: Console, descriptors: int) -> None:
    wait_until("no port left", lambda: ports(console) == [])
    wait_until(f"descriptors back to {descriptors}", lambda: switch.descriptors() <= descriptors)


def counters(console: Console, port: int) -> dict[str, int]:
    """The four numbers that port/print shows: frames and bytes, in and out."""
    numbers = [
        int(word)
        for line in console.check(f"port/print {port}")[2:4]
        for word in re.findall(r"\d+", line)
    ]
    return dict(zip(("in", "in_bytes", "out", "out_bytes"), numbers, strict=True))


def drops(console: Console, port: int) -> dict[str, int]:
    """The named drop counters of a port that are not zero."""
    head, *lines = console.check(f"port/drops {port}")
    assert head == f"Port {port:04d}"
    words = [line.split() for line in lines]
    return {name: int(count) for _, name, count, *_ in words}


def assert_balanced(console: Console) -> None:
    """Every frame is accounted for: received = forwarded + dropped, and the same on the way out."""
    for line in console.check("port/balance"):
        if not line.startswith("Port "):
            whole, *parts = [int(word) for word in line.split() if word.isdigit()]
            assert whole == sum(parts), line


def exchange(sender: VdeClient, data: bytes, console: Console) -> None:
    """Sends a frame and waits until the switch has taken it."""
    before = counters(console, sender.port)["in"]
    sender.send(data)
    wait_until("frame taken", lambda: counters(console, sender.port)["in"] > before, step=0.001)
