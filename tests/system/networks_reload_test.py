# SPDX-License-Identifier: MIT
"""A reload changes all of it or nothing, and never what stays the same."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pytest
from networks_daemon import NetworksDaemon, RpcFailed
from vde_client import VdeClient
from waiting import wait_until

STAYS = "[network.stays]\nkind = 'internal'\nguard.broadcast_pps = 0\n"
NAT = "[network.nat]\nkind = 'nat'\n"
WEB = (
    "[[network.nat.forward]]\nname = 'web'\nfrom = 'tcp:127.0.0.1:18080'\nto = '10.0.2.15:80'\n"
)

FORWARD = {"from": "tcp:127.0.0.1:19", "to": "10.0.2.15:19"}


def frame(number: int) -> bytes:
    return b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb6" + number.to_bytes(4, "big") + b"y" * 56


def networks(daemon: NetworksDaemon) -> list[str]:
    return [row["name"] for row in daemon.rpc("network.list")["networks"]]


def forwards(daemon: NetworksDaemon) -> list[str]:
    return [row["name"] for row in daemon.rpc("forward.list")["forwards"]]


def test_networks_come_and_go_beside_one_that_stays() -> None:
    with NetworksDaemon(STAYS + NAT) as daemon, VdeClient(daemon.socket("stays")) as guest:
        gateway = daemon.gateway_pid("nat")
        daemon.write_config(STAYS + "[network.fresh]\nkind = 'internal'\n")
        changes = daemon.rpc("config.reload")["changes"]
        assert {row["network"] for row in changes} == {"fresh", "nat"}
        assert networks(daemon) == ["fresh", "stays"]
        assert not guest.ctl_closed(0.1)
        assert not (daemon.socket("nat") / "ctl").exists()
        wait_until("the gateway ends", lambda: not Path(f"/proc/{gateway}").exists())
        with VdeClient(daemon.socket("fresh")):
            pass


def test_forwards_and_vlans_change_without_touching_guests() -> None:
    with NetworksDaemon(NAT) as daemon, VdeClient(daemon.socket("nat")) as guest:
        gateway = daemon.gateway_pid("nat")
        daemon.write_config(NAT + "vlans = [10, 20]\n" + WEB)
        daemon.rpc("config.reload")
        assert forwards(daemon) == ["web"]
        vlans = [row["vlan"] for row in daemon.rpc("vlan.list")["vlans"]]
        assert vlans == [0, 10, 20]
        daemon.write_config(NAT)
        daemon.rpc("config.reload")
        assert forwards(daemon) == []
        assert daemon.gateway_pid("nat") == gateway
        assert not guest.ctl_closed(0.1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (STAYS + NAT + "port = 1\n", "port"),
        (STAYS + NAT + WEB.replace("web", "refused") + "[network.x]\nkind='internal'\n", "busy"),
        (
            STAYS
            + NAT
            + "[network.x]\nkind='internal'\n[[network.x.socket]]\npath='/proc/x/y'\n",
            "/proc/x",
        ),
        (
            STAYS + NAT + WEB + "[network.x]\nkind = 'nat'\nsubnet = '10.9.0.0/24'\n"
            "[[network.x.forward]]\nname='refused'\nfrom='tcp:127.0.0.1:9'\nto='10.9.0.15:9'\n",
            "busy",
        ),
        ("[control]\ngroup = 'no-such-group'\n" + STAYS, "no-such-group"),
        ("[network.", "lanyard.toml"),
    ],
)
def test_a_reload_with_an_error_changes_nothing(text: str, sentence: str) -> None:
    with NetworksDaemon(STAYS + NAT) as daemon, VdeClient(daemon.socket("nat")) as guest:
        before = daemon.rpc("config.dump")
        gateway = daemon.gateway_pid("nat")
        daemon.write_config(text)
        with pytest.raises(RpcFailed, match=sentence):
            daemon.rpc("config.reload")
        assert daemon.rpc("config.dump") == before
        assert networks(daemon) == ["nat", "stays"]
        assert forwards(daemon) == []
        assert daemon.gateway_pid("nat") == gateway
        assert not guest.ctl_closed(0.1)
        assert not daemon.socket("x").exists()
        daemon.write_config(STAYS + NAT + WEB)
        daemon.rpc("config.reload")
        assert forwards(daemon) == ["web"], "and the next one works"


def test_a_socket_moves_to_another_network_and_back_when_that_fails() -> None:
    old = "[network.a]\nkind='internal'\n[[network.a.socket]]\npath='$DIR/run/s'\n"
    new = "[network.b]\nkind='internal'\n[[network.b.socket]]\npath='$DIR/run/s'\n"
    broken = "[[network.b.socket]]\npath='/proc/x/y'\n"
    with NetworksDaemon(old) as daemon:
        daemon.write_config(new + broken)
        with pytest.raises(RpcFailed):
            daemon.rpc("config.reload")
        assert networks(daemon) == ["a"]
        with VdeClient(daemon.run / "s"):
            assert len(daemon.rpc("port.list", network="a")["ports"]) == 1
        daemon.write_config(new)
        daemon.rpc("config.reload")
        with VdeClient(daemon.run / "s"):
            assert len(daemon.rpc("port.list", network="b")["ports"]) == 1


OTHER = "[network.other]\nkind = 'nat'\nsubnet = '10.9.0.0/24'\n"
OTHER_WEB = (
    "[[network.other.forward]]\nname='shop'\nfrom='tcp:127.0.0.1:18081'\nto='10.9.0.15:80'\n"
)


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_done_to_forwards_while_a_reload_runs_is_kept(fails: bool) -> None:
    with NetworksDaemon(NAT + WEB + OTHER) as daemon, daemon.client() as admin:
        daemon.rpc("forward.add", network="nat", name="before", **FORWARD)
        silent = daemon.gateway_pid("other")
        daemon.gateway_pid("nat")
        os.kill(silent, signal.SIGSTOP)
        try:
            daemon.write_config(NAT + "vlans = [10]\n" + WEB + OTHER + OTHER_WEB)
            number = admin.send("config.reload")
            # The gateway of nat has been told; that of other has not answered.
            wait_until("nat has been told", lambda: forwards_of(daemon, "nat") == ["web"])
            later = {"from": "tcp:127.0.0.1:20", "to": "10.0.2.15:20"}
            daemon.rpc("forward.add", network="nat", name="later", **later)
            daemon.rpc("forward.delete", network="nat", name="web")
        finally:
            os.kill(silent, signal.SIGKILL if fails else signal.SIGCONT)
        answer = admin.line()
        assert answer["id"] == number
        assert ("error" in answer) == fails
        # What runs, and what the next gateway is told.
        names = ["before", "later"] if fails else ["later"]
        wait_until("they are there", lambda: forwards_of(daemon, "nat") == names)
        running = daemon.rpc("config.dump")["text"]
        assert [name for name in ("before", "later", "web") if f'"{name}"' in running] == names
        os.kill(daemon.gateway_pid("nat"), signal.SIGKILL)
        daemon.wait_serving("nat")
        wait_until("they are there again", lambda: forwards_of(daemon, "nat") == names)


def forwards_of(daemon: NetworksDaemon, network: str) -> list[str]:
    try:
        rows = daemon.rpc("forward.list", network=network)["forwards"]
    except RpcFailed:
        return []
    return [row["name"] for row in rows]


def test_a_reload_that_fails_unplugs_nobody() -> None:
    socket = "[[network.{}.socket]]\npath='$DIR/run/s'\nmode='{}'\n"
    old = "[network.a]\nkind='internal'\n" + socket.format("a", "0600")
    moved = "[network.b]\nkind='internal'\n" + socket.format("b", "0600")
    refused = WEB.replace("web", "refused")
    with (
        NetworksDaemon(old + NAT) as daemon,
        VdeClient(daemon.run / "s") as guest,
        VdeClient(daemon.run / "s") as other,
    ):
        before = daemon.rpc("config.dump")
        for wanted in (
            moved + NAT + refused,
            old.replace("0600", "0660") + NAT + refused,
            moved.replace("mode='0600'", "group='no-such-group'") + NAT,
            old.replace("kind='internal'", "kind='internal'\nplugs=['tap://a-name-too-long-for-it']")
            + NAT
            + "vlans = [10]\n",
        ):
            daemon.write_config(wanted)
            with pytest.raises(RpcFailed):
                daemon.rpc("config.reload")
            assert daemon.rpc("config.dump") == before
            assert not guest.ctl_closed(0.05)
            guest.send(frame(1))
            assert other.recv(5.0) == frame(1)
            assert networks(daemon) == ["a", "nat"]
        daemon.write_config(moved + NAT)
        daemon.rpc("config.reload")
        assert guest.ctl_closed(5.0), "it is another network now"
        with VdeClient(daemon.run / "s"):
            assert len(daemon.rpc("port.list", network="b")["ports"]) == 1


def test_sighup_reloads() -> None:
    with NetworksDaemon(STAYS) as daemon:
        daemon.write_config(STAYS + "[network.fresh]\nkind = 'internal'\n")
        daemon.reload_by_signal()
        wait_until("it is there", lambda: networks(daemon) == ["fresh", "stays"])
        daemon.write_config("[")
        daemon.reload_by_signal()
        wait_until("it says so", lambda: "nothing was changed" in daemon.log_text())
        assert networks(daemon) == ["fresh", "stays"]


def test_what_was_added_at_run_time_is_a_difference() -> None:
    with NetworksDaemon(NAT) as daemon:
        daemon.rpc("forward.add", network="nat", name="x", **FORWARD)
        changes = daemon.rpc("config.diff")["changes"]
        assert len(changes) == 1
        assert "x" in changes[0]["change"]
        with pytest.raises(RpcFailed, match="already"):
            daemon.rpc("forward.add", network="nat", name="x", **FORWARD)
        daemon.rpc("config.reload")
        assert forwards(daemon) == []
        assert daemon.rpc("config.diff")["changes"] == []


def test_a_hundred_reloads_a_second_lose_no_frame() -> None:
    with (
        NetworksDaemon(STAYS + NAT) as daemon,
        VdeClient(daemon.socket("stays")) as sender,
        VdeClient(daemon.socket("stays")) as receiver,
        daemon.client() as admin,
    ):
        configs = [STAYS + NAT + WEB, STAYS + NAT + "vlans = [10]\n", STAYS + NAT]
        received = sent = reloads = answered = 0
        begin = time.monotonic()
        while time.monotonic() < begin + 3:
            if time.monotonic() - begin > reloads / 100:
                daemon.write_config(configs[reloads % 3])
                admin.send("config.reload")
                reloads += 1
            for _ in range(10):
                sender.send(frame(sent))
                sent += 1
            while (got := receiver.recv(0)) is not None:
                assert got == frame(received)
                received += 1
        while (got := receiver.recv(1.0)) is not None and received < sent:
            assert got == frame(received)
            received += 1
        assert received == sent
        for _ in range(reloads):
            assert "result" in admin.line()
            answered += 1
        assert answered == reloads
        assert networks(daemon) == ["nat", "stays"]
