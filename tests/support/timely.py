# SPDX-License-Identifier: MIT
"""A machine whose timers are on time, for tests that tell how long something took."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

PAUSE_S = 0.001


@contextlib.contextmanager
def timely_cpus() -> Iterator[None]:
    """While the block lasts no CPU sleeps for longer than a moment. Where this machine is itself a virtual one, its
    host may wake an idle CPU 100 to 300 ms after the timer was due, and who set the timer, a keeper perhaps, is as
    late: that is the host's doing, and /proc does not show it as time in which somebody waited for a CPU."""
    over = threading.Event()

    def keep_awake(cpu: int) -> None:
        os.sched_setaffinity(threading.get_native_id(), {cpu})
        while not over.is_set():
            time.sleep(PAUSE_S)

    threads = [threading.Thread(target=keep_awake, args=(cpu,)) for cpu in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
