# SPDX-License-Identifier: MIT
"""What networks do to the host, and that it is undone: at the end, and after a crash at the next start."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns import NetNamespace
from networks_daemon import NetworksDaemon
from switch_process import short_directory
from waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.ours]

ROUTED = """
[network.lab]
kind = "routed"
subnet = "192.168.56.0/24"
uplink = "up0"

[network.lab.host]
name = "lan0"
"""

INTERNAL = """
[network.other]
kind = "internal"
"""

# As Docker leaves a host.
DROPPING = """
add table ip filter
add chain ip filter DOCKER-USER
add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }
add rule ip filter FORWARD counter jump DOCKER-USER
"""


@pytest.fixture
def host(namespace: NetNamespace) -> NetNamespace:
    """A host whose FORWARD chain drops."""
    if shutil.which("nft") is None:
        pytest.skip("not installed: nft")
    if not Path("/dev/net/tun").exists():
        pytest.skip("there is no /dev/net/tun")
    namespace.run("nft", DROPPING)
    return namespace


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory that outlives a daemon."""
    path = short_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def daemon_in(host: NetNamespace, state: Path, config: str) -> NetworksDaemon:
    prefix = ["ip", "netns", "exec", host.name]
    return NetworksDaemon(config, "--state-directory", str(state), prefix=prefix)


def condition(host: NetNamespace) -> tuple[str, str, list[str]]:
    forward = host.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout
    return host.run("nft", "list", "ruleset").stdout, forward, host.links()


def test_a_routed_network_is_there_and_leaves_no_trace(host: NetNamespace, state: Path) -> None:
    before = condition(host)
    with daemon_in(host, state, ROUTED) as daemon:
        rules, forward, links = condition(host)
        assert forward == "1\n"
        assert "lan0" in links
        assert 'comment "lanyard lab"' in rules
        assert "table inet lanyard_lab" in rules
        shown = host.ip("-d", "address", "show", "dev", "lan0")
        assert "inet 192.168.56.1/24" in shown
        assert f"alias lanyard network lab pid {daemon.spawner_pid()}" in shown
    assert condition(host) == before


def test_after_a_crash_the_next_daemon_clears_up_whatever_it_runs(
    host: NetNamespace, state: Path
) -> None:
    before = condition(host)
    with daemon_in(host, state, ROUTED) as daemon:
        daemon.stop(signal.SIGKILL)
    assert condition(host) != before
    with daemon_in(host, state, INTERNAL):
        assert condition(host) == before


def test_after_a_crash_the_same_network_comes_up_and_ends_clean(
    host: NetNamespace, state: Path
) -> None:
    before = condition(host)
    with daemon_in(host, state, ROUTED) as daemon:
        daemon.stop(signal.SIGKILL)
    with daemon_in(host, state, ROUTED):
        rules, forward, _ = condition(host)
        assert forward == "1\n"
        assert rules.count('comment "lanyard lab"') == 2
    assert condition(host) == before


def test_a_forward_chain_that_begins_to_drop_is_passed(host: NetNamespace, state: Path) -> None:
    """Docker, started later; and somebody who throws our rules out."""
    host.run("nft", "flush ruleset")
    with daemon_in(host, state, ROUTED):
        assert 'comment "lanyard lab"' not in host.run("nft", "list ruleset").stdout

        def rules() -> int:
            listed = host.run("nft", "list chain ip filter DOCKER-USER", check=False).stdout
            return listed.count('comment "lanyard lab"')

        host.run("nft", DROPPING)
        wait_until("the rules are put in", lambda: rules() == 2, timeout=20)
        host.run("nft", "flush chain ip filter DOCKER-USER")
        wait_until("they are put in again", lambda: rules() == 2, timeout=20)
    assert rules() == 0
