# SPDX-License-Identifier: MIT
"""A daemon that only speaks JSON-RPC: answers as a test wants it, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any, Callable

Answer = Callable[[dict[str, Any]], Any]


class RpcFault(Exception):
    """What a method answers with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RpcDaemon:
    """Serves one connection at a time on a Unix socket, until it is closed."""

    def __init__(self, path: Path, methods: dict[str, Any]) -> None:
        self.path = path
        self.methods = methods
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.events: list[dict[str, Any]] = []  # sent after event.subscribe, then the daemon ends
        self.raw: bytes | None = None  # instead of any answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> RpcDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                try:
                    self._session(stream)
                except (BrokenPipeError, ConnectionResetError):
                    pass

    def _session(self, stream: Any) -> None:
        for line in stream:
            request = json.loads(line)
            method, params = request["method"], request["params"]
            self.asked.append((method, params))
            if self.raw is not None:
                stream.write(self.raw)
                stream.flush()
                return
            stream.write(json.dumps(self._answer(request["id"], method, params)).encode() + b"\n")
            stream.flush()
            if method == "daemon.stop":
                return
            if method == "event.subscribe":
                for event in self.events:
                    line = {"jsonrpc": "2.0", "method": "event", "params": event}
                    stream.write(json.dumps(line).encode() + b"\n")
                self._listener.shutdown(socket.SHUT_RDWR)
                stream.flush()
                return

    def _answer(self, number: Any, method: str, params: dict[str, Any]) -> dict[str, Any]:
        head = {"jsonrpc": "2.0", "id": number}
        answer = self.methods.get(method, RpcFault(-32601, f"there is no method {method}"))
        try:
            if callable(answer):
                answer = answer(params)
            if isinstance(answer, RpcFault):
                raise answer
        except RpcFault as fault:
            return {**head, "error": {"code": fault.code, "message": fault.message}}
        return {**head, "result": answer}
