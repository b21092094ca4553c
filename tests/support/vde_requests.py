# SPDX-License-Identifier: MIT
"""Pieces of tests that speak the handshake byte by byte."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from frames import broadcast, mac
from switch_process import Switch
from vde_client import VdeClient


@contextlib.contextmanager
def data_socket(path: Path | str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        yield made


@contextlib.contextmanager
def others_are_not_delayed(switch: Switch, limit: float = 1.0) -> Iterator[None]:
    """A pair that is plugged, and a client that comes, are served quickly during the block."""
    one, two = switch.client(), switch.client()
    yield
    start = time.monotonic()
    one.send(broadcast(mac(1), b"still here"))
    assert two.recv(limit) is not None
    with VdeClient(switch.ctl_dir):
        pass
    assert time.monotonic() - start < limit
