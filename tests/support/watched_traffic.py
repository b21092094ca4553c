# SPDX-License-Identifier: MIT
"""Guests that talk all the time, and somebody who looks at every frame that arrives.

Each frame says who sent it, when, in which VLAN and as the how-manieth. So of each one that arrives
it can be said whether it may: its receiver was in that VLAN at some time between, it is not the
sender's own, it comes once and in order, and no byte of it is another frame's. What a guest has
sent and got is held against what the switch says of its port.
"""

from __future__ import annotations

import fcntl
import random
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from frames import BROADCAST, EXPERIMENT, HEADER, frame, mac, tag, tags_of, untagged
from vde_client import VdeClient
from waiting import wait_until

MARK = b"lynm"
NOTE = struct.Struct("!4sHHQQ")  # mark, sender, VLAN, number, when
SIZES = (64, 200, 590, 1514)
BURST = 64  # frames a guest may send at once, so that others get their turn
SECOND_NS = 1_000_000_000


@dataclass
class Stay:
    """From when to when a guest is in a VLAN, in the widest sense."""

    vlan: int
    begin: int
    end: int | None = None


@dataclass
class Guest:
    """A station at a port. `vlan` is the one it names when it sends, `tagged` those it tags for."""

    name: str
    number: int
    network: str
    vlan: int
    data: socket.socket
    client: VdeClient | None = None
    tagged: tuple[int, ...] = ()
    per_second: int = 100
    only_broadcasts: bool = False
    paused: bool = True
    sent: int = 0
    arrived: int = 0
    stays: list[Stay] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)  # by sender: the number of its last frame
    heard: set[int] = field(default_factory=set)  # of whom, since the set was emptied
    due_from: float = 0.0
    due_sent: int = 0

    def __post_init__(self) -> None:
        self.mac = mac(self.number)
        now = time.monotonic_ns()
        self.stays += [Stay(vlan, now) for vlan in (self.vlan, *self.tagged)]

    @property
    def port(self) -> int:
        assert self.client
        return self.client.port

    def vlans(self) -> set[int]:
        return {self.vlan, *self.tagged}

    def was_in(self, vlan: int, begin: int, end: int) -> bool:
        return any(
            one.vlan == vlan and one.begin <= end and (one.end is None or one.end >= begin)
            for one in self.stays
        )

    def unread(self) -> int:
        """Bytes that it has sent and the switch has not read."""
        room = bytearray(4)
        fcntl.ioctl(self.data, termios.TIOCOUTQ, room)
        return int.from_bytes(room, "little")


class Traffic:
    """All guests in one thread. Networks are as good as VLANs: none reaches another."""

    def __init__(self, seed: int) -> None:
        self.guests: list[Guest] = []
        self.faults: list[str] = []
        self.looked_at = 0
        self.lock = threading.Lock()
        self._random = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(10)

    def add(self, guest: Guest) -> Guest:
        with self.lock:
            self.guests.append(guest)
        return guest

    # -- for who disturbs them -------------------------------------------------------------------

    def pause(self, guests: Iterable[Guest]) -> None:
        with self.lock:
            for guest in guests:
                guest.paused = True

    def resume(self, guests: Iterable[Guest]) -> None:
        with self.lock:
            for guest in guests:
                guest.paused = False
                guest.due_from, guest.due_sent = time.monotonic(), 0

    def move(self, guest: Guest, vlan: int, change: Callable[[], None]) -> None:
        """To another untagged VLAN. What it has sent before is read before."""
        self.pause([guest])
        wait_until("it is read", lambda: guest.unread() == 0, timeout=15, step=0.001)
        with self.lock:
            old = next(one for one in guest.stays if one.vlan == guest.vlan and one.end is None)
            guest.stays.append(Stay(vlan, time.monotonic_ns()))
        change()
        with self.lock:
            old.end = time.monotonic_ns()
            guest.vlan = vlan
        self.resume([guest])

    def exchange_addresses(self, one: Guest, other: Guest) -> None:
        with self.lock:
            one.mac, other.mac = other.mac, one.mac

    def quiet(self) -> None:
        """Nobody sends any more, and all that was sent has been read."""
        self.pause(self.guests)
        for guest in self.guests:
            wait_until(f"{guest.name} is read", lambda guest=guest: guest.unread() == 0, timeout=15)

    def peers(self, guest: Guest) -> list[Guest]:
        return [
            other
            for other in self.guests
            if other is not guest
            and other.network == guest.network
            and other.vlan in guest.vlans()
        ]

    def wait_heard(self, timeout: float = 15.0) -> None:
        """Until everybody has heard all those who share a VLAN with them, after this moment."""
        with self.lock:
            for guest in self.guests:
                guest.heard.clear()
        self.resume(self.guests)

        def missing() -> list[str]:
            return [
                f"{guest.name} of {peer.name}"
                for guest in self.guests
                for peer in self.peers(guest)
                if peer.number not in guest.heard
            ]

        try:
            wait_until("everybody hears everybody", lambda: not missing(), timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; nothing is heard by {', '.join(missing())}") from None

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        poller = select.poll()
        known: dict[int, Guest] = {}
        while not self._end.is_set():
            for guest in self.guests[len(known) :]:
                known[guest.data.fileno()] = guest
                poller.register(guest.data, select.POLLIN)
            ready = poller.poll(2)
            with self.lock:
                for fd, _ in ready:
                    self._receive(known[fd])
                for guest in self.guests:
                    self._send(guest)

    def _send(self, guest: Guest) -> None:
        if guest.paused:
            return
        due = int((time.monotonic() - guest.due_from) * guest.per_second)
        for _ in range(min(due - guest.due_sent, BURST)):
            vlan = self._random.choice([guest.vlan, *guest.tagged])
            try:
                guest.data.send(self._frame(guest, vlan))
            except (BlockingIOError, ConnectionError, OSError):
                return
            guest.sent += 1
            guest.due_sent += 1

    def _frame(self, guest: Guest, vlan: int) -> bytes:
        other = self._random.choice(self.guests)
        to_all = guest.only_broadcasts or other is guest or self._random.random() < 0.3
        size = SIZES[-1] if guest.only_broadcasts else self._random.choice(SIZES)
        note = NOTE.pack(MARK, guest.number, vlan, guest.sent, time.monotonic_ns())
        fill = bytes([guest.sent & 0xFF]) * (size - HEADER - len(note))
        tags = tag(vlan) if vlan in guest.tagged else b""
        return frame(BROADCAST if to_all else other.mac, guest.mac, note + fill, tags=tags, size=None)

    def _receive(self, guest: Guest) -> None:
        for _ in range(BURST):
            try:
                data, address = guest.data.recvfrom(1 << 16)
            except (BlockingIOError, OSError):
                return
            if guest.client is None and address[2] == socket.PACKET_OUTGOING:
                continue
            guest.arrived += 1
            if fault := self._fault_of(guest, data):
                self.faults.append(f"{guest.name}: {fault}")

    def _fault_of(self, guest: Guest, data: bytes) -> str | None:
        """What is wrong with a frame that has arrived."""
        plain = untagged(data)
        if plain[12:14] != struct.pack("!H", EXPERIMENT) or plain[HEADER : HEADER + 4] != MARK:
            return None  # a gateway's or the host's
        self.looked_at += 1
        _, sender, vlan, number, when = NOTE.unpack_from(plain, HEADER)
        sender_of = next((one for one in self.guests if one.number == sender), None)
        what = f"frame {number} of {sender} in VLAN {vlan}"
        if sender_of is None or sender_of.network != guest.network:
            return f"{what}: from another network"
        if sender_of is guest:
            return f"{what}: its own"
        if not guest.was_in(vlan, when, time.monotonic_ns()):
            return f"{what}: in the wrong VLAN, which it was in at no time since"
        tagged = [one[0] for one in tags_of(data)]
        if tagged != ([vlan] if vlan in guest.tagged else []):
            return f"{what}: with the tags {tagged}"
        if number <= guest.last.get(sender, -1):
            return f"{what}: twice or late, the one before was {guest.last[sender]}"
        if plain[HEADER + NOTE.size :].strip(bytes([number & 0xFF])):
            return f"{what}: with bytes of another"
        guest.last[sender] = number
        guest.heard.add(sender)
        return None
