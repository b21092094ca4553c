# SPDX-License-Identifier: MIT
"""UDP of guests to the world: what a target behind a router sees of it, and what routers say."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from support.gateway_process import NAT, GatewayProcess
from support.netns import NetNamespace
from support.way_out import FORBIDDEN, HOP, HOP6, TARGET, TARGET6, WayOut, way_out

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")

GUEST = "52:54:00:12:34:56"
ROUTER = "52:55:0a:00:02:02"
ADDRESS = "10.0.2.15"
ADDRESS6 = "fd17:625c:f037:2::15"
IP_RECVTTL = 12  # of linux/in.h; Python 3.11 does not have it


@pytest.fixture(scope="module")
def way() -> Iterator[WayOut]:
    with way_out() as made:
        yield made


@pytest.fixture
def gateway(way: WayOut, tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, way.host) as process:
        process.configure(NAT)
        yield process


def to_router(packet: Packet) -> Packet:
    return Ether(src=GUEST, dst=ROUTER) / packet


def server_in(namespace: NetNamespace, family: socket.AddressFamily) -> socket.socket:
    def make() -> socket.socket:
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind(("", 0))
        server.settimeout(10)
        return server

    return namespace.call(make)


def test_a_datagram_comes_there_and_back(gateway: GatewayProcess, way: WayOut) -> None:
    with server_in(way.target, socket.AF_INET) as server:
        server.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        port = server.getsockname()[1]
        gateway.send(to_router(IP(src=ADDRESS, dst=TARGET, ttl=64) / UDP(sport=7, dport=port) / b"?"))
        data, ancillary, _, peer = server.recvmsg(2048, 512)
        assert (data, peer[0]) == (b"?", "10.9.1.1")
        assert int.from_bytes(ancillary[0][2], "little") == 64 - 2, "the gateway and the hop"
        server.sendto(b"!", peer)
    reply = gateway.until(lambda p: UDP in p)
    assert (reply[IP].src, reply[IP].dst) == (TARGET, ADDRESS)
    assert (reply[UDP].sport, reply[UDP].dport, bytes(reply[UDP].payload)) == (port, 7, b"!")


def test_a_datagram_of_ipv6_may_have_65507_bytes(gateway: GatewayProcess, way: WayOut) -> None:
    large = os.urandom(65507)
    with server_in(way.target, socket.AF_INET6) as server:
        port = server.getsockname()[1]
        # As a guest with segmentation offload hands it over: the switch's frames may be as long.
        datagram = UDP(sport=7, dport=port) / large
        gateway.send(to_router(IPv6(src=ADDRESS6, dst=TARGET6) / datagram))
        assert server.recv(70000) == large


def test_traceroute_sees_every_hop(gateway: GatewayProcess) -> None:
    hops = []
    for ttl in range(1, 4):
        probe = IP(src=ADDRESS, dst=TARGET, ttl=ttl) / UDP(sport=9, dport=33433 + ttl) / b"x"
        gateway.send(to_router(probe))
        error = gateway.until(lambda p: ICMP in p)
        hops.append((error[IP].src, error[ICMP].type))
        assert (error[IPerror].src, error[IPerror].dst) == (ADDRESS, TARGET)
        assert (error[UDPerror].sport, error[UDPerror].dport) == (9, 33433 + ttl)
    assert hops == [("10.0.2.2", 11), (HOP, 11), (TARGET, 3)]


def test_traceroute_of_ipv6_sees_every_hop(gateway: GatewayProcess) -> None:
    hops = []
    for ttl in range(1, 4):
        probe = IPv6(src=ADDRESS6, dst=TARGET6, hlim=ttl) / UDP(sport=9, dport=33433 + ttl) / b"x"
        gateway.send(to_router(probe))
        error = gateway.until(lambda p: ICMPv6TimeExceeded in p or ICMPv6DestUnreach in p)
        hops.append((error[IPv6].src, ICMPv6DestUnreach in error))
        assert error[UDPerror].dport == 33433 + ttl
    assert hops == [(NAT["router6"], False), (HOP6, False), (TARGET6, True)]


def test_where_there_is_no_way_the_router_says_so(gateway: GatewayProcess) -> None:
    gateway.send(to_router(IP(src=ADDRESS, dst=FORBIDDEN) / UDP(sport=9, dport=5) / b"x"))
    error = gateway.until(lambda p: ICMP in p)
    assert (error[IP].src, error[ICMP].type, error[ICMP].code) == (HOP, 3, 1)
    assert error[UDPerror].dport == 5


def test_a_router_says_how_much_its_link_takes(gateway: GatewayProcess, way: WayOut) -> None:
    way.hop.ip("link", "set", "to2", "mtu", "1300")
    try:
        large = UDP(sport=9, dport=5) / bytes(1400)
        gateway.send(to_router(IP(src=ADDRESS, dst=TARGET, flags="DF") / large))
        error = gateway.until(lambda p: ICMP in p)
        assert (error[IP].src, error[ICMP].type, error[ICMP].code) == (HOP, 3, 4)
        assert error[ICMP].nexthopmtu == 1300
        gateway.send(to_router(IPv6(src=ADDRESS6, dst=TARGET6) / large))
        error = gateway.until(lambda p: ICMPv6PacketTooBig in p)
        assert (error[IPv6].src, error[ICMPv6PacketTooBig].mtu) == (HOP6, 1300)
    finally:
        way.hop.ip("link", "set", "to2", "mtu", "1500")


def test_flows_are_listed(gateway: GatewayProcess, way: WayOut) -> None:
    with server_in(way.target, socket.AF_INET) as server:
        port = server.getsockname()[1]
        gateway.send(to_router(IP(src=ADDRESS, dst=TARGET) / UDP(sport=7, dport=port) / b"1234"))
        _, peer = server.recvfrom(100)
    (flow,) = gateway.ask("flow.list")["flows"]
    assert (flow["transport"], flow["target"]) == ("udp", f"{TARGET}:{port}")
    assert flow["host"].endswith(f":{peer[1]}")
    assert (flow["bytes_out"], flow["bytes_in"]) == (4, 0)
