# SPDX-License-Identifier: MIT
"""The processes in their sandboxes: what holds them, seen from outside, and that they still work.

That nothing they need is refused is what all other tests show: they run with LANYARD_SANDBOX=kill.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.console import open_console
from support.frames import broadcast, mac
from support.gateway_process import NAT, GatewayError, GatewayProcess
from support.networks_daemon import NetworksDaemon, RpcFailed
from support.switch_process import Switch, no_descriptors_left
from support.waiting import wait_until

BIN = Path(os.environ["LANYARD_BIN"])
HOST_ONLY = NAT | {"kind": "host-only"}
BIND_SERVICE = 1 << 10

pytestmark = pytest.mark.skipif(
    os.environ.get("LANYARD_SANDBOX") == "off", reason="a sanitizer makes calls of its own"
)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def capabilities_of(pid: int) -> int:
    status = status_of(pid)
    return int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapInh"], 16)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path) as process:
        yield process


def test_a_gateway_is_confined_before_it_serves(gateway: GatewayProcess) -> None:
    gateway.configure(NAT)
    status = status_of(gateway.process.pid)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert capabilities_of(gateway.process.pid) & ~BIND_SERVICE == 0
    assert [line["text"] for line in gateway.log if "sandbox" in line["text"]]


def test_a_gateway_without_forwards_has_no_capability(gateway: GatewayProcess) -> None:
    gateway.configure(HOST_ONLY)
    assert capabilities_of(gateway.process.pid) == 0


def test_a_gateway_cannot_be_dumped(gateway: GatewayProcess) -> None:
    gateway.configure(NAT)
    limits = Path(f"/proc/{gateway.process.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[-3:-1] == ["0", "0"]


def test_a_unix_socket_comes_from_the_daemon_or_not_at_all(gateway: GatewayProcess) -> None:
    """With no answer it has none, and goes on; networks_gateway_test.py has the daemon that answers."""
    path = gateway.directory / "web"
    gateway.configure(NAT)
    forward = {"name": "web", "from": f"unix:{path}", "to": "10.0.2.15:80"}
    with pytest.raises(GatewayError, match="cannot listen at .*: Connection timed out"):
        gateway.ask("forward.add", forward=forward)
    request = json.loads(gateway.listeners.recv(4096))
    assert (request["method"], request["params"]) == ("listen", {"path": str(path)})
    assert not path.exists()
    assert gateway.ask("status")


def test_the_modes_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode, seccomp in (("off", "0"), ("log", "2"), ("errno", "2"), ("kill", "2")):
        monkeypatch.setenv("LANYARD_SANDBOX", mode)
        with GatewayProcess(tmp_path) as process:
            process.configure(NAT)
            assert status_of(process.process.pid)["Seccomp"] == seccomp, mode


def test_another_mode_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANYARD_SANDBOX", "maybe")
    with GatewayProcess(tmp_path) as process:
        assert process.process.wait(10) == 2
        assert process.process.stderr
        assert b"give off, log, errno or kill" in process.process.stderr.read()


@pytest.mark.parametrize("program", ["lanyard-gateway", "lanyardd"])
def test_what_an_intruder_would_try_is_refused(program: str) -> None:
    done = subprocess.run([BIN / program, "--sandbox-selftest"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ALLOWED" not in done.stdout
    assert done.stdout.count("refused") > 25


# ---- one switch ----

ROOT_KEEPS = 1 << 0 | 1 << 3 | 1 << 1  # CAP_CHOWN, CAP_FOWNER, CAP_DAC_OVERRIDE


def test_a_switch_serves_in_its_sandbox(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("vlan/create 6\n")
    with Switch("--sandbox", "kill") as switch:
        status = status_of(switch.pid)
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert capabilities_of(switch.pid) & ~ROOT_KEEPS == 0
        assert "sandbox: no new privileges" in switch.log_text()
        with switch.client() as one, switch.client() as two:
            frame = broadcast(mac(1))
            one.send(frame)
            assert two.recv() == frame
        with open_console(switch.mgmt_path) as console:
            console.check("vlan/create 5")
            assert console.code(f"load {script}") != 1000


def test_a_switch_in_its_sandbox_refuses_without_descriptors_and_never_in_silence() -> None:
    """It gives up a spare descriptor for that, and must have it back before a console gets its number."""
    with Switch("--sandbox", "kill", wait=False) as switch:
        switch.wait_log("sandbox: ")  # and nobody has asked it anything, whose descriptor may be free soon
        with no_descriptors_left(switch.pid), socket.socket(socket.AF_UNIX) as console:
            for number in range(2):
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(2)
                    client.connect(str(switch.ctl_dir / "ctl"))
                    assert client.recv(1) == b"", number
                if number == 0:
                    console.connect(str(switch.mgmt_path))


def test_a_switch_without_the_option_is_as_it_was() -> None:
    with Switch() as switch:
        assert status_of(switch.pid)["Seccomp"] == "0"


def test_changes_at_the_console_are_logged_with_their_user() -> None:
    with Switch() as switch:
        with open_console(switch.mgmt_path) as console:
            console.check("vlan/create 7")
            console.check("port/print")
            assert console.code("vlan/create 7") != 1000
        lines = [line for line in switch.log_text().splitlines() if "user" in line]
        assert lines == [f"vde_switch: user {os.getuid()} (pid {os.getpid()}): vlan/create 7"]


# ---- networks ----

INTERNAL = "[network.lab]\nkind = 'internal'\n"


def is_confined(pid: int) -> bool:
    status = status_of(pid)
    return status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_a_daemon_of_networks_is_confined_and_its_spawner_is_not() -> None:
    with NetworksDaemon(INTERNAL) as daemon:
        assert is_confined(daemon.pid)
        assert capabilities_of(daemon.pid) & ~ROOT_KEEPS == 0
        rows = {row["process"]: row for row in daemon.rpc("daemon.status")["processes"]}
        assert rows["switch"]["seccomp"] == "filter"
        spawner = daemon.spawner_pid()
        assert not is_confined(spawner)
        assert Path(f"/proc/{spawner}/comm").read_text() == "lanyard-spawner\n"
    gone = not Path(f"/proc/{spawner}").exists()
    assert gone or status_of(spawner)["State"].startswith("Z")


def test_a_confined_daemon_takes_what_a_reload_brings_and_says_what_it_cannot(
    tmp_path: Path,
) -> None:
    with NetworksDaemon(INTERNAL) as daemon:
        daemon.write_config(INTERNAL + "[network.other]\nkind = 'nat'\n")
        daemon.rpc("config.reload")
        assert is_confined(daemon.pid)
        assert daemon.socket("other").is_dir()
        daemon.write_config(INTERNAL)
        daemon.rpc("config.reload")
        assert not daemon.socket("other").exists()
        for more in (
            f"[[network.lab.socket]]\npath = '{tmp_path}/elsewhere'\n",
            f"[network.rec]\nkind = 'internal'\nplugs = ['record://{tmp_path}/x.pcap']\n",
        ):
            daemon.write_config(INTERNAL + more)
            with pytest.raises(RpcFailed, match="lanyard upgrade"):
                daemon.rpc("config.reload")
        assert not list(tmp_path.iterdir())


def test_a_file_in_another_directory_is_the_spawners_to_read(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(INTERNAL.replace("lab", "other"))
    secret = tmp_path / "secret"
    secret.write_text("secret = 1\n")
    with NetworksDaemon(INTERNAL) as daemon:
        changes = daemon.rpc("config.diff", file=str(other))["changes"]
        assert {row["network"] for row in changes} == {"lab", "other"}
        with pytest.raises(RpcFailed, match="lanyard check") as failed:
            daemon.rpc("config.reload", file=str(secret))
        assert "secret =" not in failed.value.message


def test_a_network_with_a_plug_that_no_list_fits_runs_without_a_sandbox(tmp_path: Path) -> None:
    plug = f"plugs = ['record://{tmp_path}/x.pcap']\n"
    with NetworksDaemon(INTERNAL + plug) as daemon:
        assert status_of(daemon.pid)["Seccomp"] == "0"
        assert "this process is not confined: network lab has the plug record://" in daemon.log_text()


def test_an_upgraded_daemon_is_confined_to_what_the_file_says_by_then(tmp_path: Path) -> None:
    with NetworksDaemon(INTERNAL, "--keeper") as daemon:
        daemon.write_config(INTERNAL + f"[[network.lab.socket]]\npath = '{tmp_path}/elsewhere'\n")
        with pytest.raises(RpcFailed, match="lanyard upgrade"):
            daemon.rpc("config.reload")
        daemon.rpc("daemon.upgrade")
        daemon.rpc("config.reload")
        assert (tmp_path / "elsewhere").is_dir()
        rows = {row["process"]: row for row in daemon.rpc("daemon.status")["processes"]}
        assert rows["switch"]["seccomp"] == "filter"


def test_a_daemon_whose_spawner_dies_has_another(tmp_path: Path) -> None:
    with NetworksDaemon(INTERNAL, "--keeper") as daemon:
        before = daemon.spawner_pid()
        os.kill(before, signal.SIGKILL)

        def other() -> bool:
            try:
                with daemon.client() as client:
                    rows = client.call("daemon.status")["processes"]
            except (OSError, EOFError):
                return False
            return all(row["pid"] != before for row in rows)

        wait_until("another spawner", other)
