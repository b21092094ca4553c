# SPDX-License-Identifier: MIT
"""What is measured of NAT networks, and against whom."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from contestants import OURS, Failed, Tools, scratch
from cases import BEST_PEER, Case, Goal, Result, Row, count, gigabits, megabytes, microseconds, milliseconds
from nat_peers import (GUEST_TAP, MTU, NATS, PASTA, PYTHON, SLIRP4NETNS, SLIRPVDE, VDE_CABLE_NATS,
                       VDE_NATS, Guest, await_that, configuration, missing, missing_for_vde, our_daemon, run,
                       two_namespaces)

HERE = Path(__file__).resolve().parent
CONTESTANTS = (OURS, SLIRP4NETNS, PASTA)
AT_A_TIME = 32  # queries of a busy resolver
VDE_CONTESTANTS = (OURS, SLIRPVDE)
Nats = dict[str, Callable[..., contextlib.AbstractContextManager[Guest]]]


def per_second(value: float) -> str:
    return f"{value:.0f} /s"


def seconds_per_gigabyte(value: float) -> str:
    return f"{value:.2f} s/GB"


def listening(guest: Guest, port: int) -> Callable[[], bool]:
    return lambda: f":{port}" in run(*guest.on_host("ss", "-Htuln"))


# A peer whose connection does not go on: slirpvde, when more is sent than it takes.
STALLED: Result = {"bits_per_s": 0.0, "cpu_s_per_gb": float("inf")}


def iperf(name: str, flows: int, down: bool, mtu: int, nats: Nats = NATS) -> Callable[[Tools], Result]:
    """TCP from the guest to a server on the host's loopback, or back."""
    def measure(tools: Tools) -> Result:
        with nats[name](tools, mtu) as guest:
            server = subprocess.Popen(guest.on_host("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            try:
                await_that("iperf3 did not listen", listening(guest, 5201))
                whole = max(1, round(tools.seconds))
                before = guest.cpu_seconds()
                try:
                    done = subprocess.run(
                        guest.command("iperf3", "-J", "-c", guest.gateway, "-t", str(whole), "-P", str(flows),
                                      *(["-R"] if down else [])),
                        capture_output=True, text=True, timeout=whole + (20 if name == OURS else 5),
                        check=False)
                except subprocess.TimeoutExpired:
                    if name == OURS:
                        raise
                    return STALLED
                cpu = guest.cpu_seconds() - before
                answer = json.loads(done.stdout)
                if "error" in answer:
                    raise Failed(f"iperf3: {answer['error']}")
                received = answer["end"]["sum_received"]
                return {"bits_per_s": float(received["bits_per_second"]),
                        "cpu_s_per_gb": cpu / max(1e-9, float(received["bytes"]) / 1e9)}
            except subprocess.TimeoutExpired as error:
                raise Failed("iperf3 did not end") from error
            finally:
                server.terminate()
                server.wait()
    return measure


def datagrams(name: str, how: str) -> Callable[[Tools], Result]:
    """UDP of 1,400 bytes from the guest, as fast as it can: what arrives."""
    def measure(tools: Tools) -> Result:
        with NATS[name](tools) as guest:
            counter = subprocess.Popen(guest.on_host(str(tools.udp_load), "count", "5201"),
                                       stdout=subprocess.PIPE, text=True)
            try:
                await_that("the counter did not listen", listening(guest, 5201))
                before = guest.cpu_seconds()
                subprocess.run(guest.command(str(tools.udp_load), how, guest.gateway, "5201",
                                             str(tools.seconds), "1400"),
                               stdout=subprocess.DEVNULL, timeout=tools.seconds + 20, check=True)
                cpu = guest.cpu_seconds() - before
                arrived = dict(json.loads(counter.communicate(timeout=10)[0]))
                return {"bits_per_s": arrived["bits_per_s"],
                        "cpu_s_per_gb": cpu / max(1e-9, arrived["bytes"] / 1e9)}
            except (subprocess.SubprocessError, ValueError) as error:
                raise Failed(f"UDP: {error}") from error
            finally:
                counter.kill()
                counter.wait()
    return measure


def answered(name: str, server: Callable[[Tools], list[str]],
             client: Callable[[Tools, str], list[str]]) -> Callable[[Tools], Result]:
    """A client in the guest that prints what it measured of a server on the host; the client is told the address."""
    def measure(tools: Tools) -> Result:
        with NATS[name](tools) as guest:
            process = subprocess.Popen(guest.on_host(*server(tools)))
            try:
                await_that("the server did not listen", listening(guest, 5202))
                done = subprocess.run(guest.command(*client(tools, guest.gateway)), capture_output=True, text=True,
                                      timeout=tools.seconds + 20, check=False)
                if done.returncode != 0:
                    raise Failed(done.stderr.strip()[-300:])
                return dict(json.loads(done.stdout))
            finally:
                process.kill()
                process.wait()
    return measure


def queries(name: str, parallel: int) -> Callable[[Tools], Result]:
    """As DNS does: each from a new port, so many at a time."""
    return answered(name, lambda tools: [str(tools.udp_load), "echo", "5202"],
                    lambda tools, address: [str(tools.udp_load), "query", address, "5202", str(tools.seconds),
                                            str(parallel)])


def repeated(name: str, what: str) -> Callable[[Tools], Result]:
    """One after the other, as nat_client.py says of `what`."""
    program = [PYTHON, str(HERE / "nat_client.py")]
    return answered(name, lambda _: [*program, "serve", "5202"],
                    lambda tools, address: [*program, what, address, "5202", str(tools.seconds)])


def leases(count: int) -> Callable[[Tools], Result]:
    """From the first DISCOVER to the last ACK, clients in parallel."""
    def measure(tools: Tools) -> Result:
        with NATS[OURS](tools) as guest:
            done = subprocess.run(
                guest.command(PYTHON, str(HERE / "nat_client.py"), "leases", GUEST_TAP, str(count)),
                capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                raise Failed(done.stderr.strip()[-300:])
            return dict(json.loads(done.stdout))
    return measure


def flows_memory(count: int) -> Callable[[Tools], Result]:
    def measure(tools: Tools) -> Result:
        with NATS[OURS](tools) as guest:
            server = subprocess.Popen(guest.on_host(PYTHON, str(HERE / "nat_client.py"), "serve", "5202"))
            processes = [server]
            try:
                await_that("the server did not listen", listening(guest, 5202))
                holder = subprocess.Popen(
                    guest.command(PYTHON, str(HERE / "nat_client.py"), "hold", guest.gateway, "5202", str(count)),
                    stdout=subprocess.PIPE, text=True)
                processes.insert(0, holder)
                assert holder.stdout
                if "held" not in holder.stdout.readline():
                    raise Failed(f"{count} flows could not be opened")
                return {"resident_bytes": float(guest.resident_bytes(guest.carriers[-1]))}
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
    return measure


def time_to_ready(tools: Tools) -> Result:
    """`lanyard up` until it returns: a NAT network with its gateway."""
    with scratch() as directory, two_namespaces() as (host, _guest):
        file = configuration(directory)
        places = {**os.environ, "LANYARD_RUNTIME_DIR": str(directory / "run"),
                  "LANYARD_STATE_DIR": str(directory / "state")}
        program = tools.programs[OURS].with_name("lanyard")
        inside = ["ip", "netns", "exec", host, str(program)]
        start = time.monotonic()
        done = subprocess.run([*inside, "up", str(file)], capture_output=True, text=True, env=places, check=False)
        elapsed = time.monotonic() - start
        try:
            if done.returncode != 0:
                raise Failed(f"lanyard up: {done.stderr.strip()[-300:]}")
        finally:
            subprocess.run([*inside, "down"], capture_output=True, env=places, check=False)
        return {"ready_ms": elapsed * 1000}


def throughput_case(title: str, name: str, flows: int, down: bool, mtu: int = MTU) -> Case:
    goals = (Goal(1, True, SLIRP4NETNS), Goal(1.3, True, BEST_PEER))
    return Case(f"nat-{name}", f"NAT, TAP guest, MTU {mtu}, {title}",
                {peer: iperf(peer, flows, down, mtu) for peer in CONTESTANTS},
                (Row("throughput", "bits_per_s", gigabits, goals if mtu == MTU else (Goal(1.1, True, BEST_PEER),)),
                 Row("CPU", "cpu_s_per_gb", seconds_per_gigabyte)), missing, CONTESTANTS)


def vde_case(title: str, name: str, down: bool, cable: bool) -> Case:
    nats, kind, who = (VDE_CABLE_NATS, "vde-cable", "lanyard cable") if cable else (VDE_NATS, "vde", "vde_plug")
    return Case(f"nat-{kind}-{name}", f"NAT, VDE guest ({who}), {title}",
                {peer: iperf(peer, 1, down, MTU, nats) for peer in VDE_CONTESTANTS},
                (Row("throughput", "bits_per_s", gigabits, (Goal(3, True, SLIRPVDE),)),
                 Row("CPU", "cpu_s_per_gb", seconds_per_gigabyte)), missing_for_vde, VDE_CONTESTANTS)


def repeated_case(title: str, name: str, rate_goal: Goal, median_goal: Goal, what: str) -> Case:
    return Case(f"nat-{name}", f"NAT, {title}", {peer: repeated(peer, what) for peer in CONTESTANTS},
                (Row("rate", "per_s", per_second, (rate_goal,)),
                 Row("median", "median_us", microseconds, (median_goal,))),
                missing, CONTESTANTS)


def datagram_case(title: str, name: str, how: str) -> Case:
    return Case(f"nat-{name}", f"NAT, UDP of 1,400 B, {title}, upload",
                {peer: datagrams(peer, how) for peer in CONTESTANTS},
                (Row("arrives", "bits_per_s", gigabits, (Goal(2, True, BEST_PEER),)),
                 Row("CPU", "cpu_s_per_gb", seconds_per_gigabyte)), missing, CONTESTANTS)


def query_case(title: str, name: str, parallel: int) -> Case:
    return Case(f"nat-{name}", f"NAT, {title}", {peer: queries(peer, parallel) for peer in CONTESTANTS},
                (Row("rate", "per_s", per_second, (Goal(2, True, BEST_PEER),)),
                 Row("median", "median_us", microseconds),
                 Row("not answered within a second", "lost", count)), missing, CONTESTANTS)


def nat_cases() -> list[Case]:
    quickest = Goal(1, against=BEST_PEER)
    return [
        throughput_case("upload, 1 flow", "up", 1, False),
        throughput_case("download, 1 flow", "down", 1, True),
        throughput_case("upload, 8 flows", "up-8", 8, False),
        throughput_case("download, 8 flows", "down-8", 8, True),
        throughput_case("upload, 1 flow", "up-65520", 1, False, 65520),
        throughput_case("download, 1 flow", "down-65520", 1, True, 65520),
        *(vde_case(title, name, name == "down", cable)
          for cable in (False, True) for title, name in (("upload", "up"), ("download", "down"))),
        repeated_case("connect, request and close", "connect", Goal(1, True, SLIRP4NETNS), quickest, "connect"),
        repeated_case("request and response", "request", Goal(1, True, BEST_PEER), quickest, "request"),
        datagram_case("one by one", "udp", "send"),
        datagram_case("cut by the kernel (GSO)", "udp-gso", "send-gso"),
        query_case("UDP query from a new port", "query", 1),
        query_case(f"UDP queries from new ports, {AT_A_TIME} at a time", f"query-{AT_A_TIME}", AT_A_TIME),
        Case("dhcp", "1,000 DHCP leases", {OURS: leases(1000)},
             (Row("time", "elapsed_ms", milliseconds, (Goal(2000),)),), missing, CONTESTANTS),
        Case("up", "lanyard up, a NAT network", {OURS: time_to_ready},
             (Row("ready after", "ready_ms", milliseconds, (Goal(300),)),), missing, CONTESTANTS),
        Case("gateway-100", "gateway with 100 flows", {OURS: flows_memory(100)},
             (Row("resident", "resident_bytes", megabytes, (Goal(16e6),)),), missing, CONTESTANTS),
        Case("gateway-2000", "gateway with 2,000 flows", {OURS: flows_memory(2000)},
             (Row("resident", "resident_bytes", megabytes, (Goal(64e6),)),), missing, CONTESTANTS),
    ]
