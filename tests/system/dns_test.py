# SPDX-License-Identifier: MIT
"""Names for guests through the gateway process, with dnsmasq as the host's resolver."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from support.gateway_process import NAT, GatewayProcess
from support.waiting import wait_until

GUEST = "52:54:00:12:34:56"
ROUTER = "52:55:0a:00:02:02"
MANY = 400

pytestmark = pytest.mark.skipif(not shutil.which("dnsmasq"), reason="not installed: dnsmasq")


def free_port() -> int:
    """By UDP and by TCP, for the moment: others take ports, too."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, socket.socket() as stream:
            sock.bind(("127.0.0.1", 0))
            port = int(sock.getsockname()[1])
            with contextlib.suppress(OSError):
                stream.bind(("127.0.0.1", port))
                return port


def start_dnsmasq(directory: Path, hosts: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Tried again when it ends, for its port may have been taken meanwhile."""
    for _ in range(5):
        port = free_port()
        process = subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=",
             "--group=", f"--pid-file={directory}/dnsmasq.pid", f"--addn-hosts={hosts}",
             "--local=/example.org/"],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until("dnsmasq listens or ends",
                   lambda port=port, process=process: _connects(port) or process.poll() is not None)
        if process.poll() is None:
            return process, port
    pytest.fail("dnsmasq does not start")


@pytest.fixture
def dnsmasq(tmp_path: Path) -> Iterator[str]:
    """ADDRESS#PORT of a resolver that knows www.example.org and the large many.example.org."""
    hosts = tmp_path / "hosts"
    lines = [f"203.0.{i // 250}.{i % 250 + 1} many.example.org" for i in range(MANY)]
    hosts.write_text("\n".join(["203.0.113.5 www.example.org", *lines, ""]))
    process, port = start_dnsmasq(tmp_path, hosts)
    try:
        yield f"127.0.0.1#{port}"
    finally:
        process.kill()
        process.wait()


def _connects(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path) as process:
        yield process


def configure(gateway: GatewayProcess, **dns: Any) -> None:
    gateway.configure(NAT | {"dns": {"enabled": True} | dns})


def ask(gateway: GatewayProcess, name: str, number: int = 1) -> DNS:
    query = DNS(id=number, rd=1, qd=DNSQR(qname=name))
    gateway.send(
        Ether(src=GUEST, dst=ROUTER)
        / IP(src="10.0.2.15", dst="10.0.2.3")
        / UDP(sport=40000, dport=53)
        / query
    )
    return gateway.until(lambda p: DNS in p and p[DNS].id == number)[DNS]


def dns_status(gateway: GatewayProcess) -> dict[str, Any]:
    status: dict[str, Any] = gateway.ask("status")["dns"]
    return status


def test_a_real_resolver_answers(gateway: GatewayProcess, dnsmasq: str) -> None:
    configure(gateway, upstream=[dnsmasq])
    assert ask(gateway, "www.example.org").an[0].rdata == "203.0.113.5"
    assert ask(gateway, "nobody.example.org", 2).rcode == 3
    assert ask(gateway, "nobody.lab", 3).rcode == 3


def test_a_dead_resolver_is_passed_over(gateway: GatewayProcess, dnsmasq: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        configure(gateway, upstream=[f"127.0.0.1#{silent.getsockname()[1]}", dnsmasq])
        for number in (1, 2):
            assert ask(gateway, "www.example.org", number).ancount == 1
        begin = time.monotonic()
        assert ask(gateway, "www.example.org", 3).ancount == 1
        assert time.monotonic() - begin < 0.9, "it is known to be dead now"
    assert [r["answers"] for r in dns_status(gateway)["resolvers"]] == [False, True]


@pytest.mark.skipif(not shutil.which("dig"), reason="not installed: dig")
def test_large_answers_come_by_tcp(gateway: GatewayProcess, dnsmasq: str) -> None:
    configure(gateway, upstream=[dnsmasq])
    assert ask(gateway, "many.example.org").tc == 1
    port = dns_status(gateway)["tcp_port"]
    found = subprocess.run(
        ["dig", "+tcp", "+short", "@127.0.0.1", "-p", str(port), "many.example.org"],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert len(found.stdout.split()) == MANY


def test_resolv_conf_is_followed(gateway: GatewayProcess, tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.77\n")
    configure(gateway, resolv_conf=str(path))
    assert dns_status(gateway)["resolvers"][0]["address"] == "127.0.0.77"
    new = tmp_path / "new"
    new.write_text("nameserver 127.0.0.78\n")
    os.replace(new, path)
    assert ask(gateway, "www.example.org").rcode == 2
    assert [r["address"] for r in dns_status(gateway)["resolvers"]] == ["127.0.0.78"]
    path.unlink()
    assert ask(gateway, "www.example.org", 2).rcode == 2
    assert "No such file" in dns_status(gateway)["problem"]


class TcpClient:
    """As much of a guest's TCP as one question takes."""

    def __init__(self, gateway: GatewayProcess, guest: str, server: str) -> None:
        self.gateway = gateway
        ip = IPv6 if ":" in server else IP
        self.ip = ip(src=guest, dst=server)
        self.next, self.expected = 1000, 0

    def say(self, flags: str, payload: bytes = b"") -> None:
        segment = TCP(sport=40001, dport=53, flags=flags, seq=self.next, ack=self.expected)
        self.gateway.send(Ether(src=GUEST, dst=ROUTER) / self.ip / segment / payload)
        self.next += len(payload) + (1 if "S" in flags else 0)

    def hear(self) -> TCP:
        frame = self.gateway.until(lambda p: TCP in p and p[TCP].dport == 40001)
        segment: TCP = frame[TCP]
        return segment

    def connect(self) -> TCP:
        self.say("S")
        reply = self.hear()
        self.expected = reply.seq + 1
        return reply

    def ask(self, name: str) -> DNS:
        query = bytes(DNS(id=7, rd=1, qd=DNSQR(qname=name)))
        self.say("A")
        self.say("PA", len(query).to_bytes(2, "big") + query)
        received = b""
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
            segment = self.hear()
            data = bytes(segment.payload)
            if segment.seq == self.expected and data:
                received += data
                self.expected += len(data)
                self.say("A")
        return DNS(received[2:])


WAYS = [("10.0.2.15", "10.0.2.3"), ("fd17:625c:f037:2::15", "fd17:625c:f037:2::3")]


@pytest.mark.parametrize(("guest", "server"), WAYS)
def test_guests_ask_by_tcp_through_nat(
    gateway: GatewayProcess, dnsmasq: str, guest: str, server: str
) -> None:
    configure(gateway, upstream=[dnsmasq])
    client = TcpClient(gateway, guest, server)
    assert client.connect().flags == "SA"
    assert client.ask("many.example.org").ancount == MANY


@pytest.mark.parametrize(("guest", "server"), WAYS)
def test_tcp_is_refused_at_once_where_there_is_no_nat(
    gateway: GatewayProcess, guest: str, server: str
) -> None:
    network = NAT | {"name": "inside", "kind": "host-only", "dns": {"enabled": True}}
    del network["router"], network["router6"]
    gateway.configure(network)
    mac = gateway.ask("status")["mac"]
    client = TcpClient(gateway, guest, server)
    segment = TCP(sport=40001, dport=53, flags="S", seq=1000)
    gateway.send(Ether(src=GUEST, dst=mac) / client.ip / segment)
    reply = client.hear()
    assert (reply.flags, reply.sport, reply.ack) == ("RA", 53, 1001)
