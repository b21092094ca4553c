# SPDX-License-Identifier: MIT
"""Everything goes wrong in random order, and every frame is looked at. One round of tests/soak/nemesis;
and that who looks does see what would be wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nemesis import Lab
from waiting import wait_until
from watched_traffic import Guest

pytestmark = [pytest.mark.ours, pytest.mark.root]

COMMAND = Path(__file__).resolve().parents[1] / "soak/nemesis"
SEED = int(os.environ.get("LANYARD_SEED") or 1)


@pytest.fixture(name="lab")
def _lab() -> Iterator[Lab]:
    with Lab(SEED).running() as lab:
        lab.traffic.resume(lab.traffic.guests)
        yield lab


def in_vlan(lab: Lab, vlan: int) -> Guest:
    return next(guest for guest in lab.guests() if guest.vlan == vlan and guest.network == "blue")


def test_one_round() -> None:
    done = subprocess.run(
        [sys.executable, str(COMMAND), "--seed", str(SEED)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_a_port_in_the_wrong_vlan_is_seen(lab: Lab) -> None:
    guest = in_vlan(lab, 7)
    lab.ask("port.set", network="blue", port=guest.port, vlan=8)
    wait_until("it is seen", lambda: any("in the wrong VLAN" in one for one in lab.traffic.faults))


def test_a_tag_in_the_wrong_place_is_seen(lab: Lab) -> None:
    lab.ask("port.set", network="blue", port=in_vlan(lab, 0).port, tagged="7")
    wait_until("it is seen", lambda: any("in the wrong VLAN" in one for one in lab.traffic.faults))


def test_a_frame_that_comes_twice_is_seen(lab: Lab) -> None:
    guest = in_vlan(lab, 8)
    wait_until("it has sent some", lambda: guest.sent > 10)
    with lab.traffic.lock:
        guest.sent -= 3
    wait_until("it is seen", lambda: any("twice or late" in one for one in lab.traffic.faults))


@pytest.mark.parametrize("books", ["sent", "arrived"])
def test_a_lost_frame_is_seen(lab: Lab, books: str) -> None:
    lab.traffic.quiet()
    guest = in_vlan(lab, 7)
    setattr(guest, books, getattr(guest, books) + (1 if books == "sent" else -1))
    with pytest.raises(AssertionError, match="lost|did not arrive"):
        lab.settle()
