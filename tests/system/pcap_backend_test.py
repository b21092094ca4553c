# SPDX-License-Identifier: MIT
"""The wire of an interface through libpcap, and capture files that play and that record."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cables import ALICE, BOB, crosses
from client_process import need_programs, plugged, wait_plugged
from faults import Faults
from frames import broadcast, frame, tag
from netns import NetNamespace
from pcap_file import records
from port_table import counters, drops, ports
from switch_process import Switch
from waiting import wait_until

pytestmark = pytest.mark.ours


# --- interfaces ----------------------------------------------------------------------------------


@pytest.fixture
def wire(namespace: NetNamespace) -> Iterator[NetNamespace]:
    """A namespace with a veth: the switch gets one end, the test talks at the other."""
    namespace.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
    for name in ("near", "far"):
        namespace.ip("link", "set", name, "up")
    yield namespace


def on_wire(namespace: NetNamespace, start_switch: Callable[..., Switch], *more: str) -> Switch:
    switch = start_switch("--plug", "pcap://near", *more, netns=namespace.name)
    wait_plugged(switch, "near")
    return switch


@pytest.mark.root
def test_frames_pass_between_the_wire_and_the_switch(
    wire: NetNamespace, start_switch: Callable[..., Switch]
) -> None:
    switch = on_wire(wire, start_switch)
    with wire.packet_socket("far") as far, switch.client() as alice:
        far.settimeout(5)
        for size in (60, 590, 1514):
            there = frame(BOB, ALICE, os.urandom(size - 14), size=size)
            alice.send(there)
            assert far.recv(65536) == there
            back = frame(ALICE, BOB, os.urandom(size - 14), size=size)
            far.send(back)
            assert alice.recv() == back
        # What the switch has sent on the wire does not come back from it.
        assert alice.recv(0.1) is None
        with switch.console() as console:
            alice.send(frame(BOB, ALICE, size=1600))
            wait_until("it is too long for the wire",
                       lambda: drops(console, 1).get("exceeds_receiver") == 1)


@pytest.mark.root
def test_tags_pass_as_they_are(wire: NetNamespace, start_switch: Callable[..., Switch]) -> None:
    switch = on_wire(wire, start_switch, "--pass-tags")
    with wire.packet_socket("far") as far, switch.client() as alice:
        far.settimeout(5)
        tagged = frame(ALICE, BOB, b"hello", tags=tag(7, 3))
        far.send(tagged)
        assert alice.recv() == tagged
        there = frame(BOB, ALICE, b"hello", tags=tag(7, 3))
        alice.send(there)
        with switch.console() as console:
            wait_until("it is sent", lambda: counters(console, 1)["out"] == 1)
            assert counters(console, 1)["out_bytes"] == 64


@pytest.mark.root
def test_an_interface_may_go_and_come_back(
    wire: NetNamespace, start_switch: Callable[..., Switch]
) -> None:
    switch = on_wire(wire, start_switch)
    wire.ip("link", "del", "near")
    switch.wait_log("it will be plugged in as soon as it can be")
    with switch.console() as console:
        wait_until("the port is empty", lambda: 1 not in ports(console))
    wire.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
    for name in ("near", "far"):
        wire.ip("link", "set", name, "up")
    switch.wait_log("port 1: plugged into near", timeout=20)
    with wire.packet_socket("far") as far, switch.client() as alice:
        def passes() -> bool:
            far.send(frame(ALICE, BOB, b"hello"))
            return alice.recv(0.2) is not None

        wait_until("a frame comes from the new wire", passes)


def test_an_interface_that_is_not_there_is_waited_for(start_switch: Callable[..., Switch]) -> None:
    switch = start_switch("--plug", "pcap://ly-none?port=3")
    switch.wait_log("ly-none: there is no such interface" if os.geteuid() == 0 else "ly-none")
    with switch.console() as console:
        assert console.code("port/plug pcap://") == 1022
        assert console.code("port/plug pcap://a?colour=red") == 1022


# --- files ---------------------------------------------------------------------------------------


def write_pcap(path: Path, frames: list[tuple[float, bytes]]) -> None:
    """A classic pcap file with microseconds."""
    with path.open("wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, data in frames:
            file.write(struct.pack("=IIII", int(at), round(at % 1 * 1e6), len(data), len(data)) + data)


def read_with_tshark(path: Path) -> list[bytes]:
    done = subprocess.run(["tshark", "-r", path, "-T", "json", "-x", "-j", "frame_raw"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [bytes.fromhex(packet["_source"]["layers"]["frame_raw"][0])
            for packet in json.loads(done.stdout or "[]")]


def talk(switch: Switch, count: int) -> list[bytes]:
    sent = [broadcast(ALICE, f"frame {number}".encode()) for number in range(count)]
    with switch.client() as alice:
        for data in sent:
            alice.send(data)
        with switch.console() as console:
            number = alice.port
            wait_until("all are in", lambda: counters(console, number)["in"] == count)
    return sent


def test_a_record_is_a_capture_file(switch: Switch, tmp_path: Path) -> None:
    need_programs("tshark")
    file = tmp_path / "lab.pcap"
    with switch.console() as console:
        console.check(f"port/plug record://{file}?port=9")
        wait_plugged(switch, str(file))
        sent = talk(switch, 100)
        wait_until("it is written", lambda: file.stat().st_size == 24 + 100 * (16 + 60))
        assert read_with_tshark(file) == sent
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # A link is not followed to somewhere else.
        (tmp_path / "link").symlink_to(tmp_path / "victim")
        console.check(f"port/plug record://{tmp_path}/link")
        switch.wait_log("Too many levels of symbolic links")
        assert not (tmp_path / "victim").exists()


def test_a_record_has_a_limit(switch: Switch, tmp_path: Path) -> None:
    file = tmp_path / "lab.pcap"
    with switch.console() as console:
        console.check(f"port/plug record://{file}?limit=1000")
    wait_plugged(switch, str(file))
    talk(switch, 50)
    wait_until("it is unplugged", lambda: not plugged(switch))
    assert 1000 <= file.stat().st_size < 1100


# Before the switch, and why the file cannot grow.
TMPFS = 'mount -t tmpfs -o size=32k tmpfs "$0" && exec "$@"'
FULL = [
    pytest.param(("unshare", "-m", "sh", "-c", TMPFS), "No space left on device", marks=pytest.mark.root, id="disk"),
    pytest.param(("prlimit", "--fsize=20000"), "File too large", id="limit"),
]


@pytest.mark.parametrize("prefix, why", FULL)
def test_a_record_that_cannot_grow_keeps_whole_frames_and_says_what_is_lost(
    start_switch: Callable[..., Switch], tmp_path: Path, prefix: tuple[str, ...], why: str
) -> None:
    need_programs(prefix[0])
    on_disk = prefix[-1] == TMPFS
    switch = start_switch(prefix=(*prefix, str(tmp_path)) if on_disk else prefix)
    file = tmp_path / "lab.pcap"
    with switch.console() as console, switch.client() as alice, switch.client() as bob:
        console.check(f"port/plug record://{file}?port=9")
        wait_plugged(switch, str(file))
        sent = 0
        while str(file) in str(plugged(switch)):
            for _ in range(20):
                alice.send(broadcast(ALICE, bytes(500)))
                bob.recv()
            sent += 20
        switch.wait_log("that came after them are lost")
        assert crosses(alice, bob, ALICE)
    told = re.search(rf"{file}: {why}; the file ends after (\d+) frames, (\d+) that came", switch.log_text())
    assert told, switch.log_text()
    frames, lost = map(int, told.groups())
    seen = Path(f"/proc/{switch.pid}/root{file}") if on_disk else file
    assert records(seen) == [broadcast(ALICE, bytes(500))] * frames
    assert 0 < frames < frames + lost <= sent


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
def test_a_record_on_a_disk_that_fails_ends_with_its_last_whole_frame(
    start_switch: Callable[..., Switch], tmp_path: Path, error: str
) -> None:
    faults = Faults(tmp_path)
    switch = start_switch(env=faults.env)
    file = tmp_path / "lab.pcap"
    with switch.console() as console, switch.client() as alice, switch.client() as bob:
        console.check(f"port/plug record://{file}?port=9")
        wait_plugged(switch, str(file))
        sent = talk(switch, 10)
        wait_until("it is written", lambda: len(records(file)) == 10)
        with faults.failing_after(0, "write", error, 1):
            alice.send(broadcast(ALICE, b"too late"))
            switch.wait_log("that came after them are lost")
        why = os.strerror(getattr(errno, error))
        assert f"{file}: {why}; the file ends after 10 frames, 1 that came after them are lost" in switch.log_text()
        assert records(file) == sent
        bob.drain()
        assert crosses(alice, bob, ALICE)


@pytest.mark.parametrize("keys, least", [("?speed=max", 0.0), ("?speed=10", 0.09), ("?speed=2", 0.45)])
def test_a_file_is_played_at_its_pace(switch: Switch, tmp_path: Path, keys: str, least: float) -> None:
    file = tmp_path / "lab.pcap"
    sent = [broadcast(ALICE, f"frame {number}".encode()) for number in range(11)]
    write_pcap(file, [(1000 + number / 10, data) for number, data in enumerate(sent)])
    with switch.client() as bob, switch.console() as console:
        console.check(f"port/plug replay://{file}{keys}")
        got = [bob.recv(5) for _ in sent]
        assert got == sent
        wait_until("it is over", lambda: str(file) not in str(plugged(switch)))


def test_a_file_is_played_whole_and_many_times(switch: Switch, tmp_path: Path) -> None:
    file = tmp_path / "lab.pcap"
    sent = [broadcast(ALICE, f"frame {number}".encode()) for number in range(200)]
    write_pcap(file, [(float(number), data) for number, data in enumerate(sent)])
    with switch.client() as bob, switch.console() as console:
        console.check(f"port/plug replay://{file}?speed=max&times=3")
        for data in sent * 3:
            assert bob.recv(5) == data
        wait_until("it is over", lambda: str(file) not in str(plugged(switch)))
        # The port is free again.
        assert not crosses(bob, bob, BOB)
    switch.wait_log(f"{file}: it is at its end")


def test_a_file_that_was_cut_off_is_played_as_far_as_it_goes(switch: Switch, tmp_path: Path) -> None:
    file = tmp_path / "lab.pcap"
    sent = [broadcast(ALICE, f"frame {number}".encode()) for number in range(3)]
    write_pcap(file, [(0.0, data) for data in sent])
    os.truncate(file, file.stat().st_size - 10)
    with switch.client() as bob, switch.console() as console:
        console.check(f"port/plug replay://{file}")
        for data in sent[:2]:
            assert bob.recv(5) == data
    switch.wait_log(f"{file}: truncated dump file")


def test_what_is_no_capture_is_refused_with_a_reason(switch: Switch, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("this is no capture file")
    with switch.console() as console:
        console.check(f"port/plug replay://{file}")
        switch.wait_log("unknown file format")
        console.check(f"port/plug replay://{tmp_path}/none")
        # The name once.
        switch.wait_log(f": {tmp_path}/none: No such file or directory")
        assert f"{tmp_path}/none: {tmp_path}/none" not in switch.log_text()
        for keys in ("?speed=0", "?speed=fast", "?speed=nan", "?times=0", "?limit=3"):
            assert console.code(f"port/plug replay://{file}{keys}") == 1022
        assert console.code("port/plug replay://") == 1022
        assert ports(console) == []
