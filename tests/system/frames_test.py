# SPDX-License-Identifier: MIT
"""What happens to a frame: lengths, tags, addresses, the MAC table, and where the dropped ones are counted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from console import Console, assert_balanced
from frames import BROADCAST, IPV4, QINQ, broadcast, frame, mac, mac_text, tag, untagged
from netns import NetNamespace
from switch_process import Switch, is_original, switch_program
from vde_client import VdeClient
from waiting import wait_until

Start = Callable[..., Switch]
CANARY = b"\xa5\x5a\xc3"


def counters(console: Console, port: int) -> dict[str, int]:
    """The four numbers that port/print shows: frames and bytes, in and out."""
    numbers = [int(word) for line in console.check(f"port/print {port}")[2:4] for word in re.findall(r"\d+", line)]
    return dict(zip(("in", "in_bytes", "out", "out_bytes"), numbers, strict=True))


def drops(console: Console, port: int) -> dict[str, int]:
    """The named drop counters of a port that are not zero."""
    head, *lines = console.check(f"port/drops {port}")
    assert head == f"Port {port:04d}"
    words = [line.split() for line in lines]
    return {name: int(count) for _, name, count, *_ in words}


def exchange(sender: VdeClient, data: bytes, console: Console) -> None:
    """Sends a frame and waits until the switch has taken it."""
    before = counters(console, sender.port)["in"]
    sender.send(data)
    wait_until("frame taken", lambda: counters(console, sender.port)["in"] > before, step=0.001)


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
@pytest.mark.parametrize("description, size", [
    (QEMU, 1519), (QEMU, 4014), (QEMU, 9018), (QEMU, 16384), (QEMU, 32768), (QEMU, 65535), (QEMU, 65549), (QEMU, 69632),
    ("VirtualBOX user=root pid=1", 9018), ("VirtualBOX user=root pid=1", 16384), (PLUG4, 1522), (PLUG4, 9018), (PLUG4, 9234),
    (PLUG2, 1519), (PLUG2, 1522), ("", 1522)])
def test_giants_pass_whole(switch: Switch, description: str, size: int) -> None:
    sender, receiver = switch.client(), switch.client(description=description)
    sender.send(body(size))
    assert receiver.recv() == body(size)


@pytest.mark.ours
@pytest.mark.parametrize("description, size", [("VirtualBOX user=root pid=1", 16385), (PLUG4, 9235), (PLUG2, 1523), ("", 1523),
                                               ("", 9018), ("", 65535)])
def test_giants_the_receiver_would_cut_are_dropped_and_counted(switch: Switch, description: str, size: int) -> None:
    sender, small, large = switch.client(), switch.client(description=description), switch.client(description=QEMU)
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
def test_what_is_longer_than_any_frame_is_dropped_and_counted_never_cut(switch: Switch, size: int) -> None:
    sender, receiver = switch.client(), switch.client()
    sender.send(body(size))
    sender.send(broadcast(mac(1)))
    assert receiver.recv() == broadcast(mac(1))
    assert drops(switch.console(), 1) == {"too_long": 1}


def test_short_frames_carry_no_bytes_of_others(switch: Switch) -> None:
    """A runt after frames full of a canary: it must arrive as it was sent, without stale bytes behind it."""
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
def test_short_frames_towards_a_tap_carry_no_bytes_of_others(start_switch: Start, namespace: NetNamespace) -> None:
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
            assert got == [broadcast(mac(1), (number - 49 + at).to_bytes(4, "big")) for at in range(50)]


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
    Row("tagged from a trunk keeps its priority on trunks", 3, tag(10, pcp=5),
        {1: b"", 2: b"", 5: tag(10, pcp=5)}),
    Row("and its drop eligibility", 3, tag(10, pcp=7, dei=1), {1: b"", 2: b"", 5: tag(10, pcp=7, dei=1)}),
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
    Row("priority tag on an access port", 1, tag(0, pcp=6), {2: b"", 3: tag(10, pcp=6), 5: tag(10, pcp=6)},
        fixed=True),
    Row("priority tag where no untagged VLAN is", 5, tag(0), {}),
    Row("88a8 is no tag", 3, tag(10, tpid=QINQ), {6: tag(10, tpid=QINQ)}),
    Row("88a8 and a tag inside", 3, tag(10, tpid=QINQ) + T20, {6: tag(10, tpid=QINQ) + T20}),
    Row("only the outer tag counts", 3, T10 + T20, {1: T20, 2: T20, 5: T10 + T20}),
    Row("double tag from an access port of the outer VLAN", 1, T10 + T20, {2: T20, 3: T10 + T20, 5: T10 + T20}),
    Row("double tag from an access port of another VLAN", 6, T10 + T20, {}),
)


# The original cuts frames that are longer than 1518 bytes with their tags.
@pytest.fixture(params=[100, pytest.param(1514, marks=pytest.mark.ours), pytest.param(9000, marks=pytest.mark.ours)])
def vlan_lab(start_switch: Start, request: pytest.FixtureRequest) -> tuple[Console, dict[int, VdeClient], int]:
    """Ports 1, 2: VLAN 10; 3: trunk (0, tagged 10, 20); 4: VLAN 20; 5: only tagged 10; 6: VLAN 0."""
    switch = start_switch()
    console = switch.console()
    clients = {number: switch.client(port=number, description="QEMU user=root pid=1") for number in range(1, 7)}
    for command in ("vlan/create 10", "vlan/create 20", "port/setvlan 1 10", "port/setvlan 2 10", "vlan/addport 10 3",
                    "vlan/addport 20 3", "port/setvlan 4 20", "port/setvlan 5 4095", "vlan/addport 10 5"):
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
                wrong.append(f"{row.what}: at port {port} {[(len(one), one[12:24].hex()) for one in got]}")
    assert wrong == []


def test_unicast_to_a_station_behind_a_trunk_goes_there_alone(vlan_lab: tuple[Console, dict[int, VdeClient], int]) -> None:
    console, clients, size = vlan_lab
    exchange(clients[3], broadcast(mac(7), tags=T10), console)
    for client in clients.values():
        client.drain()
    exchange(clients[1], frame(mac(7), mac(1), size=size), console)
    assert {port: client.drain(0.001) for port, client in clients.items()} == {
        1: [], 2: [], 3: [frame(mac(7), mac(1), size=size, tags=T10)], 4: [], 5: [], 6: []}


def test_one_address_in_two_vlans_is_two_stations(vlan_lab: tuple[Console, dict[int, VdeClient], int]) -> None:
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
def test_a_frame_that_ends_inside_its_tag_is_dropped(vlan_lab: tuple[Console, dict[int, VdeClient], int], size: int,
                                                     port: int) -> None:
    console, clients, _ = vlan_lab
    vid = 0 if port == 6 else 10
    exchange(clients[port], frame(BROADCAST, mac(1), tags=tag(vid), size=None)[:size], console)
    assert [client.drain(0.001) for client in clients.values()] == [[]] * 6
    assert drops(console, port) == {"truncated_tag": 1}


@pytest.mark.ours
def test_the_shortest_tagged_frame_becomes_the_shortest_frame(vlan_lab: tuple[Console, dict[int, VdeClient], int]) -> None:
    console, clients, _ = vlan_lab
    data = frame(BROADCAST, mac(1), tags=T10, size=None)
    assert len(data) == 18
    exchange(clients[3], data, console)
    assert {port: client.drain(0.001) for port, client in clients.items()} == {
        1: [untagged(data)], 2: [untagged(data)], 3: [], 4: [], 5: [data], 6: []}


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


# -- hub -----------------------------------------------------------------------------------------

def test_a_hub_repeats_everything_untouched(start_switch: Start) -> None:
    switch = start_switch("--hub")
    console = switch.console()
    one, two, three = switch.client(), switch.client(), switch.client()
    frames = [broadcast(mac(1)), frame(mac(1), mac(1)), frame(mac(2), mac(1)), frame(mac(9), mac(1), tags=tag(77, 5, 1)),
              broadcast(mac(1), tags=tag(4095)), broadcast(mac(1), tags=tag(0)), broadcast(mac(1), tags=T10 + T20),
              frame(BROADCAST, mac(1), tags=T10, size=None)[:16], body(14), frame(b"\x01\x80\xc2\0\0\0", mac(1)),
              frame(mac(2), BROADCAST), frame(b"\0" * 6, b"\0" * 6)]
    for data in frames:
        one.send(data)
        assert two.recv() == data
        assert three.recv() == data
    assert one.drain() == []
    assert console.check("hash/print") == []


# -- addresses and the MAC table -----------------------------------------------------------------

def entries(console: Console) -> dict[str, int]:
    """What the MAC table holds: address -> port."""
    return {line.split()[3]: int(re.findall(r"port: (\d+)", line)[0]) for line in console.check("hash/print")}


@pytest.mark.ours
@pytest.mark.parametrize("source", [BROADCAST, b"\x01\0\x5e\0\0\x01", b"\x33\x33\0\0\0\x01", b"\x01\x80\xc2\0\0\0",
                                    b"\0" * 6], ids=mac_text)
def test_group_and_zero_sources_are_never_learned_but_pass(switch: Switch, source: bytes) -> None:
    one, two = switch.client(), switch.client()
    console = switch.console()
    exchange(one, frame(BROADCAST, source), console)
    assert two.drain(0.001) == [frame(BROADCAST, source)]
    assert entries(console) == {}


def test_the_switchs_own_address_is_an_address_like_others(start_switch: Start) -> None:
    switch = start_switch("--macaddr", "00:ff:01:02:03:04")
    own = bytes.fromhex("00ff01020304")
    one, two, three = switch.client(), switch.client(), switch.client()
    console = switch.console()
    exchange(one, frame(BROADCAST, own), console)
    exchange(two, frame(own, mac(2)), console)
    assert len(two.drain(0.001)) == 1
    assert len(one.drain(0.001)) == 1
    assert len(three.drain(0.001)) >= 1


@pytest.mark.parametrize("last", range(16))
def test_reserved_group_addresses_are_flooded(switch: Switch, last: int) -> None:
    one, two, three = switch.client(), switch.client(), switch.client()
    data = frame(b"\x01\x80\xc2\0\0" + bytes([last]), mac(1))
    one.send(data)
    assert two.recv() == three.recv() == data


def test_unicast_goes_where_the_station_is(switch: Switch) -> None:
    console = switch.console()
    one, two, three = switch.client(), switch.client(), switch.client()
    exchange(two, broadcast(mac(2)), console)
    assert one.drain(0.001) == three.drain(0.001) == [broadcast(mac(2))]
    exchange(one, frame(mac(2), mac(1)), console)
    exchange(one, frame(mac(77), mac(1)), console)
    exchange(one, frame(mac(1), mac(1)), console)
    assert two.drain(0.001) == [frame(mac(2), mac(1)), frame(mac(77), mac(1))]
    assert three.drain(0.001) == [frame(mac(77), mac(1))]
    assert one.drain(0.001) == []
    assert entries(console) == {mac_text(mac(1)): 1, mac_text(mac(2)): 2}


def test_a_station_stays_where_it_was_seen_for_the_minimum_persistence(switch: Switch) -> None:
    console = switch.console()
    console.check("hash/setminper 1000")
    one, two, three = switch.client(), switch.client(), switch.client()
    exchange(one, broadcast(mac(7)), console)
    for number in range(5):
        exchange(two, broadcast(mac(7), b"from 2, %d" % number), console)
    assert entries(console) == {mac_text(mac(7)): 1}
    assert len(three.drain(0.001)) == 6  # the frames themselves are not held back
    assert f"MAC {mac_text(mac(7))} moved from port 1 to port 2" in switch.log_text()


def test_a_station_moves_after_the_minimum_persistence(switch: Switch) -> None:
    console = switch.console()
    console.check("hash/setminper 1")
    one, two = switch.client(), switch.client()
    exchange(one, broadcast(mac(7)), console)
    start = time.monotonic()

    def moved() -> bool:
        exchange(two, broadcast(mac(7)), console)
        return entries(console) == {mac_text(mac(7)): 2}

    wait_until("station moved to port 2", moved, timeout=4.0, step=0.05)
    assert time.monotonic() - start > 0.5


@pytest.mark.ours
def test_the_log_of_moves_is_limited_and_hints_at_qemus_default_address(switch: Switch) -> None:
    console = switch.console()
    console.check("hash/setminper 1000")
    one, two, _ = switch.client(), switch.client(), switch.client()
    usual = bytes.fromhex("525400123456")
    exchange(one, broadcast(usual), console)
    for _ in range(300):
        two.send(broadcast(usual))
    wait_until("frames taken", lambda: counters(console, 2)["in"] == 300)
    log = switch.log_text()
    assert "MAC 52:54:00:12:34:56 moved from port 1 to port 2" in log
    assert 1 <= log.count("\n") < 50
    assert "mac=" in log  # how to give each QEMU its own


@pytest.mark.ours
def test_stations_are_forgotten_when_unseen(switch: Switch) -> None:
    console = switch.console()
    console.check("hash/setgcint 1")
    console.check("hash/setexpire 1")
    one, two, three = switch.client(), switch.client(), switch.client()
    exchange(one, broadcast(mac(1)), console)
    wait_until("forgotten", lambda: entries(console) == {}, timeout=6.0)
    two.drain()
    three.drain()
    exchange(two, frame(mac(1), mac(2)), console)
    assert three.drain(0.001) == [frame(mac(1), mac(2))]


def test_a_station_that_talks_is_not_forgotten(switch: Switch) -> None:
    console = switch.console()
    console.check("hash/setgcint 1")
    console.check("hash/setexpire 1")
    one, two = switch.client(), switch.client()
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        exchange(one, broadcast(mac(1)), console)
        two.drain()
        assert mac_text(mac(1)) in entries(console)
        time.sleep(0.1)  # the time that passes is what is tested


def test_new_hash_size_empties_the_table_and_works(switch: Switch) -> None:
    console = switch.console()
    one, two = switch.client(), switch.client()
    for number in range(300):
        one.send(broadcast(mac(number)))
        assert two.recv() is not None
    assert len(entries(console)) == 300
    console.check("hash/setsize 16")
    assert entries(console) == {}
    for number in range(300):
        one.send(broadcast(mac(number)))
        assert two.recv() is not None
    assert len(entries(console)) == 300


@pytest.mark.ours
def test_a_changed_vlan_forgets_the_stations_of_the_port(switch: Switch) -> None:
    console = switch.console()
    one, two = switch.client(), switch.client()
    exchange(one, broadcast(mac(1)), console)
    exchange(two, broadcast(mac(2)), console)
    console.check("vlan/create 10")
    console.check("port/setvlan 1 10")
    assert entries(console) == {mac_text(mac(2)): 2}


# -- counters and named drops --------------------------------------------------------------------

def test_counters_count_frames_and_bytes_at_the_port(switch: Switch) -> None:
    console = switch.console()
    one, two = switch.client(), switch.client()
    for size in (60, 100, 1514):
        exchange(one, body(size), console)
    exchange(two, frame(mac(1), mac(2)), console)
    assert counters(console, 1) == {"in": 3, "in_bytes": 1674, "out": 1, "out_bytes": 60}
    assert counters(console, 2) == {"in": 1, "in_bytes": 60, "out": 3, "out_bytes": 1674}
    console.check("port/resetcounter 1")
    assert counters(console, 1) == {"in": 0, "in_bytes": 0, "out": 0, "out_bytes": 0}
    assert counters(console, 2)["out"] == 3


@pytest.mark.ours
def test_every_dropped_frame_is_counted_by_name(vlan_lab: tuple[Console, dict[int, VdeClient], int]) -> None:
    console, clients, _ = vlan_lab
    assert drops(console, 1) == {}
    exchange(clients[1], broadcast(mac(1), tags=T20), console)
    exchange(clients[1], frame(mac(1), mac(1)), console)
    exchange(clients[1], broadcast(mac(1), tags=tag(4095)), console)
    clients[1].send(b"short")
    exchange(clients[5], broadcast(mac(5)), console)
    exchange(clients[4], broadcast(mac(4)), console)
    wait_until("short frame counted", lambda: "too_short" in drops(console, 1))
    assert drops(console, 1) == {"not_member": 1, "same_port": 1, "reserved_vlan": 1, "too_short": 1}
    assert drops(console, 5) == {"no_native_vlan": 1}
    every = console.check("port/drops")
    assert [line for line in every if line.startswith("Port ")] == [f"Port {number:04d}" for number in range(1, 7)]
    assert_balanced(console)
    console.check("port/resetcounter 1")
    assert drops(console, 1) == {}


@pytest.mark.ours
def test_the_last_port_of_a_vlan_talks_to_nobody(switch: Switch) -> None:
    console = switch.console()
    exchange(switch.client(), broadcast(mac(1)), console)
    assert drops(console, 1) == {"no_receiver": 1}


@pytest.mark.ours
def test_a_receiver_that_never_reads_costs_only_itself_and_its_drops_are_counted(switch: Switch) -> None:
    console = switch.console()
    sender, deaf, well = switch.client(), switch.client(), switch.client()
    count = 6000
    for number in range(count):
        sender.send(broadcast(mac(1), number.to_bytes(4, "big"), size=1514))
        assert well.recv() == broadcast(mac(1), number.to_bytes(4, "big"), size=1514)
    assert_balanced(console)
    lost = drops(console, 2)
    assert set(lost) == {"queue_full"}
    assert drops(console, 3) == {}
    # What is not dropped is queued or in the socket; reading gives exactly those, in order.
    got = [int.from_bytes(data[14:18], "big") for data in deaf.drain(0.2)]
    assert len(got) + lost["queue_full"] == count
    assert got == sorted(got)
    assert counters(console, 2)["out"] == count
    assert_balanced(console)
    sender.send(broadcast(mac(1), b"again"))
    assert deaf.recv() == broadcast(mac(1), b"again")


@pytest.mark.ours
def test_the_queue_of_a_port_can_be_set(switch: Switch) -> None:
    console = switch.console()
    switch.client(), switch.client()
    console.check("port/setqueue 1 65536")
    assert console.code("port/setqueue 9 65536") == 1006
    assert console.code("port/setqueue 99 65536") == 1022
    assert console.code("port/setqueue") == 1022
    assert console.code("port/setqueue 1 -5") == 1022
