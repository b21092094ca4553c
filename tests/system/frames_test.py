# SPDX-License-Identifier: MIT
"""What happens to a frame: every length, every tag, in a switch and in a hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from console import Console
from frames import BROADCAST, IPV4, QINQ, broadcast, frame, mac, tag, untagged
from netns import NetNamespace
from port_table import assert_balanced, counters, drops, exchange
from switch_process import Switch, is_original, switch_program
from vde_client import VdeClient
from waiting import wait_until

Start = Callable[..., Switch]
CANARY = b"\xa5\x5a\xc3"


# -- lengths -------------------------------------------------------------------------------------


def body(size: int) -> bytes:
    """A broadcast frame of exactly that size, with no byte zero, so that padding shows."""
    return broadcast(mac(1), bytes(1 + number % 255 for number in range(size)), size=None)[:size]


@pytest.mark.parametrize("size", [0, 1, 2, 5, 6, 11, 12, 13])
def test_what_is_no_frame_is_dropped(switch: Switch, size: int) -> None:
    sender, receiver = switch.client(), switch.client()
    sender.send(body(size))
    sender.send(broadcast(mac(1), b"the next one"))
    assert receiver.recv() == broadcast(mac(1), b"the next one")
    assert counters(switch.console(), 1) == {"in": 1, "in_bytes": 60, "out": 0, "out_bytes": 0}
    assert switch.log_text().count("\n") <= 1  # the original reports an empty datagram
    assert receiver.recv(0) is None


@pytest.mark.ours
def test_an_empty_datagram_ends_nothing_and_says_nothing(switch: Switch) -> None:
    """libvdeplug 2 sends one when it closes."""
    sender, receiver = switch.client(), switch.client()
    for _ in range(100):
        sender.send(b"")
    sender.send(broadcast(mac(1)))
    assert receiver.recv() == broadcast(mac(1))
    assert switch.log_text() == ""


@pytest.mark.parametrize("size", [14, 15, 16, 17, 18, 33, 59, 60, 61, 64, 590, 1514, 1518])
def test_frames_pass_as_they_are(switch: Switch, size: int) -> None:
    sender, receiver = switch.client(), switch.client()
    sender.send(body(size))
    assert receiver.recv() == body(size)


QEMU = "QEMU user=root pid=1"  # reads frames of any length
PLUG4 = "vdeplug: user=root pid=1"  # libvdeplug 4 reads 9234 bytes
PLUG2 = "vde_plug: user=root PID=1"  # libvdeplug 2 and those nobody knows: a standard frame


@pytest.mark.ours
@pytest.mark.parametrize(
    "description, size",
    [
        (QEMU, 1519),
        (QEMU, 4014),
        (QEMU, 9018),
        (QEMU, 16384),
        (QEMU, 32768),
        (QEMU, 65535),
        (QEMU, 65549),
        (QEMU, 69632),
        ("VirtualBOX user=root pid=1", 9018),
        ("VirtualBOX user=root pid=1", 16384),
        (PLUG4, 1522),
        (PLUG4, 9018),
        (PLUG4, 9234),
        (PLUG2, 1519),
        (PLUG2, 1522),
        ("", 1522),
    ],
)
def test_giants_pass_whole(switch: Switch, description: str, size: int) -> None:
    sender, receiver = switch.client(), switch.client(description=description)
    sender.send(body(size))
    assert receiver.recv() == body(size)


@pytest.mark.ours
@pytest.mark.parametrize(
    "description, size",
    [
        ("VirtualBOX user=root pid=1", 16385),
        (PLUG4, 9235),
        (PLUG2, 1523),
        ("", 1523),
        ("", 9018),
        ("", 65535),
    ],
)
def test_giants_the_receiver_would_cut_are_dropped_and_counted(
    switch: Switch, description: str, size: int
) -> None:
    sender, small, large = (
        switch.client(),
        switch.client(description=description),
        switch.client(description=QEMU),
    )
    sender.send(body(size))
    sender.send(broadcast(mac(1)))
    assert small.recv() == broadcast(mac(1))
    assert large.recv() == body(size)
    assert drops(switch.console(), 2) == {"exceeds_receiver": 1}
    assert_balanced(switch.console())


@pytest.mark.ours
def test_the_largest_datagrams_pass_at_speed(switch: Switch) -> None:
    sender, receiver = switch.client(), switch.client(description=QEMU)
    for number in range(200):
        sender.send(broadcast(mac(1), number.to_bytes(4, "big"), size=65535))
        assert receiver.recv() == broadcast(mac(1), number.to_bytes(4, "big"), size=65535)


@pytest.mark.ours
@pytest.mark.parametrize("size", [69633, 80000, 150000])
def test_what_is_longer_than_any_frame_is_dropped_and_counted_never_cut(
    switch: Switch, size: int
) -> None:
    sender, receiver = switch.client(), switch.client()
    sender.send(body(size))
    sender.send(broadcast(mac(1)))
    assert receiver.recv() == broadcast(mac(1))
    assert drops(switch.console(), 1) == {"too_long": 1}


def test_short_frames_carry_no_bytes_of_others(switch: Switch) -> None:
    """A runt after frames full of a canary arrives as it was sent, no stale bytes behind it."""
    loud, quiet, receiver = switch.client(), switch.client(), switch.client()
    for size in range(14, 60):
        for _ in range(4):
            loud.send(broadcast(mac(1), CANARY * 400, size=None))
        quiet.send(body(size))
        short = [data for data in (receiver.recv() for _ in range(5)) if data and len(data) <= 60]
        assert short in ([body(size)], [body(size).ljust(60, b"\0")])
        quiet.drain()


@pytest.mark.ours
@pytest.mark.root
def test_short_frames_towards_a_tap_carry_no_bytes_of_others(
    start_switch: Start, namespace: NetNamespace
) -> None:
    switch = start_switch("-t", "lydt0", netns=namespace.name)
    namespace.ip("link", "set", "lydt0", "up")
    with namespace.packet_socket("lydt0") as tap:
        tap.settimeout(2.0)
        sender = switch.client()
        wait_until("interface runs", lambda: "LOWER_UP" in namespace.ip("link", "show", "lydt0"))
        for size in (14, 20, 46, 59):
            for _ in range(4):
                sender.send(broadcast(mac(1), CANARY * 400, size=None))
            sender.send(body(size))
            *_, last = [tap.recv(4000) for _ in range(5)]
            assert last.ljust(60, b"\0") == body(size).ljust(60, b"\0")


def test_order_is_kept(switch: Switch) -> None:
    sender, receiver = switch.client(), switch.client()
    for number in range(2000):
        sender.send(broadcast(mac(1), number.to_bytes(4, "big")))
        if number % 50 == 49:
            got = [receiver.recv() for _ in range(50)]
            assert got == [
                broadcast(mac(1), (number - 49 + at).to_bytes(4, "big")) for at in range(50)
            ]


# -- VLANs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A frame from a port, and what leaves: port -> the tags it has there."""

    what: str
    port: int
    tags: bytes
    out: dict[int, bytes]
    fixed: bool = False  # the original does it wrong


T10, T20, T30 = tag(10), tag(20), tag(30)
ROWS = (
    Row("untagged from an access port", 1, b"", {2: b"", 3: T10, 5: T10}),
    Row(
        "tagged from a trunk keeps its priority on trunks",
        3,
        tag(10, pcp=5),
        {1: b"", 2: b"", 5: tag(10, pcp=5)},
    ),
    Row(
        "and its drop eligibility",
        3,
        tag(10, pcp=7, dei=1),
        {1: b"", 2: b"", 5: tag(10, pcp=7, dei=1)},
    ),
    Row("another VLAN of the trunk", 3, T20, {4: b""}),
    Row("untagged from a trunk", 3, b"", {6: b""}),
    Row("VLAN that does not exist", 3, T30, {}),
    Row("VLAN the access port is not in", 1, T20, {}),
    Row("tagged with the VLAN of the access port", 1, T10, {2: b"", 3: T10, 5: T10}),
    Row("and with priority", 1, tag(10, pcp=3), {2: b"", 3: tag(10, pcp=3), 5: tag(10, pcp=3)}),
    Row("untagged where no untagged VLAN is", 5, b"", {}),
    Row("VID 4095", 3, tag(4095), {}),
    Row("VID 4095 where it means no VLAN", 5, tag(4095), {}),
    Row("priority tag in VLAN 0", 6, tag(0, pcp=6), {3: b""}),
    Row(
        "priority tag on an access port",
        1,
        tag(0, pcp=6),
        {2: b"", 3: tag(10, pcp=6), 5: tag(10, pcp=6)},
        fixed=True,
    ),
    Row("priority tag where no untagged VLAN is", 5, tag(0), {}),
    Row("88a8 is no tag", 3, tag(10, tpid=QINQ), {6: tag(10, tpid=QINQ)}),
    Row("88a8 and a tag inside", 3, tag(10, tpid=QINQ) + T20, {6: tag(10, tpid=QINQ) + T20}),
    Row("only the outer tag counts", 3, T10 + T20, {1: T20, 2: T20, 5: T10 + T20}),
    Row(
        "double tag from an access port of the outer VLAN",
        1,
        T10 + T20,
        {2: T20, 3: T10 + T20, 5: T10 + T20},
    ),
    Row("double tag from an access port of another VLAN", 6, T10 + T20, {}),
)


# The original cuts frames that are longer than 1518 bytes with their tags.
@pytest.fixture(
    params=[
        100,
        pytest.param(1514, marks=pytest.mark.ours),
        pytest.param(9000, marks=pytest.mark.ours),
    ]
)
def vlan_lab(
    start_switch: Start, request: pytest.FixtureRequest
) -> tuple[Console, dict[int, VdeClient], int]:
    """Ports 1, 2: VLAN 10; 3: trunk (0, tagged 10, 20); 4: VLAN 20; 5: tagged 10; 6: VLAN 0."""
    switch = start_switch()
    console = switch.console()
    clients = {
        number: switch.client(port=number, description="QEMU user=root pid=1")
        for number in range(1, 7)
    }
    for command in (
        "vlan/create 10",
        "vlan/create 20",
        "port/setvlan 1 10",
        "port/setvlan 2 10",
        "vlan/addport 10 3",
        "vlan/addport 20 3",
        "port/setvlan 4 20",
        "port/setvlan 5 4095",
        "vlan/addport 10 5",
    ):
        console.check(command)
    return console, clients, request.param


def test_vlan_table(vlan_lab: tuple[Console, dict[int, VdeClient], int]) -> None:
    console, clients, size = vlan_lab
    wrong = []
    for row in (row for row in ROWS if not (row.fixed and is_original(switch_program()))):

        def data(tags: bytes, payload: bytes = row.what.encode()) -> bytes:
            return frame(BROADCAST, mac(100), payload, tags=tags, kind=IPV4, size=size)

        exchange(clients[row.port], data(row.tags), console)
        for port, client in clients.items():
            wanted = [data(row.out[port])] if port in row.out else []
            got = client.drain(0.001)
            if got != wanted:
                wrong.append(
                    f"{row.what}: at port {port} {[(len(one), one[12:24].hex()) for one in got]}"
                )
    assert wrong == []


def test_unicast_to_a_station_behind_a_trunk_goes_there_alone(
    vlan_lab: tuple[Console, dict[int, VdeClient], int]
) -> None:
    console, clients, size = vlan_lab
    exchange(clients[3], broadcast(mac(7), tags=T10), console)
    for client in clients.values():
        client.drain()
    exchange(clients[1], frame(mac(7), mac(1), size=size), console)
    assert {port: client.drain(0.001) for port, client in clients.items()} == {
        1: [],
        2: [],
        3: [frame(mac(7), mac(1), size=size, tags=T10)],
        4: [],
        5: [],
        6: [],
    }


def test_one_address_in_two_vlans_is_two_stations(
    vlan_lab: tuple[Console, dict[int, VdeClient], int]
) -> None:
    console, clients, _ = vlan_lab
    exchange(clients[1], broadcast(mac(7)), console)
    exchange(clients[4], broadcast(mac(7)), console)
    assert " VLAN 0010 to port: 001 " in str(console.check("hash/print"))
    assert " VLAN 0020 to port: 004 " in str(console.check("hash/print"))
    for client in clients.values():
        client.drain()
    exchange(clients[3], frame(mac(7), mac(8), tags=T20), console)
    assert [port for port, client in clients.items() if client.drain(0.001)] == [4]
    exchange(clients[3], frame(mac(7), mac(8), tags=T10), console)
    assert [port for port, client in clients.items() if client.drain(0.001)] == [1]


@pytest.mark.ours
@pytest.mark.parametrize("size", [14, 15, 16, 17])
@pytest.mark.parametrize("port", [1, 3, 6])
def test_a_frame_that_ends_inside_its_tag_is_dropped(
    vlan_lab: tuple[Console, dict[int, VdeClient], int], size: int, port: int
) -> None:
    console, clients, _ = vlan_lab
    vid = 0 if port == 6 else 10
    exchange(clients[port], frame(BROADCAST, mac(1), tags=tag(vid), size=None)[:size], console)
    assert [client.drain(0.001) for client in clients.values()] == [[]] * 6
    assert drops(console, port) == {"truncated_tag": 1}


@pytest.mark.ours
def test_the_shortest_tagged_frame_becomes_the_shortest_frame(
    vlan_lab: tuple[Console, dict[int, VdeClient], int]
) -> None:
    console, clients, _ = vlan_lab
    data = frame(BROADCAST, mac(1), tags=T10, size=None)
    assert len(data) == 18
    exchange(clients[3], data, console)
    assert {port: client.drain(0.001) for port, client in clients.items()} == {
        1: [untagged(data)],
        2: [untagged(data)],
        3: [],
        4: [],
        5: [data],
        6: [],
    }


@pytest.mark.ours
def test_vids_up_to_4094_are_vlans(switch: Switch) -> None:
    console = switch.console()
    access, trunk, other = switch.client(), switch.client(), switch.client()
    for command in ("vlan/create 4094", "port/setvlan 1 4094", "vlan/addport 4094 2"):
        console.check(command)
    exchange(access, broadcast(mac(1)), console)
    assert trunk.drain(0.001) == [broadcast(mac(1), tags=tag(4094))]
    exchange(trunk, broadcast(mac(2), tags=tag(4094)), console)
    assert access.drain(0.001) == [broadcast(mac(2))]
    assert other.drain() == []


@pytest.mark.ours
def test_a_port_that_passes_tags_carries_vlans_the_switch_does_not_know(switch: Switch) -> None:
    console = switch.console()
    one, two = switch.client(), switch.client()
    data = broadcast(mac(1), tags=tag(77, pcp=3))
    exchange(one, data, console)
    assert two.drain(0.001) == []
    console.check("port/passtags 1 1")
    exchange(one, data, console)
    assert two.drain(0.001) == [data]
    console.check("port/passtags 1 0")
    exchange(one, data, console)
    assert two.drain(0.001) == []
    assert console.code("port/passtags 9 1") == 1006
    assert console.code("port/passtags 99 1") == 1022
    assert console.code("port/passtags") == 1022


def test_settings_of_a_port_outlive_its_client(switch: Switch) -> None:
    console = switch.console()
    client = switch.client(port=3)
    console.check("vlan/create 10")
    console.check("port/setvlan 3 10")
    client.close()
    wait_until("inactive", lambda: console.code("port/print 3") == 1006)
    again, member = switch.client(port=3), switch.client(port=4)
    console.check("port/setvlan 4 10")
    outside = switch.client(port=5)
    exchange(again, broadcast(mac(1)), console)
    assert member.drain(0.001) == [broadcast(mac(1))]
    assert outside.drain() == []


@pytest.mark.ours
def test_every_dropped_frame_is_counted_by_name(
    vlan_lab: tuple[Console, dict[int, VdeClient], int]
) -> None:
    console, clients, _ = vlan_lab
    assert drops(console, 1) == {}
    exchange(clients[1], broadcast(mac(1), tags=T20), console)
    exchange(clients[1], frame(mac(1), mac(1)), console)
    exchange(clients[1], broadcast(mac(1), tags=tag(4095)), console)
    clients[1].send(b"short")
    exchange(clients[5], broadcast(mac(5)), console)
    exchange(clients[4], broadcast(mac(4)), console)
    wait_until("short frame counted", lambda: "too_short" in drops(console, 1))
    assert drops(console, 1) == {
        "not_member": 1,
        "same_port": 1,
        "reserved_vlan": 1,
        "too_short": 1,
    }
    assert drops(console, 5) == {"no_native_vlan": 1}
    every = console.check("port/drops")
    assert [line for line in every if line.startswith("Port ")] == [
        f"Port {number:04d}" for number in range(1, 7)
    ]
    assert_balanced(console)
    console.check("port/resetcounter 1")
    assert drops(console, 1) == {}


# -- hub -----------------------------------------------------------------------------------------


def test_a_hub_repeats_everything_untouched(start_switch: Start) -> None:
    switch = start_switch("--hub")
    console = switch.console()
    one, two, three = switch.client(), switch.client(), switch.client()
    frames = [
        broadcast(mac(1)),
        frame(mac(1), mac(1)),
        frame(mac(2), mac(1)),
        frame(mac(9), mac(1), tags=tag(77, 5, 1)),
        broadcast(mac(1), tags=tag(4095)),
        broadcast(mac(1), tags=tag(0)),
        broadcast(mac(1), tags=T10 + T20),
        frame(BROADCAST, mac(1), tags=T10, size=None)[:16],
        body(14),
        frame(b"\x01\x80\xc2\0\0\0", mac(1)),
        frame(mac(2), BROADCAST),
        frame(b"\0" * 6, b"\0" * 6),
    ]
    for data in frames:
        one.send(data)
        assert two.recv() == data
        assert three.recv() == data
    assert one.drain() == []
    assert console.check("hash/print") == []
