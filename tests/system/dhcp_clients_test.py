# SPDX-License-Identifier: MIT
"""Real clients behind a TAP (DHCP, TFTP, ping), served by the real daemon and its gateway."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pytest
from netns import NetNamespace
from networks_daemon import NetworksDaemon
from waiting import wait_until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and TAPs need root"),
    pytest.mark.skipif(not shutil.which("vde_plug2tap"), reason="needs vde_plug2tap (vde2)"),
]

NAT = """
[network.nat]
kind = 'nat'
[network.nat.policy]
host_loopback = true
[network.nat.dhcp]
search = ['eng.lab', 'lab']
tftp_root = '$DIR'
boot_file = 'pxelinux.0'
[[network.nat.guest]]
name = 'web'
mac = '52:54:00:00:00:07'
address = '10.0.2.200'
"""

# Sets the address as a real one would, and writes down what it was told.
SCRIPT = """#!/bin/sh
case "${1:-$reason}" in
    bound|renew|BOUND|RENEW|REBOOT|REBIND)
        env > "$TOLD.new" && mv "$TOLD.new" "$TOLD"
        ip addr flush dev "$interface"
        ip addr add "${ip:-$new_ip_address}/24" dev "$interface"
        ;;
    nak) : > "$TOLD.nak" ;;
esac
"""


class Machine:
    """A namespace with one card, plugged into a network."""

    def __init__(self, daemon: NetworksDaemon, mac: str, stack: ExitStack, folder: Path) -> None:
        self.namespace = stack.enter_context(NetNamespace())
        self.folder = folder
        self.told_file = folder / "told"
        self.script = folder / "script"
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        self.namespace.add_tap("eth0")
        self.namespace.ip("link", "set", "eth0", "address", mac)
        command = ["ip", "netns", "exec", self.namespace.name]
        command += ["vde_plug2tap", "-s", str(daemon.socket("nat")), "eth0"]
        cable = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        stack.callback(cable.wait, 10)
        stack.callback(cable.terminate)
        self.namespace.ip("link", "set", "eth0", "up")
        wait_until("the card has a carrier", lambda: "LOWER_UP" in self.namespace.ip("link"))

    def _run(self, *command: str) -> None:
        self.told_file.unlink(missing_ok=True)
        told = f"TOLD={self.told_file}"
        self.namespace.run("env", told, *command, timeout=60)

    def udhcpc(self, *options: str) -> dict[str, str]:
        self._run(
            "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "5", "-T", "2",
            "-s", str(self.script), *options,
        )  # fmt: skip
        return self.told()

    def dhclient(self, config: str = "") -> dict[str, str]:
        settings = self.folder / "dhclient.conf"
        settings.write_text("timeout 20;\n" + config)
        self._run(
            "dhclient", "-1", "-v", "-cf", str(settings), "-lf", str(self.folder / "leases"),
            "-pf", str(self.folder / "pid"), "-sf", str(self.script),
            "-e", f"TOLD={self.told_file}", "eth0",
        )  # fmt: skip
        # It returns before the process it leaves behind has written its number.
        file = self.folder / "pid"
        wait_until("dhclient's process number", lambda: file.exists() and file.read_text().strip())
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        return self.told()

    def told(self) -> dict[str, str]:
        assert self.told_file.exists(), "the client was told nothing"
        lines = self.told_file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


@contextmanager
def machines(folder: Path, *macs: str) -> Iterator[tuple[NetworksDaemon, list[Machine]]]:
    with NetworksDaemon(NAT, gateway=None) as daemon, ExitStack() as stack:
        daemon.gateway_pid("nat")
        made = []
        for number, mac in enumerate(macs):
            own = folder / str(number)
            own.mkdir()
            made.append(Machine(daemon, mac, stack, own))
        yield daemon, made


def leases(daemon: NetworksDaemon) -> dict[str, dict[str, object]]:
    return {row["address"]: row for row in daemon.rpc("lease.list")["leases"]}


@pytest.mark.skipif(not shutil.which("udhcpc"), reason="needs udhcpc")
def test_busybox_gets_renews_and_keeps_its_address(tmp_path: Path) -> None:
    with machines(tmp_path, "52:54:00:00:00:01") as (daemon, [guest]):
        told = guest.udhcpc("-x", "hostname:Alpha", "-O", "search", "-O", "mtu")
        assert told["ip"] == "10.0.2.15"
        assert (told["router"], told["dns"]) == ("10.0.2.2", "10.0.2.3")
        assert (told["serverid"], told["mask"]) == ("10.0.2.2", "24")
        assert (told["lease"], told["mtu"]) == ("86400", "1500")
        assert told["search"] == "eng.lab lab"
        row = leases(daemon)["10.0.2.15"]
        assert (row["name"], row["state"]) == ("alpha", "bound")
        assert row["mac"] == "52:54:00:00:00:01"
        os.kill(daemon.gateway_pid("nat"), signal.SIGKILL)
        daemon.wait_serving("nat")
        wait_until("the lease is back", lambda: "10.0.2.15" in leases(daemon))
        assert guest.udhcpc("-x", "hostname:Alpha")["ip"] == "10.0.2.15"


@pytest.mark.skipif(not shutil.which("udhcpc"), reason="needs udhcpc")
def test_an_address_set_by_hand_is_left_alone(tmp_path: Path) -> None:
    macs = ("52:54:00:00:00:01", "52:54:00:00:00:07")
    with machines(tmp_path, *macs) as (daemon, [guest, web]):
        guest.namespace.ip("addr", "add", "10.0.2.15/24", "dev", "eth0")
        assert web.udhcpc()["ip"] == "10.0.2.200", "reserved"
        web.namespace.ip("link", "set", "eth0", "address", "52:54:00:00:00:02")
        assert web.udhcpc()["ip"] == "10.0.2.16"
        assert leases(daemon)["10.0.2.15"]["state"] == "declined"


@pytest.mark.skipif(not shutil.which("dhclient"), reason="needs dhclient (isc-dhcp-client)")
def test_dhclient_gets_its_address_and_comes_back_to_it(tmp_path: Path) -> None:
    with machines(tmp_path, "52:54:00:00:00:03") as (daemon, [guest]):
        config = 'send host-name "beta";\nrequest subnet-mask, routers, domain-search, host-name;\n'
        told = guest.dhclient(config)
        assert told["reason"] == "BOUND"
        assert told["new_ip_address"] == "10.0.2.15"
        assert told["new_routers"] == "10.0.2.2"
        assert told["new_domain_search"].rstrip(".") == "eng.lab. lab"
        assert leases(daemon)["10.0.2.15"]["name"] == "beta"
        guest.namespace.ip("addr", "flush", "dev", "eth0")
        again = guest.dhclient(config)
        assert (again["reason"], again["new_ip_address"]) == ("REBOOT", "10.0.2.15")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_fetches_a_file_by_tftp(tmp_path: Path) -> None:
    with machines(tmp_path, "52:54:00:00:00:01") as (daemon, [guest]):
        content = os.urandom(300_000)
        (daemon.directory / "pxelinux.0").write_bytes(content)
        guest.namespace.ip("addr", "add", "10.0.2.77/24", "dev", "eth0")
        got = tmp_path / "got"
        for options in ([], ["--tftp-blksize", "8000"], ["--tftp-no-options"]):
            guest.namespace.run(
                "curl", "-sS", "-o", str(got), *options, "tftp://10.0.2.2/pxelinux.0"
            )  # fmt: skip
            assert got.read_bytes() == content
        refused = guest.namespace.run(
            "curl", "-sS", "tftp://10.0.2.2/..%2F..%2Fetc%2Fpasswd", check=False
        )  # fmt: skip
        assert refused.returncode != 0 and "root:" not in refused.stdout


ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    asker.settimeout(10)
    asker.sendto(bytes(4000), ("10.0.2.2", int(sys.argv[1])))
    print(len(asker.recv(65536)))
"""


def test_packets_of_4000_bytes_come_and_go_in_fragments(tmp_path: Path) -> None:
    with (
        machines(tmp_path, "52:54:00:00:00:01") as (_, [guest]),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
    ):
        guest.namespace.ip("addr", "add", "10.0.2.77/24", "dev", "eth0")
        answer = guest.namespace.run("ping", "-c", "1", "-W", "10", "-s", "4000", "10.0.2.2")
        assert "4008 bytes from 10.0.2.2" in answer.stdout
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(
                guest.namespace.run, sys.executable, "-c", ECHO, str(server.getsockname()[1])
            )
            data, peer = server.recvfrom(65536)
            assert data == bytes(4000)
            server.sendto(data, peer)
            assert asked.result().stdout.strip() == "4000"


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-v"]))
