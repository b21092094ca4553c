# SPDX-License-Identifier: MIT
"""What sandbox and guards cost on the way of a frame."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cases import Case, Goal, Result, Row, nanoseconds
from contestants import OURS, Switch, Tools, await_socket, end, load_on, scratch

PHASE_S = 0.5  # how long one of the two carries frames, then the other
NETWORK = """[network.lab]
kind = "internal"
socket = [{ path = "guests" }]
"""
UNGUARDED = 'guard.trusted = ["vde"]\n'


@contextlib.contextmanager
def network(tools: Tools, directory: Path, protected: bool) -> Iterator[Switch]:
    """A daemon with one network, with all that it does to be safe by default, or without."""
    directory.mkdir()
    file, sock = directory / "lab.toml", directory / "run/guests"
    file.write_text(NETWORK if protected else NETWORK + UNGUARDED)
    environment = {**os.environ, "LANYARD_RUNTIME_DIR": str(directory / "run"),
                   "LANYARD_STATE_DIR": str(directory / "state"), "LANYARD_SANDBOX": "kill" if protected else "off"}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([str(tools.programs[OURS].with_name("lanyardd")), "--config", str(file)],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        await_socket("lanyardd", process, sock, directory / "log")
        yield Switch(OURS, process, sock)
    finally:
        end(process)


def protection(tools: Tools) -> Result:
    """Two daemons take turns at the same load, and each time is held against its neighbours, so that a machine that
    changes its speed changes it for both."""
    with scratch() as directory, network(tools, directory / "bare", False) as bare, \
            network(tools, directory / "safe", True) as safe:
        def cost(switch: Switch) -> float:
            return load_on(tools, switch, "stream", size=64, seconds=PHASE_S, warmup=0.1)["switch_ns_per_frame"]

        without, with_all, shares = [cost(bare)], [], []
        for _ in range(max(2, round(tools.seconds / PHASE_S))):
            with_all.append(cost(safe))
            without.append(cost(bare))
            shares.append(with_all[-1] / statistics.fmean(without[-2:]))
    return {"ns_per_frame": statistics.median(with_all), "bare_ns_per_frame": statistics.median(without),
            "share": statistics.median(shares)}


def sandbox_is_off(_tools: Tools) -> str | None:
    """As where a sanitizer makes calls that no sandbox of ours allows."""
    return "LANYARD_SANDBOX=off" if os.environ.get("LANYARD_SANDBOX") == "off" else None


def protection_cases() -> list[Case]:
    return [Case("protection", "two clients, 64 B as fast as it can, sandbox and default guards", {OURS: protection},
                 (Row("CPU per frame", "ns_per_frame", nanoseconds),
                  Row("CPU per frame without them", "bare_ns_per_frame", nanoseconds),
                  Row("CPU with them, without is 1", "share", lambda value: f"{value:.3f}", (Goal(1.05),))), sandbox_is_off)]
