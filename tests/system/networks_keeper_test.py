# SPDX-License-Identifier: MIT
"""--keeper with networks: guests, gateways and the host's interface outlive the switch process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from frames import BROADCAST, frame, mac
from kept import Echo, switch_process, thrown_away, wait_for_other
from netns import NetNamespace
from networks_daemon import NetworksDaemon, RpcFailed, daemon_program
from vde_client import VdeClient
from waiting import wait_until

TWO = """
[network.nat]
kind = "nat"
[network.blue]
kind = "internal"
vlans = [7, 8]
[[network.blue.socket]]
path = "$DIR/run/blue"
[[network.blue.socket]]
path = "$DIR/run/blue7"
vlan = 7
"""

LOST_MAX = 64
UNREACHABLE = 5  # of lanyard(1)


@pytest.fixture(name="daemon")
def _daemon() -> Iterator[NetworksDaemon]:
    with NetworksDaemon(TWO, "--keeper") as daemon:
        yield daemon


def kill_switch_process(daemon: NetworksDaemon) -> None:
    old = switch_process(daemon.pid)
    os.kill(old, signal.SIGKILL)
    wait_for_other(daemon.pid, old)


def shown(daemon: NetworksDaemon) -> list[Any]:
    rows = daemon.ask("port.list")["ports"]
    moving = ("in_frames", "out_frames", "in_bytes", "out_bytes", "drops")
    ports = [{k: v for k, v in row.items() if k not in moving} for row in rows]
    guards = [daemon.ask("guard.show", network=r["network"], port=r["port"]) for r in rows]
    return [daemon.ask("config.dump"), ports, guards]


def test_guests_outlive_sigkill_under_load(daemon: NetworksDaemon) -> None:
    directory = daemon.socket("blue")
    with VdeClient(directory) as one, VdeClient(directory) as two, Echo(one, two) as echo:
        for _ in range(4):
            sent = echo.sent
            kill_switch_process(daemon)
            wait_until("frames flow again", lambda sent=sent: echo.newest > sent + 20)
        echo.stop()
        lost = echo.lost - thrown_away(daemon.log_text())
        assert lost <= 4 * 2 * LOST_MAX, f"{lost} of {echo.sent}"


def test_what_runs_is_the_same_afterwards(daemon: NetworksDaemon) -> None:
    with VdeClient(daemon.socket("blue7"), description="guest") as guest:
        daemon.ask("port.set", network="blue", port=guest.port, tagged="8")
        daemon.ask("vlan.create", network="blue", vlan=9)
        daemon.ask("guard.set", network="blue", port=guest.port, key="isolated", value="on")
        daemon.ask("log.set", level="warning")
        before = shown(daemon)
        kill_switch_process(daemon)
        assert shown(daemon) == before
        assert daemon.ask("daemon.upgrade") == {}
        assert shown(daemon) == before


def test_the_gateway_and_what_it_has_open_stay(daemon: NetworksDaemon) -> None:
    gateway = daemon.gateway_pid("nat")
    with VdeClient(daemon.socket("nat")) as guest:
        for _ in range(2):
            kill_switch_process(daemon)
            assert daemon.ask("network.show", network="nat")["gateway"]["pid"] == gateway
            guest.send(frame(mac(9), mac(1)))
            assert guest.recv() == frame(mac(1), mac(9))


def test_a_gateway_of_a_predecessor_that_ends_is_replaced(daemon: NetworksDaemon) -> None:
    gateway = daemon.gateway_pid("nat")
    kill_switch_process(daemon)
    os.kill(gateway, signal.SIGKILL)

    def replaced() -> bool:
        shown = daemon.ask("network.show", network="nat")["gateway"]
        return bool(shown["serving"]) and shown["pid"] != gateway

    wait_until("another gateway serves", replaced)
    assert not Path(f"/proc/{gateway}").exists(), "nobody has waited for it"


def test_gateways_end_with_the_daemon_whoever_started_them(daemon: NetworksDaemon) -> None:
    gateway = daemon.gateway_pid("nat")
    kill_switch_process(daemon)
    daemon.ask("daemon.status")
    assert daemon.stop() == 0
    assert not Path(f"/proc/{gateway}").exists()
    assert not daemon.control.exists()
    assert not (daemon.socket("blue") / "ctl").exists()


def test_a_reload_after_a_crash_changes_what_it_should(daemon: NetworksDaemon) -> None:
    with VdeClient(daemon.socket("blue")) as guest:
        kill_switch_process(daemon)
        daemon.write_config(TWO.replace("vlans = [7, 8]", "vlans = [7, 9]"))
        daemon.ask("config.reload")
        assert "9" in daemon.ask("config.dump")["text"]
        with VdeClient(daemon.socket("blue")) as other:
            other.send(frame(BROADCAST, mac(1)))
            assert guest.recv() == frame(BROADCAST, mac(1))


def test_an_upgrade_under_load_loses_nothing(daemon: NetworksDaemon) -> None:
    directory = daemon.socket("blue")
    gateway = daemon.gateway_pid("nat")
    with VdeClient(directory) as one, VdeClient(directory) as two, Echo(one, two) as echo:
        for _ in range(5):
            sent = echo.sent
            assert daemon.ask("daemon.upgrade") == {}
            wait_until("frames flow", lambda sent=sent: echo.newest > sent + 20)
        echo.stop()
        lost = echo.lost - thrown_away(daemon.log_text())
        assert lost <= 0, f"{lost} of {echo.sent}"
    assert daemon.ask("network.show", network="nat")["gateway"]["pid"] == gateway


def test_the_old_process_ends_of_its_own_accord(daemon: NetworksDaemon) -> None:
    """A call that its sandbox does not know would end it, too."""
    old = switch_process(daemon.pid)
    assert daemon.ask("daemon.upgrade") == {}
    wait_until("the old process is gone", lambda: not Path(f"/proc/{old}").exists())
    assert daemon.stop() == 0
    assert f"the old process (pid {old})" not in daemon.log_text()


# -- who is connected to the control socket --------------------------------------------------------


def test_connections_go_over_an_upgrade(daemon: NetworksDaemon) -> None:
    with daemon.client() as one, daemon.client() as watcher:
        watcher.call("event.subscribe", kinds="port.up")
        old = one.call("daemon.status")["pid"]
        for _ in range(3):
            assert one.call("daemon.upgrade") == {}
        assert one.call("daemon.status")["pid"] != old
        with VdeClient(daemon.socket("blue")):
            assert watcher.line()["params"]["kind"] == "port.up"


def test_half_a_request_is_answered_after_the_upgrade(daemon: NetworksDaemon) -> None:
    with daemon.client() as half:
        half.call("daemon.status")
        half.socket.sendall(b'{"jsonrpc":"2.0","id":77,"method":"daemon.')
        assert daemon.ask("daemon.upgrade") == {}
        half.socket.sendall(b'status"}\n')
        answer = half.line()
        assert answer["id"] == 77
        assert "result" in answer


def test_who_waited_for_an_answer_is_told_to_ask_again(daemon: NetworksDaemon) -> None:
    gateway = daemon.gateway_pid("nat")
    with daemon.client() as waiting:
        os.kill(gateway, signal.SIGSTOP)
        try:
            number = waiting.send("lease.list", network="nat")
            assert daemon.ask("daemon.upgrade") == {}
        finally:
            os.kill(gateway, signal.SIGCONT)
        answer = waiting.line()
        assert answer["id"] == number
        assert "ask again" in answer["error"]["message"]
        assert len(waiting.call("lease.list", network="nat")["leases"]) == 2


def test_watch_goes_on_through_upgrades_and_crashes(daemon: NetworksDaemon) -> None:
    program = daemon_program().with_name("lanyard")
    with subprocess.Popen(
        [program, "watch", "port.up"],
        env={**os.environ, "LANYARD_CONTROL": str(daemon.control)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as watch:
        assert watch.stdout
        assert watch.stderr
        os.set_blocking(watch.stdout.fileno(), False)
        shown = b""

        def hears(port: int) -> bool:
            """Plugs in again and again: nobody says when a subscription has been made."""
            nonlocal shown
            with VdeClient(daemon.socket("blue"), port=port):
                select.select([watch.stdout], [], [], 0.2)
            shown += watch.stdout.read() or b""
            return f" port={port}".encode() in shown

        try:
            wait_until("an event is shown", lambda: hears(3))
            assert daemon.ask("daemon.upgrade") == {}
            wait_until("an event after the upgrade", lambda: hears(4))
            kill_switch_process(daemon)
            assert b"has come back" in watch.stderr.readline()
            wait_until("an event after the crash", lambda: hears(5))
            assert daemon.stop() == 0
            assert watch.wait(10) == UNREACHABLE
        finally:
            watch.kill()


def test_without_a_keeper_an_upgrade_says_what_is_missing() -> None:
    with NetworksDaemon(TWO) as daemon, pytest.raises(RpcFailed, match="--keeper"):
        daemon.rpc("daemon.upgrade")


HOST = """
[network.kept]
kind = "host-only"
subnet = "192.168.213.0/24"
[network.kept.host]
name = "lykept2"
"""


@pytest.mark.root
def test_the_hosts_interface_stays_and_goes_at_the_end(namespace: NetNamespace) -> None:
    with NetworksDaemon(HOST, "--keeper", prefix=("ip", "netns", "exec", namespace.name)) as daemon:

        def interface() -> str:
            return namespace.ip("-o", "address", "show", "lykept2")

        before = interface()
        assert "192.168.213.1/24" in before
        kill_switch_process(daemon)
        daemon.ask("daemon.status")
        assert interface() == before
        assert daemon.ask("daemon.upgrade") == {}
        assert interface() == before
        with VdeClient(daemon.socket("kept")) as guest:

            def asked() -> bool:
                command = ("ping", "-c", "1", "-W", "1", "192.168.213.9")
                namespace.run(*command, check=False)
                return guest.recv(0.5) is not None

            wait_until("the host is heard", asked)
        assert daemon.stop() == 0
        assert "lykept2" not in namespace.ip("-o", "link")
