# SPDX-License-Identifier: MIT
"""NAT services of others on our switch: slirpvde of the vde2 package, and its successor, the slirp module of
libvdeplug. A guest made of frames asks for an address and talks to the gateway. Nothing leaves this machine: only
the services' own addresses are spoken to."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client_process import ClientProcess, need_programs, wait_plugged
from frames import mac_text
from switch_process import Switch
from vde_client import VdeClient
from waiting import wait_until

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
scapy = pytest.importorskip("scapy.all", reason="not installed: python3-scapy")

GATEWAY, NAMESERVER, FIRST_LEASE = "10.0.2.2", "10.0.2.3", "10.0.2.15"
GATEWAY_MAC = "52:55:0a:00:02:02"  # 52:55 and the address


class Guest:
    """A network card without a machine: asks with Scapy's packets and picks the answers out."""

    def __init__(self, client: VdeClient, number: int) -> None:
        self.client = client
        self.mac = bytes.fromhex("525400770a") + bytes([number])
        self.number = number

    def ask(self, packet: object, answers: Callable[[object], bool], tries: int = 4) -> object:
        """Sends until something comes back that answers; slirp drops what arrives while it starts."""
        found: list[object] = []

        def answered() -> bool:
            self.client.send(bytes(packet))  # type: ignore[call-overload]
            while (data := self.client.recv(0.5)) is not None:
                got = scapy.Ether(data)
                if answers(got):
                    found.append(got)
                    return True
            return False

        wait_until(f"answer to {packet!r}", answered, timeout=0.5 * tries)
        return found[0]

    def dhcp(self, kind: str, *options: tuple[str, object]) -> object:
        """The server's answer to one DHCP message."""
        packet = (scapy.Ether(src=mac_text(self.mac), dst="ff:ff:ff:ff:ff:ff")
                  / scapy.IP(src="0.0.0.0", dst="255.255.255.255") / scapy.UDP(sport=68, dport=67)
                  / scapy.BOOTP(chaddr=self.mac, xid=0x77000000 + self.number)
                  / scapy.DHCP(options=[("message-type", kind), *options, "end"]))
        return self.ask(packet, lambda got: scapy.DHCP in got and got[scapy.BOOTP].xid == 0x77000000 + self.number)

    def lease(self) -> str:
        """Discover, offer, request, acknowledgement: the address."""
        offer = self.dhcp("discover")
        offered = offer[scapy.BOOTP].yiaddr
        assert dhcp_options(offer)["message-type"] == 2
        done = self.dhcp("request", ("requested_addr", offered), ("server_id", GATEWAY))
        assert dhcp_options(done)["message-type"] == 5
        assert done[scapy.BOOTP].yiaddr == offered
        return str(offered)

    def resolve_gateway(self, address: str) -> str:
        arp = self.ask(scapy.Ether(src=mac_text(self.mac), dst="ff:ff:ff:ff:ff:ff")
                       / scapy.ARP(op="who-has", hwsrc=mac_text(self.mac), psrc=address, pdst=GATEWAY),
                       lambda got: scapy.ARP in got and got[scapy.ARP].op == 2)
        return str(arp[scapy.ARP].hwsrc)  # type: ignore[index]


def dhcp_options(packet: object) -> dict[str, object]:
    return {option[0]: option[1] for option in packet[scapy.DHCP].options  # type: ignore[index]
            if isinstance(option, tuple)}


def service_command(name: str, switch: Switch) -> list[object]:
    if name == "slirpvde":
        need_programs("slirpvde")
        return ["slirpvde", "-s", switch.ctl_dir, "-D"]
    need_programs("vde_plug")
    if not list(Path("/usr/lib").glob("*/vdeplug/libvdeplug_slirp.so")):
        pytest.skip("not installed: libvdeplug-slirp")
    return ["vde_plug", "slirp://", switch.ctl_dir]


@pytest.fixture(params=["slirpvde", "slirp module"])
def guest(request: pytest.FixtureRequest, switch: Switch) -> Iterator[Callable[[], Guest]]:
    """guest() is a new guest on a switch where the service gives addresses."""
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(ClientProcess(*service_command(request.param, switch)))
        wait_plugged(switch, f"pid={service.pid}")
        numbers = iter(range(1, 200))
        yield lambda: Guest(switch.client(), next(numbers))


def test_service_offers_an_address(guest: Callable[[], Guest]) -> None:
    offer = guest().dhcp("discover")
    options = dhcp_options(offer)
    assert offer[scapy.BOOTP].yiaddr == FIRST_LEASE  # type: ignore[index]
    assert options["router"] == options["server_id"] == GATEWAY
    assert options["name_server"] == NAMESERVER
    assert options["subnet_mask"] == "255.255.255.0"
    assert options["lease_time"] == 86400


def test_service_leases_different_addresses_to_three_guests(guest: Callable[[], Guest]) -> None:
    leases = [guest().lease() for _ in range(3)]
    assert len(set(leases)) == 3
    assert leases[0] == FIRST_LEASE


def test_service_answers_arp_and_ping(guest: Callable[[], Guest]) -> None:
    one = guest()
    address = one.lease()
    assert one.resolve_gateway(address) == GATEWAY_MAC
    for size in (0, 56, 1472):
        payload = bytes(n % 251 for n in range(size))
        echo = one.ask(scapy.Ether(src=mac_text(one.mac), dst=GATEWAY_MAC) / scapy.IP(src=address, dst=GATEWAY)
                       / scapy.ICMP(type="echo-request", id=size + 1) / payload,
                       lambda got, size=size: scapy.ICMP in got and got[scapy.ICMP].id == size + 1)
        got = bytes(echo[scapy.ICMP].payload)  # type: ignore[index]
        assert got[:size] == payload


@pytest.mark.ours
def test_switch_knows_where_the_gateway_is(guest: Callable[[], Guest], switch: Switch) -> None:
    """What a guest sends to the gateway after the first answer goes to the gateway's port only.
    (The original floods this one, although its table has the address.)"""
    one = guest()
    one.resolve_gateway(one.lease())
    other = switch.client()
    other.drain(0.05)
    one.client.send(bytes(scapy.Ether(src=mac_text(one.mac), dst=GATEWAY_MAC) / scapy.IP(src=FIRST_LEASE, dst=GATEWAY)
                          / scapy.ICMP(type="echo-request")))
    assert one.client.recv(2.0) is not None
    assert other.drain(0.1) == []
