# SPDX-License-Identifier: MIT
"""A switch around which things go wrong (disturbances.py), and what must hold all the time.

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
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kept import switch_process, thrown_away, wait_for_other
from netns import NetNamespace
from networks_daemon import NetworksDaemon, RpcClient, daemon_program
from switch_process import short_directory
from vde_client import VdeClient
from wall_clock import WallClock
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
TAP, TAP_PORT = "lynem0", 20

# Drops on the way out; all others are on the way in.
OUTGOING = {
    "queue_full", "exceeds_receiver", "receiver_gone", "link_down", "cable_pulled", "rate_limit_out",
    "transmit_error", "unplugged", "filtered_out",
}  # fmt: skip

CRASHES_MAX, CRASH_WINDOW_S = 3, 11.0  # a keeper gives up after one more within ten seconds


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
            self.wall_clock = WallClock(self.programs)
            self.daemon = stack.enter_context(
                NetworksDaemon(
                    CONFIG,
                    "--keeper",
                    program=self.programs / "lanyardd",
                    gateway=self.programs / "lanyard-gateway",
                    prefix=("ip", "netns", "exec", self.namespace.name),
                    env=self.wall_clock.env,
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
