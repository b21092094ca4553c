# SPDX-License-Identifier: MIT
"""Plugins in a running switch: those compiled for vde_switch, ours, and those it must refuse."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from client_process import ClientProcess, need_original, need_programs
from console import Console
from frames import ARP, IPV4, broadcast, frame, mac, tag
from pcap_file import records
from switch_process import ORIGINAL, Switch, is_sanitized, switch_program
from vde_client import VdeClient
from waiting import wait_until

pytestmark = pytest.mark.ours
Start = Callable[..., Switch]

BUILD = switch_program().parent.parent
OURS = BUILD / "lib/lanyard/plugins"
ODD = BUILD / "tests/plugins"
VDE2 = Path("/usr/lib/vde2/plugins")

def needs_vde2(test: Callable[..., None]) -> Callable[..., None]:
    missing = not (VDE2 / "dump.so").exists()
    skips = pytest.mark.skipif(missing, reason="the plugins of the vde2 package are not installed")
    return skips(pytest.mark.usefixtures("keeps_memory")(test))


def built(path: Path) -> str:
    if not path.exists():
        pytest.skip(f"{path.name} is not built")
    return str(path)


def ipv4(source: str, options: int = 0) -> bytes:
    header = bytes([0x45 + options, 0]) + struct.pack("!H", 20 + 4 * options) + bytes(4)
    header += bytes([64, 17, 0, 0]) + socket.inet_aton(source) + socket.inet_aton("10.0.0.1")
    return header + b"\1" * (4 * options)


def exchange(sender: VdeClient, receiver: VdeClient, data: bytes) -> None:
    sender.send(data)
    assert receiver.recv() == data


# -- the console ---------------------------------------------------------------------------------


def test_codes_and_layouts(switch: Switch) -> None:
    console = switch.console()
    assert console.run("plugin/list").code == 1002
    assert console.run("plugin/list").lines == [
        "NAME                   HELP",
        "------------           ----",
    ]
    assert console.code("plugin/add /nonexistent.so") == 1002
    assert console.code("plugin/del zz") == 1002
    library = next(Path("/lib").glob("*/libm.so.6"))
    assert console.code(f"plugin/add {library}") == 1022
    switch.wait_log("no symbol lanyard_plugin")
    assert console.code(f"plugin/add {built(OURS / 'acl.so')}") == 1000
    assert console.code(f"plugin/add {OURS / 'acl'}") == 1017
    assert console.run("plugin/list").lines[2:] == ["acl                    allow or deny frames"]
    assert "acl/list" in console.run("help acl").raw
    assert console.code("plugin/del ac") == 1000
    assert console.code("acl/list") == 1038


@pytest.mark.parametrize(
    ("odd", "code", "sentence"),
    [
        ("no_symbol", 1022, "no symbol lanyard_plugin"),
        ("wrong_abi", 1022, "version 99"),
        ("short_table", 1022, "16 bytes"),
        ("crash", 1014, "child process"),
        # ThreadSanitizer has a code of its own for who exits in the midst of dlopen(3).
        ("exit", 1014, "process with code" if is_sanitized(switch_program()) else "code 3"),
        ("hang", 1110, "within 2 s"),
        ("refuses", 1001, "did not start"),
    ],
)
def test_bad_plugins_are_refused(switch: Switch, odd: str, code: int, sentence: str) -> None:
    console = switch.console()
    assert console.code(f"plugin/add {built(ODD / (odd + '.so'))}") == code
    switch.wait_log(sentence)
    assert console.run("plugin/list").code == 1002
    exchange(switch.client(), switch.client(), broadcast(mac(1), b"it goes on"))


@pytest.mark.parametrize("odd", ["liar_length", "liar_data", "liar_verdict"])
def test_a_liar_is_taken_out_of_the_way(switch: Switch, odd: str) -> None:
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    console.check(f"plugin/add {built(ODD / (odd + '.so'))}")
    sender.send(broadcast(mac(1), b"looked at"))
    switch.wait_log("taken out of the frames' way")
    sender.send(broadcast(mac(1), b"not looked at"))
    assert receiver.recv() == broadcast(mac(1), b"not looked at")


@pytest.mark.root
def test_root_loads_only_what_root_alone_can_write(switch: Switch) -> None:
    console = switch.console()
    copy = switch.directory / "mine.so"
    shutil.copy(built(OURS / "acl.so"), copy)
    copy.chmod(0o666)
    assert console.code(f"plugin/add {copy}") == 1013
    switch.wait_log("can be written by others than root")
    copy.chmod(0o644)
    os.chown(copy, 12345, 12345)
    assert console.code(f"plugin/add {copy}") == 1013
    os.chown(copy, 0, 0)
    switch.directory.chmod(0o755)
    assert console.code(f"plugin/add {copy}") == 1000


# -- the plugins of the vde2 package, as they are ------------------------------------------------


@needs_vde2
def test_vde2_dump(switch: Switch) -> None:
    console = switch.console()
    console.check("plugin/add dump.so")
    assert console.run("plugin/list").lines[2:] == ["dump                   dump packets"]
    assert console.code("plugin/add dump") == 1017
    assert "dump/packetin" in console.run("debug/list dump").raw
    console.check("debug/add dump")
    console.check("dump/active 1")
    sender, receiver = switch.client(), switch.client()
    exchange(sender, receiver, frame(mac(2), mac(1), b"", size=None)[:14] + b"abc")
    lines = console.wait_events(2)
    assert lines[0].startswith(f"3101 dump/packetin Pkt: Port {sender.port:04d} len=0017 02 4c ")
    assert lines[1].startswith(f"3102 dump/packetout Pkt: Port {receiver.port:04d} len=0017 02 4c ")
    assert lines[0].rstrip().endswith("61 62 63")
    # The original crashes at the next frame.
    console.check("plugin/del dump")
    exchange(sender, receiver, broadcast(mac(1), b"after it"))
    assert console.code("dump/active 1") == 1038
    assert console.run("debug/list dump").code == 1002


@needs_vde2
def test_vde2_pdump(switch: Switch) -> None:
    console = switch.console()
    console.check(f"plugin/add {VDE2 / 'pdump.so'}")
    assert console.check("pdump/filename") == ["dumpfile=vde_dump.cap"]
    file = switch.directory / "seen.cap"
    console.run(f"pdump/filename {file}")
    console.run("pdump/buffered 0")
    console.check("pdump/active 1")
    assert console.code("pdump/active 1") == 1017
    sender, receiver = switch.client(), switch.client()
    exchange(sender, receiver, broadcast(mac(1), b"captured"))
    console.check("pdump/active 0")
    console.check("plugin/del pdump")
    data = file.read_bytes()
    assert struct.unpack_from("<IHH", data) == (0xA1B2C3D4, 2, 4)
    assert data.count(broadcast(mac(1), b"captured")) == 2


@needs_vde2
def test_vde2_pdump_that_cannot_write_ends_without_us(switch: Switch) -> None:
    """The original aborts when the plugin is unloaded."""
    console = switch.console()
    console.check(f"plugin/add {VDE2 / 'pdump.so'}")
    console.run("pdump/filename /nonexistent/file")
    console.run("pdump/active 1")
    console.run("plugin/del pdump")
    exchange(switch.client(), switch.client(), broadcast(mac(1), b"it goes on"))


PDUMP_WORDS = (
    "pdump/filename",
    "pdump/filename {dir}/no/such",
    "pdump/filename",
    "pdump/active 1",
    "pdump/active 1",
    "pdump/active 0",
    "pdump/filename {dir}",
    "pdump/active 1",
    "pdump/filename {dir}/one.cap",
    "pdump/filename",
    "pdump/active 1",
    "pdump/active 1",
    "pdump/filename {dir}/two.cap",
    "pdump/buffered 0",
    "pdump/active 1",
    "pdump/active",
    "pdump/active x",
    "pdump/buffered x",
)


@needs_vde2
def test_our_pdump_answers_as_the_original() -> None:
    need_original()
    replies = []
    for program, plugin in ((None, built(OURS / "pdump.so")), (ORIGINAL, VDE2 / "pdump.so")):
        with Switch(program=program) as switch:
            console = switch.console()
            console.check(f"plugin/add {plugin}")
            played = [(word, console.run(word.format(dir=switch.directory)).raw) for word in PDUMP_WORDS]
            replies.append([(word, raw.replace(str(switch.directory), "DIR")) for word, raw in played])
            assert (switch.directory / "one.cap").stat().st_size == 24
            assert (switch.directory / "two.cap").stat().st_size == 24
    assert replies[0] == replies[1]


@needs_vde2
def test_vde2_iplog(switch: Switch) -> None:
    console = switch.console()
    console.check(f"plugin/add {VDE2 / 'iplog.so'}")
    log = switch.directory / "ip.log"
    console.check(f"iplog/logfile {log}")
    console.check("iplog/ipadd 10.0.0.0/8")
    assert console.code("iplog/ipadd 10.0.0.0/8") == 1017
    assert "  ipv4: 10.0.0.0/8" in console.check("iplog/list")
    console.check("debug/add iplog")
    sender, receiver = switch.client(description="alice"), switch.client()
    packet = frame(mac(2), mac(1), ipv4("10.1.2.3"), kind=IPV4)
    exchange(sender, receiver, packet)
    (line, *_) = console.wait_events(1)
    assert line.startswith(f"3301 iplog/newip ipv4 10.1.2.3 mac=02:4c:00:00:00:01 port={sender.port}")
    assert "alice" in line
    wait_until("the line in the file", lambda: "10.1.2.3" in log.read_text())
    assert [line.split(" user=")[0] for line in console.check("iplog/iplist")] == [
        f"ipv4 10.1.2.3 port={sender.port}"
    ]
    os.kill(switch.pid, signal.SIGHUP)
    wait_until("the word about SIGHUP", lambda: "SIGHUP" in log.read_text())
    console.check("plugin/del iplog")
    exchange(sender, receiver, packet)


@needs_vde2
def test_vde2_all_three_at_once_and_in_any_order(switch: Switch) -> None:
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    for name in ("dump", "pdump", "iplog"):
        console.check(f"plugin/add {VDE2 / name}.so")
    console.run(f"pdump/filename {switch.directory / 'all.cap'}")
    console.check("debug/add dump")
    console.check("dump/active 1")
    console.check("pdump/active 1")
    console.check("iplog/ipadd 10.0.0.0/8")
    for number in range(50):
        exchange(sender, receiver, frame(mac(2), mac(1), ipv4(f"10.1.2.{number}"), kind=IPV4))
    console.check("plugin/del pdump")
    exchange(sender, receiver, broadcast(mac(1), b"two are left"))
    console.check("plugin/del dump")
    exchange(sender, receiver, broadcast(mac(1), b"one is left"))
    assert len(console.check("iplog/iplist")) == 50
    assert switch.stop() == 0


# -- ours ----------------------------------------------------------------------------------------


def test_a_plugin_of_vde_switch_hears_of_the_spanning_tree() -> None:
    need_programs("dpipe", "vde_plug")
    with Switch("-F", "--priority", "0x1000") as root, Switch("-F", "--priority", "0x2000") as switch:
        console = switch.console()
        console.check(f"plugin/add {built(ODD / 'vde_tree.so')}")
        with ClientProcess("dpipe", "vde_plug", root.ctl_dir, "=", "vde_plug", switch.ctl_dir):
            switch.wait_log("heard fstp/+ 1 0")
            switch.wait_log("heard fstp/root 1 0 1000")
            switch.wait_log("heard fstp/status 1 0 3")  # learns (1) and forwards (2)
        switch.wait_log("heard fstp/- 1 0")
        switch.wait_log("heard fstp/root 0 0 2000")


def stop_capture(console: Console) -> dict[str, int]:
    console.run("pdump/active 0")

    def written() -> list[str] | None:
        lines = console.check("pdump/showinfo")
        return None if "still writing" in lines else lines

    lines = wait_until("the capture to be written", written)
    line = next(line for line in lines if line.startswith("captured="))
    return {key: int(value) for key, value in (word.split("=") for word in line.split())}


def test_our_pdump_changes_files_in_the_middle_and_ends_when_it_cannot(switch: Switch) -> None:
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    console.check(f"plugin/add {built(OURS / 'pdump.so')}")
    for number in (1, 2):
        console.check(f"pdump/filename {switch.directory / f'{number}.cap'}")
        console.run("pdump/active 1")
        exchange(sender, receiver, broadcast(mac(number)))
    assert console.code(f"pdump/filename {switch.directory}") == 1022
    exchange(sender, receiver, broadcast(mac(3)))
    assert console.code("pdump/active 0") == 1002
    for number in (1, 2):
        whole = wait_records(switch.directory / f"{number}.cap", 2)
        assert whole == [broadcast(mac(number))] * 2


def wait_records(file: Path, count: int) -> list[bytes]:
    wait_until("the capture to be written", lambda: file.stat().st_size == 24 + 76 * count)
    return records(file)


def test_our_pdump_is_read_by_tshark(switch: Switch) -> None:
    tshark = shutil.which("tshark")
    if not tshark:
        pytest.skip("tshark is not installed")
    console = switch.console()
    console.check(f"plugin/add {built(OURS / 'pdump.so')}")
    file = switch.directory / "ours.cap"
    console.check(f"pdump/filename {file}")
    assert console.check("pdump/filename") == [f"dumpfile={file}"]
    assert console.code("pdump/active 0") == 1002
    console.check("pdump/active 1")
    assert console.code("pdump/active 1") == 1017
    sender, receiver = switch.client(), switch.client()
    console.check("vlan/create 7")
    console.check(f"port/setvlan {sender.port} 7")
    console.check(f"vlan/addport 7 {receiver.port}")
    for number in range(20):
        sender.send(frame(mac(2), mac(1), ipv4(f"10.1.2.{number}"), kind=IPV4))
        assert receiver.recv()
    assert stop_capture(console) == {"captured": 40, "dropped": 0}
    read = subprocess.run(
        [tshark, "-r", file, "-T", "fields", "-e", "ip.src", "-e", "vlan.id"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(switch.directory)},
    )
    lines = [line.split("\t") for line in read.stdout.splitlines()]
    assert sorted(lines) == sorted([f"10.1.2.{n}", vlan] for n in range(20) for vlan in ("", "7"))
    assert file.stat().st_mode & 0o777 == 0o600


def test_our_pdump_that_cannot_grow_keeps_whole_frames_and_counts_the_rest(start_switch: Start) -> None:
    switch = start_switch(prefix=("prlimit", "--fsize=20000"))
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    console.check(f"plugin/add {built(OURS / 'pdump.so')}")
    file = switch.directory / "some.cap"
    console.check(f"pdump/filename {file}")
    console.check("pdump/direction in")
    console.check("pdump/active 1")
    data = broadcast(mac(1), bytes(500))
    for _ in range(100):
        exchange(sender, receiver, data)

    def counted() -> list[int]:
        lines = " ".join(console.check("pdump/showinfo"))
        return [int(number) for number in re.findall(r"written=(\d+)", lines)]

    wait_until("each frame is written or lost", lambda: sum(counted()) == 100)
    assert console.check("pdump/showinfo")[-1] == "error=write: File too large"
    written, lost = counted()
    assert lost > 0
    assert records(file)
    # With what has come later it goes on in the next file.
    assert sum((records(path) for path in switch.directory.glob("some.cap*")), []) == [data] * written
    exchange(sender, receiver, data)


def test_our_pdump_filters_rotates_and_chooses(switch: Switch) -> None:
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    console.check(f"plugin/add {built(OURS / 'pdump.so')}")
    file = switch.directory / "some.cap"
    console.check(f"pdump/filename {file}")
    console.check("pdump/direction in")
    assert console.code("pdump/filter no such expression") == 1022
    console.check("pdump/filter arp")
    console.check("pdump/active 1")
    exchange(sender, receiver, frame(mac(2), mac(1), b"who", kind=ARP))
    exchange(sender, receiver, broadcast(mac(1), b"not this one"))
    assert stop_capture(console)["captured"] == 1
    assert records(file) == [frame(mac(2), mac(1), b"who", kind=ARP)]
    console.check("pdump/filter")
    console.check("pdump/rotate 1 2")
    console.check("pdump/active 1")
    big = broadcast(mac(1), bytes(1450), size=None)
    for _ in range(2500):
        sender.send(big)
        receiver.recv()
    assert stop_capture(console)["captured"] == 2500
    names = sorted(path.name for path in switch.directory.glob("some.cap*"))
    assert len(names) == 2
    assert all(record == big for name in names for record in records(switch.directory / name))


def test_our_pdump_into_a_pipe_does_not_wait_for_its_reader(switch: Switch) -> None:
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    console.check(f"plugin/add {built(OURS / 'pdump.so')}")
    pipe = switch.directory / "pipe"
    os.mkfifo(pipe)
    console.check(f"pdump/filename {pipe}")
    console.check("pdump/active 1")
    exchange(sender, receiver, broadcast(mac(1), b"nobody reads"))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        seen = b""

        def whole() -> bool:
            nonlocal seen
            try:
                seen += os.read(reader, 1 << 16)
            except BlockingIOError:
                return False
            return seen.count(broadcast(mac(1), b"nobody reads")) == 2

        wait_until("the capture in the pipe", whole)
    finally:
        os.close(reader)
    exchange(sender, receiver, broadcast(mac(1), b"nobody reads any more"))
    stop_capture(console)


def test_our_iplog_reads_options_and_tags(switch: Switch) -> None:
    console = switch.console()
    console.check(f"plugin/add {built(OURS / 'iplog.so')}")
    log = switch.directory / "ip.log"
    console.check(f"iplog/logfile {log}")
    console.check("iplog/ipadd 10.0.0.0/8")
    console.check("debug/add iplog")
    sender, receiver = switch.client(description="alice"), switch.client()
    console.check("vlan/create 7")
    for client in (sender, receiver):
        console.check(f"vlan/addport 7 {client.port}")
    exchange(sender, receiver, frame(mac(2), mac(1), ipv4("10.1.2.3", 4), kind=IPV4))
    exchange(sender, receiver, frame(mac(2), mac(3), ipv4("10.1.2.4"), kind=IPV4, tags=tag(7)))
    first, second, *_ = console.wait_events(2)
    port = sender.port
    assert first.startswith(f"3301 iplog/newip ipv4 10.1.2.3 mac=02:4c:00:00:00:01 port={port} vlan=0")
    assert "alice" in first
    assert second.startswith(
        f"3301 iplog/newip ipv4 10.1.2.4 mac=02:4c:00:00:00:03 port={port} vlan=7"
    )
    wait_until("both lines in the file", lambda: log.read_text().count("mac=") == 2)


def test_netem_loses_and_delays_what_real_clients_send(switch: Switch) -> None:
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    console.check(f"plugin/add {built(OURS / 'netem.so')}")
    console.check("netem/seed 1")
    assert console.code("netem/loss 10") == 1006
    console.check(f"netem/cable {sender.port}")
    console.check("netem/loss LR20")
    came = 0
    for _ in range(40):
        for _ in range(50):
            sender.send(broadcast(mac(1)))
        sender.send(broadcast(mac(9), b"fence"))
        came += len(receiver.drain(0.005))
    wait_until("the last frames", lambda: not receiver.drain(0.02))
    # 2,040 frames: five standard deviations are 0.045.
    assert 0.755 < came / 2040 < 0.845
    console.check("netem/loss 0")
    console.check("netem/delay 50")
    sender.send(broadcast(mac(1), b"later"))
    assert receiver.recv(0.01) is None
    assert receiver.recv(5) == broadcast(mac(1), b"later")
    console.check("plugin/del netem")
    exchange(sender, receiver, broadcast(mac(1), b"at once"))


def test_acl_denies(switch: Switch) -> None:
    console, sender, receiver = switch.console(), switch.client(), switch.client()
    console.check(f"plugin/add {built(OURS / 'acl.so')}")
    console.check("acl/add deny src 02:4c:00:00:00:01")
    sender.send(broadcast(mac(1)))
    exchange(sender, receiver, broadcast(mac(2), b"allowed"))
    assert any("filtered 1" in line for line in console.check(f"port/drops {sender.port}"))


# -- writing one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["cmake", "pkg-config"])
def test_the_template_builds_with_what_is_installed(tmp_path: Path, switch: Switch, way: str) -> None:
    cmake = shutil.which("cmake")
    if not cmake or not (BUILD / "cmake_install.cmake").exists():
        pytest.skip("needs cmake and the build tree")
    prefix = tmp_path / "prefix"
    example = Path(__file__).resolve().parents[2] / "examples/plugin-template"

    def run(*command: str | Path) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr

    include = prefix / "include/lanyard"
    package = prefix / "share/cmake/lanyard"
    pkgconfig = prefix / "share/pkgconfig"
    for directory in (include, package, pkgconfig):
        directory.mkdir(parents=True)
    # As cmake --install places them; the whole installation would need everything built.
    shutil.copy(example.parents[1] / "plugins/lanyard_plugin.h", include)
    for name in ("lanyard-config.cmake", "lanyard-config-version.cmake"):
        shutil.copy(BUILD / name, package)
    shutil.copy(BUILD / "lanyard.pc", pkgconfig)
    target = switch.directory / "template.so"
    if way == "cmake":
        run(cmake, "-S", example, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
        run(cmake, "--build", tmp_path / "build")
        shutil.copy(tmp_path / "build/template.so", target)
    else:
        need_programs("pkg-config")
        flags = f"$(PKG_CONFIG_PATH={pkgconfig} pkg-config --cflags lanyard)"
        run("sh", "-c", f"cc -shared -fPIC {flags} -o {target} {example}/template.c")
    switch.directory.chmod(0o755)
    console = switch.console()
    console.check(f"plugin/add {target}")
    exchange(switch.client(), switch.client(), broadcast(mac(1), b"counted"))
    assert console.check("template/showinfo") == ["frames=1 bytes=60"]
