# SPDX-License-Identifier: MIT
"""Guests that mean harm, at the real daemon: what they send, and what arrives."""

from __future__ import annotations

import ipaddress
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import frames
from networks_daemon import NetworksDaemon, RpcFailed
from switch_process import Switch
from vde_client import VdeClient
from waiting import wait_until

ALICE, BOB, MALLORY = frames.mac(0xA), frames.mac(0xB), frames.mac(0xE)
ALL_NODES = bytes.fromhex("333300000001")
IPV6 = 0x86DD
UDP, ICMP6, FRAGMENT, DESTINATION_OPTIONS, HOP_BY_HOP = 17, 58, 44, 60, 0

NETWORKS = """
[network.home]
kind = "nat"

[[network.home.socket]]
path = "home"

[[network.home.socket]]
path = "servers"
trusted = true

[network.lab]
kind = "internal"
"""


def ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def ethernet(destination: bytes, source: bytes, kind: int, payload: bytes) -> bytes:
    return destination + source + struct.pack("!H", kind) + payload


def ipv4(source: str, protocol: int, payload: bytes) -> bytes:
    length = 20 + len(payload)
    head = struct.pack("!BBHHHBB", 0x45, 0, length, 1, 0, 64, protocol)
    addresses = ip(source) + ip("255.255.255.255")
    words = sum(struct.unpack("!9H", head + addresses))
    return head + struct.pack("!H", 0xFFFF - words % 0xFFFF) + addresses + payload


def ipv6(next_header: int, payload: bytes, source: str = "fe80::e") -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), next_header, 255)
    return head + ip(source) + ip("ff02::1") + payload


def udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def dhcp(operation: int, message: int, client: bytes, address: str) -> bytes:
    fixed = struct.pack("!BBBBIHHII", operation, 1, 6, 0, 7, 0, 0, 0, 0)[:16]
    options = bytes([53, 1, message, 51, 4]) + struct.pack("!I", 3600) + b"\xff"
    return fixed + ip(address) + bytes(8) + client + bytes(202) + b"\x63\x82\x53\x63" + options


def extension(next_header: int, rest: bytes, eights: int = 1) -> bytes:
    return bytes([next_header, eights - 1]) + bytes(eights * 8 - 2) + rest


def fragment(next_header: int, offset: int, more: bool, rest: bytes) -> bytes:
    return struct.pack("!BBHI", next_header, 0, offset << 3 | more, 9) + rest


ADVERTISEMENT = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
OFFER = ethernet(
    frames.BROADCAST,
    MALLORY,
    frames.IPV4,
    ipv4("10.0.2.66", UDP, udp(67, 68, dhcp(2, 2, ALICE, "10.0.2.99"))),
)


def arp(source: bytes, address: str) -> bytes:
    body = struct.pack("!HHBBH", 1, frames.IPV4, 6, 4, 2)
    body += source + ip(address) + ALICE + ip("10.0.2.99")
    return ethernet(frames.BROADCAST, source, frames.ARP, body)


def router(payload: bytes, next_header: int = ICMP6, kind: int = IPV6) -> bytes:
    return ethernet(ALL_NODES, MALLORY, kind, ipv6(next_header, payload))


ROGUE_ROUTERS = {
    "plain": (router(ADVERTISEMENT), "rogue_ra"),
    "extension headers": (
        router(extension(DESTINATION_OPTIONS, extension(ICMP6, ADVERTISEMENT, 3)), HOP_BY_HOP),
        "rogue_ra",
    ),
    "a fragment of its own": (
        router(fragment(ICMP6, 0, False, ADVERTISEMENT), FRAGMENT),
        "rogue_ra",
    ),
    # RFC 7113, 2.1.2: the message is in the second fragment, the first holds options only.
    "behind a first fragment of options": (
        router(fragment(DESTINATION_OPTIONS, 0, True, extension(ICMP6, b"", 8)), FRAGMENT),
        "unprovable",
    ),
    "SNAP": (
        ethernet(
            ALL_NODES,
            MALLORY,
            64,
            b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", IPV6) + ipv6(ICMP6, ADVERTISEMENT),
        ),
        "rogue_ra",
    ),
}


class Lab:
    """A daemon with Alice, Bob and Mallory plugged in."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.stack = ExitStack()
        self.daemon = self.stack.enter_context(NetworksDaemon(NETWORKS))
        self.alice = self.plug()
        self.bob = self.plug()
        self.mallory = self.plug()

    def plug(self, directory: str = "") -> VdeClient:
        return self.stack.enter_context(VdeClient(self.daemon.socket(directory or self.network)))

    def set(self, client: VdeClient, **guards: str) -> None:
        for key, value in guards.items():
            self.daemon.rpc(
                "guard.set", network=self.network, port=client.port, key=key, value=value
            )

    def drops(self, client: VdeClient) -> dict[str, int]:
        shown = self.daemon.rpc("port.show", network=self.network, port=client.port)
        return dict(shown["dropped"])

    def passes(self, sender: VdeClient, frame: bytes) -> bool:
        """Whether Alice gets it: what was sent after it has arrived, and it has not."""
        marker = frames.broadcast(MALLORY if sender is self.mallory else BOB, b"marker")
        sender.send(frame)
        sender.send(marker)
        seen = False
        while (got := self.alice.recv(5.0)) is not None:
            if got == marker:
                return seen
            seen = seen or got == frame
        raise AssertionError("the marker does not arrive")


@pytest.fixture
def home() -> Iterator[Lab]:
    lab = Lab("home")
    with lab.stack:
        yield lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab("lab")
    with made.stack:
        yield made


def test_a_nat_network_has_no_rogues(home: Lab) -> None:
    assert not home.passes(home.mallory, OFFER)
    assert home.drops(home.mallory)["rogue_dhcp"] == 1
    reasons: dict[str, int] = {}
    for name, (frame, reason) in ROGUE_ROUTERS.items():
        assert not home.passes(home.mallory, frame), name
        reasons[reason] = reasons.get(reason, 0) + 1
    dropped = home.drops(home.mallory)
    assert {name: dropped[name] for name in reasons} == reasons
    # And what looks a little like them passes.
    solicitation = router(struct.pack("!BBHI", 133, 0, 0, 0))
    request = ipv4("0.0.0.0", UDP, udp(68, 67, dhcp(1, 1, MALLORY, "0.0.0.0")))
    assert home.passes(home.mallory, solicitation)
    assert home.passes(
        home.mallory, ethernet(frames.BROADCAST, MALLORY, frames.IPV4, request)
    )


def test_a_guest_may_be_the_server_where_that_is_said(home: Lab, lab: Lab) -> None:
    server = home.plug("servers")
    server.send(OFFER)
    assert home.alice.recv(5.0) == OFFER
    assert lab.passes(lab.mallory, OFFER), "an internal network has no server of its own"
    home.set(home.mallory, dhcp_guard="off")
    assert home.passes(home.mallory, OFFER)


def test_a_guest_that_claims_the_routers_address_is_not_heard(lab: Lab) -> None:
    assert lab.passes(lab.mallory, arp(MALLORY, "10.0.2.2"))
    lab.set(lab.mallory, arp_inspection="on", ip_source_guard="on")
    assert not lab.passes(lab.mallory, arp(MALLORY, "10.0.2.2"))
    spoofed = ethernet(frames.BROADCAST, MALLORY, frames.IPV4, ipv4("10.0.2.2", 6, bytes(20)))
    assert not lab.passes(lab.mallory, spoofed)
    dropped = lab.drops(lab.mallory)
    assert (dropped["arp_spoofed"], dropped["ip_spoofed"]) == (1, 1)
    lab.daemon.rpc(
        "binding.set", network="lab", address="10.0.2.2", mac=frames.mac_text(MALLORY)
    )
    assert lab.passes(lab.mallory, arp(MALLORY, "10.0.2.2")), "now it is his"
    assert lab.passes(lab.mallory, spoofed)


def test_addresses_that_the_server_hands_out_are_bound(lab: Lab) -> None:
    lab.set(lab.bob, trusted="on")
    lab.set(lab.mallory, ip_source_guard="on")
    ours = ethernet(frames.BROADCAST, MALLORY, frames.IPV4, ipv4("10.0.2.50", 6, bytes(20)))
    assert not lab.passes(lab.mallory, ours)
    ack = ipv4("10.0.2.2", UDP, udp(67, 68, dhcp(2, 5, MALLORY, "10.0.2.50")))
    assert lab.passes(lab.bob, ethernet(frames.BROADCAST, BOB, frames.IPV4, ack))
    assert lab.passes(lab.mallory, ours)
    row = lab.daemon.rpc("binding.list", network="lab")["bindings"][0]
    assert (row["address"], row["origin"], row["port"]) == ("10.0.2.50", "dhcp", lab.mallory.port)


def test_guards_that_are_turned_on_late_know_the_servers_leases(home: Lab) -> None:
    home.daemon.wait_serving("home")
    wait_until(
        "the leases are bindings",
        lambda: len(home.daemon.rpc("binding.list", network="home")["bindings"]) == 2,
    )
    home.set(home.mallory, ip_source_guard="on")
    alpha = bytes.fromhex("525400000001")  # has 10.0.2.15, says the gateway

    def tcp(source: str) -> bytes:
        return ethernet(frames.BROADCAST, alpha, frames.IPV4, ipv4(source, 6, bytes(20)))

    marker = ethernet(frames.BROADCAST, alpha, frames.EXPERIMENT, b"marker")
    for frame in (tcp("10.0.2.16"), tcp("10.0.2.15"), marker):
        home.mallory.send(frame)
    assert home.alice.recv(5.0) == tcp("10.0.2.15")
    assert home.alice.recv(5.0) == marker


def test_the_real_server_binds_what_it_gives() -> None:
    with (
        NetworksDaemon("[network.home]\nkind = 'nat'\n", gateway=None) as daemon,
        VdeClient(daemon.socket("home")) as guest,
    ):
        daemon.wait_serving("home")
        port = {"network": "home", "port": guest.port}
        daemon.rpc("guard.set", key="ip_source_guard", value="on", **port)
        daemon.rpc("guard.set", key="arp_inspection", value="on", **port)

        def ask(message: int, more: bytes = b"") -> bytes:
            request = dhcp(1, message, ALICE, "0.0.0.0").rstrip(b"\xff") + more + b"\xff"
            packet = ipv4("0.0.0.0", UDP, udp(68, 67, request))
            guest.send(ethernet(frames.BROADCAST, ALICE, frames.IPV4, packet))
            while (got := guest.recv(10.0)) is not None:
                if got[12:14] == b"\x08\x00" and got[36:38] == b"\x00\x44":
                    return got[42:]
            raise AssertionError("the server does not answer")

        offered = ask(1)[16:20]
        assert ask(3, bytes([50, 4]) + offered + bytes([54, 4]) + ip("10.0.2.2"))[16:20] == offered
        rows = daemon.rpc("binding.list", network="home")["bindings"]
        address = str(ipaddress.ip_address(offered))
        assert [(row["address"], row["port"]) for row in rows] == [(address, guest.port)]
        request = struct.pack("!HHBBH", 1, frames.IPV4, 6, 4, 1)
        request += ALICE + offered + bytes(6) + ip("10.0.2.2")
        guest.send(ethernet(frames.BROADCAST, ALICE, frames.ARP, request))
        wait_until(
            "the router answers",
            lambda: (guest.recv(1.0) or b"")[12:22] == bytes.fromhex("08060001080006040002"),
        )


def test_a_flood_of_addresses_fills_only_ones_own_share(lab: Lab) -> None:
    for number in range(3000):
        lab.mallory.send(frames.frame(ALICE, frames.mac(0x10000 + number)))
    wait_until(
        "the limit is reached", lambda: lab.drops(lab.mallory).get("mac_limit", 0) == 3000 - 1024
    )
    entries = lab.daemon.rpc("fdb.list", network="lab")["entries"]
    assert sum(row["port"] == lab.mallory.port for row in entries) == 1024


def test_a_storm_leaves_other_pairs_their_traffic(lab: Lab) -> None:
    lab.set(lab.mallory, broadcast_pps="100")
    lab.alice.send(frames.broadcast(ALICE))
    lab.bob.send(frames.broadcast(BOB))
    storm = frames.broadcast(MALLORY, b"storm")
    with lab.daemon.client() as events:
        events.call("event.subscribe", kinds="guard.dropped")
        rounds = 200
        answered = stormed = 0
        for number in range(rounds):
            for _ in range(50):
                lab.mallory.send(storm)
            ping = frames.frame(ALICE, BOB, number.to_bytes(4, "big"))
            lab.bob.send(ping)
            lab.bob.drain()
            while (got := lab.alice.recv(5.0)) is not None:
                stormed += got == storm
                if got == ping:
                    answered += 1
                    break
        assert answered == rounds
        assert stormed < rounds * 50 / 10
        told = events.line()["params"]
        assert (told["kind"], told["reason"]) == ("guard.dropped", "broadcast_storm")
        assert told["port"] == lab.mallory.port


def test_isolated_guests_do_not_reach_each_other(lab: Lab) -> None:
    for client in (lab.alice, lab.mallory):
        lab.set(client, isolated="on")
    lab.mallory.send(frames.broadcast(MALLORY))
    assert lab.bob.recv(5.0) == frames.broadcast(MALLORY)
    assert lab.alice.recv(0.0) is None
    assert lab.passes(lab.bob, frames.broadcast(BOB, b"to all"))


def test_a_promiscuous_guest_sees_what_its_policy_says(lab: Lab) -> None:
    lab.alice.send(frames.broadcast(ALICE))
    lab.bob.send(frames.broadcast(BOB))
    wait_until(
        "both are known",
        lambda: len(lab.daemon.rpc("fdb.list", network="lab")["entries"]) == 2,
    )
    lab.mallory.drain(0.1)
    secret = frames.frame(ALICE, BOB, b"secret")
    lab.bob.send(secret)
    assert lab.alice.recv(5.0) is not None
    assert lab.mallory.recv(0.0) is None
    lab.set(lab.mallory, promiscuous="allow-vms")
    lab.bob.send(secret)
    assert lab.mallory.recv(5.0) == secret


def test_a_violation_can_pull_the_cable(lab: Lab) -> None:
    lab.set(lab.mallory, macs=frames.mac_text(MALLORY), on_violation="shut")
    lab.mallory.send(frames.broadcast(BOB))
    port = {"network": "lab", "port": lab.mallory.port}
    wait_until(
        "the cable is pulled", lambda: lab.daemon.rpc("port.show", **port)["link"] == "down"
    )
    lab.daemon.rpc("link.set", state="up", **port)
    assert lab.passes(lab.mallory, frames.broadcast(MALLORY, b"again"))


def test_what_is_not_a_guard_is_refused(lab: Lab) -> None:
    for key, value in (("isolatd", "on"), ("isolated", "perhaps"), ("bandwidth_group", "none-such")):
        with pytest.raises(RpcFailed):
            lab.daemon.rpc(
                "guard.set", network="lab", port=lab.bob.port, key=key, value=value
            )
    shown = lab.daemon.rpc("guard.show", network="lab", port=lab.bob.port)
    assert shown["isolated"] == "off"
    assert shown["max_macs"] == "1024"


def test_a_group_shares_its_bandwidth(lab: Lab) -> None:
    lab.daemon.rpc("bandwidth.set", network="lab", group="slow", rate="8k", burst="10K")
    for client in (lab.bob, lab.mallory):
        lab.set(client, bandwidth_group="slow")
    for _ in range(20):
        lab.bob.send(frames.broadcast(BOB, size=1000))
        lab.mallory.send(frames.broadcast(MALLORY, size=1000))

    def dropped() -> int:
        return sum(lab.drops(c).get("group_limit", 0) for c in (lab.bob, lab.mallory))

    wait_until("the limit holds", lambda: dropped() >= 25)
    lab.daemon.rpc("bandwidth.set", network="lab", group="slow", rate="off")
    lab.alice.drain(0.1)
    assert lab.passes(lab.bob, frames.broadcast(BOB, b"free"))


def test_vde_switch_has_none_until_they_are_asked_for() -> None:
    with Switch() as switch:
        alice, mallory = switch.client(), switch.client()
        mallory.send(OFFER)
        assert alice.recv(5.0) == OFFER
        console = switch.console()
        console.check(f"port/setguard {mallory.port} dhcp_guard on")
        mallory.send(OFFER)
        mallory.send(frames.broadcast(MALLORY, b"marker"))
        assert alice.recv(5.0) == frames.broadcast(MALLORY, b"marker")
        shown = console.check(f"port/guard {mallory.port}")
        assert shown == [f"Port {mallory.port:04} dhcp_guard", " -- dropped 1 (by name: port/drops)"]
