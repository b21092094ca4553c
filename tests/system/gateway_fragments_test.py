# SPDX-License-Identifier: MIT
"""Packets of guests larger than the MTU: put together on the way in, cut on the way out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP, defragment, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrFragment,
    defragment6,
    fragment6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from support.gateway_process import NAT, GatewayProcess

GUEST = "52:54:00:12:34:56"
GATEWAY = "52:55:0a:00:02:02"
ADDRESS = "10.0.2.15"
ADDRESS6 = "fd17:625c:f037:2::15"
MTU = 1500
LARGE = bytes(range(250)) * 16  # 4,000 bytes
REACHABLE = NAT | {"policy": {"host_loopback": True}}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path) as process:
        process.configure(REACHABLE)
        yield process


def pieces_of(packet: Packet) -> list[Packet]:
    if IPv6 in packet:
        return list(fragment6(packet, MTU))
    return list(fragment(packet, MTU - 20))


def send(gateway: GatewayProcess, pieces: list[Packet]) -> None:
    for piece in pieces:
        gateway.send(Ether(src=GUEST, dst=GATEWAY) / piece)


def receive_whole(gateway: GatewayProcess) -> Packet:
    """What the gateway's fragments are together."""
    pieces: list[Packet] = []
    while True:
        packet = gateway.until(lambda p: IP in p or IPv6ExtHdrFragment in p)
        assert len(bytes(packet)) <= 14 + MTU, "a frame longer than the MTU allows"
        ip = packet[IP] if IP in packet else packet[IPv6]
        pieces.append(ip)
        if IPv6 in packet:
            if not packet[IPv6ExtHdrFragment].m:
                return IPv6(bytes(defragment6(pieces)))
        elif not ip.flags.MF:
            return defragment(pieces)[0]


def ways(gateway: GatewayProcess) -> dict[str, int]:
    counted: dict[str, int] = gateway.ask("status")["ways"]
    return counted


@pytest.mark.parametrize("backwards", [False, True])
def test_the_gateway_answers_a_ping_of_4000_bytes(
    gateway: GatewayProcess, backwards: bool
) -> None:
    ping = IP(src=ADDRESS, dst="10.0.2.2", id=7) / ICMP(id=1, seq=2) / LARGE
    pieces = pieces_of(ping)
    send(gateway, pieces[::-1] if backwards else pieces)
    reply = receive_whole(gateway)
    assert (reply.src, reply[ICMP].type) == ("10.0.2.2", 0)
    assert bytes(reply[ICMP].payload) == LARGE
    assert (ways(gateway)["fragment"], ways(gateway)["echo"]) == (2, 1)


def test_the_gateway_answers_a_ping_of_4000_bytes_by_ipv6(gateway: GatewayProcess) -> None:
    header = IPv6(src=ADDRESS6, dst=NAT["router6"]) / IPv6ExtHdrFragment(id=9)
    send(gateway, pieces_of(header / ICMPv6EchoRequest(id=1, seq=2, data=LARGE)))
    reply = receive_whole(gateway)
    assert reply.src == NAT["router6"]
    assert reply[ICMPv6EchoReply].data == LARGE


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_a_datagram_of_4000_bytes_goes_through_nat_and_back(
    gateway: GatewayProcess, family: socket.AddressFamily
) -> None:
    loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((loopback, 0))
        server.settimeout(10)
        udp = UDP(sport=4000, dport=server.getsockname()[1]) / LARGE
        if family == socket.AF_INET:
            send(gateway, pieces_of(IP(src=ADDRESS, dst="10.0.2.2", id=8) / udp))
        else:
            header = IPv6(src=ADDRESS6, dst=NAT["router6"]) / IPv6ExtHdrFragment(id=9)
            send(gateway, pieces_of(header / udp))
        data, peer = server.recvfrom(65536)
        assert data == LARGE
        server.sendto(LARGE[::-1], peer)
        reply = receive_whole(gateway)
        assert bytes(reply[UDP].payload) == LARGE[::-1]
        assert (reply[UDP].sport, reply[UDP].dport) == (udp.dport, udp.sport)


def test_overlapping_fragments_reach_nobody(gateway: GatewayProcess) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        port = server.getsockname()[1]
        packet = IP(src=ADDRESS, dst="10.0.2.2", id=3) / UDP(sport=1, dport=port) / LARGE
        pieces = pieces_of(packet)
        again = pieces[1].copy()
        again.frag -= 1
        send(gateway, [pieces[0], again, *pieces[1:]])
        small = IP(src=ADDRESS, dst="10.0.2.2") / UDP(sport=1, dport=port) / b"small"
        send(gateway, [small])
        assert server.recv(65536) == b"small", "the overlapping one came, too"
    assert ways(gateway)["bad_fragment"] == 3
