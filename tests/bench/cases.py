# SPDX-License-Identifier: MIT
"""What is measured of the switch, on whom, and which figure is the goal."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contestants import (LEAST, LEAST_ALIKE, ORIGINAL, OURS, Failed, Switch, Tools, command, end, load, load_on,
                         running, scratch)

Result = dict[str, float]
OURS_ONE_MAC = "ours, one address"
BEST_PEER = "best peer"  # of the other contestants, whichever has the better figure


@dataclass(frozen=True)
class Goal:
    """`ours` held against `bound` times the figure of `against`, or against `bound` itself."""

    bound: float
    at_least: bool = False
    against: str | None = None

    def text(self, show: Callable[[float], str]) -> str:
        sign = "≥" if self.at_least else "≤"
        if self.against:
            return f"{sign} {self.bound:g} × {self.against}"
        return f"{sign} {show(self.bound)}"

    def met(self, ours: float, other: float | None) -> bool:
        limit = self.bound if other is None else self.bound * other
        return ours >= limit if self.at_least else ours <= limit


@dataclass(frozen=True)
class Row:
    """A line of the table: one figure of a case."""

    label: str
    metric: str
    show: Callable[[float], str]
    goals: tuple[Goal, ...] = ()
    every_run: bool = False  # the goal holds in each repetition, not only in the median


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    columns: dict[str, Callable[[Tools], Result]]
    rows: tuple[Row, ...]
    needs: Callable[[Tools], str | None] = lambda _tools: None  # why it cannot run here
    contestants: tuple[str, ...] = (OURS, ORIGINAL, LEAST)  # the columns of the table it belongs to


def rate(value: float) -> str:
    return f"{value / 1000:.0f} k/s"


def nanoseconds(value: float) -> str:
    return f"{value:.0f} ns"


def tenths(value: float) -> str:
    return f"{value:.1f} ns"


def microseconds(value: float) -> str:
    return f"{value:.1f} µs"


def milliseconds(value: float) -> str:
    return f"{value:.1f} ms"


def percent(value: float) -> str:
    return f"{value:.2f} %"


def sigmas(value: float) -> str:
    return f"{value:.1f} sigma"


def count(value: float) -> str:
    return f"{value:,.0f}"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


def gigabits(value: float) -> str:
    return f"{value / 1e9:.2f} Gbit/s"


# --- measurements ---


def stream(name: str, **options: object) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        with running(tools, name) as switch:
            result = load_on(tools, switch, "stream", **options)
        if result["delivered"] == 0:
            raise Failed("nothing was delivered")
        if result["bad"] != 0 or result["reordered"] != 0:
            raise Failed(f"{result['bad']:.0f} frames changed, {result['reordered']:.0f} late")
        # A receiver that never sleeps is the bottleneck, be it slow or without a CPU to run on:
        # then no bounded queue can hold what it does not take.
        kept_up = result["receiver_idle_percent"] > 5
        result["lost_though_kept_up"] = result["lost"] if kept_up else 0
        return result
    return measure


def say(console: socket.socket, line: str) -> str:
    """A line for the console of a switch; its reply."""
    if line:
        console.sendall(line.encode() + b"\n")
    text = b""
    while not text.endswith(b"$ "):
        part = console.recv(65536)
        if not part:
            raise Failed("the console was closed")
        text += part
    return text.decode(errors="replace")


def tell(console: socket.socket, line: str) -> None:
    """A line that must succeed."""
    if "1000 Success" not in say(console, line):
        raise Failed(f"{line}: refused")


@contextlib.contextmanager
def managed(tools: Tools, name: str) -> Iterator[tuple[Switch, socket.socket, Path]]:
    """A fresh switch, a console of it, and a directory."""
    with scratch() as files, running(tools, name, "-M", str(files / "m")) as switch, \
            socket.socket(socket.AF_UNIX) as console:
        console.settimeout(20)
        # The original makes it after the socket for clients.
        deadline = time.monotonic() + 5
        while console.connect_ex(str(files / "m")) != 0:
            if time.monotonic() > deadline:
                raise Failed("there is no console")
            time.sleep(0.005)
        say(console, "")
        yield switch, console, files


def numbers(text: str, pattern: str) -> int:
    return sum(int(found) for found in re.findall(pattern, text))


def round_trip(name: str) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        with running(tools, name) as switch:
            return load_on(tools, switch, "pingpong")
    return measure


def round_trip_beside_work(name: str) -> Callable[[Tools], Result]:
    """As round_trip(), beside as many programs that compute as there are CPUs, each in a session of its own, as virtual
    machines are. (With --foremost they would not be felt.)"""
    def measure(tools: Tools) -> Result:
        with contextlib.ExitStack() as stack:
            for _ in os.sched_getaffinity(0):
                stack.callback(end, subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                                     stdin=subprocess.DEVNULL, start_new_session=True))
            return round_trip(name)(tools)
    return measure


def idle_memory(name: str) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        with running(tools, name) as switch, subprocess.Popen(
                [str(tools.load), "hold", "--sock", str(switch.sock), "--receivers", "32"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin and holder.stdout
            if holder.stdout.readline() != b"ready\n":
                raise Failed("32 clients could not be plugged")
            time.sleep(0.2)
            resident = switch.resident_bytes()
            holder.stdin.close()
        return {"resident_bytes": float(resident)}
    return measure


def start_time(name: str) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        with scratch() as directory:
            program = command(tools, name, directory / "s")
            arguments = ["start", "--sock", str(directory / "s"), "--", *program]
            return load(tools, arguments, timeout=10)
    return measure


def forward_core(_name: str) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        assert tools.core
        shortest = min(0.5, tools.seconds / 4)
        done = subprocess.run([str(tools.core), "--benchmark_format=json",
                               f"--benchmark_min_time={shortest}"],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        runs = {run["name"]: run for run in json.loads(done.stdout)["benchmarks"]}
        few, many, flood = runs["unicast/64"], runs["unicast/65536"], runs["flood/31"]
        return {"few_ns": few["ns_per_frame"], "many_ns": many["ns_per_frame"],
                "copy_ns": flood["ns_per_copy"],
                "plugin_ns": runs["plugin_that_passes_all"]["ns_more"],
                "no_plugin_ns": runs["no_plugin"]["ns_more"],
                "allocations": few["allocations_per_frame"] + many["allocations_per_frame"]}
    return measure


# --- TAP to TAP ---


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextlib.contextmanager
def namespaces(names: list[str]) -> Iterator[None]:
    made: list[str] = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        yield
    finally:
        for name in made:
            ip("netns", "del", name)


def move_tap(tap: str, namespace: str, address: str) -> None:
    deadline = time.monotonic() + 5
    while not Path(f"/sys/class/net/{tap}").exists():
        if time.monotonic() > deadline:
            raise Failed(f"{tap} did not appear")
        time.sleep(0.01)
    ip("link", "set", tap, "netns", namespace)
    ip("-n", namespace, "addr", "add", address, "dev", tap)
    ip("-n", namespace, "link", "set", tap, "up")
    ip("-n", namespace, "link", "set", "lo", "up")


def await_listener(namespace: str) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        sockets = subprocess.run(["ip", "netns", "exec", namespace, "ss", "-Htln"],
                                 capture_output=True, text=True, check=True)
        if ":5201" in sockets.stdout:
            return
        time.sleep(0.02)
    raise Failed("iperf3 did not listen")


def iperf(seconds: float, client: str, server: str, address: str) -> float:
    listener = subprocess.Popen(["ip", "netns", "exec", server, "iperf3", "-s", "-1"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_listener(server)
        whole = max(1, round(seconds))
        done = subprocess.run(
            ["ip", "netns", "exec", client, "iperf3", "-J", "-c", address, "-t", str(whole)],
            capture_output=True, text=True, timeout=whole + 15, check=False)
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise Failed(f"iperf3: {answer['error']}")
        return float(answer["end"]["sum_received"]["bits_per_second"])
    finally:
        listener.terminate()
        listener.wait()


def tap_to_tap(name: str) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        mark = f"lyb{os.getpid()}"
        ends = [f"{mark}a", f"{mark}b"]
        with namespaces(ends), running(tools, name, "-t", ends[0], "-t", ends[1]) as switch:
            move_tap(ends[0], ends[0], "10.99.7.1/24")
            move_tap(ends[1], ends[1], "10.99.7.2/24")
            before, start = switch.cpu_seconds(), time.monotonic()
            bits = iperf(tools.seconds, ends[0], ends[1], "10.99.7.2")
            cpu, elapsed = switch.cpu_seconds() - before, time.monotonic() - start
        return {"bits_per_s": bits, "switch_cpu_percent": 100 * cpu / elapsed}
    return measure


def vde_client(tools: Tools, cable: bool) -> list[str]:
    """A program that joins the two addresses that are its further arguments."""
    return [str(tools.programs[OURS].with_name("lanyard")), "cable", "-q"] if cable else ["vde_plug"]


def vde_and_tap(name: str, *, from_vde: bool, cable: bool = False) -> Callable[[Tools], Result]:
    """TCP between a client on a VDE socket (vde_plug and its TAP stand for a VM) and a TAP. vde_plug takes a frame at a
    time, and has a CPU to itself before our switch has; as a cable of ours the same client leaves the switch the limit."""
    def measure(tools: Tools) -> Result:
        mark = f"lyb{os.getpid()}"
        client, host = f"{mark}a", f"{mark}b"
        with namespaces([client, host]), running(tools, name, "-t", host) as switch:
            move_tap(host, host, "10.99.7.2/24")
            plug = subprocess.Popen([*vde_client(tools, cable), f"vde://{switch.sock}", f"tap://{client}"],
                                    stdin=subprocess.DEVNULL)
            try:
                move_tap(client, client, "10.99.7.1/24")
                before, start = switch.cpu_seconds(), time.monotonic()
                ends = (client, host, "10.99.7.2") if from_vde else (host, client, "10.99.7.1")
                bits = iperf(tools.seconds, *ends)
                cpu, elapsed = switch.cpu_seconds() - before, time.monotonic() - start
            finally:
                plug.kill()
                plug.wait()
        return {"bits_per_s": bits, "switch_cpu_percent": 100 * cpu / elapsed}
    return measure


def vde_and_tap_needs(tools: Tools) -> str | None:
    return tap_needs(tools) or (None if shutil.which("vde_plug") else "vde_plug is not installed")


def tap_needs(_tools: Tools) -> str | None:
    if os.geteuid() != 0:
        return "needs root for TAPs and namespaces"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    for program in ("iperf3", "ip", "ss"):
        if not any((Path(folder) / program).exists() for folder in os.get_exec_path()):
            return f"{program} is not installed"
    return None


def core_needs(tools: Tools) -> str | None:
    return None if tools.core else "bench_forward_core was not built (libbenchmark-dev)"


# --- the list ---


def among(measure: Callable[..., Callable[[Tools], Result]], names: tuple[str, ...],
          **options: object) -> dict[str, Callable[[Tools], Result]]:
    return {name: measure(name, **options) for name in names}


def stream_case(size: int, goal: float) -> Case:
    cpu_goals = (Goal(0.5, against=ORIGINAL), Goal(1.15, against=LEAST))
    return Case(
        f"stream-{size}", f"two clients, {size} B as fast as it can",
        among(stream, (OURS, ORIGINAL, LEAST), size=size),
        (Row("delivered", "delivered_per_s", rate, (Goal(goal, True, ORIGINAL),)),
         Row("frames sent", "sent", count),
         Row("frames lost", "lost", count),
         Row("share lost", "loss_percent", percent),
         Row("frames lost while the receiver kept up", "lost_though_kept_up", count,
             (Goal(0),), every_run=True),
         Row("CPU per delivered frame", "switch_ns_per_frame", nanoseconds, cpu_goals)))


def alike_case(size: int) -> Case:
    contestants = (OURS, LEAST_ALIKE)
    return Case(
        f"stream-{size}-alike", f"two clients, {size} B as fast as it can",
        among(stream, contestants, size=size),
        (Row("delivered", "delivered_per_s", rate),
         Row("CPU per delivered frame", "switch_ns_per_frame", nanoseconds, (Goal(1.05, against=LEAST_ALIKE),))),
        contestants=contestants)


def flood_case(ports: int, variant: str, title: str, bounded: bool, **options: object) -> Case:
    goals = (Goal(0.6, against=ORIGINAL),) if bounded else ()
    return Case(
        f"flood-{ports}{variant}", f"broadcast to {ports} ports, {title}",
        among(stream, (OURS, ORIGINAL), receivers=ports, broadcast=1, **options),
        (Row("CPU per delivered copy", "switch_ns_per_frame", nanoseconds, goals),
         Row("copies delivered", "delivered_per_s", rate),
         Row("copies lost", "loss_percent", percent)))


def flood_cases() -> Iterator[Case]:
    # Paced so that even vde_switch keeps up. One frame at a time is shown without a goal: there a
    # copy costs a wake-up of its receiver, whoever sends it.
    for ports in (16, 64):
        yield flood_case(ports, "", "bursts of 16, 1,600/s", True, rate=1600, burst=16)
        yield flood_case(ports, "-max", "as fast as it can", True)
        yield flood_case(ports, "-single", "one frame a millisecond", False, rate=1000)


def vde_tap_case(direction: str, way: str, cable: bool) -> Case:
    name, who = ("vde-tap-cable", "VDE client (lanyard cable)") if cable else ("vde-tap", "VDE client (vde_plug)")
    return Case(f"{name}-{direction}", f"{who} {way} TAP, iperf3 TCP",
                among(vde_and_tap, (OURS, ORIGINAL), from_vde=direction == "up", cable=cable),
                (Row("throughput", "bits_per_s", gigabits, (Goal(2.5, at_least=True, against=ORIGINAL),)),
                 Row("CPU of the switch", "switch_cpu_percent", percent)), vde_and_tap_needs)


def switch_cases() -> list[Case]:
    many = among(stream, (OURS, ORIGINAL, LEAST), macs=65536)
    return [
        stream_case(64, 1.6),
        stream_case(1514, 2.0),
        alike_case(64),
        alike_case(1514),
        Case("macs", "64 B, 65,536 source addresses", many | {OURS_ONE_MAC: stream(OURS)},
             (Row("delivered", "delivered_per_s", rate, (Goal(0.9, True, OURS_ONE_MAC),)),
              Row("CPU per delivered frame", "switch_ns_per_frame", nanoseconds))),
        *flood_cases(),
        Case("roundtrip", "64 B round trip", among(round_trip, (OURS, ORIGINAL, LEAST)),
             (Row("median", "median_us", microseconds, (Goal(1, against=ORIGINAL),)),
              Row("99 %", "p99_us", microseconds, (Goal(1, against=ORIGINAL),)),
              Row("CPU per frame", "switch_ns_per_frame", nanoseconds))),
        Case("roundtrip-busy", "64 B round trip beside programs that compute",
             among(round_trip_beside_work, (OURS, ORIGINAL, LEAST)),
             (Row("median", "median_us", microseconds), Row("99 %", "p99_us", microseconds))),
        Case("tap", "TAP to TAP, iperf3 TCP", among(tap_to_tap, (OURS, ORIGINAL)),
             (Row("throughput", "bits_per_s", gigabits, (Goal(1, True, ORIGINAL),)),
              Row("CPU of the switch", "switch_cpu_percent", percent)), tap_needs),
        *(vde_tap_case(direction, way, cable)
          for cable in (False, True) for direction, way in (("up", "to"), ("down", "from"))),
        Case("memory", "32 idle ports", among(idle_memory, (OURS, ORIGINAL)),
             (Row("resident", "resident_bytes", megabytes, (Goal(12e6),)),)),
        Case("start", "start to first port served", among(start_time, (OURS, ORIGINAL)),
             (Row("time", "start_ms", milliseconds, (Goal(20),)),)),
        Case("core", "forwarding core alone", among(forward_core, (OURS,)),
             (Row("a frame, 64 addresses", "few_ns", nanoseconds, (Goal(60),)),
              Row("a frame, 65,536 addresses", "many_ns", nanoseconds, (Goal(150),)),
              Row("a flooded copy", "copy_ns", nanoseconds),
              Row("more with a plugin that passes all", "plugin_ns", tenths, (Goal(10),)),
              Row("more without a plugin", "no_plugin_ns", tenths, (Goal(1),)),
              Row("allocations a frame", "allocations", count, (Goal(0),), every_run=True)),
             core_needs),
    ]
