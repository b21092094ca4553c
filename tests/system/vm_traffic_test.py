# SPDX-License-Identifier: MIT
"""Two real QEMU machines on `-netdev vde`, a host TAP, and what machines do with a network all day."""

from __future__ import annotations

import contextlib
import hashlib
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from console import Console
from netns import NetNamespace
from switch_process import Switch
from vm import Vm, need_vms, vde_card
from waiting import wait_until

pytestmark = pytest.mark.root

HOST, ALPHA, BETA = "10.77.1.1", "10.77.1.2", "10.77.1.3"
ALPHA_MAC, BETA_MAC = "52:54:00:77:01:02", "52:54:00:77:01:03"
TAGGED_ALPHA, TAGGED_BETA = "10.77.7.2", "10.77.7.3"
FILE_MB = 6


@dataclass
class Lab:
    """One switch in a namespace with a host TAP, and two machines on it, booted once."""

    switch: Switch
    host: NetNamespace
    alpha: Vm
    beta: Vm
    console: Console

    def port_of(self, vm: Vm) -> int:
        """The port whose endpoint carries the process id of this machine's QEMU."""
        port = 0
        for line in self.console.check("port/print"):
            if match := re.match(r"Port (\d+) ", line):
                port = int(match[1])
            if line.endswith(f" pid={vm.pid}"):
                return port
        raise AssertionError(f"no port for {vm.name}")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    need_vms()
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(NetNamespace())
        switch = stack.enter_context(Switch("-t", "host0", netns=host.name))
        host.ip("address", "add", f"{HOST}/24", "dev", "host0")
        host.ip("link", "set", "host0", "up")
        alpha, beta = (stack.enter_context(Vm(name, f"{address}/24", vde_card(switch.ctl_dir, mac)))
                       for name, address, mac in (("alpha", ALPHA, ALPHA_MAC), ("beta", BETA, BETA_MAC)))
        alpha.wait_up()
        beta.wait_up()
        yield Lab(switch, host, alpha, beta, switch.console())


def host_pings(lab: Lab, address: str, count: int = 3, size: int = 56) -> int:
    text = lab.host.run("ping", "-q", "-i", "0.05", "-c", str(count), "-s", str(size), "-W", "2", "-w", "8",
                        address, check=False).stdout
    match = re.search(r"(\d+) received", text)
    assert match, text
    return int(match[1])


def test_machines_and_host_ping_each_other(lab: Lab) -> None:
    assert lab.alpha.ping_replies(BETA, 5) == 5
    assert lab.beta.ping_replies(ALPHA, 5) == 5
    assert lab.alpha.ping_replies(HOST, 5) == 5
    assert lab.beta.ping_replies(HOST, 5) == 5
    assert host_pings(lab, ALPHA, 5) == 5
    assert host_pings(lab, BETA, 5) == 5


@pytest.mark.parametrize("size", [0, 1, 17, 18, 1471, 1472, 1473, 8000, 65000])
def test_echo_of_any_size_comes_back_whole(lab: Lab, size: int) -> None:
    """Around the shortest and the longest frame, and fragmented."""
    assert lab.alpha.ping_replies(BETA, 2, size) == 2


def test_port_table_names_the_machines(lab: Lab) -> None:
    table = "\n".join(lab.console.check("port/print"))
    for vm in (lab.alpha, lab.beta):
        assert f"module unix prog   : QEMU user=root pid={vm.pid}" in table
    assert "module tuntap      : host0" in table
    assert lab.port_of(lab.alpha) != lab.port_of(lab.beta)


def test_mac_table_has_each_machine_on_its_port(lab: Lab) -> None:
    lab.alpha.ping_replies(BETA, 1)
    rows = lab.console.check("hash/print")
    for vm, mac in ((lab.alpha, ALPHA_MAC), (lab.beta, BETA_MAC)):
        port = lab.port_of(vm)
        assert any(f"Addr: {mac} VLAN 0000 to port: {port:03d} " in row for row in rows), rows


def test_files_cross_in_both_directions_at_once(lab: Lab) -> None:
    offered = {vm.name: vm.offer_file(FILE_MB) for vm in (lab.alpha, lab.beta)}
    to_alpha = lab.alpha.begin(f"wget -q -O - http://{BETA}/file | sha256sum")
    to_beta = lab.beta.begin(f"wget -q -O - http://{ALPHA}/file | sha256sum")
    assert lab.alpha.finish(to_alpha, 60).text.split()[0] == offered["beta"]
    assert lab.beta.finish(to_beta, 60).text.split()[0] == offered["alpha"]


def test_file_crosses_between_machine_and_host(lab: Lab) -> None:
    """The host side is a TAP, where the kernel could leave checksums or segmentation to others."""
    checksum = lab.alpha.offer_file(FILE_MB)
    page = lab.host.call(lambda: urllib.request.urlopen(f"http://{ALPHA}/file", timeout=30).read())
    assert hashlib.sha256(page).hexdigest() == checksum


def test_access_vlan_separates_and_joins_machines(lab: Lab) -> None:
    alpha_port, beta_port = lab.port_of(lab.alpha), lab.port_of(lab.beta)
    lab.console.check("vlan/create 10")
    try:
        lab.console.check(f"port/setvlan {alpha_port} 10")
        assert lab.alpha.ping_replies(BETA, 2, wait=1) == 0
        assert lab.beta.ping_replies(HOST, 2) == 2
        lab.console.check(f"port/setvlan {beta_port} 10")
        assert lab.alpha.ping_replies(BETA, 2) == 2
        assert lab.beta.ping_replies(HOST, 2, wait=1) == 0
    finally:
        for port in (alpha_port, beta_port):
            lab.console.run(f"port/setvlan {port} 0")
        lab.console.check("vlan/remove 10")
    assert lab.beta.ping_replies(HOST, 2) == 2


@contextlib.contextmanager
def tagged_interfaces(lab: Lab) -> Iterator[None]:
    """eth0.77 in both machines: their frames carry a tag."""
    try:
        for vm, address in ((lab.alpha, TAGGED_ALPHA), (lab.beta, TAGGED_BETA)):
            vm.check(f"vconfig add eth0 77 && ip address add {address}/24 dev eth0.77 && ip link set eth0.77 up")
        yield
    finally:
        for vm in (lab.alpha, lab.beta):
            vm.run("vconfig rem eth0.77")


def test_tagged_interfaces_in_the_machines_talk_over_a_trunk(lab: Lab) -> None:
    ports = [lab.port_of(lab.alpha), lab.port_of(lab.beta)]
    with tagged_interfaces(lab):
        assert lab.alpha.ping_replies(TAGGED_BETA, 1, wait=1) == 0
        lab.console.check("vlan/create 77")
        for port in ports:
            lab.console.check(f"vlan/addport 77 {port}")
        try:
            assert lab.alpha.ping_replies(TAGGED_BETA, 3) == 3
            # A full frame with its tag is 1518 bytes.
            assert lab.beta.ping_replies(TAGGED_ALPHA, 3, size=1472) == 3
        finally:
            for port in ports:
                lab.console.run(f"vlan/delport 77 {port}")
            lab.console.check("vlan/remove 77")


def test_hub_carries_everything_with_its_tags(lab: Lab) -> None:
    """As the NixOS test driver uses it."""
    lab.console.check("port/sethub 1")
    try:
        with tagged_interfaces(lab):
            assert lab.alpha.ping_replies(TAGGED_BETA, 3) == 3
        assert lab.alpha.ping_replies(BETA, 3) == 3
        assert host_pings(lab, ALPHA) == 3
    finally:
        lab.console.check("port/sethub 0")


@pytest.mark.ours
def test_port_that_passes_tags_carries_them_as_payload(lab: Lab) -> None:
    ports = [lab.port_of(lab.alpha), lab.port_of(lab.beta)]
    for port in ports:
        lab.console.check(f"port/passtags {port} 1")
    try:
        with tagged_interfaces(lab):
            assert lab.alpha.ping_replies(TAGGED_BETA, 3) == 3
            assert lab.alpha.ping_replies(BETA, 3) == 3
    finally:
        for port in ports:
            lab.console.check(f"port/passtags {port} 0")


@pytest.mark.ours
def test_jumbo_frames_pass_whole_between_machines(lab: Lab) -> None:
    """The original cuts them to 1518 bytes, which users know as random corruption."""
    for vm in (lab.alpha, lab.beta):
        vm.check("ip link set eth0 mtu 9000")
    try:
        assert lab.alpha.ping_replies(BETA, 3, size=8972) == 3
        assert lab.beta.ping_replies(ALPHA, 3, size=8972) == 3
    finally:
        for vm in (lab.alpha, lab.beta):
            vm.check("ip link set eth0 mtu 1500")


def test_counters_agree_with_the_guest(lab: Lab) -> None:
    """What a machine says it sent is what came in at its port, frame by frame."""
    port = lab.port_of(lab.alpha)

    def sent_by_guest() -> int:
        return int(lab.alpha.check("cat /sys/class/net/eth0/statistics/tx_packets"))

    def received_by_switch() -> int:
        match = re.search(r"IN:  pkts +(\d+)", "\n".join(lab.console.check(f"port/print {port}")))
        assert match
        return int(match[1])

    offset = sent_by_guest() - received_by_switch()
    assert lab.alpha.ping_replies(BETA, 50) == 50
    wait_until("the same count at both", lambda: sent_by_guest() - received_by_switch() == offset)


def test_broadcast_reaches_all_and_is_answered_by_all(lab: Lab) -> None:
    lab.alpha.check(f"ip neigh flush dev eth0; arping -q -c 1 -I eth0 {BETA}; arping -q -c 1 -I eth0 {HOST}")
