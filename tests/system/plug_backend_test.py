# SPDX-License-Identifier: MIT
"""Cables of our own to other switches: the packaged vde_switch, ours, and what libvdeplug knows."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cables import ALICE, BOB, assert_joined, crosses
from client_process import ClientProcess, need_original, need_programs, plugged, wait_plugged
from frames import broadcast, frame
from netns import NetNamespace
from networks_daemon import NetworksDaemon
from port_table import drops, ports
from switch_process import ORIGINAL, Switch, is_sanitized, switch_program
from waiting import wait_until

pytestmark = pytest.mark.ours

loads_libvdeplug = pytest.mark.skipif(
    is_sanitized(switch_program()),
    reason="libvdeplug loads its modules with RTLD_DEEPBIND, which ends a sanitizer's program",
)

@pytest.fixture
def far(start_switch: Callable[..., Switch]) -> Switch:
    need_original()
    return start_switch(program=ORIGINAL)


def test_a_cable_to_the_original_switch(start_switch: Callable[..., Switch], far: Switch) -> None:
    ours = start_switch("--plug", f"plug://{far.ctl_dir}[5]?port=7")
    wait_plugged(far, "lanyard: user=root pid=")
    with far.console() as console:
        assert 5 in ports(console)
    with ours.console() as console:
        assert 7 in ports(console)
    assert_joined(ours, far)
    # Nothing of the handshake stays behind.
    assert [name for name in os.listdir(far.ctl_dir) if name.startswith(".")] == []


def test_frames_that_the_original_would_cut_are_dropped_by_name(
    start_switch: Callable[..., Switch], far: Switch
) -> None:
    ours = start_switch("--plug", f"plug://{far.ctl_dir}")
    wait_plugged(far, "lanyard:")
    with ours.client(description="QEMU user=root pid=1") as alice, ours.console() as console:
        alice.send(frame(BOB, ALICE, os.urandom(2000), size=2014))
        wait_until("it is counted", lambda: drops(console, 1).get("exceeds_receiver") == 1)


def test_large_frames_pass_between_two_of_ours(start_switch: Callable[..., Switch]) -> None:
    other = start_switch()
    ours = start_switch("--plug", f"plug://{other.ctl_dir}?frame_max=69632")
    with ours.client(description="QEMU") as alice, other.client(description="QEMU") as bob:
        wait_until("a frame crosses", lambda: crosses(alice, bob, ALICE), timeout=20)
        bob.drain(0.1)
        for sender, receiver in ((alice, bob), (bob, alice)):
            data = frame(BOB, ALICE, os.urandom(9000), size=9014)
            sender.send(data)
            assert receiver.recv() == data


def test_it_comes_back_after_the_far_switch_was_killed(
    start_switch: Callable[..., Switch], directory: Path
) -> None:
    need_original()
    first = start_switch(program=ORIGINAL, directory=directory)
    ours = start_switch("--plug", f"plug://{first.ctl_dir}?port=3")
    wait_plugged(first, "lanyard:")
    assert_joined(ours, first)
    before = ours.descriptors()
    first.stop(signal.SIGKILL)
    ours.wait_log("the other end is gone")
    # Empty, and kept: the next free port is another one.
    with ours.console() as console:
        wait_until("the port is empty", lambda: 3 not in ports(console))
    again = start_switch(program=ORIGINAL, directory=directory)
    ours.wait_log("port 3: plugged into", timeout=20)
    assert_joined(ours, again)
    wait_until("nothing leaks", lambda: ours.descriptors() <= before)


def test_a_switch_that_never_answers_stops_nobody(start_switch: Callable[..., Switch], far: Switch) -> None:
    # The original says nothing at all when a port is not to be had.
    ours = start_switch("--plug", f"plug://{far.ctl_dir}[99]")
    with ours.client() as alice, ours.client() as bob:
        for _ in range(100):
            alice.send(broadcast(ALICE, b"hello"))
            assert bob.recv(0.5) is not None
    ours.wait_log("does not answer", timeout=20)


@loads_libvdeplug
def test_plugs_of_libvdeplug(start_switch: Callable[..., Switch]) -> None:
    need_programs("vde_plug")
    other = start_switch()
    ours = start_switch("--plug", f"plug://cmd://vde_plug {other.ctl_dir}")
    wait_plugged(ours, "cmd://vde_plug")
    assert_joined(ours, other)


@loads_libvdeplug
@pytest.mark.root
@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("ptp://{directory}/ptp", "ptp://{directory}/ptp"),
        ("vde://{directory}/hub", "hub://{directory}/hub"),
        ("udp://10.9.4.1:6000->10.9.4.2:6001", "udp://10.9.4.2:6001->10.9.4.1:6000"),
        ("vxlan://239.0.0.1/if=wire", "vxlan://239.0.0.1/if=wire"),
        ("vxvde://239.0.0.1/if=wire", "vxvde://239.0.0.1/if=wire"),
    ],
    ids=["ptp", "hub", "udp", "vxlan", "vxvde"],
)
def test_networks_of_libvdeplug(
    start_switch: Callable[..., Switch], far: Switch, directory: Path, here: str, there: str
) -> None:
    """The packaged vde_plug hangs the far switch on the same network, from a host of its own."""
    need_programs("vde_plug")
    with NetNamespace() as left, NetNamespace() as right:
        left.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", right.name)
        for namespace, address in ((left, "10.9.4.1"), (right, "10.9.4.2")):
            namespace.ip("address", "add", f"{address}/24", "dev", "wire")
            namespace.ip("link", "set", "wire", "up")
            namespace.ip("route", "add", "239.0.0.0/8", "dev", "wire")
        with ClientProcess("vde_plug", there.format(directory=directory), far.ctl_dir, netns=right.name):
            wait_plugged(far, "vdeplug")
            ours = start_switch("--plug", f"plug://{here.format(directory=directory)}", netns=left.name)
            # Between two vde_plug, too, vxlan of libvdeplug 4.0.1 loses what goes to an address it has learned.
            assert_joined(ours, far, sizes=() if here.startswith("vxlan:") else (60, 590, 1500))


@loads_libvdeplug
def test_what_libvdeplug_cannot_open_is_said(start_switch: Callable[..., Switch]) -> None:
    ours = start_switch("--plug", "plug://nonsense://x")
    ours.wait_log("libvdeplug knows no such kind of network")


def test_a_network_of_a_configuration_file_has_cables(start_switch: Callable[..., Switch]) -> None:
    near, far = start_switch(), start_switch()
    network = '[network.lab]\nkind = "internal"\nplugs = [{}]\n'
    one, two = (f'"plug://{switch.ctl_dir}"' for switch in (near, far))
    with NetworksDaemon(network.format(one)) as daemon:
        wait_plugged(near, "lanyard:")
        daemon.write_config(network.format(f"{one}, {two}"))
        os.kill(daemon.pid, signal.SIGHUP)
        wait_plugged(far, "lanyard:")
        assert_joined(near, far)
    wait_until("nothing stays plugged in", lambda: not plugged(near) and not plugged(far))


def test_vde_plug_and_our_plug_meet(start_switch: Callable[..., Switch]) -> None:
    """The packaged vde_plug carries from one switch to the other while ours hangs on a third."""
    need_programs("vde_plug")
    left, middle = start_switch(), start_switch()
    right = start_switch("--plug", f"plug://{middle.ctl_dir}")
    with ClientProcess("vde_plug", left.ctl_dir, middle.ctl_dir):
        wait_plugged(left, "vdeplug")
        assert_joined(left, right)
