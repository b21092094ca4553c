# SPDX-License-Identifier: MIT
"""Whether clients that behave feel those that do not: one that never reads, one that floods the address table, and
everybody at once until a moment ago.

The bystanders are measured twice in the same minute, beside the offender and beside a client that does as much and
offends nobody, so what the machine has to do is the same.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator

from cases import Case, Goal, Result, Row, count, microseconds, rate
from contestants import ORIGINAL, OURS, Failed, Switch, Tools, load_on, running

ALL_READ = "ours, where all read"
ONE_ADDRESS = "ours, flood of one address"
READERS = 7
ADDRESSES = 1_000_000
FLOOD_PER_S = 30_000
AFTERWARDS_PER_S = 20_000


@contextlib.contextmanager
def never_reads(tools: Tools, switch: Switch) -> Iterator[None]:
    with subprocess.Popen([str(tools.load), "hold", "--sock", str(switch.sock), "--receivers", "1"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin and holder.stdout
        if holder.stdout.readline() != b"ready\n":
            raise Failed("the client that never reads could not be plugged")
        try:
            yield
        finally:
            holder.stdin.close()


@contextlib.contextmanager
def beside(tools: Tools, switch: Switch, **options: object) -> Iterator[None]:
    """Other clients' traffic that begins before the block and ends soon after it."""
    trouble: list[Failed] = []

    def run() -> None:
        try:
            load_on(tools, switch, "stream", **options)
        except Failed as error:
            trouble.append(error)

    other = threading.Thread(target=run)
    other.start()
    try:
        yield
    finally:
        other.join()
    if trouble:
        raise trouble[0]


def slow_reader(name: str, *, reads: bool = False) -> Callable[[Tools], Result]:
    """Broadcasts to eight, one of whom does not read: what the others lose, and the way of a frame meanwhile."""
    def measure(tools: Tools) -> Result:
        with running(tools, name) as switch, contextlib.ExitStack() as stack:
            if not reads:
                stack.enter_context(never_reads(tools, switch))
            broadcasts = {"receivers": READERS + reads, "broadcast": 1, "rate": 1600, "burst": 16, "first": 100}
            lost = load_on(tools, switch, "stream", **broadcasts)["lost"]
            with beside(tools, switch, seconds=tools.seconds + 1, **broadcasts):
                way = load_on(tools, switch, "oneway")
        return {"lost": lost, "p99_us": way["p99_us"]}
    return measure


def address_flood(name: str, *, addresses: int = ADDRESSES) -> Callable[[Tools], Result]:
    """Two clients as fast as they can, while a third sends from ever new addresses."""
    def measure(tools: Tools) -> Result:
        with running(tools, name) as switch, \
                beside(tools, switch, seconds=tools.seconds + 1, macs=addresses, rate=FLOOD_PER_S, burst=30,
                       first=100):
            return load_on(tools, switch, "stream")
    return measure


def recovery(name: str) -> Callable[[Tools], Result]:
    """What a pair loses from the first frame on, when the clients that asked too much have just ended."""
    def measure(tools: Tools) -> Result:
        with running(tools, name) as switch:
            with beside(tools, switch, receivers=4, broadcast=1, first=100), \
                    beside(tools, switch, receivers=4, broadcast=1, first=200):
                pass
            return load_on(tools, switch, "stream", rate=AFTERWARDS_PER_S, burst=20, warmup=0)
    return measure


def overload_cases() -> list[Case]:
    return [
        Case("slow-reader", f"broadcasts to {READERS + 1} of whom one does not read",
             {OURS: slow_reader(OURS), ALL_READ: slow_reader(OURS, reads=True), ORIGINAL: slow_reader(ORIGINAL)},
             (Row("lost by the others", "lost", count, (Goal(0),), every_run=True),
              Row("way of a frame, 99 %", "p99_us", microseconds, (Goal(1.2, against=ALL_READ),))),
             contestants=(OURS, ALL_READ, ORIGINAL)),
        Case("address-flood", f"64 B as fast as it can beside a flood of {ADDRESSES:,} addresses",
             {OURS: address_flood(OURS), ONE_ADDRESS: address_flood(OURS, addresses=1),
              ORIGINAL: address_flood(ORIGINAL)},
             (Row("delivered", "delivered_per_s", rate, (Goal(0.95, True, ONE_ADDRESS),)),
              Row("frames lost", "lost", count)),
             contestants=(OURS, ONE_ADDRESS, ORIGINAL)),
        Case("recovery", "64 B, 20,000/s, at once after more than the switch can carry",
             {OURS: recovery(OURS), ORIGINAL: recovery(ORIGINAL)},
             (Row("frames lost", "lost", count, (Goal(0),), every_run=True),),
             contestants=(OURS, ORIGINAL)),
    ]
