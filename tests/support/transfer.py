# SPDX-License-Identifier: MIT
"""Bytes over a connection, and whether they are the same at the other end."""

from __future__ import annotations

import hashlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor


def send_all(end: socket.socket, blob: bytes) -> None:
    # A time-out holds for the whole of a sendall(), and is meant for a standstill.
    for at in range(0, len(blob), 1 << 16):
        end.sendall(blob[at : at + (1 << 16)])
    end.shutdown(socket.SHUT_WR)


def receive_all(end: socket.socket) -> bytes:
    """The digest of all that comes until the end."""
    digest = hashlib.sha256()
    while part := end.recv(1 << 16):
        digest.update(part)
    return digest.digest()


def exchange(one: socket.socket, other: socket.socket, size: int) -> None:
    """Random bytes in both directions at once, and the ends of both."""
    with ThreadPoolExecutor(4) as pool:
        blobs = {one: os.urandom(size), other: os.urandom(size)}
        heard = {end: pool.submit(receive_all, end) for end in blobs}
        sent = [pool.submit(send_all, end, blob) for end, blob in blobs.items()]
        for done in sent:
            done.result()
        assert heard[one].result() == hashlib.sha256(blobs[other]).digest()
        assert heard[other].result() == hashlib.sha256(blobs[one]).digest()
