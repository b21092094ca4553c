# SPDX-License-Identifier: MIT
"""A lanyard-gateway without a daemon: the test holds the other ends of its sockets."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from support.frame_rings import FrameRings
from support.netns import NetNamespace
from support.waiting import readable

HEADER = bytes(12)
DEADLINE = 10.0

NAT: dict[str, Any] = {
    "name": "nat",
    "kind": "nat",
    "subnet": "10.0.2.0/24",
    "subnet6": "fd17:625c:f037:2::/64",
    "router": "10.0.2.2",
    "router6": "fd17:625c:f037:2::2",
    "dns_address": "10.0.2.3",
    "dns_address6": "fd17:625c:f037:2::3",
    "domain": "lab",
}


class GatewayError(Exception):
    """What the gateway answered instead of a result."""


class GatewayProcess:
    def __init__(
        self,
        directory: Path,
        netns: NetNamespace | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.events: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        ours, frames = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.frames = FrameRings(ours, offers=True)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listeners, listeners = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._buffer = b""
        self._ids = 0
        # Out of the way of the numbers that the gateway wants, whichever they are.
        ends = (frames, control, listeners)
        high = [os.dup2(one.fileno(), 90 + i) for i, one in enumerate(ends)]
        for end in ends:
            end.close()

        def place() -> None:
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)

        program = Path(os.environ["LANYARD_BIN"]) / "lanyard-gateway"
        inside = ["ip", "netns", "exec", netns.name] if netns else []
        self.process = subprocess.Popen(
            [*inside, str(program), "test"],
            preexec_fn=place,
            pass_fds=(3, 4, 5),
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        for fd in high:
            os.close(fd)

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.frames.close()
        self.control.close()
        self.listeners.close()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stderr:
                self.process.stderr.close()

    # ---- control ----

    def write(self, line: bytes) -> None:
        self.control.sendall(line + b"\n")

    def has_ended(self) -> bool:
        """Or given up its control connection, which is the same."""
        with contextlib.suppress(BlockingIOError):
            return not self.has_line() and not self.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return False

    def has_line(self) -> bool:
        """One that has been received already."""
        return b"\n" in self._buffer

    def read_line(self, timeout: float = DEADLINE) -> dict[str, Any]:
        end = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            assert readable(self.control, end - time.monotonic()), "the gateway says nothing"
            received = self.control.recv(1 << 16)
            assert received, "the gateway has closed its control socket"
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        if message.get("method") == "event":
            self.events.append(message["params"])
        if message.get("method") == "log":
            self.log.append(message["params"])
        return message

    def send_request(self, method: str, **params: Any) -> int:
        self._ids += 1
        request = {"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params}
        self.write(json.dumps(request).encode())
        return self._ids

    def ask(self, method: str, **params: Any) -> Any:
        number = self.send_request(method, **params)
        while True:
            answer = self.read_line()
            if answer.get("id") != number:
                continue
            if "error" in answer:
                raise GatewayError(answer["error"]["message"])
            return answer["result"]

    def configure(self, network: dict[str, Any]) -> None:
        self.ask("configure", network=network, state_directory=str(self.directory))

    def wait_event(self, kind: str) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE
        while True:
            for event in self.events:
                if event["kind"] == kind:
                    self.events.remove(event)
                    return event
            self.read_line(end - time.monotonic())

    # ---- frames ----

    def send(self, frame: Packet | bytes, header: bytes = HEADER) -> None:
        end = time.monotonic() + DEADLINE
        while not self.frames.send(header + bytes(frame)):
            assert readable(self.frames.socket, end - time.monotonic()), "the gateway takes no frame"
            self.frames.hear()

    def receive(self, timeout: float = DEADLINE) -> bytes | None:
        """The next frame; None when there is none for so long."""
        if not self.frames.readable(timeout):
            return None
        message = self.frames.pop()
        return None if message is None else message[len(HEADER) :]

    def until(self, wanted: Callable[[Packet], bool], timeout: float = DEADLINE) -> Packet:
        """The next frame of that kind; others are passed over."""
        end = time.monotonic() + timeout
        while True:
            frame = self.receive(max(0.0, end - time.monotonic()))
            assert frame is not None, "the frame that should come did not"
            packet = Ether(frame)
            if wanted(packet):
                return packet
