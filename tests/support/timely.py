# SPDX-License-Identifier: MIT
"""A machine whose timers are on time, for tests that tell how long something took."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

PAUSE_S = 0.001
GAP_S = 0.01  # that somebody was late by


class Lateness:
    """When a CPU of the machine stood still, as who wanted it all the time has seen."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._gaps: list[tuple[float, float]] = []

    def awake(self, cpu: int) -> None:
        now = time.monotonic()
        before = self._seen.get(cpu, now)
        self._seen[cpu] = now
        if now - before > GAP_S:
            self._gaps.append((before, now))

    def ms_since(self, start: float) -> float:
        """The longest that one CPU has stood still since then."""
        now = time.monotonic()
        gaps = [*self._gaps, *((seen, now) for seen in self._seen.values())]
        return 1000 * max((end - max(begin, start) for begin, end in gaps if end > start), default=0.0)


@contextlib.contextmanager
def timely_cpus() -> Iterator[Lateness]:
    """While the block lasts no CPU sleeps for longer than a moment. Where this machine is itself a virtual one, its
    host may wake an idle CPU 100 to 300 ms after the timer was due, and who set the timer, a keeper perhaps, is as
    late: that is the host's doing, and /proc does not show it as time in which somebody waited for a CPU. What happens
    all the same the answer tells."""
    over = threading.Event()
    lateness = Lateness()

    def keep_awake(cpu: int) -> None:
        os.sched_setaffinity(threading.get_native_id(), {cpu})
        while not over.is_set():
            time.sleep(PAUSE_S)
            lateness.awake(cpu)

    threads = [threading.Thread(target=keep_awake, args=(cpu,)) for cpu in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    try:
        yield lateness
    finally:
        over.set()
        for thread in threads:
            thread.join()
