# SPDX-License-Identifier: MIT
"""The plugin netem beside the packaged wirefilter: the same words, and what both show of them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from client_process import ClientProcess, need_programs
from switch_process import Switch, switch_program
from waiting import wait_until

pytestmark = pytest.mark.ours

PLUGIN = switch_program().parent.parent / "lib/lanyard/plugins/netem.so"
PROMPT = b"\nVDEwf$ "
CABLE = 7


class Wirefilter:
    """The original, between two switches, and its console."""

    def __init__(self, left: Switch, right: Switch, directory: Path) -> None:
        place = directory / "wirefilter"
        self.process = ClientProcess("wirefilter", "-v", f"{left.ctl_dir}:{right.ctl_dir}", "-M", str(place))
        wait_until("wirefilter's console", place.exists, timeout=10)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(place))
        self.read()

    def read(self) -> str:
        got = b""
        while not got.endswith(PROMPT):
            got += self.socket.recv(4096)
        return got.removesuffix(PROMPT).decode()

    def run(self, line: str) -> tuple[int, list[str]]:
        """Code and data of the reply."""
        self.socket.send(line.encode() + b"\n")
        lines = self.read().split("\n")
        code = next(int(text[:4]) for text in reversed(lines) if text[:1] == "1" and text[:4].isdigit())
        data = lines[1 : lines.index(".")] if "." in lines else []
        return code, data

    def close(self) -> None:
        self.socket.close()
        self.process.close()


# Words, and whether they show something.
DIALOGUE = (
    "showinfo",
    "loss LR10.5",
    "lostburst RL3",
    "delay 5+1N",
    "dup 2",
    "bandwidth 128K",
    "speed LR3M",
    "noise 4+2U",
    "mtu 1500",
    "chanbufsize 64K",
    "fifo 0",
    "showinfo",
    "fifo 1",
    "markov-numnodes 3",
    "showinfo",
    "markov-time 3000000",
    "markov-name 0,good",
    "markov-name 2,bad one",
    "loss 100[2]",
    "delay RL10+2[1]",
    "setedge 0,2,10",
    "setedge 0,1,2.5",
    "showinfo 2",
    "showinfo 1",
    "showinfo",
    "showedges",
    "showedges 2",
    "showcurrent",
    "markov-setnode 2",
    "showcurrent",
    "markov-setnode 7",
    "showinfo 9",
    "markov-numnodes 0",
    "markov-debug 0",
    "load /nonexistent",
)


def test_the_same_words_show_the_same(tmp_path: Path) -> None:
    need_programs("wirefilter")
    if not PLUGIN.exists():
        pytest.skip("netem.so is not built")
    with Switch() as left, Switch() as right:
        console = left.console()
        console.check(f"plugin/add {PLUGIN}")
        console.check(f"netem/cable {CABLE}")
        original = Wirefilter(left, right, tmp_path)
        try:
            for line in DIALOGUE:
                code, shown = original.run(line)
                ours = console.run(f"netem/{line}")
                assert (ours.code, ours.lines) == (code, shown), line
        finally:
            original.close()
