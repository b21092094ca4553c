# SPDX-License-Identifier: MIT
"""A gateway is killed, and whoever starts it again finds no memory: with memory it is back, with its forwards."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults import Faults
from networks_daemon import NetworksDaemon
from starving import STARVING_S, Question, Way, guests, starve
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

# Who finds no memory; None: all of them, and the gateway that is being started.
PROGRAMS = {"daemon": "lanyardd", "spawner": "lanyard-spawner", "everybody": None}


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def shown(daemon: NetworksDaemon) -> dict[str, Any]:
    gateway: dict[str, Any] = daemon.rpc("network.show", network="nat")["gateway"]
    return gateway


def restart(daemon: NetworksDaemon, faults: Faults) -> Question:
    """In a network that is new each time: it has not yet had a gateway that ended too often."""

    def is_back(killed: int) -> bool:
        now = shown(daemon)
        return bool(now["serving"]) and now["pid"] != killed

    def question() -> Iterator[None]:
        daemon.write_config(NAT)
        daemon.rpc("config.reload")
        with daemon.client() as watcher:
            watcher.call("event.subscribe", kinds="gateway.started")
            gateway = daemon.gateway_pid("nat")
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
        wait_until("another serves", lambda: is_back(gateway))
        assert accepts(daemon.directory / "web"), "its forward is lost"
        daemon.write_config(LAB)
        daemon.rpc("config.reload")

    return question


def starve_restart(directory: Path, program: str | None, way: Way) -> int:
    faults = Faults(directory)
    only = {"LANYARD_FAULTS_PROGRAM": program} if program else {}
    with NetworksDaemon(LAB, gateway=None, env={**faults.env, **only}) as daemon:
        daemon.rpc("log.set", level="error")
        with guests(daemon.socket("lab")):
            return starve(faults, daemon.pid, restart(daemon, faults), way)
