# SPDX-License-Identifier: MIT
"""What a virtual machine notices of what happens to its switch: its monitor's answers, and its pings."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from netns import NetNamespace, run
from switch_process import Switch
from timely import Lateness, timely_cpus
from vm import Vm, vde_card

# The pace of the questions to a monitor. Each of them takes a CPU from somebody.
QUESTION_PAUSE_S = 0.005

_counter = itertools.count(1)


def waited_for_cpu(pid: int, thread: int | None = None) -> float:
    """Milliseconds that a thread (the main one) was ready to run but had no CPU, so far."""
    return int(Path(f"/proc/{pid}/task/{thread or pid}/schedstat").read_text().split()[1]) / 1e6


def answer_time(vm: Vm, keeper: int = 0, lateness: Lateness | None = None) -> float:
    """Milliseconds that QMP takes for one question. The time in which QEMU or we (or a keeper, which acts when
    nobody else does) wanted a CPU that others had, or a CPU of this machine stood still, is left out: it says nothing
    about the switch."""
    qmp = vm.qmp()
    threads = [(vm.pid, vm.pid), (os.getpid(), threading.get_native_id())]
    if keeper:
        threads.append((keeper, keeper))
    waited = [waited_for_cpu(*thread) for thread in threads]
    start = time.monotonic()
    assert qmp.run("query-status")["running"]
    elapsed = (time.monotonic() - start) * 1000
    still = lateness.ms_since(start) if lateness else 0.0
    # They may have waited at the same time, so only the longest is surely not the switch's.
    return elapsed - max(still, *(waited_for_cpu(*thread) - before
                                  for thread, before in zip(threads, waited, strict=True)))


@dataclass
class Monitor:
    """Asks a machine's QMP all the time, while the block lasts."""

    vm: Vm
    keeper: int = 0
    lateness: Lateness | None = None
    pause_s: float = QUESTION_PAUSE_S  # by so much a longer time may have gone unnoticed
    taken: list[float] = field(default_factory=list)  # ms

    def __enter__(self) -> Monitor:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    @property
    def worst(self) -> float:
        """Milliseconds; a monitor that answers no more is as bad as can be."""
        return max(self.taken) if self.taken and not self._thread.is_alive() else float("inf")

    def _ask(self) -> None:
        with contextlib.suppress(OSError):
            while not self._end.wait(self.pause_s):
                before = time.monotonic()
                try:
                    self.taken.append(answer_time(self.vm, self.keeper, self.lateness))
                except OSError:
                    self.taken.append((time.monotonic() - before) * 1000)
                    raise


# What ping says while it runs, counted up to the last answer: the next one may be on its way when it is stopped.
COUNT_ANSWERS = (
    r"""awk -F seq= '/seq=/ && !/DUP/ { split($2, word, " "); if (word[1] >= sent) sent = word[1] + 1; answered++ } """
    "END { print sent + 0, answered + 0 }'"
)
# A raw socket is given every ICMP packet of its machine, and that of ping holds 14 kB: beside pings of 8,000 bytes,
# after a pause, it overflows. What it dropped did arrive.
SOCKET_OF = r"ls -l /proc/{pid}/fd | sed -n 's/.*socket:.\([0-9]*\).*/\1/p'"
DROPPED_BY = "awk -v socket=$({socket}) '$10 == socket {{ print $NF }}' /proc/net/raw"


@dataclass
class Pings:
    """Echo requests of a machine to an address, at a steady pace while the block lasts."""

    vm: Vm
    address: str
    every_s: float = 0.02
    size: int = 56
    sent: int = 0
    answered: int = 0
    unread: int = 0  # answers that arrived and found no place in ping's socket

    def __enter__(self) -> Pings:
        self._file = f"/tmp/pings{next(_counter)}"
        ping = f"ping -s {self.size} -i {self.every_s} {self.address}"
        self._pid = self.vm.check(f"mkfifo {self._file}.all; {COUNT_ANSWERS} <{self._file}.all >{self._file} & "
                                  f"{ping} >{self._file}.all & echo $!").strip()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        dropped = DROPPED_BY.format(socket=SOCKET_OF.format(pid=self._pid))
        text = self.vm.run(f"kill -STOP {self._pid}; {dropped}; kill -INT {self._pid}; kill -CONT {self._pid}; "
                           f"while ! [ -s {self._file} ]; do usleep 10000; done; cat {self._file}").text
        match = re.fullmatch(r"(\d+)\s+(\d+) (\d+)\s*", text)
        assert match or kind, f"{self.vm.name}: ping says {text!r}"
        if match:
            self.unread, self.sent, self.answered = (int(number) for number in match.groups())

    @property
    def lost(self) -> int:
        return max(self.sent - self.answered - self.unread, 0)


@dataclass
class Lab:
    switch: Switch
    alpha: Vm
    beta: Vm
    lateness: Lateness

    def monitor(self, vm: Vm) -> Monitor:
        return Monitor(vm, self.switch.pid, self.lateness)


@contextlib.contextmanager
def machine_and_host(switch: Switch, tap: str, subnet: str = "10.77.9") -> Iterator[tuple[Vm, str]]:
    """One machine on a switch with this TAP, and the address of the host, which has the TAP in a namespace."""
    address = f"{subnet}.1"
    with NetNamespace() as host, Vm("alpha", f"{subnet}.2/24", vde_card(switch.ctl_dir, "52:54:00:77:09:02")) as vm:
        run("ip", "link", "set", tap, "netns", host.name)
        host.ip("address", "add", f"{address}/24", "dev", tap)
        host.ip("link", "set", tap, "up")
        vm.wait_up()
        assert vm.ping_replies(address, 2) == 2
        yield vm, address


@contextlib.contextmanager
def two_machines(switch: Switch, subnet: str = "10.77.9") -> Iterator[Lab]:
    """Two machines on one switch that have heard of each other."""
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(
            Vm(name, f"{subnet}.{number}/24", vde_card(switch.ctl_dir, f"52:54:00:77:09:{number:02x}")))
            for number, name in ((2, "alpha"), (3, "beta"))]
        for machine in machines:
            machine.wait_up()
        assert machines[0].ping_replies(machines[1].address, 2) == 2
        yield Lab(switch, *machines, lateness=stack.enter_context(timely_cpus()))
