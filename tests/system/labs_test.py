# SPDX-License-Identifier: MIT
"""The labs in examples, played as a reader plays them: real QEMU machines, in a network of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from netns import run
from switch_process import REPOSITORY, switch_program
from vm import accelerator, need_vms

pytestmark = [pytest.mark.root, pytest.mark.ours]

SECONDS = 400.0
NEEDED = ["dnsmasq", "iptables", "nft", "curl", "ss", "nsenter", "unshare"]


@pytest.fixture(autouse=True)
def needs() -> None:
    need_vms()
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if not Path("/dev/net/tun").exists():
        pytest.skip("there is no /dev/net/tun")


def play(name: str) -> str:
    """Everything a lab says; fails with the end of it when a step does."""
    environment = dict(
        os.environ,
        LANYARD_BIN=str(Path(switch_program()).parent),
        TINY_VM_ACCELERATOR=accelerator(),
    )
    lab = subprocess.Popen(
        [str(REPOSITORY / "examples" / name)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        said, _ = lab.communicate(timeout=SECONDS)
    except BaseException:
        os.killpg(lab.pid, signal.SIGTERM)
        raise
    assert lab.returncode == 0, "\n".join(said.splitlines()[-40:])
    return said


def of_the_host() -> str:
    """What a lab must not change."""
    return "\n".join(
        [
            run("ip", "address").stdout,
            run("ip", "route", "show", "table", "all").stdout,
            run("nft", "list", "ruleset").stdout,
            Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        ]
    )


@pytest.mark.parametrize("lab", ["lab1-nat", "lab2-host-only", "lab3-lan-routing"])
def test_every_step_of_a_lab_works_and_the_host_is_as_before(lab: str) -> None:
    before = of_the_host()
    play(lab)
    assert of_the_host() == before
