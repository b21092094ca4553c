# SPDX-License-Identifier: MIT
"""Where stations are: the MAC table, moves, ageing; and the books: counters, queues, drops."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from console import Console
from frames import BROADCAST, broadcast, frame, mac, mac_text
from port_table import assert_balanced, counters, drops, exchange
from switch_process import Switch
from waiting import wait_until

Start = Callable[..., Switch]


# -- addresses and the MAC table -----------------------------------------------------------------


def entries(console: Console) -> dict[str, int]:
    """What the MAC table holds: address -> port."""
    return {
        line.split()[3]: int(re.findall(r"port: (\d+)", line)[0])
        for line in console.check("hash/print")
    }


@pytest.mark.ours
@pytest.mark.parametrize(
    "source",
    [BROADCAST, b"\x01\0\x5e\0\0\x01", b"\x33\x33\0\0\0\x01", b"\x01\x80\xc2\0\0\0", b"\0" * 6],
    ids=mac_text,
)
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
        exchange(one, broadcast(mac(1), size=size), console)
    exchange(two, frame(mac(1), mac(2)), console)
    assert counters(console, 1) == {"in": 3, "in_bytes": 1674, "out": 1, "out_bytes": 60}
    assert counters(console, 2) == {"in": 1, "in_bytes": 60, "out": 3, "out_bytes": 1674}
    console.check("port/resetcounter 1")
    assert counters(console, 1) == {"in": 0, "in_bytes": 0, "out": 0, "out_bytes": 0}
    assert counters(console, 2)["out"] == 3


@pytest.mark.ours
def test_the_last_port_of_a_vlan_talks_to_nobody(switch: Switch) -> None:
    console = switch.console()
    exchange(switch.client(), broadcast(mac(1)), console)
    assert drops(console, 1) == {"no_receiver": 1}


@pytest.mark.ours
def test_a_receiver_that_never_reads_costs_only_itself_and_its_drops_are_counted(
    switch: Switch,
) -> None:
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
