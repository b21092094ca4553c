# SPDX-License-Identifier: MIT
"""The rings between a switch and a gateway (switch/runtime/frame_rings.h), for tests that play a side.

A message is a frame behind its header of 12 bytes.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import socket
import struct

MARK = b"LYRINGS1"
PAGE = 4096
TO_GATEWAY = 2 << 20
TO_SWITCH = 1 << 20
HEADER = 12
BELL = b"\0"
ALIGNMENT = 16
CONTROL = 256  # of one ring; the counters stand in lines of 64 bytes
F_ADD_SEALS = 1033
SEALS = 1 | 2 | 4  # seal, shrink, grow


class Ring:
    """One direction; this side only writes or only reads."""

    def __init__(self, memory: mmap.mmap, control: int, begin: int, size: int) -> None:
        self.memory, self.begin, self.size = memory, begin, size
        view = memoryview(memory)[control : control + CONTROL]
        self.counters = view.cast("Q")
        self.words = view.cast("I")

    @property
    def written(self) -> int:
        return int(self.counters[0])

    @property
    def read(self) -> int:
        return int(self.counters[8])

    def take(self, word: int) -> bool:
        """Whether the other side sleeps: 32, or waits for room: 48."""
        if self.words[word] == 0:
            return False
        self.words[word] = 0  # and never otherwise: it may have gone to sleep meanwhile
        return True

    def copy_in(self, at: int, data: bytes) -> None:
        at %= self.size
        first = data[: self.size - at]
        self.memory[self.begin + at : self.begin + at + len(first)] = first
        rest = data[len(first) :]
        self.memory[self.begin : self.begin + len(rest)] = rest

    def copy_out(self, at: int, size: int) -> bytes:
        at %= self.size
        first = min(size, self.size - at)
        return self.memory[self.begin + at : self.begin + at + first] + self.memory[
            self.begin : self.begin + size - first
        ]

    def push(self, message: bytes) -> bool:
        space = -(-(4 + len(message)) // ALIGNMENT) * ALIGNMENT
        if self.size - (self.written - self.read) < space:
            return False
        self.copy_in(self.written, struct.pack("=I", len(message) - HEADER) + message)
        self.counters[0] = self.written + space
        return True

    def pop(self) -> bytes | None:
        if self.written == self.read:
            return None
        (size,) = struct.unpack("=I", self.copy_out(self.read, 4))
        message = self.copy_out(self.read + 4, HEADER + size)
        self.counters[8] = self.read + -(-(4 + len(message)) // ALIGNMENT) * ALIGNMENT
        return message


class FrameRings:
    """One side of the socket pair; `offers`: the switch's."""

    def __init__(self, end: socket.socket, offers: bool) -> None:
        self.socket = end
        self.offers = offers
        self.incoming: Ring | None = None
        self.outgoing: Ring | None = None
        self.ended = False
        if offers:
            self.offer()

    def offer(self) -> None:
        file = os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.truncate(file, PAGE + TO_SWITCH + TO_GATEWAY)
        fcntl.fcntl(file, F_ADD_SEALS, SEALS)
        self.map(file, TO_GATEWAY, TO_SWITCH)
        assert self.incoming
        assert self.outgoing
        for ring in (self.incoming, self.outgoing):
            ring.words[32] = 1
        socket.send_fds(self.socket, [MARK + struct.pack("=QQ", TO_GATEWAY, TO_SWITCH)], [file])
        os.close(file)

    def map(self, file: int, to_gateway: int, to_switch: int) -> None:
        memory = mmap.mmap(file, PAGE + to_switch + to_gateway)
        down = Ring(memory, 0, PAGE + to_switch, to_gateway)
        up = Ring(memory, CONTROL, PAGE, to_switch)
        self.incoming, self.outgoing = (up, down) if self.offers else (down, up)

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def hear(self) -> None:
        """Takes the bells, and what is offered."""
        while not self.ended:
            try:
                # Not recv_fds(): before Python 3.12 it forgets the flags.
                words, along, _, _ = self.socket.recvmsg(64, socket.CMSG_LEN(4), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:
                words, along = b"", []
            if not words:
                self.ended = True
            for _, _, data in along:
                (file,) = struct.unpack("=i", data)
                self.map(file, *struct.unpack("=QQ", words[len(MARK) :]))
                os.close(file)

    def send(self, message: bytes) -> bool:
        """False when there is no room."""
        assert self.outgoing
        if not self.outgoing.push(message):
            self.outgoing.words[48] = 1
            return False
        if self.outgoing.take(32):
            self.socket.send(BELL, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return True

    def pop(self) -> bytes | None:
        """What is there; after None the other side rings."""
        self.hear()
        while self.incoming:
            message = self.incoming.pop()
            if message is not None:
                if self.incoming.take(48) and not self.ended:
                    self.socket.send(BELL, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                return message
            self.incoming.words[32] = 1
            if self.incoming.written == self.incoming.read:
                break
        return None

    def has_frame(self) -> bool:
        self.hear()
        if not self.incoming:
            return False
        self.incoming.words[32] = 1
        return self.incoming.written != self.incoming.read

    def readable(self, timeout: float) -> bool:
        """A frame, or the end."""
        if self.has_frame() or self.ended:
            return True
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        poller.poll(max(0.0, timeout) * 1000)
        return self.has_frame() or self.ended
