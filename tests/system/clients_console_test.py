# SPDX-License-Identifier: MIT
"""Programs that talk to the console, unchanged: unixterm, vdeterm, unixcmd (vdecmd), and how the NixOS test
driver and scripts use a switch."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from client_process import ClientProcess, need_programs
from console import Console
from switch_process import Switch, switch_program
from vde_client import VdeClient
from waiting import wait_until

VDECMD_SCRIPT = Path("/etc/vde2/vdecmd")


class Terminal:
    """A program on a terminal of its own, as a person sits before it."""

    def __init__(self, *command: object) -> None:
        self.master, slave = pty.openpty()
        try:
            self.process = subprocess.Popen([str(word) for word in command], stdin=slave, stdout=slave, stderr=slave)
        finally:
            os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str, timeout: float = 5.0) -> str:
        """What was shown up to and with the text."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.master, 1 << 16).decode(errors="replace").replace("\r", "").replace("\0", "")
        before, found, self.seen = self.seen.partition(text)
        return before + found

    def close(self) -> None:
        self.process.kill()
        self.process.wait(5.0)
        os.close(self.master)


@contextlib.contextmanager
def vdeterm(switch: Switch) -> Iterator[Terminal]:
    need_programs("vdeterm")
    terminal = Terminal("vdeterm", switch.mgmt_path)
    try:
        terminal.wait_for(f"vde[{switch.mgmt_path}]: ")
        yield terminal
    finally:
        terminal.close()


# --- unixterm ------------------------------------------------------------------------------------


def test_unixterm_relays_a_session(switch: Switch) -> None:
    need_programs("unixterm")
    with ClientProcess("unixterm", switch.mgmt_path) as terminal:
        heard = b""

        def until(text: bytes) -> bytes:
            nonlocal heard
            while text not in heard:
                assert select.select([terminal.stdout], [], [], 5.0)[0], heard
                part = os.read(terminal.stdout.fileno(), 1 << 16)
                assert part, f"ended after {heard!r}"
                heard += part
            before, _, heard = heard.partition(text)
            return before

        assert until(b"\nvde$ ").startswith(b"VDE switch V.")
        terminal.stdin.write(b"port/create 9\n")
        assert until(b"\nvde$ ") == b"1000 Success\n"
        terminal.stdin.write(b"port/create 9\n")
        assert until(b"\nvde$ ") == b"1017 File exists\n"
        # It ends at the hang-up, often without showing the farewell that came just before.
        terminal.stdin.write(b"logout\n")
        assert terminal.wait_exit() == 0


# --- vdeterm -------------------------------------------------------------------------------------


def test_vdeterm_runs_commands_and_hides_the_codes(switch: Switch) -> None:
    with vdeterm(switch) as terminal:
        terminal.type("port/showinfo\n")
        shown = terminal.wait_for("Success")
        assert "Numports=32\nHUB=false\n" in shown
        assert "0000 DATA" not in shown and "1000" not in shown
        terminal.type("bogus\n")
        terminal.wait_for("Function not implemented")


def test_vdeterm_completes_commands_from_the_help(switch: Switch) -> None:
    """It reads the table that `help` prints: the rule under the heading and the final dot count."""
    with vdeterm(switch) as terminal:
        terminal.type("port/showi\t\n")
        assert "Numports=32" in terminal.wait_for("Success")
        terminal.type("hash/setm\t 5\n")
        terminal.wait_for("Success")
        terminal.type("hash/showi\t\n")
        assert "Min persistence 5 secs" in terminal.wait_for("Success")


def test_vdeterm_shows_asynchronous_lines(switch: Switch) -> None:
    with vdeterm(switch) as terminal:
        terminal.type("debug/add port\n")
        terminal.wait_for("Success")
        with VdeClient(switch.ctl_dir, description="somebody"):
            shown = terminal.wait_for('-> "somebody"')
        assert "** DBG MSG: port/ep/+ Port 01" in shown


def test_vdeterm_ends_at_control_d(switch: Switch) -> None:
    with vdeterm(switch) as terminal:
        terminal.type("\x04")
        assert terminal.process.wait(5.0) == 0
    Console(switch.mgmt_path).close()


# --- unixcmd and vdecmd --------------------------------------------------------------------------


def vdecmd(switch: Switch, *words: str) -> str:
    """What the installed unixcmd prints with the installed script of vdecmd. The script uses a word that the
    program does not know, so the exit code is always 255, and NULs stand at line ends; users live with both."""
    need_programs("unixcmd")
    if not VDECMD_SCRIPT.exists():
        pytest.skip(f"not installed: {VDECMD_SCRIPT}")
    done = subprocess.run(["unixcmd", "-s", switch.mgmt_path, "-f", VDECMD_SCRIPT, *words], capture_output=True,
                          text=True, timeout=10.0, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 255
    return done.stdout.replace("\0", "")


@pytest.mark.parametrize("command", ["showinfo", "port/showinfo", "port/print", "hash/print", "hash/showinfo",
                                     "vlan/print", "help", "debug/list"])
def test_vdecmd_prints_the_data_of_a_reply(switch: Switch, command: str) -> None:
    with VdeClient(switch.ctl_dir, description="somebody"):
        expected = switch.console().check(command)
        lines = [line for line in vdecmd(switch, command).split("\n") if not re.search("uptime|age", line)]
    # The program prints each line whole, and the last line without its end.
    assert [line for line in lines if line] == [line for line in expected
                                                if line and not re.search("uptime|age", line)]


def test_vdecmd_changes_the_switch(switch: Switch) -> None:
    assert vdecmd(switch, "port/create", "9") == ""
    assert switch.console().run("port/create 9").code == 1017
    assert vdecmd(switch, "vlan/create", "10") == ""
    assert vdecmd(switch, "port/setvlan", "9", "10") == ""
    assert "Port 0009 untagged_vlan=0010 INACTIVE - NOT Unnamed Allocatable" in vdecmd(switch, "port/allprint", "9")


def test_vdecmd_many_times_leaves_nothing(switch: Switch) -> None:
    before = switch.descriptors()  # perhaps one too many: the session that saw the switch ready
    for number in range(1, 21):
        vdecmd(switch, "port/create", str(number))
    wait_until("all sessions closed", lambda: switch.descriptors() <= before)
    assert len([line for line in switch.console().check("port/allprint") if line.startswith("Port ")]) == 20


# --- how others start a switch -------------------------------------------------------------------


@pytest.mark.parametrize("stdin_kind", ["pipe", "terminal"])
@pytest.mark.parametrize("options", [["--dirmode", "0700"], ["--dirmode", "0700", "--hub"]])
def test_nixos_driver_waits_for_one_line(directory: Path, stdin_kind: str, options: list[str]) -> None:
    """It writes `version`, which is no command, and takes the error line on standard output as readiness."""
    command = [str(switch_program()), "-s", str(directory / "vde1.ctl"), *options]
    if stdin_kind == "terminal":
        master, stdin = pty.openpty()
    else:
        stdin, master = os.pipe()
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env={**os.environ, "HOME": str(directory)}) as process:
        os.close(stdin)
        try:
            os.write(master, b"version\n")
            assert process.stdout
            assert select.select([process.stdout], [], [], 5.0)[0], "no line on standard output"
            assert process.stdout.readline() == b"1038 Function not implemented\n"
            assert (directory / "vde1.ctl/ctl").exists()
            VdeClient(directory / "vde1.ctl").close()
        finally:
            process.terminate()
            os.close(master)
    assert process.returncode == 0


def test_script_with_netcat_sends_one_command(switch: Switch) -> None:
    """One command in one write, and then everything that is there: the habit of many scripts."""
    if shutil.which("socat") is None:
        pytest.skip("not installed: socat")
    done = subprocess.run(["socat", "-t", "0.5", "-", f"UNIX-CONNECT:{switch.mgmt_path}"], input="port/create 4\n",
                          capture_output=True, text=True, timeout=10, check=False)
    assert "1000 Success" in done.stdout or switch.is_original, done.stdout
    wait_until("port 4 exists", lambda: switch.console().run("port/create 4").code == 1017)
