# SPDX-License-Identifier: MIT
"""Ethernet frames for tests, as bytes."""

from __future__ import annotations

import struct

BROADCAST = b"\xff" * 6
IPV4, ARP, VLAN, QINQ = 0x0800, 0x0806, 0x8100, 0x88A8
EXPERIMENT = 0x88B5  # the "local experimental" type: no stack answers it
HEADER = 14


def mac(number: int) -> bytes:
    """A unicast, locally administered address with the number in it."""
    return b"\x02\x4c" + struct.pack("!I", number)


def mac_text(address: bytes) -> str:
    return address.hex(":")


def tag(vid: int, pcp: int = 0, dei: int = 0, tpid: int = VLAN) -> bytes:
    return struct.pack("!HH", tpid, (pcp << 13) | (dei << 12) | vid)


def frame(
    destination: bytes,
    source: bytes,
    payload: bytes = b"",
    *,
    tags: bytes = b"",
    kind: int = EXPERIMENT,
    size: int | None = 60,
) -> bytes:
    """A frame, zero padded to `size` (the size without tags); None leaves it as it is."""
    body = struct.pack("!H", kind) + payload
    if size is not None:
        body = body.ljust(size - 12, b"\0")
    return destination + source + tags + body


def broadcast(source: bytes, payload: bytes = b"", **how: object) -> bytes:
    return frame(BROADCAST, source, payload, **how)  # type: ignore[arg-type]


def payload_of(data: bytes) -> bytes:
    """What follows addresses, 802.1Q tags and type, without the zero padding."""
    return untagged(data)[HEADER:].rstrip(b"\0")


def tags_of(data: bytes) -> list[tuple[int, int, int]]:
    """The (vid, pcp, dei) of each 802.1Q tag, outer first."""
    found = []
    at = 12
    while struct.unpack_from("!H", data, at)[0] == VLAN:
        word = struct.unpack_from("!H", data, at + 2)[0]
        found.append((word & 0xFFF, word >> 13, (word >> 12) & 1))
        at += 4
    return found


def untagged(data: bytes) -> bytes:
    """The frame without its 802.1Q tags."""
    return data[:12] + data[12 + 4 * len(tags_of(data)) :]
