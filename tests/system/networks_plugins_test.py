# SPDX-License-Identifier: MIT
"""Plugins of networks: configured, reloaded, asked, and there again after the switch process is."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cables import crosses
from frames import ARP, broadcast, frame, mac
from kept import switch_process, wait_for_other
from networks_daemon import NetworksDaemon, RpcFailed, daemon_program
from vde_client import VdeClient
from waiting import wait_until

IPV6 = 0x86DD
PLUGINS = daemon_program().parent.parent / "lib/lanyard/plugins"

LAN = "[network.lan]\nkind = 'internal'\nguard.broadcast_pps = 0\n"
CAPTURE = "'pdump; pdump/filename $DIR/lan.cap; pdump/buffered 0; pdump/active 1'"
NO_IPV6 = "'acl; acl/add deny type ip6'"

pytestmark = pytest.mark.skipif(
    not (PLUGINS / "pdump.so").exists(), reason="the plugin pdump is not built"
)


def lan(*plugins: str) -> str:
    return f"{LAN}plugins = [{', '.join(plugins)}]\n"


def captured(path: Path) -> list[bytes]:
    """The frames of a pcap file, without one that is still being written."""
    data = path.read_bytes() if path.exists() else b""
    frames = []
    at = 24
    while at + 16 <= len(data):
        _, _, length, _ = struct.unpack_from("<IIII", data, at)
        if at + 16 + length > len(data):
            break
        frames.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return frames


def plugins(daemon: NetworksDaemon) -> list[str]:
    with daemon.client() as client:
        return [row["name"] for row in client.call("plugin.list")["plugins"]]


def run(daemon: NetworksDaemon, command: str, network: str = "lan") -> list[str]:
    with daemon.client() as client:
        lines = client.call("plugin.run", network=network, command=command)["lines"]
    return [row["line"] for row in lines]


def passes(sender: VdeClient, receiver: VdeClient, data: bytes) -> bool:
    """Whether a frame gets through, told by one behind it that does."""
    end = broadcast(mac(1), b"behind it")
    sender.send(data)
    sender.send(end)
    first = receiver.recv()
    if first == end:
        return False
    assert first == data
    assert receiver.recv() == end
    return True


@pytest.fixture(autouse=True)
def _no_sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that began without a plugin would not take any."""
    if "sandbox" not in request.node.name:
        monkeypatch.setenv("LANYARD_SANDBOX", "off")


def test_a_daemon_in_a_sandbox_takes_no_plugin_and_says_why() -> None:
    with NetworksDaemon(LAN) as daemon:
        if daemon.rpc("daemon.status")["processes"][0]["seccomp"] == "none":
            pytest.skip("no sandbox here")
        with pytest.raises(RpcFailed, match="lanyard upgrade"):
            daemon.rpc("plugin.add", network="lan", plugin="acl")
        daemon.write_config(lan("'acl'"))
        with pytest.raises(RpcFailed, match="lanyard upgrade"):
            daemon.rpc("config.reload")
        assert plugins(daemon) == []


def test_an_upgrade_brings_a_plugin_to_a_daemon_in_a_sandbox_and_the_status_says_what_it_costs() -> (
    None
):
    with NetworksDaemon(LAN, "--keeper") as daemon:
        if daemon.rpc("daemon.status")["processes"][0]["seccomp"] == "none":
            pytest.skip("no sandbox here")
        assert daemon.rpc("daemon.status")["warnings"] == []
        with VdeClient(daemon.socket("lan")) as one, VdeClient(daemon.socket("lan")) as two:
            daemon.write_config(lan(NO_IPV6))
            old = switch_process(daemon.pid)
            daemon.rpc("daemon.upgrade")
            wait_for_other(daemon.pid, old)
            daemon.rpc("config.reload")
            assert plugins(daemon) == ["acl"]
            assert not passes(one, two, frame(b"\xff" * 6, mac(1), kind=IPV6))
        (warning,) = daemon.rpc("daemon.status")["warnings"]
        assert "without a sandbox: network lan has the plugin acl" in warning["text"]


@pytest.fixture(name="kept")
def _kept() -> Iterator[NetworksDaemon]:
    with NetworksDaemon(lan(CAPTURE, NO_IPV6), "--keeper") as daemon:
        yield daemon


def test_pdump_captures_what_a_network_carries() -> None:
    with NetworksDaemon(lan(CAPTURE)) as daemon:
        directory = daemon.socket("lan")
        with VdeClient(directory) as one, VdeClient(directory) as two:
            sent = [frame(mac(2), mac(1), payload=bytes([n]) * 50) for n in range(20)]
            two.send(broadcast(mac(2), b"here"))
            one.recv()
            for data in sent:
                one.send(data)
                assert two.recv() == data
            file = daemon.directory / "lan.cap"
            wait_until("all is written", lambda: len(captured(file)) >= 42)
        assert [data for data in captured(file) if data[:6] == mac(2)][::2] == sent
        assert "active=1" in "\n".join(run(daemon, "pdump/showinfo"))
        tshark = shutil.which("tshark")
        if tshark:
            shown = subprocess.run(
                [tshark, "-r", str(file)], capture_output=True, text=True, timeout=60, check=True
            )
            assert len(shown.stdout.splitlines()) == 42


def test_what_is_loaded_is_shown() -> None:
    with NetworksDaemon(lan(NO_IPV6)) as daemon:
        (row,) = daemon.rpc("plugin.list")["plugins"]
        assert row["network"] == "lan"
        assert row["name"] == "acl"
        assert row["plugin"] == NO_IPV6.strip("'")
        assert row["said"] == ["acl/add deny type ip6"]
        assert "acl/list" in row["commands"]
        assert daemon.rpc("daemon.status")["networks"][0]["plugins"] == ["acl"]
        assert NO_IPV6.strip("'") in daemon.rpc("config.dump")["text"]
        daemon.write_config(lan())
        (change,) = daemon.rpc("config.diff")["changes"]
        assert change["change"] == (
            "network lan: plugins: none, it was acl; acl/add deny type ip6"
        )


def test_a_reload_brings_changes_and_takes_them_without_touching_guests() -> None:
    with NetworksDaemon(lan()) as daemon:
        directory = daemon.socket("lan")
        with VdeClient(directory) as one, VdeClient(directory) as two:
            ipv6 = frame(b"\xff" * 6, mac(1), kind=IPV6)
            assert passes(one, two, ipv6)
            daemon.write_config(lan(NO_IPV6))
            daemon.rpc("config.reload")
            assert not passes(one, two, ipv6)
            daemon.write_config(lan("'acl; acl/add deny type arp'"))
            daemon.rpc("config.reload")
            assert passes(one, two, ipv6)
            daemon.write_config(lan())
            daemon.rpc("config.reload")
            assert plugins(daemon) == []
            assert not one.ctl_closed(0.1)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("'nonesuch'", "network lan: no plugin nonesuch in "),
        ("'pdump; pdump/ring 0'", "network lan: 'pdump/ring 0': pdump: Invalid argument"),
        ("'pdump; pdump/filter ((('", "syntax error"),
        ("'pdump; acl/list'", "network lan: pdump has no command 'acl/list'; it has pdump/active"),
        ("'/etc/passwd'", "network lan: /etc/passwd cannot be loaded"),
    ],
)
def test_a_bad_plugin_refuses_the_reload_and_nothing_changes(bad: str, sentence: str) -> None:
    with NetworksDaemon(lan(NO_IPV6)) as daemon:
        directory = daemon.socket("lan")
        with VdeClient(directory) as one, VdeClient(directory) as two:
            before = daemon.rpc("config.dump")
            run(daemon, "acl/add deny type arp")
            fresh = "[network.fresh]\nkind = 'internal'\n"
            daemon.write_config(fresh + lan("'netem'", bad) + "vlans = [7]\n")
            with pytest.raises(RpcFailed, match="network lan") as failed:
                daemon.rpc("config.reload")
            assert sentence in failed.value.message
            assert daemon.rpc("config.dump") == before
            assert plugins(daemon) == ["acl"]
            assert len(daemon.rpc("network.list")["networks"]) == 1
            assert not passes(one, two, frame(b"\xff" * 6, mac(1), kind=IPV6))
            assert not one.ctl_closed(0.1)


def test_a_plugin_of_vde_switch_is_refused_with_a_sentence() -> None:
    plugin = PLUGINS.parents[2] / "tests/plugins/vde_tree.so"
    if not plugin.exists():
        pytest.skip(f"{plugin} is not built")
    with NetworksDaemon(LAN) as daemon:
        with pytest.raises(RpcFailed, match="a plugin of vde_switch, which knows one switch only"):
            daemon.rpc("plugin.add", network="lan", plugin=str(plugin))
        assert plugins(daemon) == []


def test_a_daemon_does_not_start_with_a_bad_plugin() -> None:
    with NetworksDaemon(lan("'nonesuch'"), wait=False) as daemon:
        assert daemon.wait_exit() == 1
        assert "network lan: no plugin nonesuch in" in daemon.log_text()


def test_two_networks_have_one_plugin_each_for_itself() -> None:
    two = "[network.red]\nkind = 'internal'\nguard.broadcast_pps = 0\nplugins = ['acl']\n"
    with NetworksDaemon(lan(NO_IPV6) + two) as daemon:
        assert plugins(daemon) == ["acl", "acl"]
        ipv6 = frame(b"\xff" * 6, mac(1), kind=IPV6)
        for name, through in {"lan": False, "red": True}.items():
            with VdeClient(daemon.socket(name)) as one, VdeClient(daemon.socket(name)) as other:
                assert passes(one, other, ipv6) == through


def test_plugins_come_and_go_by_hand() -> None:
    with NetworksDaemon(LAN) as daemon:
        daemon.rpc("plugin.add", network="lan", plugin="acl; acl/default deny")
        assert run(daemon, "acl/list") == [f"else {'deny':<60} 0"]
        with pytest.raises(RpcFailed, match="has the plugin acl already"):
            daemon.rpc("plugin.add", network="lan", plugin="acl")
        with pytest.raises(RpcFailed, match="no plugin of network lan has a command"):
            run(daemon, "pdump/showinfo")
        assert "acl; acl/default deny" in daemon.rpc("config.dump")["text"]
        daemon.rpc("plugin.delete", network="lan", name="acl")
        with pytest.raises(RpcFailed, match="network lan has no plugin acl"):
            daemon.rpc("plugin.delete", network="lan", name="acl")
        assert plugins(daemon) == []


@pytest.mark.root
def test_root_loads_only_what_root_alone_can_write() -> None:
    with NetworksDaemon(LAN) as daemon:
        copy = daemon.directory / "mine.so"
        shutil.copy(PLUGINS / "acl.so", copy)
        os.chown(copy, 12345, 12345)
        daemon.write_config(lan(f"'{copy}'"))
        with pytest.raises(RpcFailed, match="belongs to user 12345, not to root"):
            daemon.rpc("config.reload")
        problems = daemon.rpc("config.check")["problems"]
        assert "belongs to user 12345" in problems[0]["text"]
        assert plugins(daemon) == []


def test_check_says_what_cannot_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "lanyard.toml"
    cli = daemon_program().with_name("lanyard")
    for text, code, sentence in [
        (lan(NO_IPV6), 0, "no problems"),
        (lan("'nonesuch'"), 1, "network lan: no plugin nonesuch in "),
        (lan("'pdump active=1'"), 1, "commands stand behind semicolons"),
        (lan("'acl'", "'acl'"), 1, "acl is there twice"),
    ]:
        file.write_text(text)
        done = subprocess.run(
            [cli, "check", str(file)], capture_output=True, text=True, timeout=20, check=False
        )
        assert (done.returncode, sentence in done.stdout) == (code, True), done.stdout


@pytest.mark.parametrize("way", ["crash", "upgrade"])
def test_a_successor_has_the_plugins_and_what_was_said(kept: NetworksDaemon, way: str) -> None:
    directory = kept.socket("lan")
    ipv6 = frame(b"\xff" * 6, mac(1), kind=IPV6)
    arp = frame(b"\xff" * 6, mac(1), kind=ARP)
    with VdeClient(directory) as one, VdeClient(directory) as two:
        run(kept, "acl/add deny type arp")
        assert not passes(one, two, ipv6)
        first, other = kept.directory / "lan.cap", kept.directory / "other.cap"
        wait_until("it is captured", lambda: len(captured(first)) >= 1)
        assert run(kept, f"pdump/filename {other}") == [f"dumpfile={other}"]
        # With a sanitizer the old buffer takes so long to give back that the keeper reads for the switch meanwhile.
        wait_until("frames cross again", lambda: crosses(one, two, mac(1)))
        two.drain(0.1)
        assert not passes(one, two, ipv6)
        wait_until("it goes on in the other file", lambda: len(captured(other)) >= 2)
        before = {file: captured(file) for file in (first, other)}
        old = switch_process(kept.pid)
        if way == "crash":
            os.kill(old, signal.SIGKILL)
        else:
            with kept.client() as client:
                client.call("daemon.upgrade")
        wait_for_other(kept.pid, old)
        assert plugins(kept) == ["pdump", "acl"]
        assert not passes(one, two, ipv6)
        assert not passes(one, two, arp)
        behind = kept.directory / "other.cap.1"
        wait_until("it goes on in a file behind it", lambda: len(captured(behind)) >= 2)
        for file, frames in before.items():
            assert captured(file)[: len(frames)] == frames, "what was captured before is still there"
