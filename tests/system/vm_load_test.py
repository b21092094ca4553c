# SPDX-License-Identifier: MIT
"""A machine's monitor while its switch is busy. QEMU sends with a blocking socket from its main loop, so a
switch that stops reading for a moment freezes the guest, the monitor and QMP for that moment."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client_process import plugged
from machines import QUESTION_PAUSE_S, answer_time
from netns import NetNamespace
from switch_process import REPOSITORY, Switch
from timely import timely_cpus
from vde_client import VdeClient
from vm import Vm, need_vms, vde_card

pytestmark = pytest.mark.root

HOST, ALPHA, BETA = "10.77.3.1", "10.77.3.2", "10.77.3.3"
ALPHA_MAC, BETA_MAC = "52:54:00:77:03:02", "52:54:00:77:03:03"
QUESTIONS = 200

# A second process that sends as fast as the switch takes it, until it is ended.
STORM = """
import sys
sys.path.insert(0, sys.argv[1])
from vde_client import VdeClient
with VdeClient(sys.argv[2]) as client:
    client.data.setblocking(True)
    frame = bytes.fromhex(sys.argv[3].replace(":", "") + "024c000000aa88b5") + bytes(int(sys.argv[4]))
    print("plugged", flush=True)
    while True:
        client.data.send(frame)
"""


@dataclass
class Lab:
    switch: Switch
    host: NetNamespace
    alpha: Vm
    beta: Vm


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    need_vms()
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(NetNamespace())
        switch = stack.enter_context(Switch("-t", "host0", netns=host.name))
        host.ip("address", "add", f"{HOST}/24", "dev", "host0")
        host.ip("link", "set", "host0", "up")
        alpha = stack.enter_context(Vm("alpha", f"{ALPHA}/24", vde_card(switch.ctl_dir, ALPHA_MAC)))
        beta = stack.enter_context(Vm("beta", f"{BETA}/24", vde_card(switch.ctl_dir, BETA_MAC)))
        alpha.wait_up()
        beta.wait_up()
        assert alpha.ping_replies(BETA, 2) == 2
        stack.enter_context(timely_cpus())
        yield Lab(switch, host, alpha, beta)


@contextlib.contextmanager
def storm(ctl: Path, destination: str, size: int) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", STORM, str(REPOSITORY / "tests/support"), str(ctl), destination,
                           str(size)], stdout=subprocess.PIPE) as sender:
        try:
            assert sender.stdout and sender.stdout.readline() == b"plugged\n"
            yield
        finally:
            sender.kill()


def answer_times(vm: Vm) -> list[float]:
    """Milliseconds that QMP takes, for many questions spread over about a second."""
    taken = []
    for _ in range(QUESTIONS):
        taken.append(answer_time(vm))
        time.sleep(QUESTION_PAUSE_S)
    return taken


def assert_quick(taken: list[float]) -> None:
    """A frozen switch gives seconds here."""
    print(f"QMP: median {statistics.median(taken):.2f} ms, longest {max(taken):.1f} ms")
    assert statistics.median(taken) < 10
    assert max(taken) < 250


def test_monitor_answers_while_others_flood_the_switch(lab: Lab) -> None:
    """Broadcasts: every machine gets every one of them, and cannot take them as fast as they come."""
    token = lab.alpha.begin(f"ping -A -q -w 3 {HOST}")
    with storm(lab.switch.ctl_dir, "ff:ff:ff:ff:ff:ff", 1000):
        taken = answer_times(lab.alpha)
    lab.alpha.finish(token)
    assert_quick(taken)
    assert lab.alpha.ping_replies(HOST, 3) == 3


def test_monitor_answers_while_its_machine_sends_to_a_stopped_one(lab: Lab) -> None:
    """Beta's QEMU is stopped, its socket fills, and the frames for it must not hold up alpha."""
    lab.beta.process.send_signal(signal.SIGSTOP)
    try:
        token = lab.alpha.begin(f"ping -A -q -w 3 {HOST}")
        with storm(lab.switch.ctl_dir, BETA_MAC, 1400):
            taken = answer_times(lab.alpha)
        text = lab.alpha.finish(token).text
    finally:
        lab.beta.process.send_signal(signal.SIGCONT)
    assert_quick(taken)
    assert " 0% packet loss" in text, text
    assert lab.beta.ping_replies(ALPHA, 3) == 3


def test_monitor_answers_while_its_machine_sends_all_it_can(lab: Lab) -> None:
    listener = subprocess.Popen(["ip", "netns", "exec", lab.host.name, sys.executable, "-c", (
        "import socket\n"
        f"server = socket.create_server(('{HOST}', 5002))\n"
        "print('listening', flush=True)\n"
        "stream, _ = server.accept()\n"
        "total = 0\n"
        "while part := stream.recv(1 << 20): total += len(part)\n"
        "print(total)\n")], stdout=subprocess.PIPE, text=True)
    try:
        assert listener.stdout and listener.stdout.readline() == "listening\n"
        token = lab.alpha.begin(f"timeout 2 sh -c 'nc {HOST} 5002 </dev/zero'")
        taken = answer_times(lab.alpha)
        lab.alpha.finish(token)
        total = int(listener.communicate(timeout=10)[0])
    finally:
        listener.kill()
        listener.wait()
    print(f"{total / 2e6:.0f} MB/s from the machine to the host")
    assert total > 1_000_000
    assert_quick(taken)


def test_stopped_machine_loses_frames_under_its_own_name_only(lab: Lab) -> None:
    """Two clients exchange frames at a steady pace while beta is stopped and frames for it pile up."""
    beta_mac = bytes.fromhex(BETA_MAC.replace(":", ""))
    left_mac, right_mac = bytes.fromhex("024c0000000a"), bytes.fromhex("024c0000000b")
    with VdeClient(lab.switch.ctl_dir) as left, VdeClient(lab.switch.ctl_dir) as right:
        right.send(b"\xff" * 6 + right_mac + b"\x88\xb5" + bytes(46))
        assert left.recv() is not None
        lab.beta.process.send_signal(signal.SIGSTOP)
        try:
            for number in range(2000):
                left.send(beta_mac + left_mac + b"\x88\xb5" + bytes(1400))
                left.send(right_mac + left_mac + b"\x88\xb5" + number.to_bytes(4, "big") + bytes(42))
                frame = right.recv()
                while frame is not None and frame[:6] != right_mac:
                    frame = right.recv()  # broadcasts of the machines
                assert frame is not None and int.from_bytes(frame[14:18], "big") == number
        finally:
            os.kill(lab.beta.pid, signal.SIGCONT)
    assert lab.beta.ping_replies(ALPHA, 3) == 3


@pytest.mark.ours
def test_every_frame_of_the_storms_is_accounted_for(lab: Lab) -> None:
    """After a storm at a stopped machine: its port names what it lost, no other port lost anything to a queue,
    and in each port received = forwarded + dropped, offered = transmitted + queued + dropped."""
    console = lab.switch.console()
    console.check("port/resetcounter")
    lab.beta.process.send_signal(signal.SIGSTOP)
    try:
        with storm(lab.switch.ctl_dir, BETA_MAC, 1400):
            assert lab.alpha.ping_replies(HOST, 20) == 20
    finally:
        lab.beta.process.send_signal(signal.SIGCONT)
    assert lab.beta.ping_replies(ALPHA, 3) == 3
    balance = "\n".join(console.check("port/balance"))
    incoming = re.findall(r"received (\d+) forwarded (\d+) dropped (\d+)", balance)
    outgoing = re.findall(r"offered (\d+) transmitted (\d+) queued (\d+) dropped (\d+)", balance)
    assert len(incoming) == len(outgoing) >= 3
    for received, *parts in (*incoming, *outgoing):
        assert int(received) == sum(int(part) for part in parts), balance
    lost = {int(number): text for number, text in
            re.findall(r"Port (\d+)((?:\n -- .*)*)", "\n".join(console.check("port/drops")))}
    table = plugged(lab.switch)
    beta_port = next(number for number, many in table.items() if f"pid={lab.beta.pid}" in " ".join(many))
    assert "queue_full" in lost[beta_port], lost
    # The client that made the storm reads nothing either and has been killed; what it was to have went with it.
    assert not any("queue_full" in text for number, text in lost.items() if number != beta_port), lost


def test_machine_goes_on_after_its_switch_was_stopped(lab: Lab) -> None:
    """A stopped switch holds its machines; when it goes on, they do too, at once and with the same port."""
    os.kill(lab.switch.pid, signal.SIGSTOP)
    try:
        token = lab.alpha.begin(f"ping -c 2 -W 1 {HOST}")
        time.sleep(0.5)  # The length of the stop is what is tested.
    finally:
        os.kill(lab.switch.pid, signal.SIGCONT)
    lab.alpha.finish(token)
    assert lab.alpha.ping_replies(HOST, 3) == 3
