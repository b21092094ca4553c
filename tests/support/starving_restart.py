# SPDX-License-Identifier: MIT
"""A gateway is killed, and whoever starts it again finds no memory: with memory it is back, with its forwards."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from faults import Faults
from networks_daemon import NetworksDaemon
from starving import STARVING_S, Question, Way, for_each_allocation, guests, starve
from waiting import readable, wait_until

LAB = """
[network.lab]
kind = "internal"
"""
# A name in the file system is one more thing to undo, and to do again.
NAT = LAB + """
[network.nat]
kind = "nat"
[[network.nat.forward]]
name = "web"
from = "unix:$DIR/web"
to = "10.0.2.15:80"
"""

SPAWNER = "lanyard-spawner"
DAEMON = "lanyardd"


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def serving(daemon: NetworksDaemon, other_than: int) -> int:
    """The pid of a gateway that serves; 0: none."""
    now = daemon.ask("network.show", network="nat")["gateway"]
    return int(now["pid"]) if now["serving"] and now["pid"] != other_than else 0


def restart(daemon: NetworksDaemon, faults: Faults) -> Question:
    """In a network that is new each time: it has not yet had a gateway that ended too often."""

    def question() -> Iterator[None]:
        daemon.write_config(NAT)
        daemon.ask("config.reload")
        with daemon.client() as watcher:
            watcher.call("event.subscribe", kinds="gateway.started")
            gateway = serving(daemon, 0)
            yield
            failed = faults.failed("malloc")
            os.kill(gateway, signal.SIGKILL)
            wait_until(
                "another serves, or there is no memory",
                lambda: readable(watcher.socket, 0) or faults.failed("malloc") != failed,
                step=0.001,
            )
            readable(watcher.socket, STARVING_S)
        yield
        wait_until("another serves", lambda: serving(daemon, gateway))
        wait_until("its forward is there", lambda: accepts(daemon.directory / "web"))
        daemon.write_config(LAB)
        daemon.ask("config.reload")

    return question


def by_the_daemon(daemon: NetworksDaemon, faults: Faults) -> Question:
    return restart(daemon, faults)


def by_the_spawner(daemon: NetworksDaemon, faults: Faults) -> Question:
    return restart(daemon, faults)


def by_everybody(daemon: NetworksDaemon, faults: Faults) -> Question:
    """The gateway finds no memory, either, while it is being started."""
    return restart(daemon, faults)


OF_A_RESTART = [by_the_daemon, by_the_spawner, by_everybody]


def starve_restart(
    directory: Path, question: Callable[[NetworksDaemon, Faults], Question], way: Way
) -> int:
    program = {by_the_daemon: DAEMON, by_the_spawner: SPAWNER}.get(question)
    faults = Faults(directory)
    only = {"LANYARD_FAULTS_PROGRAM": program} if program else {}
    with NetworksDaemon(LAB, gateway=None, env={**faults.env, **only}) as daemon:
        daemon.rpc("log.set", level="error")
        with guests(daemon.socket("lab")):
            asked = question(daemon, faults)
            if program:
                return starve(faults, daemon.pid, asked, way)
            # What those have that were killed counts for ever, so no block can be said to be left.
            for _ in range(way.rounds):
                tried = for_each_allocation(faults, asked, way.count, way.step)
    return tried
