# SPDX-License-Identifier: MIT
"""TCP of guests through NAT, by either engine: the kernel's own TCP on both sides of it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPerror, TCPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether
from support.client_process import ClientProcess, need_programs
from support.gateway_process import NAT, GatewayProcess
from support.netns import NetNamespace
from support.networks_daemon import NetworksDaemon
from support.switch_process import is_sanitized, switch_program
from support.transfer import exchange
from support.waiting import wait_until
from support.way_out import FORBIDDEN, FORBIDDEN6, way_out

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")

ENGINES = ("direct", "libslirp")
ROUTER, ROUTER6 = "10.0.2.2", "fd17:625c:f037:2::2"
GUEST, GUEST6 = "10.0.2.15", "fd17:625c:f037:2::15"


def configuration(engine: str, mtu: int = 1500, keys: str = "", plugs: bool = True) -> str:
    return f"""[network.nat]
kind = "nat"
subnet6 = "fd17:625c:f037:2::/64"
tcp_engine = "{engine}"
mtu = {mtu}
{f'plugs = ["tap://guest0{keys}"]' if plugs else ""}
[network.nat.policy]
host_loopback = true
flows_max = 10000
new_flows_per_s = 10000
"""


@dataclass
class Lab:
    """A guest, and a host whose loopback it reaches at the router's address."""

    engine: str
    daemon: NetworksDaemon
    host: NetNamespace
    guest: NetNamespace

    def listen(self, v6: bool = False, backlog: int = 16) -> socket.socket:
        family, address = (socket.AF_INET6, "::1") if v6 else (socket.AF_INET, "127.0.0.1")
        listener = self.host.call(
            lambda: socket.create_server((address, 0), family=family, backlog=backlog)
        )
        listener.settimeout(20)
        return listener

    def dial(self, port: int, v6: bool = False) -> socket.socket:
        to = (ROUTER6 if v6 else ROUTER, port)
        return self.guest.call(lambda: socket.create_connection(to, timeout=20))

    @contextlib.contextmanager
    def connected(self, v6: bool = False) -> Iterator[tuple[socket.socket, socket.socket]]:
        """The guest's end and the host's."""
        with self.listen(v6) as listener, self.dial(listener.getsockname()[1], v6) as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(20)
                yield client, server

    def flows(self) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self.daemon.rpc("flow.list", network="nat")["flows"]
        return [row for row in rows if row["transport"] == "tcp"]


def give_addresses(guest: NetNamespace, mtu: int) -> None:
    guest.ip("link", "set", "guest0", "mtu", str(mtu), "up")
    guest.ip("address", "add", f"{GUEST}/24", "dev", "guest0")
    guest.ip("address", "add", f"{GUEST6}/64", "dev", "guest0", "nodad")


@contextlib.contextmanager
def lab(engine: str, mtu: int = 1500, keys: str = "") -> Iterator[Lab]:
    with contextlib.ExitStack() as stack:
        host, guest = (stack.enter_context(NetNamespace()) for _ in range(2))
        for namespace in (host, guest):
            settings = ["net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0"]
            namespace.run("sysctl", "-qw", *settings)
        inside = ["ip", "netns", "exec", host.name]
        text = configuration(engine, mtu, keys)
        daemon = stack.enter_context(NetworksDaemon(text, gateway=None, prefix=inside))
        daemon.wait_serving("nat")
        wait_until("guest0", lambda: "guest0" in host.links())
        host.ip("link", "set", "guest0", "netns", guest.name)
        give_addresses(guest, mtu)
        yield Lab(engine, daemon, host, guest)


@pytest.fixture(scope="module", params=ENGINES)
def plain(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab(request.param) as made:
        yield made


@pytest.mark.parametrize(
    ("engine", "mtu", "keys"),
    [("libslirp", 1500, "")]
    + [("direct", mtu, keys) for mtu in (1500, 9000, 65520) for keys in ("", "?offload=off")],
)
def test_every_byte_comes_through(engine: str, mtu: int, keys: str) -> None:
    with lab(engine, mtu, keys) as made:
        for v6 in (False, True):
            with made.connected(v6) as (client, server):
                exchange(client, server, 10_000_000)
        shown = made.daemon.rpc("network.show", network="nat")
        assert "malformed_offload" not in str(shown)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_guest_with_a_short_queue_loses_segments_but_not_its_time(engine: str) -> None:
    """Its kernel throws away what the switch does not fetch in time: runs of segments, again and again."""
    with lab(engine, 1500, "?offload=off") as made:
        made.guest.ip("link", "set", "guest0", "txqueuelen", "30")
        with made.connected() as (client, server):
            begin = time.monotonic()
            exchange(client, server, 5_000_000)
            assert time.monotonic() - begin < 30
        lost = made.guest.run("cat", "/sys/class/net/guest0/statistics/tx_dropped").stdout
        assert int(lost) > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_every_byte_comes_through_a_vde_socket(engine: str) -> None:
    need_programs("vde_plug")
    with contextlib.ExitStack() as stack:
        host, guest = (stack.enter_context(NetNamespace()) for _ in range(2))
        guest.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=0")
        inside = ["ip", "netns", "exec", host.name]
        text = configuration(engine, plugs=False)
        daemon = stack.enter_context(NetworksDaemon(text, gateway=None, prefix=inside))
        daemon.wait_serving("nat")
        plug = ["vde_plug", "tap://guest0", f"vde://{daemon.socket('nat')}"]
        stack.enter_context(ClientProcess(*plug, netns=guest.name))
        wait_until("guest0", lambda: "guest0" in guest.links())
        give_addresses(guest, 1500)
        with Lab(engine, daemon, host, guest).connected() as (client, server):
            exchange(client, server, 20_000_000)


def test_each_direction_ends_by_itself(plain: Lab) -> None:
    for guest_first in (True, False):
        with plain.connected() as (client, server):
            first, second = (client, server) if guest_first else (server, client)
            first.sendall(b"question")
            first.shutdown(socket.SHUT_WR)
            assert second.recv(100) == b"question"
            assert second.recv(100) == b""
            second.sendall(b"answer")
            second.shutdown(socket.SHUT_WR)
            assert first.recv(100) == b"answer"
            assert first.recv(100) == b""
    # libslirp keeps a connection that has ended for ten seconds.
    wait_until("all flows have ended", lambda: not plain.flows(), timeout=20)


def test_a_reset_is_a_reset(plain: Lab) -> None:
    at_once = struct.pack("ii", 1, 0)
    # libslirp makes a guest's reset an end.
    for by_guest in (True, False) if plain.engine == "direct" else (False,):
        with plain.connected() as (client, server):
            one, other = (client, server) if by_guest else (server, client)
            one.sendall(b"x")
            assert other.recv(1) == b"x"
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            one.close()
            with pytest.raises(ConnectionResetError):
                other.recv(1)
    wait_until("all flows have ended", lambda: not plain.flows())


def test_nobody_listening_is_refused(plain: Lab) -> None:
    with plain.listen() as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        plain.dial(port)


def test_where_there_is_no_way_the_router_says_so(tmp_path: Path) -> None:
    """At once, or when a router on the way has said it."""
    syn = TCP(sport=4000, dport=80, flags="S", seq=5)
    with way_out() as way, GatewayProcess(tmp_path, way.host) as gateway:
        gateway.configure(NAT | {"tcp_engine": "direct"})
        way.host.ip("route", "add", "unreachable", "10.9.4.0/24")
        way.host.ip("-6", "route", "add", "unreachable", "fd09:4::/64")
        ether = Ether(src="52:54:00:12:34:56", dst="52:55:0a:00:02:02")
        for target in ("10.9.4.1", FORBIDDEN):
            gateway.send(ether / IP(src=GUEST, dst=target) / syn)
            error = gateway.until(lambda p: ICMP in p)
            assert (error[IP].src, error[ICMP].type, error[ICMP].code) == (ROUTER, 3, 1)
            assert (error[IPerror].dst, error[TCPerror].sport, error[TCPerror].seq) == (target, 4000, 5)
        for target in ("fd09:4::1", FORBIDDEN6):
            gateway.send(ether / IPv6(src=GUEST6, dst=target) / syn)
            error = gateway.until(lambda p: ICMPv6DestUnreach in p)
            assert error[IPv6].src == ROUTER6
            assert error[TCPerror].sport == 4000
        assert gateway.ask("flow.list")["flows"] == []


def test_urgent_bytes_come_in_their_place(plain: Lab) -> None:
    """The mark is lost on the way (RFC 6093 warns of using it), the byte is not."""
    with plain.connected() as (client, server):
        # libslirp marks them for the guest, whose kernel then takes them out.
        ways = [(client, server), (server, client)] if plain.engine == "direct" else [(client, server)]
        for one, other in ways:
            one.sendall(b"ab")
            one.send(b"c", socket.MSG_OOB)
            one.sendall(b"de")
            got = b""
            while len(got) < 5:
                got += other.recv(100)
            assert got == b"abcde"


def longest_waits(reader: socket.socket, pause: Callable[[int], None], size: int) -> list[float]:
    """How long a reader that pauses waits after each pause, longest last."""
    waits = []
    got = 0
    while got < size:
        begin = time.monotonic()
        part = reader.recv(1 << 15)
        waits.append(time.monotonic() - begin)
        assert part, "it ended early"
        got += len(part)
        pause(len(waits))
    return sorted(waits)


@pytest.mark.parametrize("mtu", [1500, 65520])
def test_a_slow_reader_never_waits_long(mtu: int) -> None:
    """Its window shrinks and closes; when it reads on, so does the connection."""
    size = 6_000_000
    with lab("direct", mtu) as made:
        for guest_reads in (True, False):
            with made.connected() as (client, server):
                reader, writer = (client, server) if guest_reads else (server, client)
                blob = os.urandom(size)
                sender = threading.Thread(target=writer.sendall, args=(blob,))
                sender.start()

                def pause(
                    number: int, reader: socket.socket = reader, shrinks: bool = guest_reads
                ) -> None:
                    if number % 40 == 0:
                        time.sleep(0.1)
                    # The host's own TCP would wait 200 ms after this, over any link.
                    if number % 60 == 0 and shrinks:
                        room = 8192 if number % 120 else 200_000
                        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)

                waits = longest_waits(reader, pause, size)
                sender.join()
                # All but one, because others may have the processor for longer than that.
                assert waits[-2] < 0.2, waits[-5:]


def test_two_thousand_connections_at_once_are_small(plain: Lab) -> None:
    count = 2000
    with plain.listen(backlog=4096) as listener:
        port = listener.getsockname()[1]
        ends: list[socket.socket] = []
        try:
            for _ in range(count):
                client = plain.dial(port)
                server, _ = listener.accept()
                ends += [client, server]
            for client, server in zip(ends[::2], ends[1::2]):
                client.sendall(b"ping")
                server.sendall(server.recv(10))
            for client in ends[::2]:
                assert client.recv(10) == b"ping"
            status = Path(f"/proc/{plain.daemon.gateway_pid('nat')}/status").read_text()
            (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
            resident = int(line.split()[1]) * 1024
        finally:
            for end in ends:
                end.close()
    wait_until("all flows have ended", lambda: not plain.flows(), timeout=20)
    if is_sanitized(switch_program()):
        pytest.skip("all flows were carried, but a sanitizer has memory of its own")
    assert resident < 64_000_000


def test_the_engine_is_changed_for_connections_to_come() -> None:
    with lab("direct") as made, made.connected() as (client, server):
        made.daemon.write_config(configuration("libslirp"))
        made.daemon.rpc("config.reload")
        with made.connected() as (second, _):
            second.sendall(b"x")
            engines = {row["guest"]: row["engine"] for row in made.flows()}
            port, second_port = (end.getsockname()[1] for end in (client, second))
            assert engines == {f"{GUEST}:{port}": "direct", f"{GUEST}:{second_port}": "libslirp"}
        client.sendall(b"still there")
        assert server.recv(100) == b"still there"
