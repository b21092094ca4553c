# SPDX-License-Identifier: MIT
"""The program `lanyard` against a daemon that only speaks: words, exit statuses, text and JSON."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Iterator

import pytest
from rpc_daemon import RpcDaemon, RpcFault

LANYARD = Path(os.environ.get("LANYARD_BIN", "build/release/bin")) / "lanyard"

NETWORKS = [
    {"name": "lab", "kind": "host-only", "state": "up", "subnet": "192.168.56.0/24",
     "interface": "ly-lab", "ports": 1, "leases": 1, "socket": "/run/lanyard/lab"},
    {"name": "nat", "kind": "nat", "state": "up", "subnet": "10.0.2.0/24",
     "interface": "", "ports": 2, "leases": 2, "socket": "/run/lanyard/nat"},
]


@pytest.fixture(name="daemon")
def _daemon(tmp_path: Path) -> Iterator[RpcDaemon]:
    methods = {
        "network.list": {"networks": NETWORKS},
        "daemon.status": {"networks": NETWORKS, "warnings": []},
        "daemon.stop": {},
        "daemon.upgrade": {},
        "event.subscribe": {},
    }
    with RpcDaemon(tmp_path / "control", methods) as daemon:
        yield daemon


def lanyard(control: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LANYARD, *words],
        env={**os.environ, "LANYARD_CONTROL": str(control), **env},
        capture_output=True, text=True, timeout=60, check=False)


def test_a_table_for_people_and_the_answer_for_programs(daemon: RpcDaemon) -> None:
    shown = lanyard(daemon.path, "net", "l")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["NETWORK", "KIND", "STATE", "SUBNET", "HOST", "PORTS", "LEASES",
                                "PLUG", "IN", "AT"]
    assert lines[1].split() == ["lab", "host-only", "up", "192.168.56.0/24", "ly-lab", "1", "1",
                                "/run/lanyard/lab"]
    assert lines[2].index("10.0.2.0/24") == lines[1].index("192.168.56.0/24")
    raw = lanyard(daemon.path, "network", "list", "--json")
    assert json.loads(raw.stdout) == {"networks": NETWORKS}
    assert "\x1b" not in shown.stdout


def test_parameters_arrive_with_their_types(daemon: RpcDaemon) -> None:
    daemon.methods["port.set"] = {}
    assert lanyard(daemon.path, "port", "set", "lab", "3", "vlan=10", "pass_tags=on").returncode == 0
    assert daemon.asked[-1] == (
        "port.set", {"network": "lab", "port": 3, "vlan": 10, "pass_tags": True})


@pytest.mark.parametrize(("code", "status"), [
    (1, 1), (-32602, 2), (3, 3), (4, 4), (5, 5), (6, 6), (-32601, 1), (-32603, 1)])
def test_errors_of_the_daemon_are_exit_statuses(daemon: RpcDaemon, code: int, status: int) -> None:
    daemon.methods["network.show"] = RpcFault(code, "why \x1b[31m")
    failed = lanyard(daemon.path, "network", "show", "lab")
    assert failed.returncode == status
    assert failed.stderr == "lanyard: why \\x1b[31m\n"
    assert failed.stdout == ""
    raw = lanyard(daemon.path, "network", "show", "lab", "--json")
    assert raw.returncode == status
    assert json.loads(raw.stderr) == {"error": {"code": code, "message": "why \x1b[31m"}}


def test_without_a_daemon_the_next_step_is_named(tmp_path: Path) -> None:
    failed = lanyard(tmp_path / "nobody", "status")
    assert failed.returncode == 5
    assert "start one with: lanyard up" in failed.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_without_rights_the_group_is_named(daemon: RpcDaemon, tmp_path: Path) -> None:
    os.chmod(daemon.path, 0o600)
    for directory in [tmp_path, *tmp_path.parents[:2]]:
        os.chmod(directory, 0o755)
    failed = subprocess.run(
        [LANYARD, "--control", daemon.path, "status"], user="nobody", group="nogroup",
        extra_groups=[], capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 4, failed.stderr
    assert "control.group" in failed.stderr


@pytest.mark.parametrize(("words", "said"), [
    (["d"], "may be down, diff"), (["prot"], "did you mean port?"), (["port", "s"], "may be show, set"),
    (["forward", "add", "lab"], "usage: lanyard forward add NETWORK NAME FROM TO"), ([], "Usage:")])
def test_a_wrong_command_line(tmp_path: Path, words: list[str], said: str) -> None:
    failed = lanyard(tmp_path / "nobody", *words)
    assert failed.returncode == 2
    assert said in failed.stderr
    assert failed.stdout == ""


@pytest.mark.parametrize("raw", [
    b"", b"garbage\n", b"[]\n", b'{"jsonrpc":"2.0"}\n', b"[" * 100000 + b"\n", b"\xff\n"])
def test_a_daemon_that_speaks_nonsense(daemon: RpcDaemon, raw: bytes) -> None:
    daemon.raw = raw
    failed = lanyard(daemon.path, "network", "list")
    assert failed.returncode in (1, 5)
    assert failed.stderr.startswith("lanyard: the daemon")


EVENTS = [
    {"time": "2026-01-01T00:00:00Z", "kind": "port.up", "network": "lab", "port": 1},
    {"time": "2026-01-01T00:00:01Z", "kind": "lease.granted", "name": "a\nb"},
]


def test_watch_prints_an_event_a_line_until_the_daemon_ends(daemon: RpcDaemon) -> None:
    daemon.events = EVENTS
    shown = lanyard(daemon.path, "watch", "port.up,lease.granted")
    assert daemon.asked[0] == ("event.subscribe", {"kinds": "port.up,lease.granted"})
    assert shown.stdout.splitlines() == [
        "2026-01-01T00:00:00Z port.up network=lab port=1",
        "2026-01-01T00:00:01Z lease.granted name=a\\x0ab"]
    assert shown.returncode == 5


def test_watch_prints_events_as_they_came(daemon: RpcDaemon) -> None:
    daemon.events = EVENTS
    raw = lanyard(daemon.path, "watch", "--json")
    assert [json.loads(line) for line in raw.stdout.splitlines()] == daemon.events


def test_qemu_prints_lines_to_paste(daemon: RpcDaemon) -> None:
    shown = lanyard(daemon.path, "qemu", "nat", "lab", "vm=web", "for=qemu")
    first, second = shown.stdout.splitlines()
    assert first.startswith("-netdev vde,id=n0,sock=/run/lanyard/nat -device virtio-net-pci,netdev=n0,mac=52:54:00:")
    assert second.startswith("-netdev vde,id=n1,sock=/run/lanyard/lab ")
    assert first.split("mac=")[1] != second.split("mac=")[1]
    everything = lanyard(daemon.path, "qemu", "lab").stdout
    assert "VBoxManage modifyvm vm1 --nic1 generic" in everything
    assert "--bridge-adapter1 ly-lab" in everything
    assert "<qemu:arg value='vde,id=n0,sock=/run/lanyard/lab'/>" in everything
    assert lanyard(daemon.path, "qemu", "nope").returncode == 3


def test_down_waits_for_the_end(daemon: RpcDaemon) -> None:
    assert lanyard(daemon.path, "down").returncode == 0
    assert daemon.asked == [("daemon.stop", {})]


def test_down_waits_for_all_processes_that_the_daemon_names(daemon: RpcDaemon) -> None:
    with subprocess.Popen(["sleep", "0.5"]) as process:
        daemon.methods["daemon.stop"] = {"processes": [process.pid, "no number", 2**22 + 1]}
        assert lanyard(daemon.path, "down").returncode == 0
        assert process.poll() == 0


def test_check_needs_no_daemon(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('[network.lab]\nkind = "nat"\n')
    assert lanyard(tmp_path / "nobody", "check", str(file)).returncode == 0
    file.write_text('[network.lab]\nkind = "nat"\nsubnt = "10.0.2.0/24"\nmtu = 1\n')
    failed = lanyard(tmp_path / "nobody", "check", str(file))
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[0] == (
        f'{file}:3:1: network.lab.subnt: there is no such key; did you mean "subnet"?')
    raw = json.loads(lanyard(tmp_path / "nobody", "check", str(file), "--json").stdout)
    assert [problem["line"] for problem in raw["problems"]] == [3, 4]


def test_files_are_named_absolutely(daemon: RpcDaemon) -> None:
    daemon.methods["config.diff"] = {"changes": [{"change": "network lab added: nat"}]}
    assert lanyard(daemon.path, "diff", "lab.toml").stdout == "network lab added: nat\n"
    assert daemon.asked[-1] == ("config.diff", {"file": str(Path.cwd() / "lab.toml")})


def test_up_says_that_a_daemon_runs_already(daemon: RpcDaemon, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.toml")
    shown = lanyard(daemon.path, "up", LANYARD_CONFIG=nowhere)
    assert shown.returncode == 0, shown.stderr
    assert "A daemon runs already" in shown.stdout
    assert "-netdev vde,id=n0,sock=/run/lanyard/nat" in shown.stdout
    daemon.methods["config.diff"] = {"changes": [{"change": "network lab added: nat"}]}
    other = lanyard(daemon.path, "up", "lab.toml")
    assert other.returncode == 6
    assert "lanyard reload" in other.stderr


def complete_in_bash(daemon: RpcDaemon, line: str) -> list[str]:
    script = f"""
source <("{LANYARD}" completion bash)
COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
_lanyard
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "LANYARD_CONTROL": str(daemon.path),
             "PATH": f"{LANYARD.parent.absolute()}:{os.environ['PATH']}"})
    return done.stdout.split()


@pytest.mark.parametrize(("line", "words"), [
    ("lanyard fo", ["forward"]),
    ("lanyard port ", ["list", "set", "show"]),
    ("lanyard network show ", ["lab", "nat"]),
    ("lanyard network show n", ["nat"]),
    ("lanyard lease list network=l", ["lab"]),
    ("lanyard watch port.", ["port.down", "port.up"])])
def test_bash_completes_words_and_names(daemon: RpcDaemon, line: str, words: list[str]) -> None:
    assert complete_in_bash(daemon, line) == words


def test_a_network_from_up_to_down(tmp_path: Path) -> None:
    """The real daemon: what a file says, what is added, and what a reload makes of both."""
    file = tmp_path / "lab.toml"
    file.write_text('[network.cli]\nkind = "nat"\nsubnet = "10.99.77.0/24"\n')
    run = tempfile.mkdtemp(prefix="lanyard-cli-")
    control = Path(run) / "control"
    env = {"LANYARD_RUNTIME_DIR": run, "LANYARD_STATE_DIR": str(tmp_path / "state"),
           "LANYARD_CONFIG": str(tmp_path / "none.toml")}

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return lanyard(control, *words, **env)

    up = ask("up", str(file))
    try:
        assert up.returncode == 0, up.stderr
        assert f"-netdev vde,id=n0,sock={run}/cli " in up.stdout
        assert ask("up", str(file)).returncode == 0
        assert ask("dump").stdout == file.read_text().replace("'", '"')
        assert ask("forward", "add", "cli", "ssh", f"unix:{run}/ssh", "vm1:22").returncode == 0
        assert ask("forward", "add", "cli", "ssh", f"unix:{run}/ssh", "vm1:22").returncode == 6
        assert ask("forward", "delete", "cli", "nope").returncode == 3
        with socket.create_server(("127.0.0.1", 0)) as taken:
            here = f"127.0.0.1:{taken.getsockname()[1]}"
            refused = ask("forward", "add", "cli", "web", here, "10.99.77.15:80")
        assert refused.returncode == 6
        for holder in (f"by a process of user {os.geteuid()};", f"; process {os.getpid()} ("):
            assert holder in refused.stderr
        assert f"forward ssh removed: unix:{run}/ssh -> vm1:22" in ask("diff", str(file)).stdout
        assert ask("reload", str(file)).returncode == 0
        assert json.loads(ask("forward", "list", "--json").stdout) == {"forwards": []}
        assert ask("diff", str(file)).stdout == "nothing changes\n"
        file.write_text(file.read_text() + "colour = 1\n")
        assert ask("reload", str(file)).returncode == 1
        assert ask("status").returncode == 0
    finally:
        down = ask("down")
        shutil.rmtree(run, ignore_errors=True)
    assert down.returncode == 0, down.stderr
    assert ask("status").returncode == 5
