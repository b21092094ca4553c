# SPDX-License-Identifier: MIT
"""The kernel says no, in the midst of traffic: nobody who is plugged in is lost, and afterwards all is as
before. R11 and R16 in their short form; tests/soak/faults is the long one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import FAULTS, Faults, come_and_go, flows
from frames import BROADCAST, frame, mac
from kept import Echo
from switch_process import Switch

pytestmark = pytest.mark.ours

SECONDS = 0.4


@pytest.fixture(name="faults")
def _faults(directory: Path) -> Faults:
    return Faults(directory)


@pytest.fixture(name="switch")
def _switch(faults: Faults, directory: Path) -> Iterator[Switch]:
    with Switch(directory=directory, env=faults.env) as switch:
        yield switch


@pytest.mark.parametrize(("call", "errors", "every"), FAULTS, ids=lambda value: str(value))
def test_who_is_plugged_in_stays_and_all_is_well_afterwards(
    faults: Faults, switch: Switch, call: str, errors: tuple[str, ...], every: int
) -> None:
    one, two = switch.client(), switch.client()
    with Echo(one, two) as echo:
        for error in errors:
            with faults.failing(call, error, every):
                come_and_go(switch, SECONDS)
            flows(echo)
    assert switch.alive()
    assert not one.ctl_closed()
    assert not two.ctl_closed()
    print(f"{call}: {faults.failed(call)} of {faults.calls(call)} failed, {echo.lost} of {echo.sent} frames lost")
    assert faults.failed(call) > 0

    late = switch.client()
    data = frame(BROADCAST, mac(7))
    late.send(data)
    assert two.recv() == data
    console = switch.console()
    assert sum("endpoint" in line for line in console.check("port/print")) == 3
    # A console that was cut off has left its VLAN, or none.
    console.run("vlan/remove 9")
    console.check("vlan/create 9")
