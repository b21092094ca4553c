# SPDX-License-Identifier: MIT
"""Real machines under a keeper: neither a crash nor a hang nor an upgrade of the switch process holds
them up. QEMU never connects again, and its main loop sends with a blocking socket."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from kept import switch_process, thrown_away, wait_for_other
from machines import Lab, Monitor, Pings, two_machines
from switch_process import Switch
from vm import need_vms
from waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.ours]

ANSWER_MAX_MS = 150.0
KILLS = 4  # within 10 s; one more is a crash loop
UPGRADES = 10
# What a machine sends in 200 ms: four times what a crash may cost.
PINGS_LOST_A_CRASH_MAX = 10


@pytest.fixture(name="lab")
def _lab() -> Iterator[Lab]:
    need_vms()
    with Switch("--keeper") as switch, two_machines(switch) as lab:
        yield lab


def assert_quick(*monitors: Monitor) -> None:
    for monitor in monitors:
        print(f"{monitor.vm.name}: {len(monitor.taken)} answers, longest {monitor.worst:.1f} ms")
        assert monitor.worst <= ANSWER_MAX_MS


def test_machines_outlive_crashes_of_the_switch_process(lab: Lab) -> None:
    with lab.monitor(lab.alpha) as one, lab.monitor(lab.beta) as two:
        with Pings(lab.alpha, lab.beta.address) as pings, Pings(lab.beta, lab.alpha.address, size=8000):
            for _ in range(KILLS):
                old = switch_process(lab.switch.pid)
                os.kill(old, signal.SIGKILL)
                wait_for_other(lab.switch.pid, old)
                time.sleep(0.5)  # The pace of the crashes, not a wait for an event.
        print(f"{pings.lost} of {pings.sent} pings lost")
    assert_quick(one, two)
    assert pings.lost - thrown_away(lab.switch.log_text()) <= KILLS * PINGS_LOST_A_CRASH_MAX
    assert lab.alpha.ping_replies(lab.beta.address, 3) == 3


def test_upgrades_cost_a_machine_no_packet(lab: Lab) -> None:
    with lab.monitor(lab.alpha) as one, lab.monitor(lab.beta) as two:
        with Pings(lab.alpha, lab.beta.address) as pings:
            for _ in range(UPGRADES):
                old = switch_process(lab.switch.pid)
                count = lab.switch.log_text().count("upgraded from")
                os.kill(lab.switch.pid, signal.SIGUSR2)
                wait_until("an upgrade", lambda count=count: lab.switch.log_text().count("upgraded from") > count)
                wait_for_other(lab.switch.pid, old)
        print(f"{pings.lost} of {pings.sent} pings lost")
    assert_quick(one, two)
    # One may have been on its way at the end.
    assert pings.lost - thrown_away(lab.switch.log_text()) <= 1
    assert lab.beta.ping_replies(lab.alpha.address, 3) == 3


def test_monitors_answer_while_the_switch_process_hangs(lab: Lab) -> None:
    """Both send more than their sockets hold, until the keeper has had enough of the silence."""
    old = switch_process(lab.switch.pid)
    big = {"every_s": 0.02, "size": 30000}
    with lab.monitor(lab.alpha) as one, lab.monitor(lab.beta) as two:
        with Pings(lab.alpha, lab.beta.address, **big), Pings(lab.beta, lab.alpha.address, **big):
            os.kill(old, signal.SIGSTOP)
            wait_for_other(lab.switch.pid, old, timeout=15)
    assert_quick(one, two)
    lab.switch.wait_log("silent: its clients' frames are thrown away")
    assert lab.alpha.ping_replies(lab.beta.address, 3) == 3
