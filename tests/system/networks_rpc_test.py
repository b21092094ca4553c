# SPDX-License-Identifier: MIT
"""The control socket against clients that mean harm or are many."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from networks_daemon import NetworksDaemon, RpcClient
from switch_process import resident_kib_of
from vde_client import VdeClient
from waiting import wait_until

LAN = "[network.lan]\nkind = 'internal'\n"


def frame(number: int) -> bytes:
    return b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb6" + number.to_bytes(4, "big") + b"y" * 56


def test_a_thousand_sessions_ask_and_frames_go_on() -> None:
    with (
        NetworksDaemon(LAN) as daemon,
        VdeClient(daemon.socket("lan")) as a,
        VdeClient(daemon.socket("lan")) as b,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(daemon.client()) for _ in range(1000)]
        for number, client in enumerate(clients):
            client.send("port.list")
            a.send(frame(number))
            assert b.recv(2.0) == frame(number)
        for client in clients:
            assert len(client.line()["result"]["ports"]) == 2


def test_depth_bombs_and_long_lines_are_answered() -> None:
    bombs = [
        b"[" * 60000,
        b'{"a":' * 12000,
        b'{"jsonrpc":"2.0","id":1,"method":"port.list","params":{"network":' + b"[" * 50000,
        b"x" * (1 << 20),
        b'{"jsonrpc":"2.0","id":1,"method":"' + b"m" * (1 << 20) + b'"}',
        b"\0\xff\xfe" * 1000,
    ]
    with NetworksDaemon(LAN) as daemon:
        before = resident_kib_of(daemon.pid)
        with daemon.client() as client:
            for bomb in bombs * 5:
                client.socket.sendall(bomb + b"\n")
                assert client.line()["error"]["code"] == -32700
            assert client.call("network.list")["networks"]
        assert resident_kib_of(daemon.pid) < before + 32768


def test_a_line_without_end_is_not_kept() -> None:
    with NetworksDaemon(LAN) as daemon:
        before = resident_kib_of(daemon.pid)
        with daemon.client() as client:
            for _ in range(64):
                client.socket.sendall(b"y" * (1 << 20))
            client.socket.sendall(b"\n")
            assert client.line()["error"]["code"] == -32700
        assert resident_kib_of(daemon.pid) < before + 16384


def test_who_does_not_read_gets_no_more_memory() -> None:
    with NetworksDaemon(LAN) as daemon:
        before = resident_kib_of(daemon.pid)
        with daemon.client() as deaf:
            deaf.socket.setblocking(False)
            request = b'{"jsonrpc":"2.0","id":1,"method":"network.show","params":{"network":"lan"}}\n'
            sent = 0
            deadline = time.monotonic() + 3
            while sent < 50000 and time.monotonic() < deadline:
                try:
                    sent += deaf.socket.send(request * 10) // len(request)
                except BlockingIOError:
                    time.sleep(0.01)
            assert daemon.rpc("network.list")["networks"]
        assert resident_kib_of(daemon.pid) < before + 32768


def test_many_who_connect_and_leave() -> None:
    with NetworksDaemon(LAN) as daemon:
        for _ in range(2000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
                raw.connect(str(daemon.control))
                raw.sendall(b'{"jsonrpc":"2.0","id":1,"method":"port.list"}\n')
        assert daemon.rpc("network.list")["networks"]

        def few() -> bool:
            descriptors = list(Path(f"/proc/{daemon.pid}/fd").iterdir())
            return len(descriptors) < 40

        wait_until("their descriptors are closed", few)


def test_a_long_table_holds_up_no_frame() -> None:
    with (
        NetworksDaemon(LAN + "guard = { max_macs = 0, broadcast_pps = 0 }\n") as daemon,
        VdeClient(daemon.socket("lan")) as a,
        VdeClient(daemon.socket("lan")) as b,
        daemon.client() as admin,
    ):
        for number in range(65000):
            source = b"\x02\x01" + number.to_bytes(4, "big")
            a.send(b"\xff" * 6 + source + b"\x88\xb6" + b"y" * 46)
            if number % 64 == 0:
                b.drain()
        b.drain(0.2)
        number = admin.send("fdb.list")
        delays = []
        for index in range(300):
            begin = time.monotonic()
            b.send(frame(index))
            assert a.recv(2.0) == frame(index)
            delays.append(time.monotonic() - begin)
        answer = admin.line()
        assert answer["id"] == number
        assert len(answer["result"]["entries"]) >= 60000
        delays.sort()
        print(f"median {delays[150] * 1e6:.0f} us, longest {delays[-1] * 1e6:.0f} us")


def test_an_answer_is_one_line_of_json_whatever_clients_call_themselves() -> None:
    with (
        NetworksDaemon(LAN) as daemon,
        VdeClient(daemon.socket("lan"), description=b'evil"\n{}\x1b[2J\xff'),
        RpcClient(daemon.control) as client,
    ):
        label = client.call("port.list")["ports"][0]["label"]
        assert "\n" not in label
        assert "\x1b" not in label
        json.dumps(label)
