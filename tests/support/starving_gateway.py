# SPDX-License-Identifier: MIT
"""What is asked of a gateway while it finds no memory. GLib and libslirp end the process then, and one that gave
up a request midway ends, too: another one, with the same leases, answers the same question."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from faults import Faults
from frame_rings import FrameRings
from gateway_process import DEADLINE, NAT, GatewayProcess
from starving import SLACK, SLACK_PER_S, STARVING_S, Question, Way, for_each_allocation
from switch_process import descriptors_of
from waiting import readable, wait_until

GUEST, ROUTER, BROADCAST = "52:54:00:12:34:56", "52:55:0a:00:02:02", "ff:ff:ff:ff:ff:ff"
ADDRESS, ROUTER_ADDRESS, DNS_ADDRESS = "10.0.2.15", "10.0.2.2", "10.0.2.3"
ENDED: tuple[type[Exception], ...] = (BrokenPipeError, ConnectionResetError, EOFError)
BLOCKS_OF_A_FLOW = 16
QUERY_S = 15.0  # longer than any query to a server is waited for
NETWORK: dict[str, Any] = NAT | {
    "dhcp": {"enabled": True, "ranges": [f"{ADDRESS}-10.0.2.254"], "router": ROUTER_ADDRESS},
    "policy": {"host_loopback": True},
}


def comes_to(end: socket.socket | FrameRings, timeout: float) -> bool:
    return readable(end, timeout) if isinstance(end, socket.socket) else end.readable(timeout)


class Held(NamedTuple):
    """What a process has."""

    descriptors: int
    blocks: int
    flows: int


class StarvingGateway:
    """A gateway, and when that has ended the next one."""

    def __init__(self, directory: Path, faults: Faults) -> None:
        self.directory = directory
        self.faults = faults
        self.network = NETWORK
        self.ends = 0
        self.failed = 0
        self.start()

    def start(self) -> None:
        self.process = GatewayProcess(self.directory, env=self.faults.env)
        self.process.configure(self.network)
        request = ARP(hwsrc=GUEST, psrc=ADDRESS, pdst=ROUTER_ADDRESS)
        self.process.send(Ether(src=GUEST, dst=BROADCAST) / request)
        self.process.until(lambda packet: ARP in packet)
        self.base: Held | None = None
        self.began = time.monotonic()

    def end(self) -> None:
        self.process.__exit__()

    def change(self, **changes: Any) -> None:
        """Of the network, which is made anew."""
        self.network = self.network | changes
        self.end()
        self.start()

    def revive(self) -> None:
        """Another one if this one has ended or is about to; what has been said until now is forgotten."""
        try:
            self.process.ask("lease.list")
            while self.process.receive(0):
                pass
        except (*ENDED, AssertionError):
            self.ends += 1
            self.end()
            self.start()

    def held(self) -> Held:
        flows = len(self.process.ask("flow.list")["flows"])
        return Held(descriptors_of(self.process.process.pid), self.faults.blocks(), flows)

    def check(self) -> None:
        """The last one has no more than it had in the beginning, but for flows that may be used again."""
        base = self.base
        assert base is not None

        def most(per_flow: int) -> int:
            return per_flow * max(0, self.held().flows - base.flows)

        wait_until("no descriptor is left", lambda: self.held().descriptors <= base.descriptors + most(1), QUERY_S)
        blocks = base.blocks + SLACK + SLACK_PER_S * int(time.monotonic() - self.began)
        wait_until("no block is left", lambda: self.held().blocks <= blocks + most(BLOCKS_OF_A_FLOW))

    def starve(self) -> None:
        self.failed = self.faults.failed("malloc")

    def comes(self, end: socket.socket | FrameRings) -> bool:
        """Something to read, the end included; False: there was no memory, and nothing came."""
        wait_until(
            "there is an answer, or no memory",
            lambda: comes_to(end, 0) or self.faults.failed("malloc") != self.failed,
            timeout=DEADLINE,
            step=0.0005,
        )
        return comes_to(end, STARVING_S)

    def answer(self, wanted: Callable[[Packet], bool]) -> Packet | None:
        while self.comes(self.process.frames):
            frame = self.process.receive(0)
            if not frame:
                return None
            packet = Ether(frame)
            if wanted(packet):
                return packet
        return None

    def question(self, ask: Callable[[], object]) -> Question:
        """It is asked, asked without memory, and asked again of whoever serves then."""

        def parts() -> Iterator[None]:
            yield
            self.starve()
            with contextlib.suppress(*ENDED):
                ask()
            yield
            self.revive()
            while True:
                self.starve()
                assert ask() is not None, "no answer, although there is memory"
                if self.base is not None:
                    break
                # Tables grow with the first of a kind.
                assert ask() is not None
                self.base = self.held()

        return parts


def to_router(packet: Packet) -> Packet:
    return Ether(src=GUEST, dst=ROUTER) / packet


# -- questions ------------------------------------------------------------------------------------


def lease(gateway: StarvingGateway) -> Question:
    def message(*options: Any) -> Packet:
        return (
            Ether(src=GUEST, dst=BROADCAST)
            / IP(src="0.0.0.0", dst="255.255.255.255")
            / UDP(sport=68, dport=67)
            / BOOTP(chaddr=bytes.fromhex(GUEST.replace(":", "")), xid=7, flags=0x8000)
            / DHCP(options=[*options, "end"])
        )

    def is_kind(number: int) -> Callable[[Packet], bool]:
        return lambda packet: DHCP in packet and ("message-type", number) in packet[DHCP].options

    def ask() -> object:
        gateway.process.send(message(("message-type", "discover")))
        offer = gateway.answer(is_kind(2))
        if offer is None:
            return None
        server = next(option[1] for option in offer[DHCP].options if option[0] == "server_id")
        wanted = [("requested_addr", offer[BOOTP].yiaddr), ("server_id", server)]
        gateway.process.send(message(("message-type", "request"), *wanted))
        given = gateway.answer(is_kind(5))
        assert given is None or given[BOOTP].yiaddr == ADDRESS, "the lease is another one's"
        return given

    return gateway.question(ask)


def name(gateway: StarvingGateway) -> Question:
    """One that a server upstream knows, and says for no longer than now."""
    upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    upstream.bind(("127.0.0.1", 0))
    dns = {"enabled": True, "upstream": [f"127.0.0.1#{upstream.getsockname()[1]}"]}
    gateway.change(dns=dns)
    ports = iter(range(20000, 60000))  # a resolver asks again from another one

    def ask() -> object:
        query = DNS(id=5, rd=1, qd=DNSQR(qname="www.example.org"))
        gateway.process.send(to_router(IP(src=ADDRESS, dst=DNS_ADDRESS) / UDP(sport=next(ports), dport=53) / query))
        if not gateway.comes(upstream):
            return None
        data, resolver = upstream.recvfrom(2000)
        asked = DNS(data)
        record = DNSRR(rrname=asked.qd.qname, ttl=0, rdata="203.0.113.5")
        answer = DNS(id=asked.id, qr=1, rd=1, ra=1, qd=asked.qd, an=record)
        upstream.sendto(bytes(answer), resolver)
        return gateway.answer(lambda packet: DNS in packet)

    return gateway.question(ask)


def ping(gateway: StarvingGateway) -> Question:
    def ask() -> object:
        echo = ICMP(id=5, seq=9) / b"hello"
        gateway.process.send(to_router(IP(src=ADDRESS, dst=ROUTER_ADDRESS) / echo))
        return gateway.answer(lambda packet: ICMP in packet)

    return gateway.question(ask)


def datagram(gateway: StarvingGateway) -> Question:
    """There and back; each by a flow of its own."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    port = server.getsockname()[1]
    ports = iter(range(20000, 60000))

    def ask() -> object:
        own = next(ports)
        sent = IP(src=ADDRESS, dst=ROUTER_ADDRESS) / UDP(sport=own, dport=port) / b"?"
        gateway.process.send(to_router(sent))
        if not gateway.comes(server):
            return None
        server.sendto(b"!", server.recvfrom(100)[1])
        return gateway.answer(lambda packet: UDP in packet and packet[UDP].dport == own)

    return gateway.question(ask)


def connect(gateway: StarvingGateway) -> Question:
    """Up to the answer of a server, and the guest then takes it back."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    server.setblocking(False)
    port = server.getsockname()[1]
    ports = iter(range(20000, 60000))

    def ask() -> object:
        own = next(ports)

        def send(**tcp: Any) -> None:
            segment = TCP(sport=own, dport=port, **tcp)
            gateway.process.send(to_router(IP(src=ADDRESS, dst=ROUTER_ADDRESS) / segment))

        send(flags="S", seq=1)
        reply = gateway.answer(lambda packet: TCP in packet and packet[TCP].dport == own)
        if reply is not None:
            send(flags="R", seq=2, ack=reply[TCP].seq + 1)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
        return reply

    return gateway.question(ask)


def connect_directly(gateway: StarvingGateway) -> Question:
    gateway.change(tcp_engine="direct")
    return connect(gateway)


def connect_by_libslirp(gateway: StarvingGateway) -> Question:
    gateway.change(tcp_engine="libslirp")
    return connect(gateway)


def control(gateway: StarvingGateway, method: str, **params: Any) -> Callable[[], Any]:
    def ask() -> Any:
        request = gateway.process.send_request(method, **params)
        while gateway.process.has_line() or gateway.comes(gateway.process.control):
            if gateway.process.has_ended():
                return None
            if (answer := gateway.process.read_line()).get("id") == request:
                return answer
        return None

    return ask


def lease_list(gateway: StarvingGateway) -> Question:
    return gateway.question(control(gateway, "lease.list"))


def forward(gateway: StarvingGateway) -> Question:
    """Added and deleted. One whose deletion was given up midway is there, or is not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"name": "web", "from": f"tcp:127.0.0.1:{port}", "to": f"{ADDRESS}:80"}
    add = control(gateway, "forward.add", forward=where)
    delete = control(gateway, "forward.delete", name="web")
    listed = control(gateway, "forward.list")

    def ask() -> object:
        rows = listed()
        if rows is None or (rows["result"]["forwards"] and delete() is None):
            return None
        if add() is None:
            return None
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
        return delete()

    return gateway.question(ask)


OF_A_GATEWAY = [lease, name, ping, datagram, connect_directly, connect_by_libslirp, lease_list, forward]


# -- one row --------------------------------------------------------------------------------------


def starve_gateway(
    directory: Path, question: Callable[[StarvingGateway], Question], way: Way
) -> int:
    """How many allocations there were."""
    gateway = StarvingGateway(directory, Faults(directory))
    try:
        asked = question(gateway)
        assert list(asked()) == [None, None]
        for _ in range(way.rounds):
            tried = for_each_allocation(gateway.faults, asked, way.count, way.step)
        gateway.check()
    finally:
        gateway.end()
    return tried
