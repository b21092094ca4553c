# SPDX-License-Identifier: MIT
"""Plays a scenario to a switch and writes down what it says, what differs in every run masked."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from frames import BROADCAST, frame, mac, mac_text, tag, tags_of
from netns import NetNamespace
from scenarios import Scenario
from switch_process import Switch, is_original
from vde_client import PORT_ZERO, NoAnswer, Refused, VdeClient, as_user
from waiting import wait_until

MASKS = (
    (re.compile(r"\bpid \d+ MAC [0-9a-f:]{17} uptime \d+"), "pid # MAC # uptime #"),
    (re.compile(r"endpoint ID \d{4,}"), "endpoint ID ####"),
    (re.compile(r"\bFD (?: \d|[1-9]\d+)"), "FD ##"),
    (re.compile(r"^Hash: \d{4,}", re.M), "Hash: ####"),
    (re.compile(r"  age -?\d+ secs"), "  age # secs"),
    (re.compile(r" age \d+ bonusport"), " age # bonusport"),
    (re.compile(r"/tmp/lyd-\w+"), "DIR"),
    (re.compile(r"^VDE switch V\.\S+", re.M), "VDE switch V.#"),
    (re.compile(r"^\(C\) .*", re.M), "(C) #"),
)


class GhostPort(Exception):
    """An unplugged client stayed in the port table: a fault of the original that comes and goes."""


@dataclass(frozen=True)
class Exchange:
    step: str
    reply: str


def masked(text: str) -> str:
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return sorted_lines(sorted_lines(text, "Hash: ####"), "~ 3012 hash/-")


def sorted_lines(text: str, start: str) -> str:
    """The order within the table depends on the hash function, which is nobody's business."""
    lines = text.split("\n")
    table = sorted(line for line in lines if line.startswith(start))
    return "\n".join(table.pop(0) if line.startswith(start) else line for line in lines)


class Player:
    def __init__(self, scenario: Scenario, program: Path) -> None:
        self.scenario = scenario
        self.program = program
        self.clients: dict[str, VdeClient] = {}

    def play(self) -> list[Exchange]:
        played: list[Exchange] = []
        with contextlib.ExitStack() as stack:
            netns = stack.enter_context(NetNamespace()).name if self.scenario.tap else None
            # The packaged plugins keep memory when they are unloaded.
            env = {"LSAN_OPTIONS": "detect_leaks=0"} if self.scenario.needs else None
            self.switch = stack.enter_context(
                Switch(*self._options(), program=self.program, netns=netns, env=env)
            )
            stack.callback(self._close_clients)
            for name, text in self.scenario.files.items():
                (self.switch.directory / name).write_text(text.format(dir=self.switch.directory))
            self.console = self.switch.console()
            self.probe = self.switch.console()
            played = [Exchange(step, masked(self._step(step))) for step in self.scenario.steps]
        return played

    def _options(self) -> tuple[str, ...]:
        if self.scenario.ours is None or is_original(self.program):
            return self.scenario.options
        return self.scenario.ours

    def _close_clients(self) -> None:
        for client in self.clients.values():
            client.close()

    def _step(self, step: str) -> str:
        words = step[1:].split()
        if step.startswith("+"):
            done = self._plug(*words)
        elif step.startswith("-"):
            done = self._unplug(*words)
        elif step.startswith("!"):
            done = self._send(*words)
        else:
            return self._command(step)
        return "\n".join([done, *self._events()])

    def _command(self, step: str) -> str:
        text = re.sub(r"\{(\w+)(?::(\w+))?\}", self._value, step)
        reply = self.console.run(text).raw.rstrip("\n")
        events, self.console.events = self.console.events, []
        return "\n".join([reply, *(f"~ {line}" for line in events)])

    def _value(self, match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        if kind == "dir":
            return str(self.switch.directory)
        return mac_text(mac(int(name))) if kind == "mac" else self._endpoint_id(name)

    def _endpoint_id(self, name: str) -> str:
        """The ID for epclose: without the leading zeros, which the original reads as octal."""
        for line in self.probe.run("port/print").lines:
            match = re.match(r"  -- endpoint ID (\d+) module .*: (\S+)$", line)
            if match and match[2] == name:
                return str(int(match[1]))
        raise AssertionError(f"no endpoint {name}")

    def _events(self) -> list[str]:
        """Asynchronous lines so far: they precede the prompt of an empty command."""
        self.console.run("")
        events, self.console.events = self.console.events, []
        return [f"~ {line}" for line in events]

    def _plug(self, name: str, *words: str) -> str:
        values = dict(word.split("=") for word in words if "=" in word)
        port = int(values.get("port", 0))
        identity = (
            as_user(int(values["uid"]), int(values.get("gid", values["uid"])))
            if "uid" in values
            else contextlib.nullcontext()
        )
        with identity:
            try:
                client = VdeClient(
                    self.switch.ctl_dir,
                    port,
                    PORT_ZERO if "zero" in words else 0,
                    name,
                    1 if "v1" in words else 3,
                    "abstract" in words,
                    timeout=0.5,
                )
            except (Refused, NoAnswer):
                return "refused"
        self.clients[name] = client
        return f"port {client.port:03d}"

    def _plugged(self, name: str) -> bool:
        return any(line.endswith(f": {name}") for line in self.probe.run("port/print").lines)

    def _unplug(self, name: str) -> str:
        client = self.clients.pop(name, None)
        if client is None:
            return "was not plugged"
        client.close()
        try:
            wait_until(f"{name} unplugged", lambda: not self._plugged(name), timeout=2.0)
        except AssertionError:
            raise GhostPort(name) from None
        return "unplugged"

    def _frames_in(self, port: int) -> int:
        return int(self.probe.check(f"port/print {port}")[2].split()[2])

    def _send(self, name: str, source: str, destination: str = "*", *words: str) -> str:
        values = dict(word.split("=") for word in words)
        tags = tag(int(values["vid"]), int(values.get("pcp", 0))) if "vid" in values else b""
        target = BROADCAST if destination == "*" else mac(int(destination))
        sender = self.clients[name]
        before = self._frames_in(sender.port)
        sender.send(frame(target, mac(int(source)), b"hello", tags=tags))
        wait_until("frame counted", lambda: self._frames_in(sender.port) > before)
        lines = [
            f"to {other}: {describe(data)}"
            for other, client in self.clients.items()
            for data in client.drain(0.005)
        ]
        return "\n".join(lines or ["to nobody"])


def describe(data: bytes) -> str:
    tags = "".join(f" vid={vid} pcp={pcp}" for vid, pcp, _ in tags_of(data))
    return f"{len(data)} bytes{tags}"


def play(scenario: Scenario, program: Path) -> list[Exchange]:
    """Plays it again when the original made a ghost port (it does so in one cycle of 25)."""
    for _ in range(10):
        try:
            return Player(scenario, program).play()
        except GhostPort:
            continue
    raise AssertionError(f"{program} leaves unplugged clients in the port table")


def write_transcript(path: Path, exchanges: list[Exchange]) -> None:
    text = "".join(f">>> {exchange.step}\n{exchange.reply}\n" for exchange in exchanges)
    path.write_text(text)


def read_transcript(path: Path) -> list[Exchange]:
    """A step ends where the next line begins with `>>> `."""
    found: list[Exchange] = []
    for part in path.read_text().removeprefix(">>> ").split("\n>>> "):
        step, _, reply = part.partition("\n")
        found.append(Exchange(step, reply.removesuffix("\n") if part.endswith("\n") else reply))
    return found
