# SPDX-License-Identifier: MIT
"""A way out for a gateway: its host, a router that it reaches others by, and a target behind that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from support.netns import NetNamespace
from support.waiting import wait_until

HOP, TARGET = "10.9.1.2", "10.9.2.2"
HOP6, TARGET6 = "fd09:1::2", "fd09:2::2"
FORBIDDEN = "10.9.3.1"  # the hop has an "unreachable" route for it
FORBIDDEN6 = "fd09:3::1"


@dataclass
class WayOut:
    host: NetNamespace
    hop: NetNamespace
    target: NetNamespace


def join(one: NetNamespace, other: NetNamespace, network: int, first: int, second: int) -> None:
    link = f"to{network}"
    one.ip("link", "add", link, "type", "veth", "peer", "name", link, "netns", other.name)
    for namespace, host in ((one, first), (other, second)):
        namespace.ip("address", "add", f"10.9.{network}.{host}/24", "dev", link)
        namespace.ip("address", "add", f"fd09:{network}::{host}/64", "dev", link, "nodad")
        namespace.ip("link", "set", link, "up")


@contextlib.contextmanager
def way_out() -> Iterator[WayOut]:
    with NetNamespace() as host, NetNamespace() as hop, NetNamespace() as target:
        for namespace in (host, hop, target):
            settings = ["net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0"]
            namespace.run("sysctl", "-qw", *settings)
        host.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        forwarding = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
        # Tests ask for more errors than a router gives of itself.
        unlimited = ["net.ipv4.icmp_ratemask=0", "net.ipv6.icmp.ratelimit=0"]
        hop.run("sysctl", "-qw", *forwarding, *unlimited)
        join(host, hop, 1, 1, 2)
        join(hop, target, 2, 1, 2)
        host.ip("route", "add", "default", "via", HOP)
        host.ip("-6", "route", "add", "default", "via", HOP6)
        target.ip("route", "add", "default", "via", "10.9.2.1")
        target.ip("-6", "route", "add", "default", "via", "fd09:2::1")
        hop.ip("route", "add", "unreachable", "10.9.3.0/24")
        hop.ip("-6", "route", "add", "unreachable", "fd09:3::/64")
        wait_until(
            "IPv6 carries",
            lambda: host.run("ping", "-6", "-c1", "-W1", TARGET6, check=False).returncode == 0,
            timeout=20,
        )
        yield WayOut(host, hop, target)
