# SPDX-License-Identifier: MIT
"""What goes wrong around a switch, in an order that a seed decides, and what must hold all the time.

What is disturbed is a daemon of two networks with a keeper: `blue`, internal, with VLANs 7 and 8, a
trunk and a TAP interface, and `nat` with its gateway. What must hold: no frame arrives where its
VLAN is not (Traffic), every frame is delivered or dropped under a name, by the switch's own counters
and by those of its guests, nobody is unplugged, and what was configured is so afterwards.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kept import switch_process, thrown_away, wait_for_other
from netns import NetNamespace, run
from networks_daemon import NetworksDaemon, RpcClient, RpcFailed, daemon_program
from switch_process import is_sanitized, no_descriptors_left, short_directory
from vde_client import VdeClient
from waiting import wait_until
from watched_traffic import Guest, Traffic

CONFIG = """
[network.nat]
kind = "nat"
[network.blue]
kind = "internal"
vlans = [7, 8]
plugs = ["tap://lynem0?port=20"]
socket = [{ path = "blue" }, { path = "blue7", vlan = 7 }, { path = "blue8", vlan = 8 }]
"""
OTHER_CONFIG = CONFIG.replace("[7, 8]", "[7, 8, 9]") + """
guard.multicast_pps = 4321
[network.green]
kind = "internal"
[[network.nat.forward]]
name = "web"
from = "tcp:127.0.0.1:18080"
to = "10.0.2.15:80"
"""
TAP, TAP_PORT = "lynem0", 20

# Drops on the way out; all others are on the way in.
OUTGOING = {
    "queue_full", "exceeds_receiver", "receiver_gone", "link_down", "cable_pulled", "rate_limit_out",
    "transmit_error", "unplugged", "filtered_out",
}  # fmt: skip

CRASHES_MAX, CRASH_WINDOW_S = 3, 11.0  # a keeper gives up after one more within ten seconds

CLIENT = """
import sys
sys.path.insert(0, sys.argv[1])
from vde_client import VdeClient
with VdeClient(sys.argv[2]) as guest:
    print(guest.port, flush=True)
    while True:
        guest.recv(60)
"""


class Lab:
    """The daemon, its guests, and what is known of them."""

    def __init__(self, seed: int, other: Path | None = None) -> None:
        self.random = random.Random(seed)
        self.traffic = Traffic(seed)
        self.crashed = False
        self.disturbed_tap = False
        self.notes: list[str] = []
        self.balances = 0  # that were right
        self.names_of_drops: set[str] = set()
        self._other = other  # programs of another version
        self._crashes: list[float] = []
        self._books: dict[str, tuple[int, int]] = {}
        self._thrown = 0
        self._rpc: RpcClient | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Lab]:
        with contextlib.ExitStack() as stack:
            self.programs = short_directory()
            stack.callback(shutil.rmtree, self.programs, ignore_errors=True)
            for name in ("lanyardd", "lanyard-gateway"):
                self.install(daemon_program().with_name(name))
            self.namespace = stack.enter_context(NetNamespace())
            self.daemon = stack.enter_context(
                NetworksDaemon(
                    CONFIG,
                    "--keeper",
                    program=self.programs / "lanyardd",
                    gateway=self.programs / "lanyard-gateway",
                    prefix=("ip", "netns", "exec", self.namespace.name),
                )
            )
            stack.callback(self._close_rpc)
            stack.enter_context(self.traffic)
            self._plug_in(stack)
            self.traffic.wait_heard()
            self.settle()
            try:
                yield self
            except AssertionError as failure:
                log = self.daemon.log_text()[-4000:]
                raise AssertionError(f"{failure}\nthe log ends so: {log}") from failure

    def install(self, program: Path) -> None:
        """In one step, as a package manager does; a file of its own, even if it is the same."""
        fresh = self.programs / f"{program.name}.new"
        shutil.copy2(program.resolve(), fresh)
        fresh.rename(self.programs / program.name)

    def _plug_in(self, stack: contextlib.ExitStack) -> None:
        places = [("blue", "blue", 0), ("blue", "blue7", 7), ("blue", "blue8", 8), ("nat", "nat", 0)]
        for number in range(1, 9):
            network, directory, vlan = places[(number - 1) % len(places)]
            client = stack.enter_context(VdeClient(self.daemon.run / directory))
            self.traffic.add(Guest(f"{directory}.{number}", number, network, vlan, client.data, client))
        trunk = stack.enter_context(VdeClient(self.daemon.run / "blue"))
        self.ask("port.set", network="blue", port=trunk.port, tagged="7,8")
        self.traffic.add(Guest("trunk", 9, "blue", 0, trunk.data, trunk, tagged=(7, 8)))
        self.tap = self.traffic.add(Guest("tap", 10, "blue", 0, self.open_tap()))

    def open_tap(self) -> Any:
        self.namespace.ip("link", "set", TAP, "up")
        made = self.namespace.packet_socket(TAP)
        made.setblocking(False)
        return made

    # -- questions -------------------------------------------------------------------------------

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Over a connection that lasts, and over another one after a crash."""
        deadline = time.monotonic() + 15
        while True:
            try:
                if self._rpc is None:
                    self._rpc = self.daemon.client()
                return self._rpc.call(method, **params)
            except (OSError, EOFError):
                self._close_rpc()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _close_rpc(self) -> None:
        if self._rpc:
            self._rpc.close()
        self._rpc = None

    def guests(self) -> list[Guest]:
        """Those at sockets, whose books must be right to the frame."""
        return [guest for guest in self.traffic.guests if guest.client]

    def shown(self, guest: Guest) -> dict[str, Any]:
        return self.ask("port.show", network=guest.network, port=guest.port)

    # -- what must hold --------------------------------------------------------------------------

    def check_balance(self) -> None:
        """At any time, for every port."""
        for row in self.ask("port.list")["ports"]:
            port = self.ask("port.show", network=row["network"], port=row["port"])
            drops = port["dropped"]
            outgoing = sum(count for name, count in drops.items() if name in OUTGOING)
            incoming = sum(drops.values()) - outgoing
            where = f"{row['network']} port {row['port']}: {port}"
            assert port["received"] == port["forwarded"] + incoming, where
            assert port["offered"] == port["transmitted"] + port["queued"] + outgoing, where
            self.names_of_drops |= drops.keys()
            self.balances += 1

    def settle(self) -> None:
        """Everybody is silent; the books of guests and switch are compared."""
        self.traffic.quiet()

        def books() -> dict[str, tuple[int, int]] | None:
            found = {}
            for guest in self.guests():
                port = self.shown(guest)
                if port["queued"] or guest.unread():
                    return None
                lost = guest.sent - port["received"]
                found[guest.name] = (lost, port["transmitted"] - guest.arrived)
            return found

        # What was transmitted may not have been looked at yet.
        def settled() -> dict[str, tuple[int, int]] | None:
            first = books()
            time.sleep(0.02)
            return first if first is not None and first == books() else None

        found = wait_until("all is delivered", settled, timeout=15)
        self.check_balance()
        thrown = thrown_away(self.daemon.log_text())
        if self._books and not self.crashed:
            self._compare(found, thrown - self._thrown)
        self._books, self._thrown, self.crashed = found, thrown, False

    def _compare(self, found: dict[str, tuple[int, int]], thrown: int) -> None:
        before = self._books
        on_the_way_in = sum(found[name][0] - before[name][0] for name in found)
        # The TAP interface's are among those that a keeper has thrown away.
        assert 0 <= on_the_way_in <= thrown, f"{on_the_way_in} lost, {thrown} thrown away: {found}"
        for name, (_, missing) in found.items():
            assert missing == before[name][1], f"{name}: {missing - before[name][1]} did not arrive"

    def check_well(self) -> None:
        """After a disturbance: all of them are there, where they should be, and hear each other."""
        self.daemon.wait_ready()
        assert not self.traffic.faults, "\n".join(self.traffic.faults[:20])
        for guest in self.guests():
            assert guest.client
            assert not guest.client.ctl_closed(), f"{guest.name} was unplugged"
        ports = {(row["network"], row["port"]): row for row in self.ask("port.list")["ports"]}
        for guest in self.guests():
            row = ports[guest.network, guest.port]
            assert row["vlan"] == guest.vlan, f"{guest.name}: {row}"
            assert row["tagged"] == ("7-8" if guest.tagged else ""), f"{guest.name}: {row}"
        wait_until("the gateway serves", lambda: self.gateway()["serving"], timeout=15)
        self.traffic.wait_heard()

    def gateway(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.ask("network.show", network="nat")["gateway"]
        return shown

    # -- crashes ---------------------------------------------------------------------------------

    def crash(self, how: int, patience: float) -> None:
        """Ends the switch process; not so often that the keeper gives up."""
        while sum(time.monotonic() - one < CRASH_WINDOW_S for one in self._crashes) >= CRASHES_MAX:
            time.sleep(0.1)
        old = switch_process(self.daemon.pid)
        os.kill(old, how)
        wait_for_other(self.daemon.pid, old, timeout=patience)
        self._crashes.append(time.monotonic())
        self.crashed = True


# ---- disturbances that last: begun, and undone at the end of the block --------------------------


@contextlib.contextmanager
def nothing(_: Lab) -> Iterator[None]:
    yield


@contextlib.contextmanager
def a_client_stops(lab: Lab) -> Iterator[None]:
    """One that reads nothing for a while, and then is killed; full frames for it meanwhile."""
    with a_client(lab) as process, stormy(lab, lab.traffic.guests[0], 4000):
        process.send_signal(signal.SIGSTOP)
        yield
        lab.check_balance()
        process.send_signal(lab.random.choice([signal.SIGCONT, signal.SIGKILL]))


@contextlib.contextmanager
def a_client(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    support = str(Path(__file__).parent)
    command = [sys.executable, "-c", CLIENT, support, str(lab.daemon.run / "blue")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline(), "it did not get a port"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def stormy(lab: Lab, guest: Guest, per_second: int) -> Iterator[None]:
    with lab.traffic.lock:
        before = guest.per_second
        guest.per_second, guest.only_broadcasts = per_second, True
    lab.traffic.resume([guest])
    yield
    with lab.traffic.lock:
        guest.per_second, guest.only_broadcasts = before, False
    lab.traffic.resume([guest])


@contextlib.contextmanager
def a_storm(lab: Lab) -> Iterator[None]:
    """More broadcasts than its port may send."""
    guest = lab.random.choice(lab.guests())
    where = {"network": guest.network, "port": guest.port, "key": "broadcast_pps"}
    lab.ask("guard.set", **where, value="500")
    with stormy(lab, guest, 5000):
        yield
        wait_until("it is curbed", lambda: lab.shown(guest)["dropped"].get("broadcast_storm"))
    lab.ask("guard.set", **where, value="10000")


@contextlib.contextmanager
def no_descriptors(lab: Lab) -> Iterator[None]:
    """Not one more can be opened; who comes is turned away, who is there does not notice."""
    if is_sanitized(daemon_program()):
        lab.notes.append("left out: a sanitizer needs descriptors itself")
        yield
        return
    lab.ask("daemon.status")
    with no_descriptors_left(switch_process(lab.daemon.pid)):
        turned_away = 0
        for _ in range(8):
            try:
                VdeClient(lab.daemon.run / "blue", timeout=0.1).close()
            except Exception:  # in many ways
                turned_away += 1
        lab.notes.append(f"{turned_away} of 8 turned away")
        yield

    def plugged() -> bool:
        with contextlib.suppress(Exception):
            VdeClient(lab.daemon.run / "blue", timeout=1).close()
            return True
        return False

    wait_until("clients are served again", plugged)


@contextlib.contextmanager
def a_full_disk(lab: Lab) -> Iterator[None]:
    """A recording on a disk with room for a few frames."""
    disk = lab.daemon.directory / "disk"
    disk.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk))
    try:
        lab.daemon.write_config(CONFIG.replace('?port=20"]', f'?port=20", "record://{disk}/file?port=21"]'))
        with contextlib.suppress(RpcFailed):
            lab.ask("config.reload")
        yield
        lab.daemon.write_config(CONFIG)
        reloaded(lab)
        wait_until("it is closed", lambda: run("umount", str(disk), check=False).returncode == 0)
    finally:
        run("umount", "-l", str(disk), check=False)


@contextlib.contextmanager
def no_tap(lab: Lab) -> Iterator[None]:
    """Deleted by somebody; it is plugged in again once it is there again."""
    lab.namespace.ip("link", "del", TAP)
    lab.disturbed_tap = True
    yield
    lab.namespace.ip("tuntap", "add", "dev", TAP, "mode", "tap", check=False)
    wait_until("it is plugged in", lambda: tap_link(lab) == "up", timeout=10)
    fresh = lab.open_tap()
    with lab.traffic.lock:
        os.dup2(fresh.fileno(), lab.tap.data.fileno())
    fresh.close()


def tap_link(lab: Lab) -> str:
    rows = lab.ask("port.list", network="blue")["ports"]
    return next((row["link"] for row in rows if row["port"] == TAP_PORT), "")


@contextlib.contextmanager
def another_configuration(lab: Lab) -> Iterator[None]:
    lab.daemon.write_config(OTHER_CONFIG)
    reloaded(lab)
    yield
    lab.daemon.write_config(CONFIG)
    reloaded(lab)
    assert lab.ask("config.diff")["changes"] == []


def reloaded(lab: Lab) -> None:
    """Once it can be: there may be no descriptor, and no gateway that answers, for a moment."""

    def done() -> bool:
        try:
            lab.ask("config.reload")
        except RpcFailed:
            return False
        return True

    wait_until("the configuration is in force", done, timeout=10, step=0.05)


# ---- disturbances of a moment -----------------------------------------------------------------


def kill_switch(lab: Lab) -> None:
    lab.crash(signal.SIGKILL, 5)


def stop(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def stop_switch(lab: Lab) -> None:
    """For so long that the keeper reads for it, and no longer."""
    stop(switch_process(lab.daemon.pid), lab.random.uniform(0.01, 0.5))


def stop_keeper(lab: Lab) -> None:
    """Who is to blame nobody for it."""
    stop(lab.daemon.pid, lab.random.uniform(0.1, 1.0))


def hang_switch(lab: Lab) -> None:
    """Until the keeper replaces it."""
    lab.crash(signal.SIGSTOP, 10)


def upgrade(lab: Lab) -> None:
    try:
        lab.ask("daemon.upgrade")
    except RpcFailed as why:
        lab.notes.append(f"refused: {why}")


def swap_version(lab: Lab) -> None:
    """The programs are replaced by others: of another version if there is one."""
    source = daemon_program().parent
    if lab._other and lab.random.random() < 0.5:
        source = lab._other
    for name in ("lanyardd", "lanyard-gateway"):
        lab.install(source / name)
    upgrade(lab)


def swap_broken(lab: Lab) -> None:
    """By something that does not work: the one that runs goes on."""
    pid = switch_process(lab.daemon.pid)
    broken = lab.programs / "broken"
    broken.write_text(lab.random.choice(["#!/bin/sh\nexit 3\n", "#!/bin/sh\nkill -9 $$\n", "no program"]))
    broken.chmod(0o755)
    broken.rename(lab.programs / "lanyardd")
    try:
        lab.ask("daemon.upgrade")
        raise AssertionError("it was upgraded to a broken program")
    except RpcFailed:
        assert switch_process(lab.daemon.pid) == pid
    finally:
        lab.install(daemon_program())


def kill_gateway(lab: Lab) -> None:
    shown = lab.gateway()
    if shown["serving"]:
        os.kill(int(shown["pid"]), signal.SIGKILL)


def kill_client(lab: Lab) -> None:
    """One of its own, if it is let in."""
    with contextlib.suppress(AssertionError), a_client(lab) as process:
        process.kill()


def roll_vlans(lab: Lab) -> None:
    """Guests go around through VLANs 0, 7 and 8."""
    around = [0, 7, 8]
    for _ in range(4):
        guest = lab.random.choice([one for one in lab.guests() if one.network == "blue" and not one.tagged])
        vlan = around[(around.index(guest.vlan) + 1) % 3]
        where = {"network": "blue", "port": guest.port}
        lab.traffic.move(guest, vlan, lambda where=where, vlan=vlan: lab.ask("port.set", **where, vlan=vlan) and None)


def move_address(lab: Lab) -> None:
    one, other = lab.random.sample([guest for guest in lab.guests() if guest.network == "blue"], 2)
    lab.traffic.exchange_addresses(one, other)


Lasting = Callable[[Lab], contextlib.AbstractContextManager[None]]
Momentary = Callable[[Lab], None]

LASTING: tuple[Lasting, ...] = (
    a_client_stops, a_storm, no_descriptors, a_full_disk, no_tap, another_configuration,
)  # fmt: skip
MOMENTARY: tuple[Momentary, ...] = (
    kill_switch, stop_switch, stop_keeper, hang_switch, upgrade, swap_version, swap_broken, kill_gateway,
    kill_client, roll_vlans, move_address,
)  # fmt: skip


def a_round(rng: random.Random) -> list[tuple[Lasting, Momentary]]:
    """Each disturbance of a moment once, those that last spread around them."""
    moments = rng.sample(MOMENTARY, len(MOMENTARY))
    around: list[Lasting] = [*LASTING, *[nothing] * (len(MOMENTARY) - len(LASTING))]
    return list(zip(rng.sample(around, len(around)), moments, strict=True))


def disturb(lab: Lab, lasting: Lasting, momentary: Momentary, seconds: float) -> None:
    """One step: traffic, the disturbances, and what must hold during and after."""
    lab.notes.clear()
    with lasting(lab):
        time.sleep(seconds / 2)
        momentary(lab)
        lab.check_balance()
        time.sleep(seconds / 2)
    lab.check_well()
    lab.settle()
    lab.traffic.resume(lab.traffic.guests)
