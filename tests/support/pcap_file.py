# SPDX-License-Identifier: MIT
"""Capture files (pcap), read strictly: a file that ends in the midst of a frame is an error."""

from __future__ import annotations

import struct
from pathlib import Path


def records(file: Path) -> list[bytes]:
    """The frames of a pcap file."""
    data = file.read_bytes()
    found, at = [], 24
    while at < len(data):
        size = struct.unpack_from("=I", data, at + 8)[0]
        found.append(data[at + 16 : at + 16 + size])
        assert len(found[-1]) == size, f"{file} ends in the midst of a frame"
        at += 16 + size
    return found
