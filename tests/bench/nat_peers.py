# SPDX-License-Identifier: MIT
"""A guest in a namespace behind a TAP, a host in another one, and a NAT between them: ours, slirp4netns's, pasta's.

The host's namespace holds the servers, on its loopback, and the NAT's sockets. The guest reaches them at the
address that its NAT gives to the host's loopback.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cases import vde_client
from contestants import ORIGINAL, OURS, Failed, Tools, end, running, scratch

SLIRP4NETNS, PASTA = "slirp4netns", "pasta"
SLIRPVDE = f"{ORIGINAL}, slirpvde"
GUEST_TAP = "guest0"
MTU = 1500


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def await_that(what: str, test: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        if time.monotonic() > deadline:
            raise Failed(what)
        time.sleep(0.01)


@dataclass
class Guest:
    """Where the traffic starts, and the processes that carry it."""

    namespace: str
    host: str  # namespace of the servers
    gateway: str  # the host's loopback, as the guest calls it
    carriers: list[int]
    directory: Path

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *words]

    def on_host(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.host, *words]

    def cpu_seconds(self) -> float:
        # The kernel's numbering of a process's CPU clock (see clock_getcpuclockid(3)).
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.carriers)

    def resident_bytes(self, pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) * 1024


@contextlib.contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    names = (f"lyb{os.getpid()}h", f"lyb{os.getpid()}g")
    made = []
    try:
        for name in names:
            run("ip", "netns", "add", name)
            made.append(name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


@contextlib.contextmanager
def started(command: list[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   env={**os.environ, **(environment or {})})
    try:
        yield process
    except Failed as error:
        raise Failed(f"{error}; it said: {log.read_text(errors='replace')[-300:]}") from error
    finally:
        end(process)


def has_link(namespace: str, name: str) -> bool:
    return subprocess.run(["ip", "-n", namespace, "link", "show", name], capture_output=True,
                          check=False).returncode == 0


def configuration(directory: Path, mtu: int = MTU, tap: bool = True) -> Path:
    file = directory / "bench.toml"
    where = f'plugs = ["tap://{GUEST_TAP}"]' if tap else 'socket = [{ path = "guests" }]'
    file.write_text(f"""[network.bench]
kind = "nat"
subnet = "10.2.0.0/16"
mtu = {mtu}
{where}
[network.bench.policy]
host_loopback = true
flows_max = 100000
new_flows_per_s = 100000
""")
    return file


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants_of(pid: int) -> list[int]:
    """A gateway is the spawner's child, and that is the daemon's."""
    children = children_of(pid)
    return children + [below for child in children for below in descendants_of(child)]


@contextlib.contextmanager
def our_daemon(tools: Tools, host: str, directory: Path, mtu: int,
               tap: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Our daemon with one NAT network in the namespace, its gateway running."""
    program = tools.programs[OURS].with_name("lanyardd")
    places = {"LANYARD_RUNTIME_DIR": str(directory / "run"), "LANYARD_STATE_DIR": str(directory / "state")}
    command = ["ip", "netns", "exec", host, str(program), "--config", str(configuration(directory, mtu, tap))]
    with started(command, directory / "log", places) as process:
        await_that("lanyardd did not start", lambda: not tap or has_link(host, GUEST_TAP))
        await_that("there is no gateway", lambda: len(descendants_of(process.pid)) >= 2)
        yield process


@contextlib.contextmanager
def ours(tools: Tools, mtu: int = MTU) -> Iterator[Guest]:
    with scratch() as directory, two_namespaces() as (host, guest), \
            our_daemon(tools, host, directory, mtu) as process:
        run("ip", "-n", host, "link", "set", GUEST_TAP, "netns", guest)
        run("ip", "-n", guest, "address", "add", "10.2.0.15/16", "dev", GUEST_TAP)
        run("ip", "-n", guest, "link", "set", GUEST_TAP, "mtu", str(mtu), "up")
        run("ip", "-n", guest, "route", "add", "default", "via", "10.2.0.2")
        yield Guest(guest, host, "10.2.0.2", [process.pid, *descendants_of(process.pid)], directory)


@contextlib.contextmanager
def slirp4netns(_tools: Tools, mtu: int = MTU) -> Iterator[Guest]:
    with scratch() as directory, two_namespaces() as (host, guest):
        command = ["ip", "netns", "exec", host, "slirp4netns", "--netns-type=path", "--configure",
                   f"--mtu={mtu}", f"/run/netns/{guest}", GUEST_TAP]
        with started(command, directory / "log") as process:
            await_that("slirp4netns did not start", lambda: "10.0.2.100" in run(
                "ip", "-n", guest, "-o", "address"))
            yield Guest(guest, host, "10.0.2.2", [process.pid], directory)


@contextlib.contextmanager
def pasta(_tools: Tools, mtu: int = MTU) -> Iterator[Guest]:
    """pasta takes the guest's addresses from the host's interface with the default route."""
    with scratch() as directory, two_namespaces() as (host, guest):
        run("ip", "-n", host, "link", "add", "up0", "type", "veth", "peer", "name", "up1")
        for name in ("up0", "up1"):
            run("ip", "-n", host, "link", "set", name, "up")
        run("ip", "-n", host, "address", "add", "192.0.2.2/24", "dev", "up0")
        run("ip", "-n", host, "route", "add", "default", "via", "192.0.2.1")
        # Under a shell, because pasta leaves no process number where the namespace is given by path.
        command = ["ip", "netns", "exec", host, "pasta", "--foreground", "--runas", "0", "--config-net",
                   "--ns-ifname", GUEST_TAP, "--mtu", str(mtu), "-t", "none", "-u", "none",
                   "-T", "none", "-U", "none", "--netns", f"/run/netns/{guest}", "--netns-only"]
        with started(command, directory / "log") as process:
            await_that("pasta did not start", lambda: "192.0.2.2" in run(
                "ip", "-n", guest, "-o", "address"))
            yield Guest(guest, host, "192.0.2.1", [process.pid], directory)


@contextlib.contextmanager
def vde_guest(client: list[str], guest: str, sock: Path, address: str) -> Iterator[int]:
    """A namespace on a VDE socket: the client (vde_client()) and its TAP stand for a VM. Its process number."""
    await_that(f"there is no {sock}", lambda: (sock / "ctl").exists())
    with started(["ip", "netns", "exec", guest, *client, f"vde://{sock}", f"tap://{GUEST_TAP}"],
                 sock.parent / "plug.log") as plug:
        await_that(f"{client[0]} made no TAP", lambda: has_link(guest, GUEST_TAP))
        run("ip", "-n", guest, "address", "add", address, "dev", GUEST_TAP)
        run("ip", "-n", guest, "link", "set", GUEST_TAP, "mtu", str(MTU), "up")
        yield plug.pid


@contextlib.contextmanager
def ours_for_vde(tools: Tools, _mtu: int = MTU, cable: bool = False) -> Iterator[Guest]:
    with scratch() as directory, two_namespaces() as (host, guest), \
            our_daemon(tools, host, directory, MTU, tap=False) as process, \
            vde_guest(vde_client(tools, cable), guest, directory / "run/guests", "10.2.0.15/16"):
        run("ip", "-n", guest, "route", "add", "default", "via", "10.2.0.2")
        yield Guest(guest, host, "10.2.0.2", [process.pid, *descendants_of(process.pid)], directory)


@contextlib.contextmanager
def slirpvde(tools: Tools, _mtu: int = MTU, cable: bool = False) -> Iterator[Guest]:
    """The packaged switch, and the NAT that belongs to it."""
    with scratch() as directory, two_namespaces() as (host, guest), \
            running(tools, ORIGINAL) as switch:
        command = ["ip", "netns", "exec", host, "slirpvde", "-s", str(switch.sock)]
        with started(command, directory / "log") as nat, \
                vde_guest(vde_client(tools, cable), guest, switch.sock, "10.0.2.15/24"):
            run("ip", "-n", guest, "route", "add", "default", "via", "10.0.2.2")
            yield Guest(guest, host, "10.0.2.2", [switch.process.pid, nat.pid], directory)


NATS: dict[str, Callable[..., contextlib.AbstractContextManager[Guest]]] = {
    OURS: ours, SLIRP4NETNS: slirp4netns, PASTA: pasta}
VDE_NATS: dict[str, Callable[..., contextlib.AbstractContextManager[Guest]]] = {
    OURS: ours_for_vde, SLIRPVDE: slirpvde}
# The client is a cable of ours, so that what is measured is not vde_plug.
VDE_CABLE_NATS: dict[str, Callable[..., contextlib.AbstractContextManager[Guest]]] = {
    name: partial(nat, cable=True) for name, nat in VDE_NATS.items()}


def missing(tools: Tools) -> str | None:
    if os.geteuid() != 0:
        return "needs root for TAPs and namespaces"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    absent = [name for name in ("iperf3", "ip", SLIRP4NETNS, PASTA) if not shutil.which(name)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if OURS in tools.programs and not tools.programs[OURS].with_name("lanyard-gateway").exists():
        return "lanyard-gateway was not built (libslirp-dev)"
    return None


def missing_for_vde(tools: Tools) -> str | None:
    absent = [name for name in ("vde_plug", "slirpvde") if not shutil.which(name)]
    return missing(tools) or (f"not installed: {', '.join(absent)}" if absent else None)


PYTHON = sys.executable
