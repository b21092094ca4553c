# SPDX-License-Identifier: MIT
"""Machines come, go, die and come back: hot-unplug, hot-plug, kill -9, and QEMU's words for a port."""

from __future__ import annotations

import contextlib
import grp
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console import Console
from switch_process import Switch
from vde_client import VdeClient
from vm import Qmp, QmpError, Vm, need_vms, silent_machine, vde_card
from waiting import wait_until

pytestmark = pytest.mark.root

ALPHA, BETA = "10.77.2.2", "10.77.2.3"
ALPHA_MAC, BETA_MAC = "52:54:00:77:02:02", "52:54:00:77:02:03"
BETA_PORT = 7


@pytest.fixture(scope="module")
def shared_switch() -> Iterator[Switch]:
    need_vms()
    with Switch() as switch:
        yield switch


@pytest.fixture(scope="module")
def console(shared_switch: Switch) -> Console:
    return shared_switch.console()


@pytest.fixture(scope="module")
def alpha(shared_switch: Switch) -> Iterator[Vm]:
    """The machine that stays and looks at the others."""
    with Vm("alpha", f"{ALPHA}/24", vde_card(shared_switch.ctl_dir, ALPHA_MAC)) as vm:
        yield vm.wait_up()


def boot_beta(switch: Switch) -> Vm:
    return Vm("beta", f"{BETA}/24", vde_card(f"vde://{switch.ctl_dir}[{BETA_PORT}]", BETA_MAC))


@pytest.fixture(scope="module")
def beta(shared_switch: Switch) -> Iterator[Callable[[], Vm]]:
    """beta() is the running machine on the fixed port; booted when it is first wanted or was killed."""
    with contextlib.ExitStack() as stack:
        running: list[Vm] = []

        def get() -> Vm:
            if not running or running[-1].process.poll() is not None:
                running.append(stack.enter_context(boot_beta(shared_switch)).wait_up())
            return running[-1]

        yield get


def endpoints(console: Console, port: int) -> list[str]:
    """The descriptions of what is plugged into the port."""
    reply = console.run(f"port/print {port}")
    return [line.split(": ", 1)[1] for line in reply.lines if line.startswith("  -- endpoint")]


def active_ports(console: Console) -> set[int]:
    found = (re.match(r"Port (\d+) .* ACTIVE", line) for line in console.check("port/print"))
    return {int(match[1]) for match in found if match}


def has_mac(console: Console, mac: str) -> bool:
    return any(mac in row for row in console.check("hash/print"))


def test_machine_gets_the_port_named_in_its_vnl(alpha: Vm, beta: Callable[[], Vm], console: Console) -> None:
    vm = beta()
    assert endpoints(console, BETA_PORT) == [f"QEMU user=root pid={vm.pid}"]
    assert alpha.ping_replies(BETA, 3) == 3


def test_machine_killed_comes_back_on_its_port(alpha: Vm, beta: Callable[[], Vm], console: Console,
                                               shared_switch: Switch) -> None:
    """kill -9: the port, its MAC entries and its socket go at once; the next machine takes the same port."""
    first = beta()
    assert alpha.ping_replies(BETA, 2) == 2
    assert has_mac(console, BETA_MAC)
    descriptors = shared_switch.descriptors()
    first.kill()
    wait_until("port free", lambda: BETA_PORT not in active_ports(console))
    assert not has_mac(console, BETA_MAC)
    assert list(shared_switch.ctl_dir.glob(f"{BETA_PORT:03d}.*")) == []
    assert shared_switch.descriptors() < descriptors

    second = beta()
    assert second.pid != first.pid
    assert endpoints(console, BETA_PORT) == [f"QEMU user=root pid={second.pid}"]
    assert alpha.ping_replies(BETA, 3) == 3
    assert shared_switch.descriptors() == descriptors


def test_machine_killed_under_traffic_costs_the_others_nothing(alpha: Vm, beta: Callable[[], Vm],
                                                               console: Console, shared_switch: Switch) -> None:
    """Frames to the dead machine are in flight all the time; two others exchange frames meanwhile."""
    vm = beta()
    assert alpha.ping_replies(BETA, 1) == 1
    dead_mac, left_mac, right_mac = (bytes.fromhex(mac.replace(":", ""))
                                     for mac in (BETA_MAC, "02:4c:00:00:00:0a", "02:4c:00:00:00:0b"))
    with VdeClient(shared_switch.ctl_dir) as left, VdeClient(shared_switch.ctl_dir) as right:
        right.send(b"\xff" * 6 + right_mac + b"\x88\xb5" + bytes(46))
        assert left.recv() is not None
        for number in range(3000):
            if number == 1000:
                vm.kill()
            left.send(dead_mac + left_mac + b"\x88\xb5" + bytes(1400))
            left.send(right_mac + left_mac + b"\x88\xb5" + number.to_bytes(4, "big") + bytes(42))
            if number % 20 == 19:
                for expected in range(number - 19, number + 1):
                    while (frame := right.recv()) is not None and frame[:6] != right_mac:
                        pass  # the flood to the address that has gone
                    assert frame is not None and int.from_bytes(frame[14:18], "big") == expected
    wait_until("port free", lambda: BETA_PORT not in active_ports(console))


def unplug_card(qmp: Qmp, identity: str) -> None:
    """Asks the guest to let go of the card, waits until it did, and removes the back end."""
    qmp.run("device_del", id=f"card-{identity}")
    while qmp.wait_event("DEVICE_DELETED")["data"].get("device") != f"card-{identity}":
        pass
    qmp.run("netdev_del", id=identity)


def plug_card(qmp: Qmp, identity: str, mac: str, **netdev: object) -> None:
    qmp.run("netdev_add", type="vde", id=identity, **netdev)
    qmp.run("device_add", driver="virtio-net-pci", id=f"card-{identity}", netdev=identity, mac=mac)


def test_card_unplugged_and_plugged_in_a_running_machine(alpha: Vm, beta: Callable[[], Vm], console: Console,
                                                         shared_switch: Switch) -> None:
    vm = beta()
    qmp = vm.qmp()
    assert alpha.ping_replies(BETA, 2) == 2
    unplug_card(qmp, "n0")
    wait_until("port free", lambda: BETA_PORT not in active_ports(console))
    assert not has_mac(console, BETA_MAC)
    assert alpha.ping_replies(BETA, 1, wait=1) == 0

    plug_card(qmp, "n0", BETA_MAC, sock=str(shared_switch.ctl_dir), port=BETA_PORT)
    assert endpoints(console, BETA_PORT) == [f"QEMU user=root pid={vm.pid}"]
    wait_until("card", lambda: vm.run(f"ip address add {BETA}/24 dev eth0 && ip link set eth0 up").code == 0, 30.0)
    assert alpha.ping_replies(BETA, 3) == 3


def test_many_hot_plugs_leave_nothing_behind(beta: Callable[[], Vm], console: Console,
                                             shared_switch: Switch) -> None:
    qmp = beta().qmp()
    before = active_ports(console), shared_switch.descriptors()
    for _ in range(100):
        qmp.run("netdev_add", type="vde", id="again", sock=str(shared_switch.ctl_dir))
        qmp.run("netdev_del", id="again")
    wait_until("as before", lambda: (active_ports(console), shared_switch.descriptors()) == before)


@pytest.mark.parametrize(("netdev", "port"), [
    ({"sock": "{ctl}", "port": 12}, 12),
    ({"sock": "{ctl}[12]"}, 12),
    ({"sock": "{ctl}[port=12]"}, 12),
    ({"sock": "vde://{ctl}[12]"}, 12),
    ({"sock": "vde://{ctl}[port=12]"}, 12),
    ({"sock": "vde://{ctl}[0]"}, 0),
])
def test_ways_to_ask_for_a_port(alpha: Vm, console: Console, shared_switch: Switch,
                                netdev: dict[str, object], port: int) -> None:
    qmp = alpha.qmp()
    words = {name: value.format(ctl=shared_switch.ctl_dir) if isinstance(value, str) else value
             for name, value in netdev.items()}
    qmp.run("netdev_add", type="vde", id="extra", **words)
    try:
        assert endpoints(console, port) == [f"QEMU user=root pid={alpha.pid}"]
    finally:
        qmp.run("netdev_del", id="extra")
    wait_until("port free", lambda: port not in active_ports(console))


@pytest.mark.parametrize(("options", "mode"), [
    ({}, 0o700),
    ({"mode": 0o600}, 0o600),
    ({"mode": 0o660}, 0o660),
    ({"mode": 0o666}, 0o666),
])
def test_mode_option_reaches_the_data_socket(alpha: Vm, shared_switch: Switch, options: dict[str, int],
                                             mode: int) -> None:
    """libvdeplug changes the mode of the switch's socket, which it may because the switch gave it away."""
    qmp = alpha.qmp()
    qmp.run("netdev_add", type="vde", id="extra", sock=str(shared_switch.ctl_dir), port=13, **options)
    try:
        assert stat.S_IMODE(data_socket(shared_switch, 13).stat().st_mode) == mode
    finally:
        qmp.run("netdev_del", id="extra")


def data_socket(switch: Switch, port: int) -> Path:
    found = list(switch.ctl_dir.glob(f"{port:03d}.*"))
    assert len(found) == 1, found
    return found[0]


def test_group_option_is_accepted(alpha: Vm, console: Console, shared_switch: Switch) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    qmp = alpha.qmp()
    qmp.run("netdev_add", type="vde", id="extra", sock=str(shared_switch.ctl_dir), port=14, group=group, mode=0o660)
    try:
        assert endpoints(console, 14) == [f"QEMU user=root pid={alpha.pid}"]
        assert data_socket(shared_switch, 14).stat().st_gid == os.getgid()
    finally:
        qmp.run("netdev_del", id="extra")


@pytest.mark.ours
@pytest.mark.parametrize("sock", ["vde://{ctl}[guests]", "vde://{ctl}[portgroup=guests]"])
def test_group_of_ports_gives_the_next_free_one_of_its_range(alpha: Vm, start_switch: Callable[..., Switch],
                                                             sock: str) -> None:
    switch = start_switch("--portgroup", "guests=20-21")
    console = switch.console()
    qmp = alpha.qmp()
    words = {"type": "vde", "sock": sock.format(ctl=switch.ctl_dir)}
    try:
        for number in (20, 21):
            qmp.run("netdev_add", id=f"group{number}", **words)
            assert endpoints(console, number) == [f"QEMU user=root pid={alpha.pid}"]
        with pytest.raises(QmpError):
            qmp.run("netdev_add", id="group22", **words)
    finally:
        for number in (20, 21):
            qmp.run("netdev_del", id=f"group{number}")


@pytest.mark.ours
def test_refused_port_is_an_error_and_not_a_frozen_machine(alpha: Vm, shared_switch: Switch) -> None:
    """The original answers nothing, and QEMU waits in the middle of its main loop for ever."""
    qmp = alpha.qmp()
    with pytest.raises(QmpError):
        qmp.run("netdev_add", type="vde", id="extra", sock=str(shared_switch.ctl_dir), port=30000)
    assert qmp.run("query-status")["running"]


@pytest.mark.ours
def test_machine_with_a_refused_port_ends_with_a_message(alpha: Vm, shared_switch: Switch) -> None:
    with silent_machine("none", "-netdev", f"vde,id=n0,sock={shared_switch.ctl_dir},port=30000") as machine:
        try:
            said, _ = machine.communicate(timeout=10)
        finally:
            machine.kill()
    assert machine.returncode == 1
    assert "vde" in said


def test_machine_without_a_switch_ends_with_a_message(directory: Path) -> None:
    need_vms()
    with silent_machine("none", "-netdev", f"vde,id=n0,sock={directory}/nobody") as machine:
        try:
            said, _ = machine.communicate(timeout=10)
        finally:
            machine.kill()
    assert machine.returncode == 1
    assert "Could not open vde" in said


@pytest.mark.ours
def test_two_machines_without_mac_are_named_in_the_log(shared_switch: Switch, directory: Path) -> None:
    """A card without mac= gets 52:54:00:12:34:56 in every QEMU: the log must say what is wrong."""
    with contextlib.ExitStack() as stack:
        sessions = []
        for name in ("one", "two"):
            machine = stack.enter_context(silent_machine(
                "pc", "-netdev", f"vde,id=n0,sock={shared_switch.ctl_dir}", "-device", "virtio-net-pci,netdev=n0",
                "-qmp", f"unix:{directory}/{name},server=on,wait=off"))
            stack.callback(machine.kill)
            sessions.append(Qmp(directory / name))
            stack.callback(sessions[-1].close)
        for session in sessions * 2:
            # QEMU itself sends from the card's address, as it does after a migration.
            session.run("announce-self", initial=50, max=100, rounds=2, step=50)
        shared_switch.wait_log("MAC 52:54:00:12:34:56 moved from port ")
    hints = [line for line in shared_switch.log_text().splitlines() if "52:54:00:12:34:56" in line]
    assert any("mac=" in line for line in hints), hints


def test_machine_survives_the_end_of_its_switch(start_switch: Callable[..., Switch]) -> None:
    """It never reconnects, but its monitor must go on answering."""
    need_vms()
    switch = start_switch()
    with Vm("gamma", "10.77.2.9/24", vde_card(switch.ctl_dir, "52:54:00:77:02:09")) as vm:
        vm.wait_up()
        switch.stop()
        vm.run("ping -c 2 -W 1 10.77.2.1")
        assert vm.qmp().run("query-status")["running"]
        assert vm.check("echo alive") == "alive"
