# SPDX-License-Identifier: MIT
"""Several networks in one daemon: start, end, what is in the way, and who may ask."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pytest
from networks_daemon import STUB_GATEWAY, NetworksDaemon, RpcFailed, daemon_program
from switch_process import adopt_orphans, pid_in, short_directory, wait_for_orphan
from vde_client import VdeClient
from waiting import wait_until

THREE = """
[network.blue]
kind = "internal"
[network.green]
kind = "internal"
[network.nat]
kind = "nat"
"""


def frame(destination: int, source: int, payload: bytes = b"x" * 46, kind: int = 0x88B6) -> bytes:
    def mac(number: int) -> bytes:
        return b"\x02\0\0\0\0" + bytes([number]) if number != 255 else b"\xff" * 6

    return mac(destination) + mac(source) + kind.to_bytes(2, "big") + payload


def test_networks_are_apart_and_each_carries_frames() -> None:
    with (
        NetworksDaemon(THREE) as daemon,
        VdeClient(daemon.socket("blue")) as a,
        VdeClient(daemon.socket("blue")) as b,
        VdeClient(daemon.socket("green")) as other,
    ):
        a.send(frame(255, 1))
        assert b.recv() == frame(255, 1)
        assert other.recv(0.1) is None
        names = [row["name"] for row in daemon.rpc("network.list")["networks"]]
        assert names == ["blue", "green", "nat"]
        ports = daemon.rpc("port.list", network="blue")["ports"]
        assert [row["kind"] for row in ports] == ["vde", "vde"]
        assert ports[0]["in_frames"] == 1
        assert ports[0]["port"] == 3, "1 and 2 are kept for gateway and host"
        addresses = daemon.rpc("fdb.list", network="blue")["entries"]
        assert [row["mac"] for row in addresses] == ["02:00:00:00:00:01"]


def test_frames_reach_the_gateway_and_come_back() -> None:
    with NetworksDaemon(THREE) as daemon, VdeClient(daemon.socket("nat")) as guest:
        guest.send(frame(9, 1, kind=0x88B5))
        assert guest.recv() == frame(1, 9, kind=0x88B5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_takes_everything_down(number: int) -> None:
    with NetworksDaemon(THREE) as daemon:
        gateway = daemon.gateway_pid("nat")
        code = daemon.stop(number)
        assert code == (0 if number == signal.SIGTERM else -signal.SIGINT)
        assert not Path(f"/proc/{gateway}").exists()
        assert not daemon.control.exists()
        assert not (daemon.socket("blue") / "ctl").exists()


def test_stop_by_rpc() -> None:
    with NetworksDaemon(THREE) as daemon:
        assert daemon.pid in daemon.rpc("daemon.stop")["processes"]
        assert daemon.wait_exit() == 0


def test_a_gateway_ends_when_the_daemon_is_killed() -> None:
    with NetworksDaemon(THREE) as daemon:
        gateway = daemon.gateway_pid("nat")
        daemon.stop(signal.SIGKILL)
        wait_until("the gateway ends", lambda: not Path(f"/proc/{gateway}").exists())


def run_daemon(config: str, *options: str) -> tuple[int, str]:
    directory = short_directory()
    file = directory / "lanyard.toml"
    file.write_text(config)
    done = subprocess.run(
        [
            str(daemon_program()),
            "--config",
            str(file),
            "--runtime-directory",
            str(directory / "run"),
            "--state-directory",
            str(directory / "state"),
            "--gateway",
            str(STUB_GATEWAY),
            *options,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr


def test_background_returns_when_everything_is_ready() -> None:
    adopt_orphans()
    directory = short_directory()
    pid_file = directory / "pid"
    code, text = run_daemon(
        THREE,
        "--daemon",
        "--pid-file",
        str(pid_file),
        "--control",
        str(directory / "control"),
    )
    assert code == 0, text
    pid = pid_in(pid_file)
    try:
        assert (directory / "control").exists()
    finally:
        os.kill(pid, signal.SIGTERM)
    assert wait_for_orphan(pid, timeout=10) == 0
    assert not pid_file.exists()


@pytest.mark.parametrize("background", [(), ("--daemon",)])
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("[network.a]\nkind = 'wrong'\n", "lanyard.toml:2"),
        ("[network.a]\nkind = 'internal'\nport = 3\n", "port"),
        (
            "[network.a]\nkind='nat'\n[[network.a.forward]]\nname='refused'\n"
            "from='tcp:127.0.0.1:9'\nto='10.0.2.15:9'\n",
            "busy",
        ),
        ("[control]\ngroup='no-such-group'\n[network.a]\nkind='internal'\n", "no-such-group"),
    ],
)
def test_what_cannot_be_is_said_and_is_the_exit_code(
    config: str, sentence: str, background: tuple[str, ...]
) -> None:
    code, text = run_daemon(config, *background)
    assert code == 1
    assert sentence in text


def test_a_gateway_program_that_is_not_there() -> None:
    code, text = run_daemon("[network.a]\nkind='nat'\n", "--gateway", "/nonexistent/gateway")
    assert code == 1
    assert "/nonexistent/gateway" in text


def test_a_gateway_program_that_ends_at_once() -> None:
    code, text = run_daemon("[network.a]\nkind='nat'\n", "--gateway", "/bin/false")
    assert code == 1
    assert "ended with code 1" in text


def test_a_second_daemon_does_not_disturb_the_first() -> None:
    with NetworksDaemon(THREE) as daemon, VdeClient(daemon.socket("blue")) as guest:
        code, text = run_daemon(THREE, "--control", str(daemon.control))
        assert code == 1
        assert "another daemon answers" in text
        assert not guest.ctl_closed(0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_users_have_roles() -> None:
    config = THREE + "[control]\ngroup = 'users'\nviewers = 'nogroup'\n"

    def ask(user: int, group: str, method: str, params: str = "{}") -> dict[str, object]:
        script = (
            "import socket,sys\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "s.connect(sys.argv[1])\n"
            "f = s.makefile('rb')\n"
            "try:\n"
            "    s.sendall(sys.argv[2].encode() + b'\\n')\n"
            "except BrokenPipeError:\n"
            "    pass\n"
            "print(f.readline().decode())\n"
        )
        request = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}'
        done = subprocess.run(
            ["setpriv", "--reuid", str(user), "--regid", group, "--clear-groups"]
            + ["/usr/bin/python3", "-c", script, str(daemon.control), request],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    vlan = '{"network":"blue","vlan":7}'
    with NetworksDaemon(config) as daemon:
        assert "result" in ask(12345, "users", "vlan.create", vlan)
        assert "result" in ask(12345, "nogroup", "network.list")
        assert ask(12345, "nogroup", "vlan.delete", vlan)["error"]["code"] == 4  # type: ignore[index]
        assert ask(12345, "daemon", "network.list")["error"]["code"] == 4  # type: ignore[index]
        assert "user 12345" in daemon.log_text()


def test_the_link_of_a_port_is_a_cable() -> None:
    with (
        NetworksDaemon(THREE) as daemon,
        VdeClient(daemon.socket("blue")) as a,
        VdeClient(daemon.socket("blue")) as b,
        daemon.client() as watcher,
    ):
        watcher.call("event.subscribe", kinds="link.changed")
        daemon.rpc("link.set", network="blue", port=a.port, state="down")
        assert watcher.line()["params"] == {
            "kind": "link.changed",
            "network": "blue",
            "port": a.port,
            "state": "down",
        }
        a.send(frame(255, 1))
        b.send(frame(255, 2))
        assert b.recv(0.1) is None
        assert a.recv(0.1) is None
        shown = daemon.rpc("port.show", network="blue", port=a.port)
        assert shown["link"] == "down"
        assert shown["dropped"] == {"link_admin_down": 1}
        daemon.rpc("link.set", network="blue", port=a.port, state="up")
        a.send(frame(255, 1))
        assert b.recv() == frame(255, 1)


def test_a_socket_puts_its_clients_into_its_vlan() -> None:
    config = """
[network.lab]
kind = "internal"
vlans = [10]
[[network.lab.socket]]
path = "$DIR/run/lab"
[[network.lab.socket]]
path = "$DIR/run/ten"
vlan = 10
"""
    with NetworksDaemon(config) as daemon:
        with VdeClient(daemon.run / "ten") as ten, VdeClient(daemon.run / "lab") as plain:
            ten.send(frame(255, 1))
            assert plain.recv(0.1) is None
            rows = daemon.rpc("port.list")["ports"]
            assert {row["port"]: row["vlan"] for row in rows} == {ten.port: 10, plain.port: 0}
            first = ten.port
        wait_until("both left", lambda: not any_plugged(daemon))
        with VdeClient(daemon.run / "lab") as plain:
            assert plain.port == first
            assert daemon.rpc("port.list")["ports"][0]["vlan"] == 0


def any_plugged(daemon: NetworksDaemon) -> bool:
    return any(row["link"] == "up" for row in daemon.rpc("port.list")["ports"])


def test_unknown_things_are_named() -> None:
    with NetworksDaemon(THREE) as daemon:
        with pytest.raises(RpcFailed, match="no network 'red'; there are blue, green, nat"):
            daemon.rpc("port.list", network="red")
        with pytest.raises(RpcFailed, match="did you mean 'fdb.list'"):
            daemon.rpc("fbd.list")
