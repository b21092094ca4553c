# SPDX-License-Identifier: MIT
"""User-Mode Linux, for which all this was made: its `daemon` transport asks with an abstract address, without a
description, and sends without connecting."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from client_process import need_programs, plugged
from netns import NetNamespace
from switch_process import Switch
from vm import UserModeLinux, need_vms
from waiting import wait_until

pytestmark = pytest.mark.root

# The last words of one that keeps fewer registers than the processor has (AMX), before its kernel panics.
NO_ROOM_FOR_REGISTERS = "ptrace set fp regs failed"
HOST, FIRST, SECOND = "10.77.6.1", "10.77.6.2", "10.77.6.3"


@dataclass
class Lab:
    switch: Switch
    host: NetNamespace
    first: UserModeLinux
    second: UserModeLinux


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    need_programs("linux.uml")
    need_vms()
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(NetNamespace())
        switch = stack.enter_context(Switch("-t", "host0", netns=host.name))
        host.ip("address", "add", f"{HOST}/24", "dev", "host0")
        host.ip("link", "set", "host0", "up")
        first, second = (
            stack.enter_context(UserModeLinux(name, f"{address}/24",
                                              [f"eth0=daemon,{mac},unix,{switch.ctl_dir}/ctl"], host.name))
            for name, address, mac in (("first", FIRST, "52:54:00:77:06:02"), ("second", SECOND, "52:54:00:77:06:03")))
        try:
            first.wait_up()
            second.wait_up()
        except AssertionError as problem:
            if NO_ROOM_FOR_REGISTERS in str(problem):
                pytest.skip(f"User-Mode Linux cannot run on this processor: {NO_ROOM_FOR_REGISTERS}")
            raise
        yield Lab(switch, host, first, second)


def test_two_user_mode_linuxes_and_the_host_ping_each_other(lab: Lab) -> None:
    assert lab.first.ping_replies(SECOND, 5) == 5
    assert lab.second.ping_replies(FIRST, 5) == 5
    assert lab.first.ping_replies(HOST, 5) == 5
    text = lab.host.run("ping", "-q", "-c", "3", "-i", "0.1", "-W", "2", SECOND, check=False).stdout
    assert " 3 received" in text, text


@pytest.mark.parametrize("size", [1, 1472, 1473])
def test_datagrams_come_back_whole(lab: Lab, size: int) -> None:
    assert lab.first.ping_replies(SECOND, 3, size) == 3


@pytest.mark.ours
def test_datagram_of_many_frames_waits_in_the_ports_queue(lab: Lab) -> None:
    """UML does not connect its socket, so the kernel takes 11 frames for it at most; the original loses the rest."""
    assert lab.first.ping_replies(SECOND, 3, 30000) == 3


def test_file_crosses_with_its_checksum(lab: Lab) -> None:
    expected = lab.second.offer_file(4)
    assert lab.first.check(f"wget -q -O - http://{SECOND}/file | sha256sum", 60).split()[0] == expected


def test_they_have_ports_without_a_name(lab: Lab) -> None:
    names = [one for many in plugged(lab.switch).values() for one in many]
    assert sorted(names) == ["", "", "host0"]


def test_one_that_is_killed_frees_its_port(lab: Lab) -> None:
    with UserModeLinux("third", "10.77.6.4/24", [f"eth0=daemon,52:54:00:77:06:04,unix,{lab.switch.ctl_dir}/ctl"],
                       lab.host.name) as vm:
        vm.wait_up()
        assert vm.ping_replies(HOST, 3) == 3
        table = "\n".join(lab.switch.console().check("hash/print"))
        match = re.search(r"52:54:00:77:06:04 VLAN 0000 to port: (\d+)", table)
        assert match, table
        port = int(match[1])
    wait_until("port free", lambda: port not in plugged(lab.switch))
