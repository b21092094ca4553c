# SPDX-License-Identifier: MIT
"""Who a client is, where its socket is, what it says of itself, and which port it so gets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from frames import broadcast, mac
from port_table import assert_nothing_left, endpoints, ports
from switch_process import Switch, run_switch
from terminal_text import is_harmless
from vde_client import (
    PATH_SIZE,
    NoAnswer,
    Refused,
    VdeClient,
    as_user,
    outcome_of,
    request_v3,
    socket_address,
)
from vde_requests import data_socket
from waiting import wait_until

Start = Callable[..., Switch]
NOBODY = 65534


# -- the client's own address --------------------------------------------------------------------


def bind_exactly(sock: socket.socket, path: bytes) -> None:
    """bind() with all 108 bytes of the path and no NUL, which Python does not do."""
    address = socket_address(path)
    if ctypes.CDLL(None, use_errno=True).bind(sock.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "bind")


@pytest.mark.ours
@pytest.mark.parametrize("length", [106, 107, 108])
def test_a_path_of_up_to_108_bytes_is_served_or_ended(switch: Switch, length: int) -> None:
    folder = os.fsencode(switch.ctl_dir) + b"/"
    path = folder + b"p" * (length - len(folder))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as data:
        bind_exactly(data, path)
        outcome = outcome_of(switch.ctl_dir / "ctl", request_v3(path))
    assert outcome == "reply" if length < PATH_SIZE else outcome in ("reply", "closed")
    console = switch.console()
    wait_until("no port left", lambda: ports(console) == [])


@pytest.mark.ours
def test_a_relative_path_is_served_or_ended(switch: Switch) -> None:
    with data_socket(switch.directory / "mine"):
        assert outcome_of(switch.ctl_dir / "ctl", request_v3(b"mine")) in ("reply", "closed")
    console = switch.console()
    wait_until("no port left", lambda: ports(console) == [])


def test_a_symbolic_link_to_the_own_socket_is_served_or_ended(switch: Switch) -> None:
    (switch.ctl_dir / "link").symlink_to(switch.ctl_dir / "mine")
    (switch.ctl_dir / "loop").symlink_to(switch.ctl_dir / "loop")
    with data_socket(switch.ctl_dir / "mine"):
        path = os.fsencode(switch.ctl_dir / "link")
        assert outcome_of(switch.ctl_dir / "ctl", request_v3(path)) in ("reply", "closed")
    path = os.fsencode(switch.ctl_dir / "loop")
    assert outcome_of(switch.ctl_dir / "ctl", request_v3(path)) == "closed"


@pytest.mark.ours
def test_the_switchs_own_sockets_are_no_clients(switch: Switch) -> None:
    """A client that names the switch's socket for another client must not make a loop."""
    victim = switch.client()
    assert (
        outcome_of(switch.ctl_dir / "ctl", request_v3(os.fsencode(victim.switch_path))) == "closed"
    )
    victim.send(broadcast(mac(1)))
    assert switch.client().recv(0.05) is None


@pytest.mark.ours
@pytest.mark.root
@pytest.mark.parametrize("by_link", [False, True], ids=["directly", "by symbolic link"])
def test_nobody_is_served_at_a_socket_of_root(start_switch: Start, by_link: bool) -> None:
    switch = start_switch("-m", "666")
    with data_socket(switch.ctl_dir / "roots") as secret:
        os.chmod(switch.ctl_dir / "roots", 0o600)
        named = switch.ctl_dir / "roots"
        with as_user(NOBODY):
            if by_link:
                named = switch.ctl_dir / "link"
                named.symlink_to(switch.ctl_dir / "roots")
            assert outcome_of(switch.ctl_dir / "ctl", request_v3(os.fsencode(named))) == "closed"
        switch.client().send(broadcast(mac(1)))
        secret.settimeout(0.05)
        with pytest.raises(TimeoutError):
            secret.recv(2000)


@pytest.mark.ours
@pytest.mark.root
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_identity_is_who_connects_not_what_the_request_names(
    start_switch: Start, abstract: bool
) -> None:
    switch = start_switch("-m", "666")
    console = switch.console()
    console.check("port/create 7")
    console.check("port/setuser 7 root")
    console.check("port/create 8")
    console.check("port/setuser 8 nobody")
    with as_user(NOBODY):
        with pytest.raises(Refused):
            VdeClient(switch.ctl_dir, port=7, abstract=abstract, timeout=1.0)
        switch.client(port=8, abstract=abstract)
        switch.client(port=9, abstract=abstract)
    assert " Current User: nobody " in console.check("port/print 9")[1]
    with pytest.raises(Refused):  # root may use the port, but not share it with another user
        VdeClient(switch.ctl_dir, port=9, abstract=abstract, timeout=1.0)
    assert switch.client(port=7).port == 7


@pytest.mark.root
@pytest.mark.parametrize(
    "user, group, allowed",
    [
        ("NONE", "NONE", {"root", "nobody", "stranger"}),
        ("root", "NONE", {"root"}),
        ("nobody", "NONE", {"root", "nobody"}),
        ("12345", "NONE", {"root", "stranger"}),
        ("NONE", "nogroup", {"root", "nobody"}),  # nogroup is nobody's primary group
        ("12345", "nogroup", {"root", "nobody", "stranger"}),
        ("root", "root", {"root"}),
    ],
    ids=str,
)
def test_who_may_use_a_port(start_switch: Start, user: str, group: str, allowed: set[str]) -> None:
    switch = start_switch("-m", "666")
    console = switch.console()
    console.check("port/create 7")
    console.check(f"port/setuser 7 {user}")
    console.check(f"port/setgroup 7 {group}")
    served = set()
    for name, uid in (("root", 0), ("nobody", NOBODY), ("stranger", 12345)):
        with as_user(uid) if uid else contextlib.nullcontext(), contextlib.suppress(
            Refused, NoAnswer
        ):
            VdeClient(switch.ctl_dir, port=7, timeout=0.3).close()
            served.add(name)
        wait_until("port 7 free", lambda: console.code("port/print 7") == 1006)
    assert served == allowed


@pytest.mark.ours
@pytest.mark.root
def test_the_group_that_the_kernel_names_counts_without_an_entry_in_the_users_file(
    start_switch: Start,
) -> None:
    switch = start_switch("-m", "666")
    console = switch.console()
    console.check("port/create 7")
    console.check("port/setgroup 7 nogroup")
    with as_user(12345, NOBODY):
        assert switch.client(port=7).port == 7


# -- descriptions --------------------------------------------------------------------------------


@pytest.mark.ours
@pytest.mark.parametrize(
    "description",
    [
        b"line\nPort 0031 untagged_vlan=0000 ACTIVE - Unnamed Allocatable",
        b".\n1000 Success\n\nvde$ ",
        b"\r\t\x07\x7f",
        b"\x1b]0;title\x07\x1b[2J",
        b"%n%s%d%1000000d",
        b"\xff\xfe\x80",
        b"\xc2\x9b31m",
        bytes(range(1, 128)),
        "\u202egnp.exe".encode(),
        "\u2028line".encode(),
        b"\xed\xa0\x80",
        b"\xc0\x8a",
        b"\xf5\x80\x80\x80",
    ],
    ids=repr,
)
def test_a_description_is_printed_on_one_line_without_control_characters(
    switch: Switch, description: bytes
) -> None:
    console = switch.console()
    console.check("debug/add port/descr")
    switch.client(description=description)
    lines = console.check("port/print")
    assert len(lines) == 5
    text = lines[4].split(": ", 1)[1]
    assert text
    assert is_harmless("".join(lines))
    (event,) = console.wait_events(1)
    assert is_harmless(event)


def test_a_plain_description_is_printed_as_it_is(switch: Switch) -> None:
    switch.client(description='QEMU user=root pid=1 (a: b) %d "x" \\n ~')
    assert endpoints(switch.console()) == ['QEMU user=root pid=1 (a: b) %d "x" \\n ~']


def test_a_description_ends_at_a_nul(switch: Switch) -> None:
    switch.client(description=b"alice\0bob")
    assert endpoints(switch.console()) == ["alice"]


@pytest.mark.ours
@pytest.mark.parametrize("length", [127, 128, 133, 134, 135, 256, 378, 379, 1000, 60_000])
def test_a_description_of_any_length_leaves_no_ghost(switch: Switch, length: int) -> None:
    console = switch.console()
    before = switch.descriptors()
    client = VdeClient(switch.ctl_dir, description=b"d" * length)
    peer = VdeClient(switch.ctl_dir)
    peer.send(broadcast(mac(2)))
    assert client.recv() is not None
    shown = endpoints(console)[0]
    assert len(shown) >= min(length, 134)
    assert set(shown) == {"d"}
    client.close()
    peer.close()
    assert_nothing_left(switch, console, before)


# -- groups of ports -----------------------------------------------------------------------------


@pytest.mark.ours
def test_a_port_group_gives_its_first_free_port(start_switch: Start) -> None:
    switch = start_switch("--portgroup", "lab=10-12", "--portgroup", "dmz=20-20")
    assert stat.S_ISSOCK((switch.ctl_dir / "lab").stat().st_mode)
    clients = [switch.client(ctl_name="lab") for _ in range(3)]
    assert [client.port for client in clients] == [10, 11, 12]
    with pytest.raises(Refused):
        VdeClient(switch.ctl_dir, ctl_name="lab", timeout=1.0)
    assert switch.client(ctl_name="dmz").port == 20
    assert switch.client().port == 1
    clients[0].send(broadcast(mac(1)))
    assert clients[2].recv() == broadcast(mac(1))
    console = switch.console()
    clients[1].close()
    wait_until("port 11 free", lambda: 11 not in ports(console))
    assert switch.client(ctl_name="lab").port == 11
    switch.stop()
    assert not switch.ctl_dir.exists()


@pytest.mark.ours
@pytest.mark.parametrize(
    "value",
    [
        "5=1-2",
        "123=1-2",
        "ctl=1-2",
        "a/b=1-2",
        "=1-2",
        "x",
        "x=",
        "x=2-1",
        "x=a-b",
        "x=0-99999999999",
        "..=1-2",
        ".=1-2",
    ],
)
def test_a_port_group_without_sense_is_refused(directory: Path, value: str) -> None:
    done = run_switch("-s", str(directory / "ctl"), "--portgroup", value, cwd=directory)
    assert done.returncode == 1
    assert value in done.stderr or value.split("=")[0] in done.stderr
    assert not (directory / "ctl").exists()


@pytest.mark.ours
def test_port_group_sockets_have_the_modes_of_ctl_and_stale_ones_are_replaced(
    start_switch: Start, directory: Path
) -> None:
    first = start_switch("--portgroup", "lab=10-12", "-m", "660", directory=directory)
    assert stat.S_IMODE((first.ctl_dir / "lab").stat().st_mode) == 0o660
    first.stop(signal.SIGKILL)
    second = start_switch("--portgroup", "lab=10-12", directory=directory)
    assert second.client(ctl_name="lab").port == 10
