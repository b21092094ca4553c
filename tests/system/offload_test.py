# SPDX-License-Identifier: MIT
"""Large frames of TAP interfaces: cut as the kernel cuts them, passed on whole to those that take them."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import signal
import socket
import struct
from collections.abc import Iterator

import pytest

from client_process import ClientProcess, need_programs
from frames import mac
from netns import NetNamespace
from port_table import counters, drops
from switch_process import Switch, is_original, switch_program
from transfer import exchange
from waiting import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(is_original(switch_program()), reason="the original has no offloads"),
]

PACKET_VNET_HDR, SOL_PACKET = 15, 263
SIOCETHTOOL, ETHTOOL_GTSO = 0x8946, 0x1E
NEEDS_CHECKSUM = 1
TCP4, TCP6, UDP = 1, 4, 5
FIN, PSH, ACK, ECE, CWR = 0x01, 0x08, 0x10, 0x40, 0x80
LEFT, RIGHT = "10.77.9.1", "10.77.9.2"


def add_up(data: bytes) -> int:
    """The ones' complement sum of 16-bit words."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def large(kind: int, payload: int, segment: int, flags: int = ACK, ipv6: bool = False, extensions: int = 0) -> bytes:
    """The virtio header and the frame, as PACKET_VNET_HDR takes both."""
    protocol = 17 if kind == UDP else 6
    header_size = 8 if kind == UDP else 32
    length = header_size + payload
    if ipv6:
        source, destination = bytes(range(0xFD - 15, 0xFD + 1)), bytes(range(16))
        options = b"".join(
            bytes([60 if i + 1 < extensions else protocol, 0, 1, 4, 0, 0, 0, 0]) for i in range(extensions)
        )
        first = 0 if extensions else protocol
        network = struct.pack(">IHBB", 0x60212345, length + len(options), first, 64) + source + destination + options
    else:
        source, destination = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
        network = struct.pack(">BBHHHBBH", 0x45, 2, 20 + length, 0xFFFE, 0x4000, 64, protocol, 0) + source + destination
        network = network[:10] + struct.pack(">H", 0xFFFF - add_up(network)) + network[12:]
    pseudo = add_up(source + destination + struct.pack(">HH", protocol, length))
    if kind == UDP:
        transport = struct.pack(">HHHH", 4000, 5000, length, pseudo)
    else:
        transport = struct.pack(">HHIIBBHHH", 4000, 5000, 0xFFFFF000, 7, 0x80, flags, 500, pseudo, 0) + b"\1" * 12
    ethernet = mac(2) + mac(1) + (b"\x86\xdd" if ipv6 else b"\x08\x00")
    start = len(ethernet) + len(network)
    ecn = 0x80 if flags & CWR and kind in (TCP4, TCP6) else 0
    header = struct.pack(
        "<BBHHHH", NEEDS_CHECKSUM, kind | ecn, start + header_size, segment, start, 6 if kind == UDP else 16
    )
    data = bytes(number * 31 % 251 for number in range(payload))
    return header + ethernet + network + transport + data


def sent_through(offload: str, packet: bytes, frames: int) -> list[bytes]:
    """What a VDE client gets of a packet that leaves through a TAP."""
    with NetNamespace() as namespace, Switch("--plug", f"tap://tap0?offload={offload}", netns=namespace.name) as switch:
        wait_until("tap0", lambda: "tap0" in namespace.links())
        namespace.ip("link", "set", "tap0", "up")
        with switch.client() as client, namespace.packet_socket("tap0") as out:
            out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            out.send(packet)
            got: list[bytes] = []
            while len(got) < frames and (frame := client.recv(5)) is not None:
                got.append(frame)
            taken = counters(switch.console(), 1)["in"]
            assert taken == (1 if offload == "on" else frames), "who cuts it"
            assert not drops(switch.console(), 1)
            return got


@pytest.mark.parametrize(
    ("packet", "frames"),
    [
        pytest.param(large(TCP4, 5000, 1448, FIN | PSH | ACK), 4, id="tcp4"),
        pytest.param(large(TCP4, 4344, 1448, PSH | ACK), 3, id="whole_segments"),
        pytest.param(large(TCP4, 6001, 777, ECE | ACK), 8, id="odd_sizes"),
        pytest.param(large(TCP4, 6000, 1448, CWR | ACK), 5, id="congestion"),
        pytest.param(large(TCP4, 60000, 1448), 42, id="64k"),
        pytest.param(large(TCP6, 5000, 1428, FIN | PSH | ACK, ipv6=True), 4, id="tcp6"),
        pytest.param(large(TCP6, 5000, 1400, ipv6=True, extensions=2), 4, id="tcp6_extensions"),
        pytest.param(large(UDP, 5000, 1400), 4, id="udp4"),
        pytest.param(large(UDP, 5000, 1400, ipv6=True), 4, id="udp6"),
        pytest.param(large(0, 1000, 0), 1, id="checksum"),
    ],
)
def test_segments_are_those_of_the_kernel(packet: bytes, frames: int) -> None:
    ours, kernels = (sent_through(offload, packet, frames) for offload in ("on", "off"))
    assert len(kernels) == frames
    assert ours == kernels


# -- the stacks of two namespaces -----------------------------------------------------------------


def configure(namespace: NetNamespace, interface: str, address: str) -> None:
    wait_until(interface, lambda: interface in namespace.links())
    namespace.ip("address", "add", f"{address}/24", "dev", interface)
    namespace.ip("link", "set", interface, "up")


def exchange_between(left: NetNamespace, right: NetNamespace, size: int) -> None:
    listener = right.call(lambda: socket.create_server((RIGHT, 0)))
    client = left.call(lambda: socket.create_connection(listener.getsockname(), timeout=20))
    server, _ = listener.accept()
    with listener, client, server:
        server.settimeout(20)
        exchange(client, server, size)


@pytest.mark.parametrize("keys", ["", "?offload=off"])
def test_bytes_cross_between_two_taps(keys: str) -> None:
    with contextlib.ExitStack() as stack:
        left, right = (stack.enter_context(NetNamespace()) for _ in range(2))
        switch = stack.enter_context(
            Switch("--plug", "tap://left0", "--plug", f"tap://right0{keys}", netns=left.name)
        )
        configure(left, "left0", LEFT)
        left.ip("link", "set", "right0", "netns", right.name)
        configure(right, "right0", RIGHT)
        exchange_between(left, right, 20_000_000)
        assert not drops(switch.console(), 1).get("malformed_offload")


def test_bytes_cross_between_a_tap_and_a_vde_client() -> None:
    need_programs("vde_plug")
    with contextlib.ExitStack() as stack:
        left, right = (stack.enter_context(NetNamespace()) for _ in range(2))
        switch = stack.enter_context(Switch("-t", "left0", netns=left.name))
        configure(left, "left0", LEFT)
        stack.enter_context(
            ClientProcess("vde_plug", "tap://right0", f"vde://{switch.ctl_dir}", netns=right.name)
        )
        configure(right, "right0", RIGHT)
        exchange_between(left, right, 20_000_000)


@pytest.fixture
def persistent() -> Iterator[NetNamespace]:
    with NetNamespace() as namespace:
        namespace.add_tap("tap0")
        yield namespace


def segments_tcp(namespace: NetNamespace, interface: str) -> bool:
    """Whether the kernel leaves TCP uncut for that interface."""

    def ask() -> bool:
        answer = (ctypes.c_uint32 * 2)(ETHTOOL_GTSO, 0)
        request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(answer))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
            fcntl.ioctl(anything, SIOCETHTOOL, request)
        return answer[1] != 0

    return namespace.call(ask)


def test_a_tap_that_stays_is_left_as_it_was(persistent: NetNamespace) -> None:
    with Switch("-t", "tap0", netns=persistent.name):
        assert segments_tcp(persistent, "tap0")
    assert not segments_tcp(persistent, "tap0")


def test_large_frames_of_the_last_reader_do_not_reach_one_without_offloads(persistent: NetNamespace) -> None:
    with Switch("-t", "tap0", netns=persistent.name) as switch:
        switch.stop(signal.SIGKILL)
    assert segments_tcp(persistent, "tap0"), "nobody was there to tidy up"
    with Switch("--plug", "tap://tap0?offload=off", netns=persistent.name):
        assert not segments_tcp(persistent, "tap0")
