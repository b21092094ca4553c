# SPDX-License-Identifier: MIT
"""lanyard-gateway as a process: what guests get from it, and what it stands."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from support.gateway_lease import BROADCAST, FULL, GUEST, lease_address
from support.gateway_process import GatewayError, GatewayProcess
from support.switch_process import is_sanitized, switch_program
from support.waiting import wait_until

ROUTER = "52:55:0a:00:02:02"
ADDRESS = "10.0.2.15"
ADDRESS6 = "fd17:625c:f037:2::15"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path) as process:
        yield process


@pytest.fixture
def nat(gateway: GatewayProcess) -> GatewayProcess:
    gateway.configure(FULL)
    return gateway


def to_router(packet: Packet) -> Packet:
    return Ether(src=GUEST, dst=ROUTER) / packet


def arp_request(target: str) -> Packet:
    return Ether(src=GUEST, dst=BROADCAST) / ARP(hwsrc=GUEST, psrc=ADDRESS, pdst=target)


def answers_arp(gateway: GatewayProcess, target: str = "10.0.2.2") -> bool:
    gateway.send(arp_request(target))
    reply = gateway.until(lambda p: ARP in p and p[ARP].op == 2)
    return bool(reply[ARP].psrc == target and reply[ARP].hwsrc == ROUTER)


# ---- addresses ----


def test_its_addresses_are_found_and_no_others(nat: GatewayProcess) -> None:
    assert answers_arp(nat, "10.0.2.2")
    assert answers_arp(nat, "10.0.2.3")
    nat.send(arp_request("10.0.2.77"))
    nat.send(arp_request("10.0.2.2"))
    reply = nat.until(lambda p: ARP in p and p[ARP].op == 2)
    assert reply[ARP].psrc == "10.0.2.2"


def test_its_ipv6_addresses_are_found(nat: GatewayProcess) -> None:
    for target in ("fd17:625c:f037:2::2", "fd17:625c:f037:2::3", "fe80::5055:aff:fe00:202"):
        nat.send(
            Ether(src=GUEST, dst="33:33:ff:00:00:02")
            / IPv6(src=ADDRESS6, dst="ff02::1:ff00:2", hlim=255)
            / ICMPv6ND_NS(tgt=target)
            / ICMPv6NDOptSrcLLAddr(lladdr=GUEST)
        )
        reply = nat.until(lambda p: ICMPv6ND_NA in p)
        assert reply[ICMPv6ND_NA].tgt == target
        assert (reply[ICMPv6ND_NA].R, reply[ICMPv6ND_NA].S, reply[ICMPv6ND_NA].O) == (1, 1, 1)
        assert reply[ICMPv6NDOptDstLLAddr].lladdr == ROUTER
        assert reply[IPv6].hlim == 255


def test_pings_of_the_router_are_answered(nat: GatewayProcess) -> None:
    nat.send(to_router(IP(src=ADDRESS, dst="10.0.2.2") / ICMP(id=5, seq=9) / b"hello"))
    reply = nat.until(lambda p: ICMP in p)
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq) == (0, 5, 9)
    assert bytes(reply[ICMP].payload) == b"hello"
    nat.send(to_router(IPv6(src=ADDRESS6, dst="fd17:625c:f037:2::2") / ICMPv6EchoRequest(id=6)))
    reply6 = nat.until(lambda p: ICMPv6EchoReply in p)
    assert reply6[ICMPv6EchoReply].id == 6


# ---- services ----


def test_a_guest_gets_an_address_and_a_name(nat: GatewayProcess) -> None:
    assert lease_address(nat) == "10.0.2.15"
    event = nat.wait_event("lease.granted")
    assert event["address"] == "10.0.2.15"
    leases = nat.ask("lease.list")["leases"]
    assert [(row["address"], row["mac"]) for row in leases] == [("10.0.2.15", GUEST)]
    nat.ask("lease.delete", address="10.0.2.15")
    assert all(row["state"] != "bound" for row in nat.ask("lease.list")["leases"])


def test_leases_outlive_the_process(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path) as first:
        first.configure(FULL)
        lease_address(first, "52:54:00:00:00:01")
        second = lease_address(first, "52:54:00:00:00:02")
        first.process.send_signal(signal.SIGKILL)
    with GatewayProcess(tmp_path) as again:
        again.configure(FULL)
        assert len(again.ask("lease.list")["leases"]) == 2
        assert lease_address(again, "52:54:00:00:00:02") == second


def test_names_are_resolved(nat: GatewayProcess) -> None:
    query = DNS(id=77, rd=1, qd=DNSQR(qname="printer.lab"))
    nat.send(to_router(IP(src=ADDRESS, dst="10.0.2.3") / UDP(sport=5000, dport=53) / query))
    answer = nat.until(lambda p: DNS in p)
    assert answer[DNS].id == 77
    assert answer[DNS].an[0].rdata == "10.0.2.9"
    assert answer[IP].src == "10.0.2.3"


def test_routers_are_advertised(nat: GatewayProcess) -> None:
    nat.send(
        Ether(src=GUEST, dst="33:33:00:00:00:02")
        / IPv6(src="fe80::15", dst="ff02::2", hlim=255)
        / ICMPv6ND_RS()
        / ICMPv6NDOptSrcLLAddr(lladdr=GUEST)
    )
    advertisement = nat.until(lambda p: ICMPv6ND_RA in p and p.dst == GUEST)
    assert advertisement[ICMPv6NDOptMTU].mtu == 1500
    assert advertisement[IPv6].src == "fe80::5055:aff:fe00:202"


def test_a_file_is_read_by_tftp(gateway: GatewayProcess, tmp_path: Path) -> None:
    root = tmp_path / "boot"
    root.mkdir()
    (root / "pxe").write_bytes(b"x" * 100)
    dhcp = FULL["dhcp"] | {"tftp_root": str(root)}
    gateway.configure(FULL | {"dhcp": dhcp})
    request = b"\0\1pxe\0octet\0"
    gateway.send(to_router(IP(src=ADDRESS, dst="10.0.2.2") / UDP(sport=3000, dport=69) / request))
    data = gateway.until(lambda p: UDP in p and p[UDP].dport == 3000)
    assert bytes(data[UDP].payload) == b"\0\3\0\1" + b"x" * 100


# ---- address translation ----


class Listener:
    """A server on the host's loopback, which the router address stands for."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(8)
        self.port = self.socket.getsockname()[1]

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def handshake(gateway: GatewayProcess, target: str, port: int) -> Packet:
    gateway.send(to_router(IP(src=ADDRESS, dst=target) / TCP(sport=4000, dport=port, flags="S", seq=1)))
    return gateway.until(lambda p: TCP in p and p[TCP].dport == 4000)


def test_tcp_goes_through(gateway: GatewayProcess) -> None:
    gateway.configure(FULL | {"policy": {"host_loopback": True}})
    answers_arp(gateway)
    with Listener() as server:
        reply = handshake(gateway, "10.0.2.2", server.port)
        assert reply[TCP].flags == "SA"
        ack = TCP(sport=4000, dport=server.port, flags="PA", seq=2, ack=reply[TCP].seq + 1)
        gateway.send(to_router(IP(src=ADDRESS, dst="10.0.2.2") / ack / b"hello"))
        connection, _ = server.socket.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(100) == b"hello"
            flows = gateway.ask("flow.list")["flows"]
            assert [(f["transport"], f["guest"]) for f in flows] == [("tcp", f"{ADDRESS}:4000")]


@pytest.mark.parametrize("target", ["10.0.2.2", "127.0.0.1", "0.0.0.0"])
def test_the_hosts_loopback_is_closed(nat: GatewayProcess, target: str) -> None:
    answers_arp(nat)
    with Listener() as server:
        nat.send(
            to_router(IP(src=ADDRESS, dst=target) / TCP(sport=4000, dport=server.port, flags="S"))
        )
        assert answers_arp(nat)
        server.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.socket.accept()


def test_frames_of_neighbours_do_not_reach_nat(gateway: GatewayProcess) -> None:
    gateway.configure(FULL | {"policy": {"host_loopback": True}})
    with Listener() as server:
        syn = IP(src=ADDRESS, dst="10.0.2.2") / TCP(sport=4000, dport=server.port, flags="S")
        gateway.send(Ether(src=GUEST, dst="52:54:00:99:99:99") / syn)
        assert answers_arp(gateway)
        ways = gateway.ask("status")["ways"]
        assert ways["not_for_us"] == 1 and ways["nat"] == 0
        assert gateway.ask("flow.list")["flows"] == []


def test_forwards_come_and_go(nat: GatewayProcess) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forward = {"name": "ssh", "from": f"tcp:127.0.0.1:{port}", "to": f"{ADDRESS}:22"}
    nat.ask("forward.add", forward=forward)
    assert [row["name"] for row in nat.ask("forward.list")["forwards"]] == ["ssh"]
    assert nat.wait_event("forward.changed")["name"] == "ssh"
    answers_arp(nat)
    with socket.create_connection(("127.0.0.1", port)):
        syn = nat.until(lambda p: TCP in p and p[TCP].dport == 22)
        assert syn[TCP].flags == "S" and syn[IP].dst == ADDRESS
    with pytest.raises(GatewayError):
        nat.ask("forward.add", forward=forward)
    nat.ask("forward.delete", name="ssh")
    with pytest.raises(GatewayError):
        nat.ask("forward.delete", name="ssh")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


# ---- pings of the world ----


def test_the_first_hop_is_the_router(nat: GatewayProcess) -> None:
    nat.send(to_router(IP(src=ADDRESS, dst="192.0.2.1", ttl=1) / ICMP(id=3, seq=4)))
    error = nat.until(lambda p: ICMP in p)
    assert (error[ICMP].type, error[ICMP].code, error[IP].src) == (11, 0, "10.0.2.2")
    assert error[IPerror].dst == "192.0.2.1"
    assert (error[ICMPerror].id, error[ICMPerror].seq) == (3, 4)


def test_the_status_says_when_pings_cannot_leave(nat: GatewayProcess) -> None:
    status = nat.ask("status")
    ping = status["ping"]
    first, last = map(int, Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
    permitted = any(first <= group <= last for group in {os.getegid(), *os.getgroups()})
    assert ping["permitted"] == permitted
    if not permitted:
        assert "net.ipv4.ping_group_range" in ping["problem"]
        assert ping["problem"] in status["warnings"]


def test_pings_that_policy_forbids_are_answered_so(nat: GatewayProcess) -> None:
    nat.send(to_router(IP(src=ADDRESS, dst="127.0.0.1") / ICMP(id=3, seq=4)))
    error = nat.until(lambda p: ICMP in p)
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)


def test_ten_thousand_pings_take_few_descriptors(nat: GatewayProcess) -> None:
    before = len(os.listdir(f"/proc/{nat.process.pid}/fd"))
    template = bytes(to_router(IP(src=ADDRESS, dst="192.0.2.1") / ICMP(id=1, seq=1)))
    for number in range(10000):
        frame = bytearray(template)
        frame[38:40] = number.to_bytes(2, "big")
        frame[36:38] = ((0xF7FD - number) % 0xFFFF).to_bytes(2, "big")
        nat.send(bytes(frame))
        if number % 100 == 0:
            while nat.receive(0) is not None:
                pass
    while nat.receive(0.1) is not None:
        pass
    assert answers_arp(nat)
    assert len(os.listdir(f"/proc/{nat.process.pid}/fd")) <= before + 20


# ---- what it stands ----


def random_frames(count: int) -> Iterator[bytes]:
    choose = random.Random(os.environ.get("LANYARD_SEED", "7"))
    types = [b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x88\xcc"]
    destinations = [bytes.fromhex(mac.replace(":", "")) for mac in (ROUTER, BROADCAST)]
    for _ in range(count):
        body = bytearray(choose.randbytes(choose.randrange(0, 200)))
        kind = choose.choice(types)
        if body and kind == b"\x08\x00" and choose.random() < 0.8:
            body[0] = 0x45
        if body and kind == b"\x86\xdd":
            body[0] = 0x60
        if choose.random() < 0.1:
            yield choose.randbytes(choose.randrange(0, 40))
        else:
            yield choose.choice(destinations) + b"\x52\x54\x00\x00\x00\x01" + kind + bytes(body)


def test_garbage_is_counted_and_changes_nothing(nat: GatewayProcess) -> None:
    choose = random.Random(8)
    for frame in random_frames(10000):
        header = bytes(12) if choose.random() < 0.9 else choose.randbytes(12)
        nat.send(frame, header)
    while nat.receive(0.05) is not None:
        pass
    assert answers_arp(nat)
    assert lease_address(nat).startswith("10.0.2.")
    frames = nat.ask("status")["frames"]
    assert frames["runts"] > 0 and frames["bad_offload"] > 0


def test_a_switch_that_does_not_read_is_waited_for(nat: GatewayProcess) -> None:
    request = bytes(arp_request("10.0.2.2"))
    for _ in range(60000):
        nat.send(request)
    frames = wait_until(
        "frames are dropped",
        lambda: next((f for f in [nat.ask("status")["frames"]] if f["dropped"]), None),
    )
    assert frames["backlog_bytes"] <= 2 << 20
    while nat.receive(0.1) is not None:
        pass
    assert answers_arp(nat)
    assert nat.ask("status")["frames"]["backlog_bytes"] == 0


@pytest.mark.parametrize("end", ["frames", "control"])
def test_it_ends_with_either_socket(nat: GatewayProcess, end: str) -> None:
    getattr(nat, end).close()
    assert nat.process.wait(5) == 0


def test_it_ends_by_sigterm(nat: GatewayProcess) -> None:
    nat.process.terminate()
    assert nat.process.wait(5) == 0


def test_what_is_no_request_is_refused(gateway: GatewayProcess) -> None:
    for line, code in [
        (b"hello", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"configure","params":{"network":7}}', -32602),
        (b"[" * 100000, -32700),
        (b"x" * (2 << 20), -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"status"}', 3),
    ]:
        gateway.write(line)
        answer = gateway.read_line()
        assert answer["error"]["code"] == code, line[:60]
    gateway.configure(FULL)
    assert answers_arp(gateway)


def test_changes_are_taken_over_and_others_refused(nat: GatewayProcess) -> None:
    lease_address(nat)
    records = [{"name": "other.lab", "address": "10.0.2.10"}]
    nat.configure(FULL | {"dns": {"enabled": True, "record": records}})
    query = DNS(id=78, rd=1, qd=DNSQR(qname="other.lab"))
    nat.send(to_router(IP(src=ADDRESS, dst="10.0.2.3") / UDP(sport=5000, dport=53) / query))
    assert nat.until(lambda p: DNS in p)[DNS].an[0].rdata == "10.0.2.10"
    assert len(nat.ask("lease.list")["leases"]) == 1
    with pytest.raises(GatewayError, match="subnet"):
        nat.configure(FULL | {"subnet": "10.0.3.0/24"})
    assert answers_arp(nat)


def test_it_gives_up_what_it_does_not_need(gateway: GatewayProcess) -> None:
    gateway.configure(FULL)
    fields = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert fields["NoNewPrivs"] == "1"
    bind_service = 1 << 10
    assert int(fields["CapPrm"], 16) & ~bind_service == 0
    assert int(fields["CapEff"], 16) & ~bind_service == 0
    if os.geteuid() == 0:  # for others it is not to be seen who owns it
        assert Path(f"/proc/{gateway.process.pid}/mem").stat().st_uid == 0
    limits = Path(f"/proc/{gateway.process.pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if "core file" in line).split()[4] == "0"


@pytest.mark.skipif(is_sanitized(switch_program()), reason="a sanitizer has memory of its own")
def test_it_stays_small(nat: GatewayProcess) -> None:
    def rss_kib() -> int:
        text = Path(f"/proc/{nat.process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if "VmRSS" in line).split()[1])

    large = Ether(src=GUEST, dst="52:54:00:99:99:99") / IP() / UDP() / bytes(60000)
    for _ in range(200):
        nat.send(large)
    assert answers_arp(nat)
    assert wait_until("less than 16 MiB", lambda: rss_kib() < 16384)


def test_without_its_sockets_it_says_who_starts_it() -> None:
    program = Path(os.environ["LANYARD_BIN"]) / "lanyard-gateway"
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert "lanyardd" in done.stderr
