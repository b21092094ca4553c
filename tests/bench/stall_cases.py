# SPDX-License-Identifier: MIT
"""How long a frame waits at most while somebody manages the switch: the data thread must not stand still.

One client sends and looks for its frame all the time; beside it a process does one thing after the other. That process
has a CPU only when nobody else wants it (SCHED_IDLE), because what is measured is the switch's thread and not who gets
one of few CPUs; and who sends and looks has one of its own, or the switch would wait for it to end its slice.
What the machine itself makes wait shows in the same run with nobody managing, and with somebody who only starts the
same program again and again without a word to the switch: a kernel that does not give up a CPU in the midst of a
system call (execve, exit) makes whoever wakes on it wait. How long the turns of the switch's thread were it says
itself (lanyard status); what they make wait is its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cases import Case, Goal, Result, Row, count, microseconds
from contestants import OURS, Failed, Tools, end, load, scratch

CPUS = sorted(os.sched_getaffinity(0))
PROBES, THEIRS = CPUS[-1], CPUS[0]  # of who sends and looks, and of the rest
AT_REST = "ours, at rest"
BESIDE = "ours, beside program starts"
ADDRESSES = 65_536
MEMORY = Path("/dev/shm")  # as /run is in memory: a change of names on a disk waits for its journal
NETWORK = """[network.lab]
kind = "internal"
socket = [{ path = "guests" }]
"""


class Managed:
    """A daemon with one network, and its command line."""

    def __init__(self, tools: Tools, directory: Path, captures: bool) -> None:
        self.done = 0
        self.file = directory / "lab.toml"
        self.sock = directory / "run/guests"
        self.capture = directory / "capture.pcap"
        self.environment = {**os.environ, "LANYARD_RUNTIME_DIR": str(directory / "run"),
                            "LANYARD_STATE_DIR": str(directory / "state")}
        self.program = tools.programs[OURS].with_name("lanyard")
        # A daemon that knows of no capture when it starts confines itself, and begins none later.
        self.file.write_text(self.recorded() if captures else NETWORK)
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(self.program.with_name("lanyardd")), "--config", str(self.file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                preexec_fn=lambda: os.sched_setaffinity(0, {THEIRS}))

    def recorded(self) -> str:
        return NETWORK + f'plugs = ["record://{self.capture}{self.done}"]\n'

    def lanyard(self, *words: str) -> str:
        done = subprocess.run([str(self.program), *words], env=self.environment, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed(f"lanyard {' '.join(words)}: {done.stderr.strip()[-200:]}")
        self.done += 1
        return done.stdout


@contextlib.contextmanager
def managed(tools: Tools, captures: bool) -> Iterator[Managed]:
    with scratch(MEMORY if MEMORY.is_dir() else None) as directory:
        daemon = Managed(tools, directory, captures)
        try:
            deadline = time.monotonic() + 5
            while not (daemon.sock / "ctl").exists():
                if daemon.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"lanyardd did not start: {(directory / 'log').read_text()[-300:]}")
                time.sleep(0.01)
            yield daemon
        finally:
            end(daemon.process)


def reload(daemon: Managed) -> None:
    other = NETWORK + "[network.other]\nkind = \"internal\"\n"
    daemon.file.write_text(NETWORK if daemon.done % 2 else other)
    daemon.lanyard("reload")


def list_addresses(daemon: Managed) -> None:
    daemon.lanyard("--json", "fdb", "list", "lab")


def capture(daemon: Managed) -> None:
    daemon.file.write_text(NETWORK if daemon.done % 2 else daemon.recorded())
    daemon.lanyard("reload")


def start_program(daemon: Managed) -> None:
    daemon.lanyard("--version")


def log_burst(daemon: Managed) -> None:
    """Refused requests, each a line of the log."""
    done = subprocess.run(["python3", "-c", BURST, str(daemon.sock / "ctl")], check=False)
    daemon.done += done.returncode == 0


BURST = """
import socket, sys
for _ in range(200):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(sys.argv[1])
        client.sendall(b"not a request of any version" * 8)
"""


def stall(deed: Callable[[Managed], None] | None) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        with managed(tools, deed is capture) as daemon:
            load(tools, ["stream", "--sock", str(daemon.sock), "--macs", str(ADDRESSES),
                         "--seconds", "0.5", "--warmup", "0"], timeout=20)
            daemon.done = 0
            over = threading.Event()
            trouble: list[Failed] = []

            def manage() -> None:
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread and its children
                os.sched_setaffinity(0, {THEIRS})
                try:
                    while deed and not over.is_set():
                        deed(daemon)
                except Failed as error:
                    trouble.append(error)

            manager = threading.Thread(target=manage)
            manager.start()
            try:
                result = load(tools, ["oneway", "--sock", str(daemon.sock), "--seconds",
                                      str(tools.seconds), "--warmup", str(tools.warmup),
                                      "--pin", f"{PROBES},{PROBES}"],
                              timeout=tools.seconds + 20)
            finally:
                over.set()
                manager.join()
            if trouble:
                raise trouble[0]
            deeds = float(daemon.done)
            turns = json.loads(daemon.lanyard("--json", "status"))["turns"]
            return {**result, "deeds": deeds, "turn_p9999_us": turns["p9999_us"], "turn_longest_us": turns["longest_us"]}
    return measure


def stall_cases() -> list[Case]:
    deeds = {"reload": ("reloads", reload), "fdb": (f"lists of {ADDRESSES:,} addresses", list_addresses),
             "capture": ("captures begun and ended", capture), "log": ("bursts of log lines", log_burst)}
    rows = (Row("turns of the data thread, 99.99 %", "turn_p9999_us", microseconds, (Goal(1000),)),
            Row("turns of the data thread, longest", "turn_longest_us", microseconds, (Goal(5000),)),
            Row("99.99 %", "p9999_us", microseconds, (Goal(1000),)),
            Row("worst", "worst_us", microseconds, (Goal(5000),)), Row("times", "deeds", count))
    return [Case(f"stall-{name}", f"64 B one way during {title}",
                 {OURS: stall(deed), AT_REST: stall(None), BESIDE: stall(start_program)}, rows,
                 contestants=(OURS, AT_REST, BESIDE))
            for name, (title, deed) in deeds.items()]
