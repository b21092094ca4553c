# SPDX-License-Identifier: MIT
"""A lease of a lanyard-gateway without a daemon (gateway_process.py)."""

from __future__ import annotations

from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from support.gateway_process import NAT, GatewayProcess

GUEST = "52:54:00:12:34:56"
BROADCAST = "ff:ff:ff:ff:ff:ff"

FULL: dict[str, Any] = NAT | {
    "dhcp": {"enabled": True, "ranges": ["10.0.2.15-10.0.2.254"], "router": "10.0.2.2"},
    "dns": {"enabled": True, "record": [{"name": "printer.lab", "address": "10.0.2.9"}]},
}


def lease_address(gateway: GatewayProcess, mac: str = GUEST) -> str:
    """The address that DHCP gives, by the whole exchange."""
    chaddr = bytes.fromhex(mac.replace(":", ""))

    def message(options: list[Any]) -> Packet:
        return (
            Ether(src=mac, dst=BROADCAST)
            / IP(src="0.0.0.0", dst="255.255.255.255")
            / UDP(sport=68, dport=67)
            / BOOTP(chaddr=chaddr, xid=7, flags=0x8000)
            / DHCP(options=[*options, "end"])
        )

    def kind(packet: Packet) -> int:
        if DHCP not in packet:
            return 0
        return int(dict(o for o in packet[DHCP].options if len(o) == 2)["message-type"])

    gateway.send(message([("message-type", "discover")]))
    offer = gateway.until(lambda p: kind(p) == 2)
    options = dict(o for o in offer[DHCP].options if len(o) == 2)
    wanted = [
        ("message-type", "request"),
        ("requested_addr", offer[BOOTP].yiaddr),
        ("server_id", options["server_id"]),
    ]
    gateway.send(message(wanted))
    acknowledged = gateway.until(lambda p: kind(p) == 5)
    return str(acknowledged[BOOTP].yiaddr)
