# SPDX-License-Identifier: MIT
"""Random requests, console lines and frames, the same ones in every run.

The switch lives and its books balance. This is a short run of what the fuzz targets do at length,
but through the real sockets and with everything at once.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Callable

import pytest
from console import Console
from frames import BROADCAST, frame, mac, tag
from port_table import assert_balanced
from switch_process import Switch
from terminal_text import is_harmless
from vde_client import Refused, VdeClient, connect_stream, read_reply, request_v1, request_v3
from waiting import wait_until

pytestmark = pytest.mark.ours

NUMBERS = (
    "",
    "0",
    "1",
    "2",
    "3",
    "5",
    "31",
    "32",
    "33",
    "64",
    "10",
    "20",
    "4093",
    "4094",
    "4095",
    "4096",
    "-1",
    "0x10",
    "010",
    "99999",
    "2147483647",
    "4294967296",
    "9223372036854775808",
    "x",
    "1x",
    "+3",
    "--",
)
WORDS = (
    "root",
    "nobody",
    "nosuchuser",
    "NONE",
    "ANY",
    "52:54:00:12:34:56",
    "52:54",
    "ff.ff.ff.ff.ff.ff",
    "hash",
    "port/ep",
    "/nonexistent",
    "%n%s",
    "\x1b[31m",
    "é",
    "a" * 300,
    "tap://",
    "null://x",
    ".",
    "..",
    "'",
    '"',
    "\\",
)
QUIT = ("logout", "shutdown", "port/plug", "load")


def random_command(chance: random.Random, paths: list[str]) -> str:
    path = chance.choice(paths)
    if chance.random() < 0.1:
        path = path[: chance.randrange(len(path) + 1)]
    words = [
        chance.choice(NUMBERS if chance.random() < 0.75 else WORDS)
        for _ in range(chance.randrange(4))
    ]
    return (
        chance.choice(("", " ", "\t")) + path + " " + chance.choice((" ", "  ", "\t")).join(words)
    )


def command_paths(console: Console) -> list[str]:
    paths = [line.split(" ")[0] for line in console.check("help")[2:]]
    return [path for path in paths if path not in QUIT]


@pytest.mark.parametrize("seed", range(4))
def test_random_console_lines(switch: Switch, seed: int) -> None:
    chance = random.Random(seed)
    console = switch.console()
    paths = command_paths(console)
    clients = [switch.client() for _ in range(4)]
    for number in range(600):
        command = random_command(chance, paths)
        reply = console.run(command)
        assert reply.code == 0 or 1000 <= reply.code <= 1999, command
        if number % 20 == 0:
            chance.choice(clients).try_send(frame(BROADCAST, mac(number)))
    console.check("port/sethub 0")
    console.check("port/showinfo")
    assert_balanced(console)


def test_random_bytes_on_the_console(switch: Switch) -> None:
    chance = random.Random(7)
    for _ in range(100):
        with contextlib.closing(Console(switch.mgmt_path)) as console:
            console.send(chance.randbytes(chance.randrange(1, 5000)).replace(b"shutdown", b"-"))
    assert switch.console().run("port/showinfo").ok


def mutated(chance: random.Random, request: bytes) -> bytes:
    data = bytearray(request)
    for _ in range(chance.randrange(1, 6)):
        kind = chance.randrange(4)
        at = chance.randrange(len(data) or 1)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : at + chance.randrange(1, 30)]
        elif kind == 2:
            data[at:at] = chance.randbytes(chance.randrange(1, 30))
        elif data:
            data[min(at, 20)] = chance.choice((0, 1, 0xFF, 0x7F, 0x80))
    return bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_random_requests(switch: Switch, seed: int) -> None:
    chance = random.Random(seed)
    console = switch.console()
    before = switch.descriptors()
    own = os.fsencode(switch.ctl_dir / "own")
    peer = VdeClient(switch.ctl_dir, port=30)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as data:
        data.bind(own)
        for _ in range(700):
            text = chance.randbytes(chance.randrange(200))
            v3 = chance.random() < 0.5
            request = request_v3(own, description=text) if v3 else request_v1(own, description=text)
            with contextlib.closing(connect_stream(switch.ctl_dir / "ctl")) as stream:
                with contextlib.suppress(OSError, Refused):
                    stream.sendall(mutated(chance, request))
                    stream.shutdown(socket.SHUT_WR)
                    if chance.random() < 0.5:
                        read_reply(stream, 2.0)
    with peer:
        assert peer.ctl_closed() is False
    wait_until("no port left", lambda: "Port" not in str(console.check("port/print")))
    wait_until("descriptors back", lambda: switch.descriptors() <= before)
    assert sorted(path.name for path in switch.ctl_dir.iterdir()) == ["ctl", "own"]
    assert all(is_harmless(line) for line in switch.log_text().splitlines())


def random_frame(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(0, 70))
    destination = chance.choice(
        (BROADCAST, mac(chance.randrange(8)), b"\x01\x80\xc2\0\0\0", chance.randbytes(6))
    )
    source = chance.choice((mac(chance.randrange(8)), chance.randbytes(6), b"\0" * 6))
    tags = b"".join(
        tag(chance.choice((0, 1, 10, 20, 4094, 4095)), chance.randrange(8), chance.randrange(2))
        for _ in range(chance.choice((0, 0, 1, 1, 2)))
    )
    data = frame(destination, source, chance.randbytes(chance.randrange(100)), tags=tags, size=None)
    return data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data


CHANGES = (
    "vlan/create 10",
    "vlan/create 20",
    "vlan/create 4094",
    "vlan/remove 20",
    "port/setvlan {port} {vlan}",
    "vlan/addport {vlan} {port}",
    "vlan/delport {vlan} {port}",
    "port/sethub 1",
    "port/sethub 0",
    "hash/setsize 64",
    "port/passtags {port} 1",
    "port/passtags {port} 0",
    "hash/setminper 0",
    "port/setqueue {port} 0",
    "port/setqueue {port} 100000",
)


@pytest.mark.parametrize("seed", range(3))
def test_random_frames_and_changes_balance(start_switch: Callable[..., Switch], seed: int) -> None:
    chance = random.Random(seed)
    switch = start_switch()
    console = switch.console()
    clients: dict[int, VdeClient] = {}
    for step in range(6000):
        port = chance.randrange(1, 7)
        if port not in clients:
            clients[port] = switch.client(port=port)
        elif step % 97 == 0:
            clients.pop(port).close()
        elif step % 13 == 0:
            console.run(
                chance.choice(CHANGES).format(
                    port=port, vlan=chance.choice((0, 10, 20, 4094, 4095))
                )
            )
        else:
            clients[port].send(random_frame(chance))
        if step % 50 == 0 and clients:
            chance.choice(list(clients.values())).drain()
        if step % 500 == 0:
            assert_balanced(console)
    assert_balanced(console)
