# SPDX-License-Identifier: MIT
"""The switches that are compared, and how one is started fresh, fed and ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

OURS, ORIGINAL, LEAST = "ours", "vde_switch", "least loop"
# The least loop with the kernel's socket buffer holds a sender up as soon as the receiver lags by some 280 frames, and
# is rewarded with longer batches. A switch must not do that to a VM, so ours asks for a larger buffer; this is the loop
# with the same.
LEAST_ALIKE = "least loop, our buffers"
OUR_SEND_BUFFER = 4 << 20
PORTS = 100  # vde_switch's default of 32 would leave 31 for clients


class Failed(Exception):
    """A measurement that could not be made."""


@dataclass
class Tools:
    """Where the programs are, and what all measurements have in common."""

    programs: dict[str, Path]
    load: Path
    udp_load: Path
    core: Path | None  # the forwarding core as a benchmark of its own
    seconds: float = 3.0
    warmup: float = 0.3
    pin: list[int] = field(default_factory=list)  # switch, sender, receivers


@dataclass
class Switch:
    name: str
    process: subprocess.Popen[bytes]
    sock: Path

    def cpu_seconds(self) -> float:
        # The kernel's numbering of a process's CPU clock (see clock_getcpuclockid(3)).
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024


def command(tools: Tools, name: str, sock: Path, *extra: str) -> list[str]:
    if name == LEAST:
        return [str(tools.programs[name]), "--sock", str(sock)]
    if name == LEAST_ALIKE:
        return [str(tools.programs[LEAST]), "--sock", str(sock), "--sndbuf", str(OUR_SEND_BUFFER)]
    return [str(tools.programs[name]), "-n", str(PORTS), "-s", str(sock), *extra]


def end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def scratch(place: Path | None = None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="lybench", dir=place))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


LISTENS = "00010000"  # __SO_ACCEPTCON of the kernel, in /proc/net/unix


def is_listened_at(path: Path) -> bool:
    """Whoever asked by connecting would be the least loop's first client."""
    sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return any(words[3] == LISTENS and words[-1] == str(path) for words in sockets)


def await_socket(name: str, process: subprocess.Popen[bytes], sock: Path, log: Path) -> None:
    """Until clients can plug in there: between bind(2) and listen(2) the socket is there, and refuses them."""
    deadline = time.monotonic() + 5
    while not is_listened_at(sock / "ctl"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"{name} did not start: {log.read_text(errors='replace')[-300:]}")
        time.sleep(0.005)


@contextlib.contextmanager
def running(tools: Tools, name: str, *extra: str) -> Iterator[Switch]:
    """A fresh switch that answers on its socket, and is gone afterwards."""
    with scratch() as directory:
        sock = directory / "s"
        log = directory / "log"
        with log.open("wb") as output:
            # A pipe that stays open: a switch in the foreground ends with its input.
            process = subprocess.Popen(
                command(tools, name, sock, *extra),
                stdin=subprocess.PIPE, stdout=output, stderr=output)
        try:
            await_socket(name, process, sock, log)
            if tools.pin:
                os.sched_setaffinity(process.pid, {tools.pin[0]})
            yield Switch(name, process, sock)
            if process.poll() is not None:
                raise Failed(f"{name} ended with {process.returncode} during the measurement")
        finally:
            end(process)


def load(tools: Tools, arguments: list[str], timeout: float) -> dict[str, float]:
    """One run of the load generator."""
    try:
        done = subprocess.run([str(tools.load), *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no result within {timeout:.0f} s") from error
    if done.returncode != 0:
        raise Failed(done.stderr.strip() or f"load generator: exit {done.returncode}")
    return dict(json.loads(done.stdout))


def load_on(tools: Tools, switch: Switch, mode: str, **options: object) -> dict[str, float]:
    arguments = [mode, "--sock", str(switch.sock), "--pid", str(switch.process.pid),
                 "--seconds", str(tools.seconds), "--warmup", str(tools.warmup)]
    for option, value in options.items():
        arguments += [f"--{option}", str(value)]
    if tools.pin:
        arguments += ["--pin", ",".join(map(str, tools.pin[1:]))]
    return load(tools, arguments, timeout=tools.seconds + tools.warmup + 20)
