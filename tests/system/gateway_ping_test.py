# SPDX-License-Identifier: MIT
"""Pings of guests to the world: a gateway in a namespace, a router and a target in two others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, ICMPerror, IPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from support.gateway_process import NAT, GatewayProcess
from support.netns import NetNamespace
from support.way_out import FORBIDDEN, FORBIDDEN6, HOP, HOP6, TARGET, TARGET6, way_out

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")

GUEST = "52:54:00:12:34:56"
ROUTER = "52:55:0a:00:02:02"
ADDRESS = "10.0.2.15"
ADDRESS6 = "fd17:625c:f037:2::15"


@pytest.fixture(scope="module")
def world() -> Iterator[NetNamespace]:
    with way_out() as way:
        yield way.host


@pytest.fixture
def gateway(world: NetNamespace, tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, world) as process:
        process.configure(NAT)
        yield process


def to_router(packet: Packet) -> Packet:
    return Ether(src=GUEST, dst=ROUTER) / packet


def test_a_ping_comes_back_as_it_went(gateway: GatewayProcess) -> None:
    for number in (1, 2, 0xFFFF):
        echo = ICMP(id=number, seq=number + 7 & 0xFFFF) / (b"payload" * number)[:1000]
        gateway.send(to_router(IP(src=ADDRESS, dst=TARGET, ttl=64) / echo))
        reply = gateway.until(lambda p: ICMP in p)
        assert (reply[IP].src, reply[IP].dst, reply[ICMP].type) == (TARGET, ADDRESS, 0)
        assert (reply[ICMP].id, reply[ICMP].seq) == (echo.id, echo.seq)
        assert bytes(reply[ICMP].payload) == bytes(echo.payload)
        assert reply[IP].ttl == 64 - 2, "the hop and the gateway each took one"
    ping = gateway.ask("status")["ping"]
    assert ping["permitted"] and ping["answered"] == 3
    flows = gateway.ask("flow.list")["flows"]
    assert {(flow["transport"], flow["target"].split(":")[0]) for flow in flows} == {
        ("icmp", TARGET)
    }


def test_a_ping_of_ipv6_comes_back_as_it_went(gateway: GatewayProcess) -> None:
    echo = ICMPv6EchoRequest(id=77, seq=78, data=b"hello")
    gateway.send(to_router(IPv6(src=ADDRESS6, dst=TARGET6) / echo))
    reply = gateway.until(lambda p: ICMPv6EchoReply in p)
    assert (reply[IPv6].src, reply[IPv6].dst) == (TARGET6, ADDRESS6)
    assert (reply[ICMPv6EchoReply].id, reply[ICMPv6EchoReply].seq) == (77, 78)
    assert reply[ICMPv6EchoReply].data == b"hello"
    assert reply[IPv6].hlim == 64 - 2


def test_traceroute_sees_every_hop(gateway: GatewayProcess) -> None:
    hops = []
    for ttl in range(1, 4):
        gateway.send(to_router(IP(src=ADDRESS, dst=TARGET, ttl=ttl) / ICMP(id=9, seq=ttl) / b"x"))
        packet = gateway.until(lambda p: ICMP in p)
        hops.append((packet[IP].src, packet[ICMP].type))
        if packet[ICMP].type == 11:
            assert (packet[IPerror].src, packet[IPerror].dst) == (ADDRESS, TARGET)
            assert (packet[ICMPerror].id, packet[ICMPerror].seq) == (9, ttl)
    assert hops == [("10.0.2.2", 11), (HOP, 11), (TARGET, 0)]


def test_traceroute_of_ipv6_sees_every_hop(gateway: GatewayProcess) -> None:
    hops = []
    for ttl in range(1, 4):
        echo = ICMPv6EchoRequest(id=9, seq=ttl)
        gateway.send(to_router(IPv6(src=ADDRESS6, dst=TARGET6, hlim=ttl) / echo))
        packet = gateway.until(lambda p: ICMPv6TimeExceeded in p or ICMPv6EchoReply in p)
        hops.append((packet[IPv6].src, ICMPv6EchoReply in packet))
        if ICMPv6TimeExceeded in packet:
            assert (packet[IPerror6].src, packet[IPerror6].dst) == (ADDRESS6, TARGET6)
    assert hops == [(NAT["router6"], False), (HOP6, False), (TARGET6, True)]


def test_what_cannot_be_reached_is_said_by_who_knows_it(gateway: GatewayProcess) -> None:
    gateway.send(to_router(IP(src=ADDRESS, dst=FORBIDDEN) / ICMP(id=4, seq=5) / b"abcdefgh"))
    error = gateway.until(lambda p: ICMP in p)
    assert (error[IP].src, error[ICMP].type, error[ICMP].code) == (HOP, 3, 1)
    assert (error[ICMPerror].id, error[ICMPerror].seq) == (4, 5)
    gateway.send(to_router(IPv6(src=ADDRESS6, dst=FORBIDDEN6) / ICMPv6EchoRequest(id=4, seq=5)))
    error6 = gateway.until(lambda p: ICMPv6DestUnreach in p)
    assert error6[IPv6].src == HOP6
    # One error does not spoil the socket.
    gateway.send(to_router(IP(src=ADDRESS, dst=TARGET) / ICMP(id=4, seq=6)))
    assert gateway.until(lambda p: ICMP in p)[ICMP].type == 0


def test_ten_thousand_identifiers_take_few_sockets(gateway: GatewayProcess) -> None:
    for number in range(10000):
        gateway.send(to_router(IP(src=ADDRESS, dst=TARGET) / ICMP(id=number, seq=1)))
        while gateway.receive(0) is not None:
            pass
    ping = gateway.ask("status")["ping"]
    assert ping["sockets"] <= 16
    assert ping["sent"] == 10000
