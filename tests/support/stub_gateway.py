#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A gateway that does nothing for guests: it answers the daemon, and says what it was told.

Frames arrive on descriptor 3, control is descriptor 4. It echoes frames whose EtherType is 0x88b5
with source and destination exchanged, keeps leases and forwards as the daemon gives them, and
refuses a forward that is called "refused". A forward called "crash" kills it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from typing import Any

from frame_rings import FrameRings

HEADER = 12
ECHO = b"\x88\xb5"
LEASES = [
    {"address": "10.0.2.15", "mac": "52:54:00:00:00:01", "name": "alpha", "state": "bound"},
    {"address": "10.0.2.16", "mac": "52:54:00:00:00:02", "name": "beta", "state": "bound"},
]


class Refused(Exception):
    pass


class Gateway:
    def __init__(self) -> None:
        self.frames = FrameRings(socket.socket(fileno=3), offers=False)
        self.control = socket.socket(fileno=4)
        self.forwards: dict[str, Any] = {}
        self.buffer = b""

    def say(self, message: dict[str, Any]) -> None:
        self.control.setblocking(True)
        self.control.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def check(self, forward: dict[str, Any]) -> None:
        if forward["name"] == "refused":
            raise Refused(f"forward {forward['name']}: port {forward} is busy")

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "configure":
            wanted = params["network"].get("forward", [])
            for forward in wanted:
                self.check(forward)
            self.forwards = {forward["name"]: forward for forward in wanted}
            return {}
        if method == "lease.list":
            return {"leases": LEASES}
        if method == "forward.add":
            self.check(params["forward"])
            if params["forward"]["name"] == "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            self.forwards[params["forward"]["name"]] = params["forward"]
            return {}
        if method == "forward.delete":
            del self.forwards[params["name"]]
            return {}
        if method == "forward.list":
            return {"forwards": [{"name": name, "state": "ok"} for name in sorted(self.forwards)]}
        if method == "flow.list":
            return self.page(params)
        if method == "status":
            return {"warnings": ["a stub serves this network"]}
        return {}

    def page(self, params: dict[str, Any]) -> dict[str, Any]:
        """A hundred connections when there is a forward called "busy", else none."""
        rows = [{"guest": f"10.0.2.15:{n}"} for n in range(100 if "busy" in self.forwards else 0)]
        begin, limit = params.get("next", 0), params.get("limit", len(rows))
        page: dict[str, Any] = {"flows": rows[begin : begin + limit]}
        if begin + limit < len(rows):
            page["next"] = begin + limit
        return page

    def on_control(self) -> None:
        data = self.control.recv(1 << 20)
        if not data:
            sys.exit(0)
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        for line in lines:
            request = json.loads(line)
            try:
                result = self.answer(request["method"], request["params"])
                self.say({"id": request["id"], "result": result})
            except Refused as why:
                self.say({"id": request["id"], "error": {"code": 6, "message": str(why)}})

    def on_frame(self) -> None:
        while message := self.frames.pop():
            header, frame = message[:HEADER], message[HEADER:]
            if frame[12:14] == ECHO:
                self.frames.send(header + frame[6:12] + frame[:6] + frame[12:])
        if self.frames.ended:
            sys.exit(0)

    def run(self) -> None:
        while True:
            ready, _, _ = select.select([self.frames, self.control], [], [])
            if self.control in ready:
                self.on_control()
            if self.frames in ready:
                self.on_frame()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Gateway().run()
