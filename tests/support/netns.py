# SPDX-License-Identifier: MIT
"""Network namespaces and TAP interfaces of a test's own, gone again whatever happens."""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000

_counter = itertools.count()


def run(
    *command: str, check: bool = True, timeout: float = 20.0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done


class NetNamespace:
    """`ip netns` namespace with the loopback up. The name is unique to this process."""

    def __init__(self) -> None:
        self.name = f"lyd-{os.getpid()}-{next(_counter)}"

    def __enter__(self) -> NetNamespace:
        run("ip", "netns", "add", self.name)
        try:
            self.ip("link", "set", "lo", "up")
            # No neighbour discovery: tests count frames, and IPv6 would add its own.
            self.run(
                "sysctl",
                "-qw",
                "net.ipv6.conf.default.disable_ipv6=1",
                "net.ipv6.conf.all.disable_ipv6=1",
                check=False,
            )
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        run("ip", "netns", "del", self.name, check=False)

    def run(
        self, *command: str, check: bool = True, timeout: float = 20.0
    ) -> subprocess.CompletedProcess[str]:
        return run("ip", "netns", "exec", self.name, *command, check=check, timeout=timeout)

    def ip(self, *words: str, check: bool = True) -> str:
        return run("ip", "-n", self.name, *words, check=check).stdout

    def links(self) -> list[str]:
        return [line.split(":")[1].strip() for line in self.ip("-o", "link").splitlines()]

    def add_tap(self, name: str, user: str | None = None) -> None:
        """A persistent TAP, as an administrator prepares it."""
        owner = ["user", user] if user else []
        self.ip("tuntap", "add", "dev", name, "mode", "tap", *owner)

    def call(self, work: Callable[[], T]) -> T:
        """Runs a function in a thread inside the namespace; sockets it makes stay in there."""
        results: list[T] = []
        errors: list[BaseException] = []

        def body() -> None:
            try:
                with open(f"/run/netns/{self.name}", "rb") as handle:
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(work())
            except BaseException as error:  # handed to the caller below
                errors.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def packet_socket(self, interface: str) -> socket.socket:
        """A raw socket that hears and sends whole frames on one interface."""

        def make() -> socket.socket:
            eth_p_all = 0x0003
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(eth_p_all))
            made.bind((interface, 0))
            return made

        return self.call(make)


def open_tap(name: str) -> int:
    """Attaches to a TAP of the current namespace; the descriptor carries whole frames."""
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    except OSError:
        os.close(handle)
        raise
    return handle
