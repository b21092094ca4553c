# SPDX-License-Identifier: MIT
"""Cables of the VDE world, unchanged: vde_plug, dpipe, wirefilter, and a cable to the original switch."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from client_process import ClientProcess, need_original, need_programs, plugged, wait_plugged
from frames import broadcast, frame, mac, tag
from switch_process import ORIGINAL, Switch
from vde_client import VdeClient
from waiting import wait_until

SIZES = [14, 15, 59, 60, 61, 1513, 1514, 1518]
ALICE, BOB = mac(0xA), mac(0xB)


@pytest.fixture
def two_switches(start_switch: Callable[..., Switch]) -> tuple[Switch, Switch]:
    need_programs("vde_plug")
    return start_switch(), start_switch()


def assert_joined(left: Switch, right: Switch) -> None:
    """A client of one switch and a client of the other exchange frames of many sizes, in order."""
    with left.client() as alice, right.client() as bob:
        # The first frame is repeated until it crosses: the cable may still be on its way to be ready.
        def crosses() -> bool:
            alice.send(broadcast(ALICE, b"hello"))
            return bob.recv(0.05) is not None

        wait_until("a frame crosses", crosses)
        bob.send(broadcast(BOB, b"hello"))
        assert alice.recv() is not None
        bob.drain(0.1)
        for size in SIZES:
            there, back = frame(BOB, ALICE, os.urandom(size - 14), size=size), frame(
                ALICE, BOB, os.urandom(size - 14), size=size)
            alice.send(there)
            assert received_as(bob.recv(), there), f"{size} bytes from left to right"
            bob.send(back)
            assert received_as(alice.recv(), back), f"{size} bytes from right to left"


def received_as(got: bytes | None, sent: bytes) -> bool:
    """The same frame, where a switch may have padded a short one with zeros to 60 bytes."""
    return got is not None and got in (sent, sent.ljust(60, b"\0"))


# --- vde_plug ------------------------------------------------------------------------------------


class Stream:
    """The stream format of vde_plug: two bytes of length, big endian, and the frame."""

    def __init__(self, process: ClientProcess) -> None:
        self.process = process
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.process.stdin.write(struct.pack("!H", len(data)) + data)

    def recv(self, timeout: float = 2.0) -> bytes | None:
        deadline = time.monotonic() + timeout
        while len(self.buffer) < 2 or len(self.buffer) < 2 + struct.unpack_from("!H", self.buffer)[0]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            self.buffer += os.read(self.process.stdout.fileno(), 1 << 16)
        length = struct.unpack_from("!H", self.buffer)[0]
        data, self.buffer = self.buffer[2:2 + length], self.buffer[2 + length:]
        return data


@pytest.mark.parametrize("vnl", ["{}", "vde://{}"])
def test_vde_plug_carries_frames_on_its_standard_streams(switch: Switch, vnl: str) -> None:
    need_programs("vde_plug")
    with ClientProcess("vde_plug", vnl.format(switch.ctl_dir)) as plug, switch.client() as alice:
        wait_plugged(switch, "vdeplug: user=")
        stream = Stream(plug)
        for size in SIZES:
            data = frame(ALICE, BOB, os.urandom(size - 14), size=size)
            stream.send(data)
            assert received_as(alice.recv(), data), f"{size} bytes from the stream"
            alice.send(data[6:12] + data[:6] + data[12:])
            assert received_as(stream.recv(), data[6:12] + data[:6] + data[12:]), f"{size} bytes to the stream"


@pytest.mark.ours
@pytest.mark.parametrize("size", [1519, 1522, 4096, 9018])
def test_vde_plug_carries_large_frames_whole(switch: Switch, size: int) -> None:
    need_programs("vde_plug")
    # Clients that do not say who they are get no frames over the size that all of them take.
    with (ClientProcess("vde_plug", switch.ctl_dir) as plug,
          switch.client(description="QEMU user=root pid=1") as alice):
        wait_plugged(switch, "vdeplug: user=")
        data = frame(ALICE, BOB, os.urandom(size - 14), size=size)
        stream = Stream(plug)
        stream.send(data)
        assert alice.recv() == data
        alice.send(data)
        assert stream.recv() == data


@pytest.mark.ours
def test_vde_plug_is_described_and_leaves_no_trace(switch: Switch) -> None:
    """The original keeps a ghost of a client now and then."""
    need_programs("vde_plug")
    before = switch.descriptors()  # perhaps one too many: the session that saw the switch ready
    with ClientProcess("vde_plug", "-D", "a cable", switch.ctl_dir) as plug:
        wait_plugged(switch, f"a cable user=root pid={plug.pid}")
    wait_until("gone", lambda: not plugged(switch))
    # By itself, for whoever asks for the ports has a session.
    wait_until("descriptors back", lambda: switch.descriptors() <= before)
    assert sorted(path.name for path in switch.ctl_dir.iterdir()) == ["ctl"]


@pytest.mark.parametrize(("vnl", "port"), [("{}[5]", 5), ("vde://{}[port=5]", 5), ("vde://{}[0]", 0)])
def test_vde_plug_gets_the_port_it_names(switch: Switch, vnl: str, port: int) -> None:
    need_programs("vde_plug")
    with ClientProcess("vde_plug", vnl.format(switch.ctl_dir)):
        wait_plugged(switch, "vdeplug:")
        assert list(plugged(switch)) == [port]


def test_two_vde_plugs_share_a_port_and_do_not_hear_each_other(switch: Switch) -> None:
    need_programs("vde_plug")
    vnl = f"vde://{switch.ctl_dir}[4]"
    with ClientProcess("vde_plug", vnl) as one, ClientProcess("vde_plug", vnl) as two, switch.client() as alice:
        wait_plugged(switch, "vdeplug:", count=2)
        assert len(plugged(switch)[4]) == 2
        first, second = Stream(one), Stream(two)
        alice.send(broadcast(ALICE, b"to both"))
        assert first.recv() == second.recv() == broadcast(ALICE, b"to both")
        first.send(broadcast(BOB, b"not to the sibling"))
        assert alice.recv() == broadcast(BOB, b"not to the sibling")
        assert second.recv(0.1) is None


@pytest.mark.ours
def test_refused_vde_plug_ends_with_an_error(switch: Switch) -> None:
    """The original answers nothing and the client waits for ever."""
    need_programs("vde_plug")
    with ClientProcess("vde_plug", f"vde://{switch.ctl_dir}[30000]") as plug:
        assert plug.wait_exit() == 1
        assert "vde_open" in plug.log_text()


def test_vde_plug_ends_with_the_switch(start_switch: Callable[..., Switch]) -> None:
    need_programs("vde_plug")
    switch = start_switch()
    with ClientProcess("vde_plug", switch.ctl_dir) as plug:
        wait_plugged(switch, "vdeplug:")
        # It is listed before it has its answer; then it takes the name of its socket away.
        wait_until("vde_plug has begun", lambda: not list(switch.ctl_dir.glob(".*")))
        switch.stop()
        assert plug.wait_exit() == 0


# --- cables between two switches -----------------------------------------------------------------


def test_vde_plug_joins_two_switches(two_switches: tuple[Switch, Switch]) -> None:
    left, right = two_switches
    with ClientProcess("vde_plug", left.ctl_dir, right.ctl_dir):
        wait_plugged(left, "vdeplug:")
        wait_plugged(right, "vdeplug:")
        assert_joined(left, right)


def test_dpipe_joins_two_switches(two_switches: tuple[Switch, Switch]) -> None:
    need_programs("dpipe")
    left, right = two_switches
    with ClientProcess("dpipe", "vde_plug", left.ctl_dir, "=", "vde_plug", right.ctl_dir):
        wait_plugged(left, "vdeplug:")
        wait_plugged(right, "vdeplug:")
        assert_joined(left, right)


def test_cable_joins_the_original_switch_and_this_one(start_switch: Callable[..., Switch]) -> None:
    need_programs("vde_plug")
    need_original()
    ours, original = start_switch(), start_switch(program=ORIGINAL)
    with ClientProcess("vde_plug", ours.ctl_dir, original.ctl_dir):
        wait_plugged(ours, "vdeplug:")
        wait_plugged(original, "vdeplug:")
        assert_joined(ours, original)


def test_trunk_joins_the_vlans_of_the_original_and_of_this_switch(start_switch: Callable[..., Switch]) -> None:
    """Access ports in two VLANs on both switches, one cable that carries both VLANs tagged."""
    need_programs("vde_plug")
    need_original()
    switches = [start_switch(), start_switch(program=ORIGINAL)]
    for switch in switches:
        console = switch.console()
        for command in ("vlan/create 10", "vlan/create 20", "port/create 1", "port/create 2", "port/create 3",
                        "port/setvlan 1 10", "port/setvlan 2 20", "vlan/addport 10 3", "vlan/addport 20 3"):
            console.check(command)
    left, right = switches
    with contextlib.ExitStack() as stack:
        ten_left, twenty_left = left.client(port=1), left.client(port=2)
        ten_right, twenty_right = right.client(port=1), right.client(port=2)
        stack.enter_context(ClientProcess("vde_plug", f"vde://{left.ctl_dir}[3]", f"vde://{right.ctl_dir}[3]"))
        wait_plugged(left, "vdeplug:")
        wait_plugged(right, "vdeplug:")

        def crosses() -> bool:
            ten_left.send(broadcast(ALICE, b"ten"))
            return ten_right.recv(0.05) == broadcast(ALICE, b"ten")

        wait_until("VLAN 10 crosses", crosses)
        twenty_right.send(broadcast(BOB, b"twenty"))
        assert twenty_left.recv() == broadcast(BOB, b"twenty")
        ten_right.drain(0.1)
        assert twenty_right.drain() == ten_left.drain() == []
        # The clients have the same addresses in both VLANs: the tables must keep them apart.
        twenty_left.send(broadcast(ALICE, b"same address"))
        assert twenty_right.recv() == broadcast(ALICE, b"same address")
        ten_right.send(frame(ALICE, BOB, b"answer"))
        assert ten_left.recv() == frame(ALICE, BOB, b"answer")
        assert twenty_left.drain(0.1) == []


def test_priority_of_a_tagged_frame_survives_two_trunks(two_switches: tuple[Switch, Switch]) -> None:
    left, right = two_switches
    for switch in two_switches:
        console = switch.console()
        for command in ("vlan/create 10", "port/create 1", "port/create 3", "vlan/addport 10 1", "vlan/addport 10 3"):
            console.check(command)
    alice, bob = left.client(port=1), right.client(port=1)
    with ClientProcess("vde_plug", f"vde://{left.ctl_dir}[3]", f"vde://{right.ctl_dir}[3]"):
        wait_plugged(left, "vdeplug:")
        wait_plugged(right, "vdeplug:")
        sent = broadcast(ALICE, b"urgent", tags=tag(10, pcp=5, dei=1))

        def crosses() -> bool:
            alice.send(sent)
            return bob.recv(0.05) == sent

        wait_until("the tagged frame crosses unchanged", crosses)


# --- wirefilter ----------------------------------------------------------------------------------


@contextlib.contextmanager
def wirefilter(left: Switch, right: Switch, *options: str) -> Iterator[ClientProcess]:
    """Its standard input is a console whose end ends the program, so it stays open. It must not outlive the
    switches: wirefilter spins when one of them ends."""
    need_programs("wirefilter")
    with ClientProcess("wirefilter", *options, "-v", f"{left.ctl_dir}:{right.ctl_dir}") as filtering:
        wait_plugged(left, "vde_crosscable")
        wait_plugged(right, "vde_crosscable")
        yield filtering


def test_wirefilter_joins_two_switches(two_switches: tuple[Switch, Switch]) -> None:
    with wirefilter(*two_switches):
        assert_joined(*two_switches)


def test_wirefilter_delays_what_crosses(two_switches: tuple[Switch, Switch]) -> None:
    """The frames do go through it: 60 ms each way."""
    left, right = two_switches
    with wirefilter(left, right, "-d", "60"), left.client() as alice, right.client() as bob:
        start = time.monotonic()
        alice.send(broadcast(ALICE, b"there"))
        assert bob.recv() == broadcast(ALICE, b"there")
        bob.send(frame(ALICE, BOB, b"and back"))
        assert alice.recv() == frame(ALICE, BOB, b"and back")
        assert time.monotonic() - start >= 0.115


def test_wirefilter_in_a_dpipe(two_switches: tuple[Switch, Switch]) -> None:
    need_programs("dpipe", "wirefilter")
    left, right = two_switches
    with ClientProcess("dpipe", "vde_plug", left.ctl_dir, "=", "wirefilter", "-m", "1600", "=",
                       "vde_plug", right.ctl_dir):
        wait_plugged(left, "vdeplug:")
        wait_plugged(right, "vdeplug:")
        assert_joined(left, right)


# --- User-Mode Linux's way of asking -------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 3])
def test_abstract_address_client_without_connect(switch: Switch, version: int) -> None:
    """As User-Mode Linux, dynamips and Click: an abstract data address, sendto, no description."""
    with VdeClient(switch.ctl_dir, version=version, abstract=True, connected=False) as uml, switch.client() as bob:
        uml.send(broadcast(ALICE, b"from an abstract address"))
        assert bob.recv() == broadcast(ALICE, b"from an abstract address")
        bob.send(frame(ALICE, BOB, b"to an abstract address"))
        assert uml.recv() == frame(ALICE, BOB, b"to an abstract address")


@pytest.mark.ours
@pytest.mark.parametrize("version", [1, 3])
def test_abstract_address_client_leaves_no_port(switch: Switch, version: int) -> None:
    for _ in range(50):
        VdeClient(switch.ctl_dir, version=version, abstract=True, connected=False).close()
    wait_until("all gone", lambda: not plugged(switch))
