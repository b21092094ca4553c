# SPDX-License-Identifier: MIT
"""Two switches and what joins them: frames of many sizes in both directions."""

from __future__ import annotations

import os
from collections.abc import Sequence

from frames import broadcast, frame, mac
from switch_process import Switch
from vde_client import VdeClient
from waiting import wait_until

ALICE, BOB = mac(0xA), mac(0xB)


def crosses(sender: VdeClient, receiver: VdeClient, source: bytes) -> bool:
    """A broadcast is repeated until it is heard."""
    receiver.drain(0.01)
    sender.send(broadcast(source, b"hello"))
    return receiver.recv(0.1) is not None


def wait_joined(alice: VdeClient, bob: VdeClient) -> None:
    wait_until("a frame crosses", lambda: crosses(alice, bob, ALICE), timeout=20)
    alice.drain(0.01)
    bob.send(broadcast(BOB, b"hello"))
    assert alice.recv() is not None
    bob.drain(0.1)


def assert_joined(left: Switch, right: Switch, sizes: Sequence[int] = (60, 590, 1513, 1514, 1518)) -> None:
    """A client of one switch and a client of the other exchange frames."""
    with left.client() as alice, right.client() as bob:
        wait_joined(alice, bob)
        for size in sizes:
            there = frame(BOB, ALICE, os.urandom(size - 14), size=size)
            back = frame(ALICE, BOB, os.urandom(size - 14), size=size)
            alice.send(there)
            assert bob.recv() == there, f"{size} bytes there"
            bob.send(back)
            assert alice.recv() == back, f"{size} bytes back"
