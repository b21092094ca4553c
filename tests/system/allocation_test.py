# SPDX-License-Identifier: MIT
"""Each allocation of a handshake, a command, a request, a reload, and of what guests ask a gateway fails in
turn: who asked is answered or cut off, who is plugged in stays, a gateway that ends is back, and nothing is
left behind (R16). tests/soak/faults has the long form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import starving_gateway
from faults import Faults
from networks_daemon import NetworksDaemon
from starving import (
    COUNTS,
    OF_A_SWITCH,
    OF_NETWORKS,
    Question,
    Way,
    starve_kept_networks,
    starve_kept_switch,
    starve_networks,
    starve_switch,
)
from starving_gateway import OF_A_GATEWAY, StarvingGateway, starve_gateway
from starving_restart import OF_A_RESTART, starve_restart
from switch_process import Switch

pytestmark = pytest.mark.ours

# Of the many allocations of a reload, and of what a keeper is told, some.
RELOAD_STEP = 29
KEPT_STEP = 11
KEPT_RELOAD_STEP = 797
GATEWAY_STEPS = {"lease": 11, "name": 5, "connect_by_libslirp": 2, "lease_list": 11, "forward": 61}
RESTART_STEPS = {"by_the_daemon": 197, "by_the_spawner": 5, "by_everybody": 797}


def name(question: Callable[..., Question]) -> str:
    return question.__name__


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("question", OF_A_SWITCH, ids=name)
def test_a_switch(directory: Path, question: Callable[[Switch, Faults], Question], count: str) -> None:
    print(f"{starve_switch(directory, question, Way(COUNTS[count]))} allocations")


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("question", OF_A_SWITCH, ids=name)
def test_a_kept_switch(
    directory: Path, question: Callable[[Switch, Faults], Question], count: str
) -> None:
    step = KEPT_STEP if name(question) in ("vlans", "ports") else 1
    print(f"{starve_kept_switch(directory, question, Way(COUNTS[count], step))} allocations")


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("question", OF_NETWORKS, ids=name)
def test_networks(
    directory: Path, question: Callable[[NetworksDaemon, Faults], Question], count: str
) -> None:
    step = RELOAD_STEP if name(question).startswith("reload") else 1
    print(f"{starve_networks(directory, question, Way(COUNTS[count], step))} allocations")


@pytest.mark.parametrize("question", OF_NETWORKS, ids=name)
def test_kept_networks(
    directory: Path, question: Callable[[NetworksDaemon, Faults], Question]
) -> None:
    step = KEPT_RELOAD_STEP if name(question).startswith("reload") else KEPT_STEP
    ways = [Way(count, step) for count in COUNTS.values()]
    print(f"{starve_kept_networks(directory, question, *ways)} allocations")


@pytest.mark.parametrize("question", OF_A_GATEWAY, ids=name)
def test_a_gateway(directory: Path, question: Callable[[StarvingGateway], Question]) -> None:
    way = Way(COUNTS["one"], GATEWAY_STEPS.get(name(question), 1))
    print(f"{starve_gateway(directory, question, way)} allocations")


def test_a_query_is_given_up_although_its_timer_found_no_memory(directory: Path) -> None:
    print(f"{starve_gateway(directory, starving_gateway.name, Way(COUNTS['all']))} allocations")


@pytest.mark.parametrize("question", OF_A_RESTART, ids=name)
def test_a_gateway_is_started_again(
    directory: Path, question: Callable[[NetworksDaemon, Faults], Question]
) -> None:
    way = Way(COUNTS["one"], RESTART_STEPS[name(question)])
    print(f"{starve_restart(directory, question, way)} allocations")
