#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The guest's and the server's part of the NAT measurements.

  nat_client.py serve PORT                    answers 64 bytes with 64 bytes, on 127.0.0.1
  nat_client.py connect ADDRESS PORT SECONDS  connect, request, close, one after the other
  nat_client.py request ADDRESS PORT SECONDS  request after request on one connection
  nat_client.py hold ADDRESS PORT COUNT       opens so many connections, says so, keeps them
  nat_client.py leases INTERFACE COUNT        so many DHCP clients at once
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable

REQUEST = b"x" * 64
COOKIE = b"\x63\x82\x53\x63"


def raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            if peer is listener:
                accepted, _ = listener.accept()
                selector.register(accepted, selectors.EVENT_READ)
                continue
            try:
                data = peer.recv(4096)
                if data:
                    peer.sendall(data)
                    continue
            except OSError:
                pass
            selector.unregister(peer)
            peer.close()


def repeat(seconds: float, once: Callable[[], None]) -> None:
    """Prints the rate and the median time of what is done again and again."""
    times = []
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        start = time.perf_counter()
        once()
        times.append(time.perf_counter() - start)
    print(json.dumps({"per_s": len(times) / (time.monotonic() - begun),
                      "median_us": statistics.median(times) * 1e6}))


def request(address: str, port: int, seconds: float) -> None:
    with socket.create_connection((address, port), timeout=5) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def once() -> None:
            peer.sendall(REQUEST)
            if len(peer.recv(4096)) != len(REQUEST):
                sys.exit("a short answer")
        repeat(seconds, once)


def connect(address: str, port: int, seconds: float) -> None:
    def once() -> None:
        with socket.create_connection((address, port), timeout=5) as peer:
            peer.sendall(REQUEST)
            if len(peer.recv(4096)) != len(REQUEST):
                sys.exit("a short answer")
    repeat(seconds, once)


def hold(address: str, port: int, count: int) -> None:
    peers = []
    for _ in range(count):
        peer = socket.create_connection((address, port), timeout=10)
        peer.sendall(REQUEST)
        if len(peer.recv(4096)) != len(REQUEST):
            sys.exit("a short answer")
        peers.append(peer)
    print("held", flush=True)
    time.sleep(60)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def dhcp_frame(number: int, options: bytes) -> bytes:
    mac = b"\x02\xaa" + struct.pack("!I", number)
    bootp = struct.pack("!BBBBIHH16x16s64x128x", 1, 1, 6, 0, number, 0, 0x8000, mac.ljust(16, b"\0"))
    payload = bootp + COOKIE + options + b"\xff"
    payload = payload.ljust(300, b"\0")
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\xff" * 6 + mac + b"\x08\x00" + head + udp


def parse(frame: bytes) -> tuple[int, int, bytes, bytes] | None:
    """Client number, message type, offered address and server of a reply."""
    if len(frame) < 282 or frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[36:38] != b"\x00\x44":
        return None
    bootp = frame[42:]
    if bootp[236:240] != COOKIE:
        return None
    options: dict[int, bytes] = {}
    at = 240
    while at + 1 < len(bootp) and bootp[at] != 255:
        if bootp[at] == 0:
            at += 1
            continue
        options[bootp[at]] = bootp[at + 2:at + 2 + bootp[at + 1]]
        at += 2 + bootp[at + 1]
    return struct.unpack("!I", bootp[4:8])[0], options[53][0], bootp[16:20], options[54]


def leases(interface: str, count: int) -> None:
    eth_p_all = 0x0003
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(eth_p_all))
    link.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    link.bind((interface, 0))
    link.settimeout(0.5)
    waiting = set(range(1, count + 1))
    granted: dict[int, bytes] = {}
    begun = time.monotonic()
    last_try: dict[int, float] = {}
    while len(granted) < count:
        now = time.monotonic()
        if now - begun > 30:
            sys.exit(f"only {len(granted)} of {count} leases")
        # As many clients would: each asks again after a second without an answer.
        for number in [n for n in waiting if now - last_try.get(n, -10) > 1][:64]:
            last_try[number] = now
            link.send(dhcp_frame(number, b"\x35\x01\x01"))
        try:
            reply = parse(link.recv(2048))
        except TimeoutError:
            continue
        if not reply:
            continue
        number, kind, address, server = reply
        if kind == 2 and number in waiting:
            link.send(dhcp_frame(number, b"\x35\x01\x03\x32\x04" + address + b"\x36\x04" + server))
        elif kind == 5:
            waiting.discard(number)
            granted[number] = address
    if len(set(granted.values())) != count:
        sys.exit("an address was given twice")
    print(json.dumps({"elapsed_ms": (time.monotonic() - begun) * 1000}))


def main() -> None:
    raise_descriptor_limit()
    match sys.argv[1:]:
        case ["serve", port]:
            serve(int(port))
        case ["connect", address, port, seconds]:
            connect(address, int(port), float(seconds))
        case ["request", address, port, seconds]:
            request(address, int(port), float(seconds))
        case ["hold", address, port, count]:
            hold(address, int(port), int(count))
        case ["leases", interface, count]:
            leases(interface, int(count))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
