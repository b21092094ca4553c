# SPDX-License-Identifier: MIT
"""What the shipped plugins cost and how well they do what they are for."""

from __future__ import annotations

import math
import socket
import statistics
import struct
import time
from collections.abc import Callable
from pathlib import Path

from cases import (Case, Goal, Result, Row, count, managed, microseconds, nanoseconds, numbers, percent, rate, say,
                   sigmas, tell)
from contestants import OURS, Switch, Tools, load_on
from overload_cases import beside

PHASE_S = 0.3  # how long pdump is on, and off
SETTLE_S = 0.05


def records_in(file: Path) -> int:
    """How many frames there are in a pcap file."""
    data, count, at = file.read_bytes(), 0, 24
    while at + 16 <= len(data):
        at += 16 + struct.unpack_from("=I", data, at + 8)[0]
        count += 1
    return count


def frames_out(console: socket.socket) -> int:
    return numbers(say(console, "port/allprint"), r"OUT:\s+pkts\s+(\d+)")


def captured_throughout(tools: Tools, name: str, **options: object) -> Result:
    """A load while pdump writes every frame as it comes and as it goes; and whether each is accounted for."""
    with managed(tools, name) as (switch, console, files):
        for line in (f"plugin/add {plugin_of(tools, 'pdump')}", f"pdump/filename {files / 'cap'}", "pdump/active 1"):
            tell(console, line)
        result = load_on(tools, switch, "stream", **options)
        say(console, "pdump/active 0")
        while "still writing" in (shown := say(console, "pdump/showinfo")):
            time.sleep(0.05)
        taken, missed = numbers(shown, r"captured=(\d+)"), numbers(shown, r"dropped=(\d+)")
        passed = numbers(say(console, "port/allprint"), r"(?:IN|OUT):\s+pkts\s+(\d+)")
        result["not_captured_percent"] = 100 * missed / max(1, passed)
        result["unaccounted"] = abs(passed - taken - missed) + abs(records_in(files / "cap") - taken)
    return result


def phase(switch: Switch, console: socket.socket) -> tuple[float, float]:
    """Frames a second and CPU nanoseconds a frame, for a moment."""
    time.sleep(SETTLE_S)
    frames, cpu, start = frames_out(console), switch.cpu_seconds(), time.monotonic()
    time.sleep(PHASE_S)
    frames, cpu, elapsed = (frames_out(console) - frames, switch.cpu_seconds() - cpu, time.monotonic() - start)
    return frames / elapsed, 1e9 * cpu / max(1, frames)


def captured_in_turn(tools: Tools, name: str, **options: object) -> Result:
    """What the same load through the same switch does with pdump on and off in turn. Each time it is on is compared
    with the times before and after, so that a machine that changes its speed changes it for both."""
    seconds = max(4 * tools.seconds, 8 * PHASE_S)
    with managed(tools, name) as (switch, console, files):
        tell(console, f"plugin/add {plugin_of(tools, 'pdump')}")
        tell(console, f"pdump/filename {files / 'cap'}")
        end = time.monotonic() + seconds
        with beside(tools, switch, **options, seconds=seconds):
            time.sleep(2 * tools.warmup)
            without, with_it = [phase(switch, console)], []
            while time.monotonic() < end - 2 * (PHASE_S + SETTLE_S):
                tell(console, "pdump/active 1")
                with_it.append(phase(switch, console))
                tell(console, "pdump/active 0")
                without.append(phase(switch, console))
    rates = [of / ((before + after) / 2) for (of, _), (before, _), (after, _) in zip(with_it, without, without[1:])]
    cpu = [of - (before + after) / 2 for (_, of), (_, before), (_, after) in zip(with_it, without, without[1:])]
    return {"share": statistics.mean(rates), "more_ns_per_frame": statistics.mean(cpu)}


def captured(name: str, **options: object) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        return captured_throughout(tools, name, **options) | captured_in_turn(tools, name, **options)
    return measure


def delayed(name: str) -> Callable[[Tools], Result]:
    """The way of frames through one switch, without netem and with its 1 ms in turn, a millisecond of silence before
    each; and what netem adds beyond that 1 ms, which is what the way is longer with it."""
    def measure(tools: Tools) -> Result:
        ways: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        with managed(tools, name) as (switch, console, _files):
            for _ in range(2):
                ways["without"].append(load_on(tools, switch, "oneway", pause=1000))
                for line in (f"plugin/add {plugin_of(tools, 'netem')}", "netem/cable 1", "netem/delay LR1"):
                    tell(console, line)
                ways["with"].append(load_on(tools, switch, "oneway", pause=1000))
                tell(console, "plugin/del netem")
        result = {}
        for figure in ("median_us", "p99_us"):
            means = {way: statistics.mean(run[figure] for run in runs) for way, runs in ways.items()}
            result |= {f"{way}_{figure}": mean for way, mean in means.items()}
            result[f"added_{figure}"] = means["with"] - means["without"] - 1000
        return result
    return measure


def impaired(name: str) -> Callable[[Tools], Result]:
    """How far from what it was asked for netem is: of a million frames a tenth lost, and a cable of 100 Mbit/s."""
    share, bytes_per_s, frame_size = 0.1, 12_500_000, 1514
    def measure(tools: Tools) -> Result:
        with managed(tools, name) as (switch, console, _files):
            for line in (f"plugin/add {plugin_of(tools, 'netem')}", "netem/cable 1", f"netem/loss LR{100 * share:g}"):
                tell(console, line)
            sent = load_on(tools, switch, "stream", rate=100_000, burst=32, seconds=10)
            for line in ("netem/loss LR0", f"netem/bandwidth LR{bytes_per_s}"):
                tell(console, line)
            slowed = load_on(tools, switch, "stream", size=frame_size, rate=2 * bytes_per_s / frame_size)
        deviation = math.sqrt(sent["sent"] * share * (1 - share))
        # netem counts the two bytes that stand before a frame in a stream, as wirefilter does.
        carried = slowed["delivered_per_s"] * (frame_size + 2)
        return {"frames": sent["sent"], "loss_sigmas": abs(sent["lost"] - sent["sent"] * share) / deviation,
                "rate_off_percent": 100 * abs(carried / bytes_per_s - 1)}
    return measure


def plugin_of(tools: Tools, name: str) -> Path:
    return tools.programs[OURS].parent.parent / f"lib/lanyard/plugins/{name}.so"


def plugin_needs(name: str) -> Callable[[Tools], str | None]:
    def reason(tools: Tools) -> str | None:
        there = OURS in tools.programs and plugin_of(tools, name).exists()
        return None if there else f"the plugin {name} was not built"
    return reason


def plain(value: float) -> str:
    return f"{value:.2f}"


def plugin_cases() -> list[Case]:
    return [
        Case("pdump", "64 B as fast as it can, with pdump", {OURS: captured(OURS, size=64)},
             (Row("delivered", "delivered_per_s", rate),
              Row("share of what it delivers without", "share", plain, (Goal(0.95, at_least=True),)),
              Row("CPU per delivered frame", "switch_ns_per_frame", nanoseconds),
              Row("of it for pdump", "more_ns_per_frame", nanoseconds),
              Row("not captured, and counted", "not_captured_percent", percent),
              Row("neither captured nor counted", "unaccounted", count, (Goal(0),),
                  every_run=True)),
             plugin_needs("pdump")),
        Case("netem", "64 B one way, with and without netem's 1 ms", {OURS: delayed(OURS)},
             (Row("without it, median", "without_median_us", microseconds),
              Row("without it, 99 %", "without_p99_us", microseconds),
              Row("with it, median", "with_median_us", microseconds),
              Row("with it, 99 %", "with_p99_us", microseconds),
              Row("the difference beside 1 ms, median", "added_median_us", microseconds, (Goal(100),)),
              Row("the difference beside 1 ms, 99 %", "added_p99_us", microseconds, (Goal(100),))),
             plugin_needs("netem")),
        Case("netem-loss", "netem through a switch", {OURS: impaired(OURS)},
             (Row("frames of which it loses 10 %", "frames", count),
              Row("10 % lost, off by", "loss_sigmas", sigmas, (Goal(3),), every_run=True),
              Row("100 Mbit/s, off by", "rate_off_percent", percent, (Goal(1),), every_run=True)),
             plugin_needs("netem")),
    ]
