# SPDX-License-Identifier: MIT
"""The handshake kept and broken in every way: served or ended, never silence, nothing left."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from frames import BROADCAST, broadcast, frame, mac, mac_text
from port_table import assert_nothing_left, endpoints, ports
from switch_process import Switch
from vde_client import (
    ANY_PORT,
    MAGIC,
    PORT_ZERO,
    Refused,
    VdeClient,
    address_for_abstract,
    connect_stream,
    outcome_of,
    read_reply,
    request_v1,
    request_v3,
    socket_address,
)
from vde_requests import data_socket, others_are_not_delayed
from waiting import wait_until

Start = Callable[..., Switch]
NOBODY = 65534


# -- requests that are served --------------------------------------------------------------------


def test_reply_is_a_socket_address_in_the_directory(switch: Switch) -> None:
    client = switch.client()
    assert len(client.reply) == 110
    assert struct.unpack_from("=H", client.reply)[0] == socket.AF_UNIX
    path = Path(client.switch_path)
    assert path.parent == switch.ctl_dir
    assert re.fullmatch(r"001\.\d+", path.name)
    assert client.reply[2 + len(str(path)) :].strip(b"\0") == b""
    assert stat.S_ISSOCK(path.stat().st_mode)


@pytest.mark.parametrize(
    "how, port",
    [
        ({}, 1),
        ({"port": 5}, 5),
        ({"port": 31}, 31),
        ({"kind": PORT_ZERO}, 0),
        ({"kind": PORT_ZERO, "port": 5}, 0),
        ({"port": 0x800000}, 0),
        ({"port": 0xFFFFFF}, 0),
        ({"version": 1}, 1),
        ({"version": 1, "kind": PORT_ZERO}, 0),
        ({"abstract": True}, 1),
        ({"abstract": True, "version": 1}, 1),
        ({"abstract": True, "connected": False}, 1),
        ({"description": b"\0\0"}, 1),
        ({"description": b"alice user=root PID=1"}, 1),
        ({"keep_path": True}, 1),
    ],
    ids=str,
)
def test_served(switch: Switch, how: dict[str, object], port: int) -> None:
    client = switch.client(**how)
    peer = switch.client(port=20)
    assert client.port == port
    for sender, receiver, source in ((client, peer, 1), (peer, client, 2)):
        sender.send(broadcast(mac(source)))
        assert receiver.recv() == broadcast(mac(source))


def test_any_port_is_the_lowest_free_one(switch: Switch) -> None:
    clients = [switch.client() for _ in range(4)]
    assert [client.port for client in clients] == [1, 2, 3, 4]
    clients[1].close()
    console = switch.console()
    wait_until("port 2 free", lambda: ports(console) == [1, 3, 4])
    assert switch.client().port == 2


def test_several_endpoints_on_a_port_all_hear_but_not_each_other(switch: Switch) -> None:
    siblings = [switch.client(port=5, description=f"s{number}") for number in range(40)]
    other = switch.client(port=6)
    console = switch.console()
    assert endpoints(console)[:3] == ["s39", "s38", "s37"]  # the newest is listed first
    siblings[0].send(broadcast(mac(1)))
    assert other.recv() == broadcast(mac(1))
    assert [sibling.recv(0) for sibling in siblings] == [None] * 40
    other.send(broadcast(mac(2)))
    assert [sibling.recv() for sibling in siblings] == [broadcast(mac(2))] * 40
    for sibling in siblings[:-1]:
        sibling.close()
    wait_until("one endpoint left on port 5", lambda: "s38" not in endpoints(console))
    wait_until("only the last", lambda: [name for name in endpoints(console) if name] == ["s39"])
    other.send(broadcast(mac(2)))
    assert siblings[-1].recv() == broadcast(mac(2))


def test_only_the_switch_can_send_to_a_plugged_client(switch: Switch) -> None:
    client = switch.client()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger, pytest.raises(
        PermissionError
    ):
        stranger.sendto(broadcast(mac(9)), client.switch_path)


@pytest.mark.ours
@pytest.mark.parametrize("cut", [1, 3, 4, 8, 12, 13, 14, 60, 121])
def test_a_request_in_two_writes_is_served(switch: Switch, cut: int) -> None:
    path = switch.ctl_dir / "mine"
    with data_socket(path), contextlib.closing(connect_stream(switch.ctl_dir / "ctl")) as stream:
        request = request_v3(os.fsencode(path), port=4)
        stream.sendall(request[:cut])
        time.sleep(0.02)  # long enough for two reads on the other side; too short changes nothing
        stream.sendall(request[cut:])
        assert b"/004." in read_reply(stream)


@pytest.mark.ours
def test_a_request_byte_by_byte_is_served_and_delays_nobody(switch: Switch) -> None:
    path = switch.ctl_dir / "mine"
    with data_socket(path), contextlib.closing(
        connect_stream(switch.ctl_dir / "ctl")
    ) as stream, others_are_not_delayed(switch):
        for byte in request_v3(os.fsencode(path), port=9):
            stream.sendall(bytes([byte]))
            time.sleep(0.002)
        assert b"/009." in read_reply(stream)


# -- requests that are refused -------------------------------------------------------------------

OWN = b"/tmp/own"  # never used: these requests fail before
BAD_REQUESTS = {
    "no magic": (b"\0" * 122, "V0 request not supported"),
    "version 0 of old: type first": (
        struct.pack("=I", 0) + socket_address(OWN),
        "V0 request not supported",
    ),
    "wrong magic": (request_v3(OWN, magic=0xFEEDFACD), "V0 request not supported"),
    "swapped magic": (request_v3(OWN, magic=0xCEFAEDFE), "V0 request not supported"),
    "version 2": (request_v3(OWN, version=2), "Request for a version 2 port"),
    "version 4": (request_v3(OWN, version=4), "Request for a version 4 port"),
    "version 0xffffffff": (request_v3(OWN, version=0xFFFFFFFF), "Request for a version"),
    "version 0x80000000": (request_v3(OWN, version=0x80000000), "Request for a version"),
    "type 2": (request_v3(OWN, kind=2), "Bad request type : 2"),
    "type 7": (request_v3(OWN, kind=7), "Bad request type : 7"),
    "type 255": (request_v3(OWN, kind=255), "Bad request type : 255"),
    "zero path": (request_v3(b""), ""),
    "absent path": (request_v3(b"/nonexistent/socket"), ""),
    "a directory": (request_v3(b"/tmp"), ""),
    "a file": (request_v3(b"/etc/passwd"), ""),
    "a device": (request_v3(b"/dev/null"), ""),
    "absent abstract name": (request_v3(address_for_abstract(b"lyd-nobody")), ""),
    "path without end": (request_v3(b"/" + b"x" * 107), ""),
    "path of slashes": (request_v3(b"/" * 108), ""),
    "control characters": (request_v3(b"/tmp/\n\x1b[31m%n%s"), ""),
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 200, "V0 request not supported"),
    "zeros": (b"\0" * 65536, "V0 request not supported"),
    "random": (
        bytes((number * 167 + 13) % 256 for number in range(4096)),
        "V0 request not supported",
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_is_ended_logged_and_leaves_nothing(switch: Switch, name: str) -> None:
    request, message = BAD_REQUESTS[name]
    console = switch.console()
    before = switch.descriptors()
    assert outcome_of(switch.ctl_dir / "ctl", request) == "closed"
    assert_nothing_left(switch, console, before)
    switch.wait_log(message)
    assert all(32 <= ord(letter) < 127 or letter == "\n" for letter in switch.log_text())
    assert switch.client().port == 1


@pytest.mark.ours
def test_a_request_of_1_to_121_bytes_ends_within_5_seconds_and_delays_nobody(
    switch: Switch,
) -> None:
    console = switch.console()
    before = switch.descriptors()
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(connect_stream(switch.ctl_dir / "ctl")) for _ in range(121)]
        start = time.monotonic()
        with others_are_not_delayed(switch):
            for length, stream in enumerate(streams, 1):
                stream.sendall(request_v3(b"/nonexistent")[:length])
        for stream in streams:
            with pytest.raises(Refused):
                read_reply(stream, timeout=5.0 - (time.monotonic() - start))
        wait_until("descriptors back", lambda: switch.descriptors() <= before + 4)
        assert len(ports(console)) == 2


@pytest.mark.parametrize("length", [0, 1, 4, 8, 12, 60, 121])
def test_a_short_request_with_an_end_is_ended_at_once(switch: Switch, length: int) -> None:
    with connect_stream(switch.ctl_dir / "ctl") as stream:
        stream.sendall(request_v3(b"/nonexistent")[:length])
        stream.shutdown(socket.SHUT_WR)
        with pytest.raises(Refused):
            read_reply(stream, timeout=1.0)
    assert ports(switch.console()) == []


@pytest.mark.ours
def test_refused_ports_get_an_end_of_stream_within_a_second(start_switch: Start) -> None:
    switch = start_switch("-n", "4")
    console = switch.console()
    before = switch.descriptors()
    for port in (5, 99, 0x7FFFFF):
        with pytest.raises(Refused):
            VdeClient(switch.ctl_dir, port=port, timeout=1.0)
    clients = [VdeClient(switch.ctl_dir) for _ in range(4)]
    for _ in range(10):
        with pytest.raises(Refused):
            VdeClient(switch.ctl_dir, timeout=1.0)
    for client in clients:
        client.close()
    assert_nothing_left(switch, console, before)


def test_a_stream_socket_or_a_foreign_kind_of_socket_is_refused(switch: Switch) -> None:
    console = switch.console()
    before = switch.descriptors()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(switch.ctl_dir / "stream"))
        listener.listen()
        for path in (switch.ctl_dir / "stream", switch.ctl_dir / "ctl", switch.mgmt_path):
            assert outcome_of(switch.ctl_dir / "ctl", request_v3(os.fsencode(path))) == "closed"
    assert_nothing_left(switch, console, before)


@pytest.mark.ours
def test_the_log_of_bad_requests_is_limited(switch: Switch) -> None:
    for _ in range(400):
        assert outcome_of(switch.ctl_dir / "ctl", b"\0" * 122) == "closed"
    assert 1 <= switch.log_text().count("\n") < 100


# -- after the handshake -------------------------------------------------------------------------


@pytest.mark.ours
@pytest.mark.parametrize(
    "junk",
    [b"x", b"\0" * 110, b"hello\n" * 1000, b"\xff" * 50_000, b"\xff" * 1_000_000],
    ids=["a byte", "zeros", "text", "50 kilobytes", "a megabyte"],
)
def test_input_after_the_handshake_is_discarded(switch: Switch, junk: bytes) -> None:
    console = switch.console()
    before = switch.descriptors()
    with VdeClient(switch.ctl_dir) as client, VdeClient(switch.ctl_dir) as peer:
        assert client.ctl
        client.ctl.settimeout(0.2)
        with contextlib.suppress(TimeoutError) if len(junk) > 100_000 else contextlib.nullcontext():
            client.ctl.sendall(junk)  # so much may be left in the socket
        peer.send(broadcast(mac(2)))
        assert client.recv() is not None
        assert ports(console) == [1, 2]
        assert switch.cpu_share(0.1) < 0.2
    assert_nothing_left(switch, console, before)


@pytest.mark.ours
def test_a_second_request_leaves_one_endpoint_and_no_ghost(switch: Switch) -> None:
    console = switch.console()
    before = switch.descriptors()
    with VdeClient(switch.ctl_dir) as client, data_socket(switch.ctl_dir / "second"):
        assert client.ctl
        client.ctl.sendall(request_v3(os.fsencode(switch.ctl_dir / "second")))
        with VdeClient(switch.ctl_dir) as peer:
            peer.send(broadcast(mac(2)))
            assert client.recv() is not None
            assert peer.port == 2
        assert len(endpoints(console)) <= 2
    assert_nothing_left(switch, console, before)


@pytest.mark.ours
def test_two_requests_in_one_write_leave_no_ghost(switch: Switch) -> None:
    console = switch.console()
    before = switch.descriptors()
    path = switch.ctl_dir / "mine"
    with data_socket(path), connect_stream(switch.ctl_dir / "ctl") as stream:
        stream.sendall(request_v3(os.fsencode(path)) * 2)
        assert b"/001." in read_reply(stream)
        assert ports(console) == [1]
    assert_nothing_left(switch, console, before)


@pytest.mark.ours
def test_unplugging_frees_port_name_and_addresses(switch: Switch) -> None:
    client, peer = switch.client(), switch.client()
    console = switch.console()
    client.send(broadcast(mac(1)))
    assert peer.recv() is not None
    assert console.run(f"hash/find {mac_text(mac(1))}").ok
    assert Path(client.switch_path).exists()
    client.unplug()
    wait_until("port 1 inactive", lambda: ports(console) == [2])
    assert console.code(f"hash/find {mac_text(mac(1))}") == 1019
    assert not Path(client.switch_path).exists()
    with pytest.raises(OSError):
        client.send(broadcast(mac(1)))


def test_epclose_ends_the_clients_stream(switch: Switch) -> None:
    client = switch.client()
    console = switch.console()
    number = int(console.check("port/print 1")[4].split()[3])
    console.check(f"port/epclose 1 {number}")
    assert client.ctl_closed(timeout=2.0)
    assert ports(console) == []


@pytest.mark.ours
def test_a_dead_data_socket_is_logged_once_and_disturbs_nobody(switch: Switch) -> None:
    dead, one, two = switch.client(), switch.client(), switch.client()
    dead.data.close()
    for number in range(200):
        one.send(broadcast(mac(1), struct.pack("!I", number)))
        assert two.recv() == broadcast(mac(1), struct.pack("!I", number))
    assert switch.log_text().count("\n") <= 2


def test_frames_sent_before_the_client_reads_the_reply_are_not_lost(switch: Switch) -> None:
    """The switch connects before it answers, so a flood right after that reaches the client."""
    peer = switch.client()
    path = switch.ctl_dir / "mine"
    with data_socket(path) as data, connect_stream(switch.ctl_dir / "ctl") as stream:
        stream.sendall(request_v3(os.fsencode(path)))
        wait_until("plugged", lambda: ports(switch.console()) == [1, 2])
        path.unlink()
        peer.send(broadcast(mac(1)))
        read_reply(stream)
        data.settimeout(2.0)
        assert data.recv(2000) == broadcast(mac(1))


# -- many ----------------------------------------------------------------------------------------


@pytest.mark.ours
def test_a_thousand_plugs_and_unplugs_leave_no_port_and_no_descriptor(switch: Switch) -> None:
    console = switch.console()
    before = switch.descriptors()
    for number in range(1000):
        VdeClient(switch.ctl_dir, description=f"cycle {number}").close()
    assert_nothing_left(switch, console, before)
    assert sorted(path.name for path in switch.ctl_dir.iterdir()) == ["ctl"]


@pytest.mark.ours
def test_clients_that_leave_before_the_reply_leave_nothing(switch: Switch) -> None:
    console = switch.console()
    before = switch.descriptors()
    path = switch.ctl_dir / "mine"
    with data_socket(path):
        for _ in range(300):
            with connect_stream(switch.ctl_dir / "ctl") as stream:
                stream.sendall(request_v3(os.fsencode(path), description=b"gone"))
        assert_nothing_left(switch, console, before)
    assert sorted(path.name for path in switch.ctl_dir.iterdir()) == ["ctl", "mine"]


@pytest.mark.ours
def test_a_thousand_silent_connections_delay_nobody_and_end(switch: Switch) -> None:
    console = switch.console()
    before = switch.descriptors()
    with contextlib.ExitStack() as stack:
        with others_are_not_delayed(switch):
            streams = [
                stack.enter_context(connect_stream(switch.ctl_dir / "ctl")) for _ in range(1000)
            ]
            start = time.monotonic()
        for stream in streams:
            with pytest.raises(Refused):
                read_reply(stream, timeout=max(6.0 - (time.monotonic() - start), 0.001))
        wait_until("descriptors back", lambda: switch.descriptors() <= before + 4)
        assert len(ports(console)) == 2


@pytest.mark.ours
def test_silent_connections_that_close_leave_nothing(switch: Switch) -> None:
    console = switch.console()
    before = switch.descriptors()
    for _ in range(300):
        connect_stream(switch.ctl_dir / "ctl").close()
    assert_nothing_left(switch, console, before)


def test_frames_between_clients_of_every_kind(switch: Switch) -> None:
    clients = [
        switch.client(),
        switch.client(version=1),
        switch.client(abstract=True),
        switch.client(abstract=True, connected=False),
        switch.client(kind=PORT_ZERO),
    ]
    for number, sender in enumerate(clients):
        sender.send(frame(BROADCAST, mac(number), b"to all"))
        for receiver in clients:
            if receiver is not sender:
                assert receiver.recv() == frame(BROADCAST, mac(number), b"to all")


def test_constants_are_those_on_the_wire() -> None:
    request = request_v3(b"/x", port=5)
    assert request[:14] == bytes.fromhex("cefaedfe 03000000 00050000 0100")
    assert len(request) == 122
    assert len(request_v1(b"/x", ANY_PORT)) == 124
    assert struct.pack("=I", MAGIC) == request[:4]
