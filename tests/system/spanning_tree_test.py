# SPDX-License-Identifier: MIT
"""Rings of real switches: three of ours, ours with the packaged vde_switch, ours with a Linux bridge. A station on
each sends numbered broadcasts; whoever gets one twice has found a loop."""

from __future__ import annotations

import contextlib
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from client_process import ClientProcess, need_original, need_programs
from frames import broadcast, mac
from netns import NetNamespace
from switch_process import ORIGINAL, Switch
from vde_client import VdeClient
from waiting import wait_until

STATION_PORT = 20  # above those that cables take
MARK = b"ring"


class Station:
    """A client of a switch, at an edge port, that knows what it got."""

    def __init__(self, switch: Switch, number: int) -> None:
        self.number = number
        self.client = VdeClient(switch.ctl_dir, port=STATION_PORT)
        self.got: Counter[tuple[int, int]] = Counter()

    def send(self, sequence: int) -> None:
        payload = MARK + struct.pack("!II", self.number, sequence)
        self.client.send(broadcast(mac(self.number), payload.ljust(46, b"\0")))

    def read(self) -> None:
        for data in self.client.drain():
            if data[14:18] == MARK:
                self.got[struct.unpack("!II", data[18:26])] += 1

    def close(self) -> None:
        self.client.close()


class Ring:
    """Switches, a cable between each two that are neighbours, and a station on every switch."""

    def __init__(self, stack: contextlib.ExitStack, switches: Sequence[Switch]) -> None:
        self.switches = switches
        self.stations = []
        self.sequence = 0
        self.stack = stack
        for number, switch in enumerate(switches, 1):
            assert switch.console().run(f"fstp/setedge 0 {STATION_PORT} 1").ok
            station = Station(switch, number)
            stack.callback(station.close)
            self.stations.append(station)

    def join(self, a: int, b: int) -> ClientProcess:
        joined = cable(self.switches[a], self.switches[b])
        self.stack.callback(joined.close)
        return joined

    def round(self) -> None:
        """Every station sends one frame, and a little later all read."""
        self.sequence += 1
        for station in self.stations:
            station.send(self.sequence)
        time.sleep(0.01)  # a beat of the measurement, nothing is waited for
        for station in self.stations:
            station.read()

    def connected(self) -> bool:
        """Whether what was sent last has come to everybody else."""
        self.round()
        return all(
            station.got[(other.number, self.sequence)] > 0
            for station in self.stations
            for other in self.stations
            if other is not station
        )

    def wait_connected(self, timeout: float) -> float:
        start = time.monotonic()
        wait_until("a tree that joins all", self.connected, timeout=timeout, step=0.01)
        return time.monotonic() - start

    def forget(self) -> None:
        for station in self.stations:
            station.read()
            station.got.clear()

    def assert_no_copies(self, of_each: int = 1) -> None:
        for station in self.stations:
            copies = {key: count for key, count in station.got.items() if count > of_each}
            assert not copies, f"station {station.number} got frames more than once: {copies}"
            own = {key: count for key, count in station.got.items() if key[0] == station.number}
            assert all(count < of_each for count in own.values()), f"station {station.number} got its own: {own}"

    def assert_nothing_circulates(self) -> None:
        """A frame that was on a cable while the tree changed may come once more; one in a loop comes again and
        again."""
        self.assert_no_copies(of_each=2)


def blocked(switches: Sequence[Switch]) -> int:
    lines = [line for switch in switches for line in switch.console().check("vlan/print")]
    return sum("status=Discarding" in line for line in lines)


def cable(a: Switch, b: Switch) -> ClientProcess:
    return ClientProcess("dpipe", "vde_plug", a.ctl_dir, "=", "vde_plug", b.ctl_dir)


@contextlib.contextmanager
def ring_of(*programs: object) -> Iterator[tuple[Ring, dict[tuple[int, int], ClientProcess]]]:
    need_programs("dpipe", "vde_plug")
    with contextlib.ExitStack() as stack:
        switches = [
            stack.enter_context(Switch("-F", "--priority", f"{0x1000 * (i + 1):#x}", program=program))
            for i, program in enumerate(programs)
        ]
        ring = Ring(stack, switches)
        yield ring, {(a, b): ring.join(a, b) for a, b in ((0, 1), (1, 2), (0, 2))}


def test_a_triangle_survives_the_loss_of_any_cable_and_never_loops() -> None:
    with ring_of(None, None, None) as (ring, cables):

        def whole() -> bool:
            return ring.connected() and blocked(ring.switches) == 1

        wait_until("one blocked port", whole, timeout=15)
        for ends, lost in list(cables.items()):
            ring.forget()
            lost.close()
            # Some hundredths of a second, a tenth on a busy machine; the engine alone: rstp_property_test.cpp.
            took = ring.wait_connected(10)
            assert took < 1.0, f"without the cable {ends} it took {took:.2f} s"
            cables[ends] = ring.join(*ends)
            wait_until("one blocked port", whole, timeout=15)
            ring.assert_nothing_circulates()
        ring.forget()
        for _ in range(20):
            ring.wait_connected(5)
        ring.assert_no_copies()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_ours_replace_all_but_one_of_the_originals(place: int) -> None:
    """The original may be the root, in the middle, or the one whose cable is blocked."""
    need_original()
    programs: list[object] = [None, None, None]
    programs[place] = ORIGINAL
    with ring_of(*programs) as (ring, cables):
        ring.wait_connected(15)
        wait_until("a blocked port", lambda: blocked(ring.switches) >= 1, timeout=15)
        # The original forwards before it knows better; what circulated at the start is not ours.
        wait_until("a quiet ring", lambda: quiet(ring), timeout=15)
        ring.forget()
        for _ in range(20):
            ring.wait_connected(5)
        ring.assert_no_copies()
        cables[(0, 1)].close()
        assert ring.wait_connected(20) < 5.0
        ring.assert_nothing_circulates()


def quiet(ring: Ring) -> bool:
    ring.forget()
    if not ring.connected():
        return False
    return all(count == 1 for station in ring.stations for count in station.got.values())


@pytest.mark.root
def test_a_linux_bridge_with_stp_in_the_ring() -> None:
    need_programs("dpipe", "vde_plug", "ip")
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(NetNamespace())
        made = net.ip("link", "add", "br0", "type", "bridge", "stp_state", "1", "forward_delay", "200",
                      "hello_time", "100", "max_age", "600", "priority", "4096", check=False)
        if "br0" not in net.links():
            pytest.skip(f"no bridge in this kernel: {made}")
        net.ip("link", "set", "br0", "up")
        switches = [stack.enter_context(Switch("-F", "-t", f"tap{i}", netns=net.name)) for i in (1, 2)]
        for i in (1, 2):
            net.ip("link", "set", f"tap{i}", "master", "br0")
            net.ip("link", "set", f"tap{i}", "up")
        ring = Ring(stack, switches)
        stack.callback(cable(switches[0], switches[1]).close)

        def root_is_linux() -> bool:
            return all("ROOTSWITCH" not in switch.console().check("fstp/print 0")[0] for switch in switches)

        wait_until("the Linux bridge is the root", root_is_linux, timeout=20)
        wait_until("the ring is cut in one place", lambda: ring.connected() and blocked(switches) == 1, timeout=30)
        ring.forget()
        for _ in range(20):
            ring.wait_connected(5)
        ring.assert_no_copies()
        # One way to the root is lost without a word: its information dies after three hellos.
        net.ip("link", "set", "tap1", "nomaster")
        # It takes about 8 s: three hellos, and two forward delays of the root's (802.1D-2004 17.21.23, 17.20.6). But a
        # switch that hears nothing for three hellos, as on a machine that is busy elsewhere, takes itself for the
        # root, and what begins to discard then waits for two forward delays of its own, 15 s each.
        wait_until("another way", lambda: ring.connected() and blocked(switches) == 0, timeout=3 * 1 + 2 * 15 + 5)
        ring.assert_nothing_circulates()
