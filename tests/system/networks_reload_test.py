# SPDX-License-Identifier: MIT
"""A reload changes all of it or nothing, and never what stays the same."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pytest
from networks_daemon import NetworksDaemon, RpcFailed
from vde_client import VdeClient
from waiting import wait_until

STAYS = "[network.stays]\nkind = 'internal'\n"
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
