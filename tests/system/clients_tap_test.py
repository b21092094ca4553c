# SPDX-License-Identifier: MIT
"""Whole Linux network stacks on the switch: host TAPs, vde_plug's and vde_plug2tap's TAPs, each in a network
namespace of its own, with ping, iperf3 and the largest datagrams."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from client_process import ClientProcess, need_programs, plugged, wait_plugged
from netns import NetNamespace
from switch_process import Switch
from transfer import exchange
from waiting import wait_until

pytestmark = pytest.mark.root

HOST, LEFT, RIGHT = "10.77.4.1", "10.77.4.2", "10.77.4.3"


@dataclass
class Lab:
    """The switch's own namespace has the host TAP; two more hang on the switch through vde_plug."""

    switch: Switch
    host: NetNamespace
    left: NetNamespace
    right: NetNamespace


def configure(namespace: NetNamespace, interface: str, address: str) -> None:
    wait_until(interface, lambda: interface in namespace.links())
    namespace.ip("address", "add", f"{address}/24", "dev", interface)
    namespace.ip("link", "set", interface, "up")


@contextlib.contextmanager
def vde_plug_tap(switch: Switch, namespace: NetNamespace, address: str, interface: str) -> Iterator[ClientProcess]:
    with ClientProcess("vde_plug", f"tap://{interface}", f"vde://{switch.ctl_dir}", netns=namespace.name) as plug:
        configure(namespace, interface, address)
        wait_plugged(switch, f"pid={plug.pid}")
        yield plug


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    need_programs("vde_plug")
    with contextlib.ExitStack() as stack:
        host, left, right = (stack.enter_context(NetNamespace()) for _ in range(3))
        switch = stack.enter_context(Switch("-t", "host0", netns=host.name))
        configure(host, "host0", HOST)
        stack.enter_context(vde_plug_tap(switch, left, LEFT, "left0"))
        stack.enter_context(vde_plug_tap(switch, right, RIGHT, "right0"))
        yield Lab(switch, host, left, right)


def pings(source: NetNamespace, address: str, count: int = 5, size: int = 56, fragment: bool = True) -> int:
    text = source.run("ping", "-q", "-i", "0.02", "-c", str(count), "-s", str(size), "-W", "2", "-w", "8",
                      *([] if fragment else ["-M", "do"]), address, check=False).stdout
    match = re.search(r"(\d+) received", text)
    assert match, text
    return int(match[1])


@contextlib.contextmanager
def iperf_server(namespace: NetNamespace, address: str) -> Iterator[None]:
    need_programs("iperf3")
    with ClientProcess("iperf3", "-s", "-1", "-B", address, "--forceflush", netns=namespace.name) as server:
        wait_until("iperf3 listens", lambda: b"listening" in server.stdout.readline())
        yield


ENOUGH = 1.0  # Mbit/s: that it runs is tested here; how fast it runs depends on who else uses the machine


def megabits(client: NetNamespace, server: NetNamespace, address: str, *options: str) -> float:
    """What iperf3 moved in a second, counted by the receiver."""
    with iperf_server(server, address):
        done = client.run("iperf3", "-J", "-c", address, "-t", "1", *options, check=False, timeout=30)
    report = json.loads(done.stdout)
    assert "error" not in report, report["error"]
    summary = report["end"]["sum"] if "-u" in options else report["end"]["sum_received"]
    return float(summary["bits_per_second"]) / 1e6


# --- namespaces and the host ---------------------------------------------------------------------


def test_all_pairs_ping(lab: Lab) -> None:
    for source, targets in ((lab.host, (LEFT, RIGHT)), (lab.left, (HOST, RIGHT)), (lab.right, (HOST, LEFT))):
        for target in targets:
            assert pings(source, target) == 5, f"{source.name} to {target}"


@pytest.mark.parametrize("size", [0, 1, 17, 18, 1472, 1473, 9000, 65000, 65507])
def test_datagrams_of_any_size_come_back_whole(lab: Lab, size: int) -> None:
    assert pings(lab.left, RIGHT, 3, size) == 3
    assert pings(lab.left, HOST, 3, size) == 3
    assert pings(lab.host, RIGHT, 3, size) == 3


@pytest.mark.parametrize("direction", [[], ["-R"]])
def test_tcp_runs_between_two_namespaces(lab: Lab, direction: list[str]) -> None:
    rate = megabits(lab.left, lab.right, RIGHT, *direction)
    print(f"{rate:.0f} Mbit/s")
    assert rate > ENOUGH


@pytest.mark.parametrize("direction", [[], ["-R"], ["--bidir"]])
def test_tcp_runs_between_a_namespace_and_the_host_tap(lab: Lab, direction: list[str]) -> None:
    rate = megabits(lab.left, lab.host, HOST, *direction)
    print(f"{rate:.0f} Mbit/s")
    assert rate > ENOUGH


def test_udp_runs_at_a_modest_rate_without_loss(lab: Lab) -> None:
    with iperf_server(lab.host, HOST):
        done = lab.left.run("iperf3", "-J", "-u", "-b", "20M", "-l", "1400", "-c", HOST, "-t", "1", timeout=30)
    summary = json.loads(done.stdout)["end"]["sum"]
    assert summary["packets"] > 1000
    assert summary["lost_packets"] == 0


def test_random_bytes_cross_in_both_directions_at_once(lab: Lab) -> None:
    """Checked at the other end: nothing is cut, swapped or doubled that TCP's checksum would not catch."""
    listener = lab.right.call(lambda: socket.create_server((RIGHT, 0)))
    client = lab.left.call(lambda: socket.create_connection(listener.getsockname(), timeout=10))
    server, _ = listener.accept()
    with listener, client, server:
        server.settimeout(10)
        exchange(client, server, 20_000_000)


def test_port_table_shows_taps_and_plugs(lab: Lab) -> None:
    table = plugged(lab.switch)
    assert ["host0"] in table.values()
    assert sum("vdeplug: user=root" in one for many in table.values() for one in many) == 2


@pytest.mark.ours
def test_jumbo_frames_cross_taps_whole(lab: Lab) -> None:
    """The original cuts what is longer than 1518 bytes."""
    ends = ((lab.host, "host0"), (lab.left, "left0"))
    for namespace, interface in ends:
        namespace.ip("link", "set", interface, "mtu", "9000")
    try:
        assert pings(lab.left, HOST, 3, 8972, fragment=False) == 3
        assert pings(lab.host, LEFT, 3, 8972, fragment=False) == 3
    finally:
        for namespace, interface in ends:
            namespace.ip("link", "set", interface, "mtu", "1500")


def test_vlans_of_the_kernel_run_over_a_trunk(lab: Lab) -> None:
    """802.1Q interfaces of two namespaces, their ports tagged members of VLAN 10."""
    added = lab.left.run("ip", "link", "add", "link", "left0", "name", "vlan10", "type", "vlan", "id", "10", check=False)
    if "Unknown device type" in added.stderr:
        pytest.skip("this kernel has no 802.1Q interfaces")
    assert added.returncode == 0, added.stderr
    console = lab.switch.console()
    ports = [number for number, many in plugged(lab.switch).items() if "host0" not in many]
    console.check("vlan/create 10")
    for port in ports:
        console.check(f"vlan/addport 10 {port}")
    try:
        lab.right.ip("link", "add", "link", "right0", "name", "vlan10", "type", "vlan", "id", "10")
        configure(lab.left, "vlan10", "10.77.14.2")
        configure(lab.right, "vlan10", "10.77.14.3")
        assert pings(lab.left, "10.77.14.3") == 5
        assert pings(lab.left, "10.77.14.3", 3, 1472, fragment=False) == 3
        assert pings(lab.left, "10.77.14.3", 3, 65000) == 3
    finally:
        for namespace in (lab.left, lab.right):
            namespace.ip("link", "del", "vlan10", check=False)
        for port in ports:
            console.check(f"vlan/delport 10 {port}")
        console.check("vlan/remove 10")


# --- other ways to a TAP -------------------------------------------------------------------------


def test_two_taps_of_the_switch_join_two_hosts(start_switch: Callable[..., Switch]) -> None:
    """-t twice; the second TAP moves to another namespace while the switch has it open."""
    with NetNamespace() as one, NetNamespace() as two:
        start_switch("-t", "tapone", "-t", "taptwo", netns=one.name)
        one.ip("link", "set", "taptwo", "netns", two.name)
        configure(one, "tapone", "10.77.5.1")
        configure(two, "taptwo", "10.77.5.2")
        assert pings(one, "10.77.5.2") == 5
        assert pings(two, "10.77.5.1", 3, 65000) == 3
        rates = [megabits(one, two, "10.77.5.2"), megabits(one, two, "10.77.5.2", "-R")]
        print(f"{rates[0]:.0f} and {rates[1]:.0f} Mbit/s")
        assert min(rates) > ENOUGH


def test_vde_plug2tap_of_the_old_tools(lab: Lab) -> None:
    need_programs("vde_plug2tap")
    with NetNamespace() as other, ClientProcess("vde_plug2tap", "-s", lab.switch.ctl_dir, "old0", netns=other.name):
        wait_plugged(lab.switch, "vde_plug2tap:")
        configure(other, "old0", "10.77.4.4")
        assert pings(other, HOST) == 5
        assert pings(lab.left, "10.77.4.4", 3, 65000) == 3


def test_vdens_gives_a_namespace_with_the_network(lab: Lab) -> None:
    """A user and network namespace without root, whose vde0 is our switch."""
    need_programs("vdens")
    script = ("ip address add 10.77.4.5/24 dev vde0; ip link set vde0 up; "
              f"ping -q -c 3 -i 0.2 -W 2 -w 8 {HOST}")
    done = subprocess.run(["vdens", f"vde://{lab.switch.ctl_dir}", "sh", "-c", script], capture_output=True,
                          text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    assert " 3 received" in done.stdout, done.stdout + done.stderr


def test_plug_that_ends_takes_its_port_along(lab: Lab) -> None:
    with NetNamespace() as other:
        with vde_plug_tap(lab.switch, other, "10.77.4.6", "short0") as plug:
            assert pings(other, HOST) == 5
            pid = plug.pid
        wait_plugged(lab.switch, f"pid={pid}", count=0)
    assert pings(lab.left, HOST) == 5
