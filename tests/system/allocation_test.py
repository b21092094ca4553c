# SPDX-License-Identifier: MIT
"""Each allocation of a handshake, a command, a request and a reload fails in turn: who asked is answered or
cut off, who is plugged in stays, and nothing is left behind (R16). tests/soak/faults has the long form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
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
from switch_process import Switch

pytestmark = pytest.mark.ours

# Of the many allocations of a reload, and of what a keeper is told, some.
RELOAD_STEP = 29
KEPT_STEP = 11
KEPT_RELOAD_STEP = 397


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
