# SPDX-License-Identifier: MIT
"""Runs `lanyardd --config` for a test: configuration, readiness, JSON-RPC, an end that comes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from switch_process import REPOSITORY, SANITIZER_MARKS, short_directory
from waiting import wait_until

STUB_GATEWAY = Path(__file__).with_name("stub_gateway.py")


class RpcFailed(Exception):
    """The daemon answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class RpcClient:
    """A connection to the control socket."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Blocking: with a timeout, Python does not wait while others are being accepted.
        self.socket.connect(str(path))
        self.socket.settimeout(timeout)
        self.reader = self.socket.makefile("rb")
        self.next_id = 1

    def send(self, method: str, **params: Any) -> int:
        number = self.next_id
        self.next_id += 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return number

    def line(self) -> dict[str, Any]:
        """The next whole line; EOFError at the end."""
        text = self.reader.readline()
        if not text.endswith(b"\n"):
            raise EOFError(f"the daemon has closed the connection; its last bytes: {text[-100:]!r}")
        message: dict[str, Any] = json.loads(text)
        return message

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = self.send(method, **params)
        while True:
            message = self.line()
            if message.get("id") == number:
                break
        if "error" in message:
            raise RpcFailed(message["error"]["code"], message["error"]["message"])
        result: dict[str, Any] = message["result"]
        return result

    def close(self) -> None:
        self.reader.close()
        self.socket.close()

    def __enter__(self) -> RpcClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def daemon_program() -> Path:
    folder = os.environ.get("LANYARD_BIN") or str(REPOSITORY / "build/release/bin")
    return Path(folder).absolute() / "lanyardd"


class NetworksDaemon:
    """A running daemon. Used as a context manager; its directory goes with it.

    config     text of the configuration file; $DIR in it is the daemon's directory
    program    the daemon; the one under test, unless it is a copy that a test may replace
    gateway    the program that serves networks; the stub, unless a test wants the real one (None)
    options    more command line options
    prefix     a command in front that ends in exec (setpriv, ip netns exec), so the pid stays
    env        changes to the environment
    wait       False: do not wait until it is ready
    """

    def __init__(
        self,
        config: str,
        *options: str,
        program: Path | None = None,
        gateway: Path | None = STUB_GATEWAY,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        self.directory = short_directory()
        self.config = self.directory / "lanyard.toml"
        self.run = self.directory / "run"
        self.control = self.run / "control"
        self.log = self.directory / "log"
        self._expected_end = False
        self._client: RpcClient | None = None
        self.write_config(config)
        command = [*prefix, str(program or daemon_program()), "--config", str(self.config)]
        command += ["--runtime-directory", str(self.run)]
        command += ["--state-directory", str(self.directory / "state")]
        command += ["--control", str(self.control)]
        if gateway:
            command += ["--gateway", str(gateway)]
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [*command, *options],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    env={**os.environ, **(env or {})},
                )
            self.pid = self.process.pid
            if wait:
                self.wait_ready()
        except BaseException:
            self._clean_up()
            raise

    def write_config(self, text: str) -> None:
        """Another configuration file, in one step."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text.replace("$DIR", str(self.directory)))
        fresh.rename(self.config)

    def wait_ready(self, timeout: float = 20.0) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode}: {self.log_text()}")
            return "lanyardd: ready" in self.log_text()

        wait_until("the daemon is ready", ready, timeout)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # -- what can be asked -----------------------------------------------------------------------

    def client(self) -> RpcClient:
        """A connection of its own."""
        return RpcClient(self.control)

    def rpc(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a method; RpcFailed when it is an error."""
        if self._client is None:
            self._client = self.client()
        return self._client.call(method, **params)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The same, by a connection of its own: others may end with the process they were made to."""
        with self.client() as client:
            return client.call(method, **params)

    def socket(self, network: str) -> Path:
        """The directory where VMs plug in."""
        return self.run / network

    def gateway_pid(self, network: str) -> int:
        """That of the process that serves; never 0, which kill() would take for all of us."""

        def pid() -> int:
            shown = self.rpc("network.show", network=network)["gateway"]
            return int(shown["pid"]) if shown["serving"] else 0

        return wait_until(f"the gateway of {network} serves", pid)

    def spawner_pid(self) -> int:
        """That of the process which has the privileges."""
        rows = self.rpc("daemon.status")["processes"]
        return next(int(row["pid"]) for row in rows if row["process"] == "spawner")

    def wait_serving(self, network: str, timeout: float = 10.0) -> None:
        def serves() -> bool:
            shown = self.rpc("network.show", network=network)
            return bool(shown["gateway"]["serving"])

        wait_until(f"the gateway of {network} serves", serves, timeout, step=0.005)

    # -- life ------------------------------------------------------------------------------------

    def reload_by_signal(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def wait_exit(self, timeout: float = 10.0) -> int:
        self._expected_end = True
        return self.process.wait(timeout)

    def stop(self, number: int = signal.SIGTERM, timeout: float = 10.0) -> int:
        self._expected_end = True
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout)

    def _clean_up(self) -> None:
        if self._client:
            self._client.close()
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait(60)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> NetworksDaemon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        died = not self._expected_end and self.process.poll() is not None
        try:
            if not died:
                self.stop()
            text = self.log_text()
        finally:
            self._clean_up()
        if kind is not None:
            return
        if died:
            raise AssertionError(f"the daemon ended by itself: {text[-2000:]}")
        for mark in SANITIZER_MARKS:
            if mark in text:
                raise AssertionError(text[text.index(mark) :][:4000])
