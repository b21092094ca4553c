# SPDX-License-Identifier: MIT
"""Real virtual machines for tests: QEMU with a small Linux, a shell inside it that answers, and QMP."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pytest

from switch_process import REPOSITORY, short_directory
from waiting import wait_until

KIT = REPOSITORY / "examples/lib/tiny_vm.sh"
CACHE = REPOSITORY / "build/vm"
BOOT_SECONDS = 120.0

_counter = itertools.count(1)


@functools.cache
def reason_against_vms() -> str | None:
    """Why no machine can be started here, or None. Makes the kernel and the initramfs if needed."""
    if os.geteuid() != 0:
        return "needs root: the kernel image is fetched with apt-get and the switch serves root's QEMU"
    missing = subprocess.run([KIT, "missing"], capture_output=True, text=True, timeout=30, check=False)
    if missing.stdout.strip():
        return f"not installed: {', '.join(missing.stdout.split(chr(10))).strip(', ')}"
    image = subprocess.run([KIT, "image", CACHE], capture_output=True, text=True, timeout=300, check=False)
    if image.returncode != 0:
        return f"no kernel image for the machines: {image.stderr.strip()[-300:]}"
    return None


def need_vms() -> None:
    """Skips the calling test, or the module of a calling fixture, where machines cannot run."""
    reason = reason_against_vms()
    if reason:
        pytest.skip(reason)


@functools.cache
def accelerator() -> str:
    done = subprocess.run([KIT, "accelerator", CACHE], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


class QmpError(Exception):
    """QEMU refused a command; the text is QEMU's own."""


class Qmp:
    """A session with QEMU's control socket. Events are kept until somebody asks for them."""

    def __init__(self, path: Path, timeout: float = 20.0) -> None:
        self.timeout = timeout
        self.events: list[dict[str, Any]] = []
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        wait_until(f"QMP at {path}", lambda: self._socket.connect_ex(os.fspath(path)) == 0, timeout)
        self._read_message(time.monotonic() + timeout)  # the greeting
        self.run("qmp_capabilities")

    def _read_message(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise TimeoutError("QEMU does not answer on QMP")
            part = self._socket.recv(1 << 16)
            if not part:
                raise ConnectionError("QEMU closed QMP")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def run(self, command: str, **arguments: Any) -> Any:
        """One command and what it returns. Underscores in argument names stand for dashes."""
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        message = {"execute": command, **({"arguments": words} if words else {})}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + self.timeout
        while True:
            answer = self._read_message(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{command}: {answer['error'].get('desc')}")
            else:
                return answer["return"]

    def wait_event(self, name: str, timeout: float = 30.0) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while True:
            for number, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(number)
            message = self._read_message(deadline)
            if "event" in message:
                self.events.append(message)

    def close(self) -> None:
        self._socket.close()


@dataclass
class Output:
    code: int
    text: str


class Vm:
    """One machine, running until the end of the `with` block.

    name      also its host name
    address   of eth0, with prefix length; "" for a machine that configures nothing
    cards     QEMU arguments that make its network cards (see vde_card)
    """

    def __init__(self, name: str, address: str, cards: list[str]) -> None:
        self.name = name
        self.address = address.split("/")[0]
        self.directory = short_directory()
        for fifo in ("shell.in", "shell.out"):
            os.mkfifo(self.directory / fifo)
        # Opened for both directions, so that neither end ever waits for the other or sees an end.
        self._to = os.open(self.directory / "shell.in", os.O_RDWR | os.O_NONBLOCK)
        self._from = os.open(self.directory / "shell.out", os.O_RDWR | os.O_NONBLOCK)
        self._heard = b""
        self._tokens = itertools.count(1)
        self._qmp: Qmp | None = None
        with (self.directory / "qemu.log").open("wb") as log:
            self.process = self._launch(address, cards, log)

    def _launch(self, address: str, cards: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        made = subprocess.run([KIT, "command", CACHE, self.directory, self.name, address, *cards],
                              env={**os.environ, "TINY_VM_ACCELERATOR": accelerator()},
                              capture_output=True, text=True, timeout=30, check=True)
        command = made.stdout.split("\0")[:-1]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    # -- life ------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_up(self, timeout: float = BOOT_SECONDS) -> Vm:
        self._read_until(re.compile(rb"^READY\n", re.M), timeout)
        return self

    def qmp(self) -> Qmp:
        if self._qmp is None:
            self._qmp = Qmp(self.directory / "qmp.sock")
        return self._qmp

    def kill(self) -> None:
        """As kill -9: QEMU has no time to say goodbye to anybody."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def close(self) -> None:
        if self._qmp:
            self._qmp.close()
        self._end()
        os.close(self._to)
        os.close(self._from)
        subprocess.run(["rm", "-rf", self.directory], check=True)

    def _end(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def __enter__(self) -> Vm:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is not None and kind is not pytest.skip.Exception:
            print(f"--- {self.name} ---\n{self.said()}")
        self.close()

    def said(self) -> str:
        """What QEMU and the machine's console printed so far."""
        parts = [self.directory / "qemu.log", self.directory / "console.log"]
        return "\n".join(part.read_text(errors="replace") for part in parts if part.exists())

    def _where_it_is(self) -> str:
        """Of a machine that does not answer: had QEMU a CPU, does its monitor answer, where does the guest stand?"""
        ran, waited, _ = (int(word) / 1e9 for word in Path(f"/proc/{self.pid}/schedstat").read_text().split())
        told = [f"load {os.getloadavg()[0]:.1f}; QEMU's main thread ran {ran:.1f} s and waited {waited:.1f} s for a CPU"]
        for stat in sorted(Path(f"/proc/{self.pid}/task").glob("*/stat")):
            name, _, rest = stat.read_text().rpartition(")")
            words = rest.split()
            told.append(f"thread {name.partition('(')[2]}: state {words[0]}, ticks {words[11]} user {words[12]} system")
        try:
            told += [self.qmp().run("query-status")["status"]]
            for _ in range(3):
                told += re.findall(r"RIP=\w+.*", self.qmp().run("human-monitor-command",
                                                               command_line="info registers"))
        except (OSError, QmpError, AssertionError, TimeoutError) as error:
            told.append(f"QMP: {error!r}")
        return "\n".join(told)

    # -- the shell inside ------------------------------------------------------------------------

    def _read_until(self, pattern: re.Pattern[bytes], timeout: float) -> bytes:
        """What came before the pattern; it and everything before it are used up."""
        deadline = time.monotonic() + timeout
        while not (match := pattern.search(self._heard)):
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended ({self.process.returncode}): {self.said()}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{self.name} does not answer in {timeout:g} s; "
                                     f"heard {self._heard[-500:]!r}; {self.said()}\n{self._where_it_is()}")
            if select.select([self._from], [], [], min(left, 0.2))[0]:
                self._heard += os.read(self._from, 1 << 16)
        before, self._heard = self._heard[:match.start()], self._heard[match.end():]
        self._exit_code = int(match[1]) if match.groups() else 0
        return before

    def begin(self, command: str) -> str:
        """Sends a line of shell to the machine; the token is for `finish`."""
        token = f"@{next(_counter)}.{next(self._tokens)}"
        os.write(self._to, f"{token} {command}\n".encode())
        return token

    def finish(self, token: str, timeout: float = 20.0) -> Output:
        mark = re.escape(token.encode())
        self._read_until(re.compile(rb"^" + mark + rb" begin\n", re.M), timeout)
        text = self._read_until(re.compile(rb"\n" + mark + rb" exit (\d+)\n"), timeout)
        return Output(self._exit_code, text.decode(errors="replace").rstrip("\n"))

    def run(self, command: str, timeout: float = 20.0) -> Output:
        return self.finish(self.begin(command), timeout)

    def check(self, command: str, timeout: float = 20.0) -> str:
        """A command that must succeed; its output."""
        done = self.run(command, timeout)
        assert done.code == 0, f"{self.name}: {command}: exit {done.code}: {done.text}"
        return done.text

    def offer_file(self, megabytes: int) -> str:
        """Serves random bytes as http://ADDRESS/file; their checksum."""
        return self.check(f"mkdir -p /tmp/www; dd if=/dev/urandom of=/tmp/www/file bs=65536 "
                          f"count={megabytes * 16} 2>/dev/null; pidof httpd >/dev/null || httpd -p 80 -h /tmp/www; "
                          "sha256sum </tmp/www/file", 60).split()[0]

    def ping_replies(self, address: str, count: int = 3, size: int = 56, wait: int = 2) -> int:
        """How many of `count` echo requests were answered. `wait` seconds for the last one."""
        seconds = count + wait
        text = self.run(f"ping -A -q -s {size} -c {count} -W {wait} -w {seconds} {address}",
                        timeout=seconds + 15.0).text
        match = re.search(r"(\d+) packets received", text)
        assert match, f"{self.name}: ping says {text!r}"
        return int(match[1])


class UserModeLinux(Vm):
    """The same small Linux as a program of the host. Cards are words as `eth0=daemon,MAC,unix,CTL`.

    netns    where it runs. Abstract socket addresses belong to a network namespace, so it and its switch have
             to be in the same one.
    """

    def __init__(self, name: str, address: str, cards: list[str], netns: str) -> None:
        self._netns = netns
        super().__init__(name, address, cards)

    def _launch(self, address: str, cards: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Its second serial line, where the shell answers, is the two FIFOs as descriptors of its own."""
        shell = [os.open(self.directory / name, os.O_RDWR) for name in ("shell.in", "shell.out")]
        try:
            return subprocess.Popen(
                ["ip", "netns", "exec", self._netns, "linux.uml", "mem=96M", f"initrd={CACHE}/initramfs",
                 "root=/dev/ram0", "rdinit=/init", "quiet",
                 f"uml_dir={self.directory}", "con=null", "con0=null,fd:1", "ssl=null",
                 f"ssl1=fd:{shell[0]},fd:{shell[1]}", f"vm_name={self.name}", f"vm_address={address}",
                 "vm_modules=no", *cards],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=shell, process_group=0,
                env={**os.environ, "TMPDIR": str(self.directory), "HOME": str(self.directory)})
        finally:
            for descriptor in shell:
                os.close(descriptor)

    def _end(self) -> None:
        """It is several processes of the host."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def vde_card(sock: Path | str, mac: str, identity: str = "n0", **options: object) -> list[str]:
    """QEMU arguments for a virtio card on `-netdev vde`. Options: port, group, mode."""
    words = "".join(f",{name}={value}" for name, value in options.items())
    return ["-netdev", f"vde,id={identity},sock={sock}{words}",
            "-device", f"virtio-net-pci,netdev={identity},id=card-{identity},mac={mac}"]


def silent_machine(kind: str, *arguments: str) -> subprocess.Popen[str]:
    """A QEMU without a guest, of the machine type `kind`: enough to see what its back ends do."""
    return subprocess.Popen(["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                             "-machine", kind, *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
