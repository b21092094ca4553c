# SPDX-License-Identifier: MIT
"""The wall clock jumps, as where a machine is resumed or somebody sets it: nothing that lasts goes by it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from frames import mac
from kept import Echo, switch_process, wait_for_other
from networks_daemon import NetworksDaemon
from support.gateway_lease import FULL, lease_address
from support.gateway_process import GatewayProcess
from vde_client import VdeClient
from waiting import wait_until
from wall_clock import YEAR_S, WallClock

JUMPS = {"a year on": YEAR_S, "a year back": -YEAR_S, "an hour back": -3600}
INACCURATE_S = 5.0  # whole seconds, and a machine with much to do

BLUE = """
[network.blue]
kind = "internal"
[[network.blue.socket]]
path = "$DIR/run/blue"
"""


@pytest.fixture(name="clock")
def _clock(tmp_path: Path) -> Iterator[WallClock]:
    clock = WallClock(tmp_path)
    if not clock.jumps:
        pytest.skip("a sanitizer has a clock of its own")
    yield clock


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS.keys())
def test_a_lease_lasts_as_long_as_was_said(tmp_path: Path, clock: WallClock, seconds: int) -> None:
    def left_s() -> float:
        (lease,) = gateway.ask("lease.list")["leases"]
        assert lease["state"] == "bound"
        return float(lease["expires_s"]) - clock.now()

    with GatewayProcess(tmp_path, env=clock.env) as gateway:
        gateway.configure(FULL)
        address = lease_address(gateway)
        before = left_s()
        clock.jump(seconds)
        assert abs(left_s() - before) < INACCURATE_S
        assert lease_address(gateway) == address
        assert lease_address(gateway, "52:54:00:00:00:02") != address


def test_frames_flow_and_addresses_are_known_over_every_jump(clock: WallClock) -> None:
    with NetworksDaemon(BLUE, "--keeper", env=clock.env) as daemon:
        with VdeClient(daemon.socket("blue")) as one, VdeClient(daemon.socket("blue")) as two, Echo(one, two) as echo:
            process = switch_process(daemon.pid)
            for seconds in JUMPS.values():
                sent = echo.sent
                clock.jump(seconds)
                wait_until("frames flow", lambda sent=sent: echo.newest > sent + 100)
            echo.stop()
            assert echo.lost == 0
            assert switch_process(daemon.pid) == process, "its keeper took it for dead"
            known = {row["mac"] for row in daemon.ask("fdb.list", network="blue")["entries"]}
            assert {mac(1).hex(":"), mac(2).hex(":")} <= known


def test_a_successor_goes_on_in_another_year(clock: WallClock) -> None:
    with NetworksDaemon(BLUE, "--keeper", env=clock.env) as daemon:
        clock.jump(-YEAR_S)
        old = switch_process(daemon.pid)
        os.kill(old, signal.SIGKILL)
        wait_for_other(daemon.pid, old)
        clock.jump(2 * YEAR_S)
        assert daemon.ask("daemon.upgrade") == {}
        daemon.ask("log.set", level="info")
        with VdeClient(daemon.socket("blue")) as guest:
            assert guest.port
        newest = daemon.ask("log.show")["lines"][-1]["time"]
        assert abs(datetime.fromisoformat(newest).timestamp() - clock.now()) < INACCURATE_S, "who jumped, then?"
