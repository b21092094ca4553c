# SPDX-License-Identifier: MIT
"""A machine without a disk starts from the network: QEMU's own iPXE, our DHCP, TFTP and NAT."""

from __future__ import annotations

import http.server
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pytest
from networks_daemon import NetworksDaemon

ROMS = {"virtio-net-pci": "pxe-virtio.rom", "e1000": "pxe-e1000.rom"}
BOOT_SECONDS = 30.0

NAT = """
[network.nat]
kind = 'nat'
[network.nat.policy]
host_loopback = true
[network.nat.dhcp]
tftp_root = '{root}'
boot_file = 'boot.ipxe'
"""

# Tells by its request what DHCP has told, and that its packets reach the host through NAT.
SCRIPT = """#!ipxe
imgfetch http://${{next-server}}:{port}/${{net0/ip}}/${{filename}} ||
poweroff
"""


@pytest.fixture
def server() -> Iterator[tuple[int, queue.Queue[str]]]:
    """A web server on loopback: its port, and the paths it was asked for."""
    asked: queue.Queue[str] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.put(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield web.server_address[1], asked
        web.shutdown()
        thread.join()


@pytest.mark.parametrize("card", sorted(ROMS))
def test_a_machine_starts_a_script_that_it_was_told_of(
    card: str, tmp_path: Path, server: tuple[int, queue.Queue[str]]
) -> None:
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("needs qemu-system-x86_64")
    if not Path("/usr/lib/ipxe/qemu", ROMS[card]).exists():
        pytest.skip(f"needs {ROMS[card]} (ipxe-qemu)")
    port, asked = server
    (tmp_path / "boot.ipxe").write_text(SCRIPT.format(port=port))
    with NetworksDaemon(NAT.format(root=tmp_path), gateway=None) as daemon:
        daemon.gateway_pid("nat")
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-nodefaults"]
        command += ["-display", "none", "-boot", "n", "-no-reboot"]
        command += ["-netdev", f"vde,id=lan,sock={daemon.socket('nat')}"]
        command += ["-device", f"{card},netdev=lan,mac=52:54:00:00:00:01"]
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            assert asked.get(timeout=BOOT_SECONDS) == "/10.0.2.15/boot.ipxe"
        except queue.Empty:
            pytest.fail(f"the script did not run within {BOOT_SECONDS:g} s")
        finally:
            machine.kill()
            machine.wait()
        leases = daemon.rpc("lease.list")["leases"]
        assert [(row["mac"], row["state"]) for row in leases] == [("52:54:00:00:00:01", "bound")]
