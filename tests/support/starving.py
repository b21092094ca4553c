# SPDX-License-Identifier: MIT
"""What is asked of a program while it finds no memory: each allocation of a question fails in turn, alone,
with two that follow, or with all. Who asked is answered or cut off, and the same question then succeeds;
who is plugged in stays, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from faults import ALL, Faults, library
from frames import BROADCAST, frame, mac
from kept import switch_process, wait_for_standby
from networks_daemon import NetworksDaemon, RpcClient
from switch_process import Switch, descriptors_of
from vde_client import Refused, VdeClient
from waiting import readable, wait_until

ANSWER_S = 2.0  # at the latest: in silence nobody knows that there will be none
STARVING_S = 0.03  # of what goes on only when there is memory again
ALLOCATIONS_MAX = 20000
SLACK = 24  # blocks of a process: tables that have grown in the midst of it, and the reserve
SLACK_PER_S = 2  # the log says how often there was no memory
COUNTS = {"one": 1, "three": 3, "all": ALL}  # how many fail


class Way(NamedTuple):
    """Which allocations fail: so many at once, every so many in turn, in so many rounds."""

    count: int
    step: int = 1
    rounds: int = 1


# Three parts: what comes before, what finds no memory, and what succeeds afterwards.
Question = Callable[[], Iterator[None]]


def for_each_allocation(faults: Faults, question: Question, count: int, step: int) -> int:
    """How many allocations the part without memory makes, of which every so many failed in turn."""
    for skip in range(0, ALLOCATIONS_MAX, step):
        before = faults.failed("malloc")
        try:
            parts = question()
            next(parts)
            with faults.failing_after(skip, "malloc", "ENOMEM", count):
                next(parts)
            assert list(parts) == []
        except Exception as problem:
            raise AssertionError(f"allocation {skip}: {problem!r}") from problem
        if faults.failed("malloc") == before:
            return skip
    raise AssertionError("there is no end of allocations")


def starve(faults: Faults, pid: int, question: Question, way: Way, processes: int = 1) -> int:
    """How many allocations there were. What was there before is all that is there afterwards."""
    for _ in range(3):
        assert list(question()) == [None, None]
    base, blocks, began = descriptors_of(pid), faults.blocks(), time.monotonic()
    for _ in range(way.rounds):
        tried = for_each_allocation(faults, question, way.count, way.step)
    wait_until(f"descriptors are {base} again", lambda: descriptors_of(pid) <= base)
    most = blocks + SLACK * processes + SLACK_PER_S * int(time.monotonic() - began)
    try:
        wait_until(f"blocks are {blocks} again", lambda: faults.blocks() <= most)
    except AssertionError as problem:
        raise AssertionError(f"{problem}: they are {faults.blocks()} after {tried} allocations") from None
    return tried


@contextlib.contextmanager
def guests(directory: Path) -> Iterator[None]:
    """Two of them, who hear each other afterwards as before."""
    with VdeClient(directory) as one, VdeClient(directory) as two:
        names = sorted(os.listdir(directory))
        yield
        one.send(frame(BROADCAST, mac(1)))
        assert two.recv() == frame(BROADCAST, mac(1)), "a frame is lost"
        assert not one.ctl_closed(), "a guest is cut off"
        assert not two.ctl_closed(), "a guest is cut off"
        wait_until("other sockets are gone", lambda: sorted(os.listdir(directory)) == names)


# -- one switch -----------------------------------------------------------------------------------


def handshake(switch: Switch, _: Faults) -> Question:
    def question() -> Iterator[None]:
        yield
        with contextlib.suppress(Refused, ConnectionError):
            VdeClient(switch.ctl_dir, timeout=ANSWER_S).close()
        yield
        VdeClient(switch.ctl_dir).close()

    return question


def commands(switch: Switch, *lines: str) -> Question:
    """Console commands that can be given again, whatever the last one has done."""

    def question() -> Iterator[None]:
        console = switch.console()
        console.check("port/allprint")
        yield
        with contextlib.suppress(ConnectionError):
            for line in lines:
                console.run(line, ANSWER_S)
        yield
        console.close()
        with switch.console() as other:
            for line in lines:
                other.run(line)
            for line in lines:
                other.check(line)

    return question


def lists(switch: Switch, _: Faults) -> Question:
    return commands(switch, "showinfo", "port/allprint", "hash/print", "vlan/print", "help")


def vlans(switch: Switch, _: Faults) -> Question:
    return commands(
        switch, "vlan/create 9", "vlan/addport 9 1", "port/setvlan 2 9", "vlan/print",
        "port/setvlan 2 0", "vlan/delport 9 1", "vlan/remove 9"
    )


def ports(switch: Switch, _: Faults) -> Question:
    return commands(switch, "port/create 7", "port/setuser 7 root", "port/allocatable 7 1", "port/remove 7")


def script(switch: Switch, _: Faults) -> Question:
    path = switch.directory / "script"
    path.write_text("vlan/create 9\nvlan/print\nvlan/remove 9\n")
    return commands(switch, f"load {path}")


def console(switch: Switch, _: Faults) -> Question:
    """A new session, up to its prompt."""

    def question() -> Iterator[None]:
        yield
        with contextlib.suppress(ConnectionError):
            switch.console(timeout=ANSWER_S).close()
        yield
        switch.console().close()

    return question


def capture(switch: Switch, _: Faults) -> Question:
    """By the plugin pdump; one that has ended writes for a moment yet, and is busy."""
    with switch.console() as console:
        console.check(f"plugin/add {library().parents[1] / 'lib/lanyard/plugins/pdump.so'}")
        console.check(f"pdump/filename {switch.directory / 'lab.pcap'}")

    def question() -> Iterator[None]:
        console = switch.console()
        console.check("port/allprint")
        yield
        with contextlib.suppress(ConnectionError):
            console.run("pdump/active 1", ANSWER_S)
        yield
        console.close()
        with switch.console() as other:
            other.run("pdump/active 0")
            wait_until("a capture begins", lambda: other.run("pdump/active 1").ok)
            other.check("pdump/active 0")

    return question


OF_A_SWITCH = [handshake, console, lists, vlans, ports, script, capture]

# -- networks -------------------------------------------------------------------------------------

LAB = """
[network.lab]
kind = "internal"
"""
OTHER_LAB = LAB + """
vlans = [7]
guard.broadcast_pps = 4321
[[network.lab.socket]]
path = "$DIR/run/lab"
[[network.lab.socket]]
path = "$DIR/run/lab7"
vlan = 7
[network.more]
kind = "internal"
"""
# The socket of one network becomes that of another: it moves.
MOVED_LAB = LAB + """
[network.aside]
kind = "internal"
[[network.aside.socket]]
path = "$DIR/run/aside"
"""
MOVED_LAB_BACK = LAB + """
[network.other]
kind = "internal"
[[network.other.socket]]
path = "$DIR/run/aside"
"""


def answered(client: RpcClient) -> bool:
    """An answer has come, of whatever kind; False: the connection has ended."""
    with contextlib.suppress(EOFError, ConnectionError):
        client.line()
        return True
    return False


def connection(daemon: NetworksDaemon, _: Faults) -> Question:
    """A new one, and its first request."""

    def question() -> Iterator[None]:
        yield
        with contextlib.suppress(ConnectionError):
            with RpcClient(daemon.control, timeout=ANSWER_S) as client:
                client.send("network.list")
                answered(client)
        yield
        with daemon.client() as client:
            client.call("network.list")

    return question


def request(daemon: NetworksDaemon, method: str, **params: Any) -> Question:
    def question() -> Iterator[None]:
        with daemon.client() as client:
            client.call("network.list")
            client.socket.settimeout(ANSWER_S)
            yield
            client.send(method, **params)
            answered(client)
            yield
        daemon.rpc(method, **params)

    return question


def port_list(daemon: NetworksDaemon, _: Faults) -> Question:
    return request(daemon, "port.list")


def dump(daemon: NetworksDaemon, _: Faults) -> Question:
    return request(daemon, "config.dump")


def status(daemon: NetworksDaemon, _: Faults) -> Question:
    return request(daemon, "daemon.status")


def foreign_file(daemon: NetworksDaemon, _: Faults) -> Question:
    """One that the spawner has to read."""
    folder = daemon.directory / "elsewhere"
    folder.mkdir()
    (folder / "lab.toml").write_text(LAB)
    return request(daemon, "config.check", file=str(folder / "lab.toml"))


def reload(daemon: NetworksDaemon, faults: Faults, before: str, after: str) -> Question:
    """To another configuration and back. What must not fail waits for memory, and so may the answer."""

    def question() -> Iterator[None]:
        with daemon.client() as client:
            client.call("network.list")
            daemon.write_config(after)
            yield
            failed = faults.failed("malloc")
            client.send("config.reload")
            wait_until(
                "there is an answer, or no memory",
                lambda: readable(client.socket, 0) or faults.failed("malloc") != failed,
                step=0.001,
            )
            readable(client.socket, STARVING_S)
            yield
            client.socket.settimeout(ANSWER_S)
            answered(client)
        for wanted in (after, before):
            daemon.write_config(wanted)
            daemon.rpc("config.reload")
            assert daemon.rpc("config.diff")["changes"] == []

    return question


def reload_to_more(daemon: NetworksDaemon, faults: Faults) -> Question:
    return reload(daemon, faults, LAB, OTHER_LAB)


def reload_to_less(daemon: NetworksDaemon, faults: Faults) -> Question:
    daemon.write_config(OTHER_LAB)
    daemon.rpc("config.reload")
    return reload(daemon, faults, OTHER_LAB, LAB)


def reload_that_moves(daemon: NetworksDaemon, faults: Faults) -> Question:
    daemon.write_config(MOVED_LAB)
    daemon.rpc("config.reload")
    return reload(daemon, faults, MOVED_LAB, MOVED_LAB_BACK)


OF_NETWORKS = [
    connection, port_list, dump, status, foreign_file, reload_to_more, reload_to_less, reload_that_moves
]


# -- one row --------------------------------------------------------------------------------------


def starve_switch(directory: Path, question: Callable[[Switch, Faults], Question], way: Way) -> int:
    faults = Faults(directory)
    with Switch(directory=directory, env=faults.env) as switch, guests(switch.ctl_dir):
        return starve(faults, switch.pid, question(switch, faults), way)


def starve_kept_switch(
    directory: Path, question: Callable[[Switch, Faults], Question], way: Way
) -> int:
    """Its keeper finds no memory either, and neither ends the other."""
    faults = Faults(directory)
    with Switch("--keeper", directory=directory, env=faults.env) as switch:
        process = switch_process(switch.pid)
        wait_for_standby(switch.pid, process)  # whose blocks count, too
        with guests(switch.ctl_dir):
            tried = starve(faults, process, question(switch, faults), way, processes=2)
        assert switch_process(switch.pid) == process
    return tried


def starve_networks(
    directory: Path, question: Callable[[NetworksDaemon, Faults], Question], way: Way
) -> int:
    faults = Faults(directory)
    with NetworksDaemon(LAB, env=faults.env) as daemon, guests(daemon.socket("lab")):
        # It keeps lines of its log: no leak, but more blocks.
        daemon.rpc("log.set", level="error")
        return starve(faults, daemon.pid, question(daemon, faults), way)


def starve_kept_networks(
    directory: Path, question: Callable[[NetworksDaemon, Faults], Question], *ways: Way
) -> int:
    """Its keeper, its spawner and who stands by find no memory either, and none ends another."""
    faults = Faults(directory)
    with NetworksDaemon(LAB, "--keeper", env=faults.env) as daemon:
        daemon.rpc("log.set", level="error")
        process = switch_process(daemon.pid)
        wait_for_standby(daemon.pid, process)  # whose blocks count, too
        with guests(daemon.socket("lab")):
            asked = question(daemon, faults)
            tried = [starve(faults, process, asked, way, processes=2) for way in ways]
        assert switch_process(daemon.pid) == process, "the process was exchanged"
    return tried[-1]
