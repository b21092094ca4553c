# SPDX-License-Identifier: MIT
"""What goes wrong around a switch (nemesis.py), in an order that a seed decides."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kept import switch_process
from nemesis import CONFIG, TAP, TAP_PORT, Lab
from netns import run
from networks_daemon import RpcFailed, daemon_program
from switch_process import is_sanitized, no_descriptors_left
from vde_client import VdeClient
from waiting import wait_until
from wall_clock import YEAR_S
from watched_traffic import Guest

OTHER_CONFIG = CONFIG.replace("[7, 8]", "[7, 8, 9]") + """
guard.multicast_pps = 4321
[network.green]
kind = "internal"
[[network.nat.forward]]
name = "web"
from = "tcp:127.0.0.1:18080"
to = "10.0.2.15:80"
"""

CLIENT = """
import sys
sys.path.insert(0, sys.argv[1])
from vde_client import VdeClient
with VdeClient(sys.argv[2]) as guest:
    print(guest.port, flush=True)
    while True:
        guest.recv(60)
"""

# ---- disturbances that last: begun, and undone at the end of the block --------------------------


@contextlib.contextmanager
def nothing(_: Lab) -> Iterator[None]:
    yield


@contextlib.contextmanager
def a_client_stops(lab: Lab) -> Iterator[None]:
    """One that reads nothing for a while, and then is killed; full frames for it meanwhile."""
    with a_client(lab) as process, stormy(lab, lab.traffic.guests[0], 4000):
        process.send_signal(signal.SIGSTOP)
        yield
        lab.check_balance()
        process.send_signal(lab.random.choice([signal.SIGCONT, signal.SIGKILL]))


@contextlib.contextmanager
def a_client(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    support = str(Path(__file__).parent)
    command = [sys.executable, "-c", CLIENT, support, str(lab.daemon.run / "blue")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline(), "it did not get a port"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def stormy(lab: Lab, guest: Guest, per_second: int) -> Iterator[None]:
    with lab.traffic.lock:
        before = guest.per_second
        guest.per_second, guest.only_broadcasts = per_second, True
    lab.traffic.resume([guest])
    yield
    with lab.traffic.lock:
        guest.per_second, guest.only_broadcasts = before, False
    lab.traffic.resume([guest])


@contextlib.contextmanager
def a_storm(lab: Lab) -> Iterator[None]:
    """More broadcasts than its port may send."""
    guest = lab.random.choice(lab.guests())
    where = {"network": guest.network, "port": guest.port, "key": "broadcast_pps"}
    lab.ask("guard.set", **where, value="500")
    with stormy(lab, guest, 5000):
        yield
        wait_until("it is curbed", lambda: lab.shown(guest)["dropped"].get("broadcast_storm"))
    lab.ask("guard.set", **where, value="10000")


@contextlib.contextmanager
def no_descriptors(lab: Lab) -> Iterator[None]:
    """Not one more can be opened; who comes is turned away, who is there does not notice."""
    if is_sanitized(daemon_program()):
        lab.notes.append("left out: a sanitizer needs descriptors itself")
        yield
        return
    lab.ask("daemon.status")
    with no_descriptors_left(switch_process(lab.daemon.pid)):
        turned_away = 0
        for _ in range(8):
            try:
                VdeClient(lab.daemon.run / "blue", timeout=0.1).close()
            except Exception:  # in many ways
                turned_away += 1
        lab.notes.append(f"{turned_away} of 8 turned away")
        yield

    def plugged() -> bool:
        with contextlib.suppress(Exception):
            VdeClient(lab.daemon.run / "blue", timeout=1).close()
            return True
        return False

    wait_until("clients are served again", plugged)


@contextlib.contextmanager
def a_full_disk(lab: Lab) -> Iterator[None]:
    """A recording on a disk with room for a few frames."""
    disk = lab.daemon.directory / "disk"
    disk.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk))
    try:
        lab.daemon.write_config(CONFIG.replace('?port=20"]', f'?port=20", "record://{disk}/file?port=21"]'))
        with contextlib.suppress(RpcFailed):
            lab.ask("config.reload")
        yield
        lab.daemon.write_config(CONFIG)
        reloaded(lab)
        wait_until("it is closed", lambda: run("umount", str(disk), check=False).returncode == 0)
    finally:
        run("umount", "-l", str(disk), check=False)


@contextlib.contextmanager
def no_tap(lab: Lab) -> Iterator[None]:
    """Deleted by somebody; it is plugged in again once it is there again."""
    lab.namespace.ip("link", "del", TAP)
    lab.disturbed_tap = True
    yield
    lab.namespace.ip("tuntap", "add", "dev", TAP, "mode", "tap", check=False)
    wait_until("it is plugged in", lambda: tap_link(lab) == "up", timeout=10)
    fresh = lab.open_tap()
    with lab.traffic.lock:
        os.dup2(fresh.fileno(), lab.tap.data.fileno())
    fresh.close()


def tap_link(lab: Lab) -> str:
    rows = lab.ask("port.list", network="blue")["ports"]
    return next((row["link"] for row in rows if row["port"] == TAP_PORT), "")


@contextlib.contextmanager
def another_configuration(lab: Lab) -> Iterator[None]:
    lab.daemon.write_config(OTHER_CONFIG)
    reloaded(lab)
    yield
    lab.daemon.write_config(CONFIG)
    reloaded(lab)
    assert lab.ask("config.diff")["changes"] == []


def reloaded(lab: Lab) -> None:
    """Once it can be: there may be no descriptor, and no gateway that answers, for a moment."""

    def done() -> bool:
        try:
            lab.ask("config.reload")
        except RpcFailed:
            return False
        return True

    wait_until("the configuration is in force", done, timeout=10, step=0.05)


# ---- disturbances of a moment -----------------------------------------------------------------


def kill_switch(lab: Lab) -> None:
    lab.crash(signal.SIGKILL, 5)


def stop(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def stop_switch(lab: Lab) -> None:
    """For so long that the keeper reads for it, and no longer."""
    stop(switch_process(lab.daemon.pid), lab.random.uniform(0.01, 0.5))


def stop_keeper(lab: Lab) -> None:
    """Who is to blame nobody for it."""
    stop(lab.daemon.pid, lab.random.uniform(0.1, 1.0))


def hang_switch(lab: Lab) -> None:
    """Until the keeper replaces it."""
    lab.crash(signal.SIGSTOP, 10)


def upgrade(lab: Lab) -> None:
    try:
        lab.ask("daemon.upgrade")
    except RpcFailed as why:
        lab.notes.append(f"refused: {why}")


def swap_version(lab: Lab) -> None:
    """The programs are replaced by others: of another version if there is one."""
    source = daemon_program().parent
    if lab._other and lab.random.random() < 0.5:
        source = lab._other
    for name in ("lanyardd", "lanyard-gateway"):
        lab.install(source / name)
    upgrade(lab)


def swap_broken(lab: Lab) -> None:
    """By something that does not work: the one that runs goes on."""
    pid = switch_process(lab.daemon.pid)
    broken = lab.programs / "broken"
    broken.write_text(lab.random.choice(["#!/bin/sh\nexit 3\n", "#!/bin/sh\nkill -9 $$\n", "no program"]))
    broken.chmod(0o755)
    broken.rename(lab.programs / "lanyardd")
    try:
        lab.ask("daemon.upgrade")
        raise AssertionError("it was upgraded to a broken program")
    except RpcFailed:
        assert switch_process(lab.daemon.pid) == pid
    finally:
        lab.install(daemon_program())


def kill_gateway(lab: Lab) -> None:
    shown = lab.gateway()
    if shown["serving"]:
        os.kill(int(shown["pid"]), signal.SIGKILL)


def kill_client(lab: Lab) -> None:
    """One of its own, if it is let in."""
    with contextlib.suppress(AssertionError), a_client(lab) as process:
        process.kill()


def roll_vlans(lab: Lab) -> None:
    """Guests go around through VLANs 0, 7 and 8."""
    around = [0, 7, 8]
    for _ in range(4):
        guest = lab.random.choice([one for one in lab.guests() if one.network == "blue" and not one.tagged])
        vlan = around[(around.index(guest.vlan) + 1) % 3]
        where = {"network": "blue", "port": guest.port}
        lab.traffic.move(guest, vlan, lambda where=where, vlan=vlan: lab.ask("port.set", **where, vlan=vlan) and None)


def jump_wall_clock(lab: Lab) -> None:
    """By up to a year, there or back: what is measured in seconds goes by another clock."""
    lab.wall_clock.jump(lab.random.randint(-YEAR_S, YEAR_S) - lab.wall_clock.off_s)


def move_address(lab: Lab) -> None:
    one, other = lab.random.sample([guest for guest in lab.guests() if guest.network == "blue"], 2)
    lab.traffic.exchange_addresses(one, other)


Lasting = Callable[[Lab], contextlib.AbstractContextManager[None]]
Momentary = Callable[[Lab], None]

LASTING: tuple[Lasting, ...] = (
    a_client_stops, a_storm, no_descriptors, a_full_disk, no_tap, another_configuration,
)  # fmt: skip
MOMENTARY: tuple[Momentary, ...] = (
    kill_switch, stop_switch, stop_keeper, hang_switch, upgrade, swap_version, swap_broken, kill_gateway,
    kill_client, roll_vlans, move_address, jump_wall_clock,
)  # fmt: skip


def a_round(rng: random.Random) -> list[tuple[Lasting, Momentary]]:
    """Each disturbance of a moment once, those that last spread around them."""
    moments = rng.sample(MOMENTARY, len(MOMENTARY))
    around: list[Lasting] = [*LASTING, *[nothing] * (len(MOMENTARY) - len(LASTING))]
    return list(zip(rng.sample(around, len(around)), moments, strict=True))


def disturb(lab: Lab, lasting: Lasting, momentary: Momentary, seconds: float) -> None:
    """One step: traffic, the disturbances, and what must hold during and after."""
    lab.notes.clear()
    with lasting(lab):
        time.sleep(seconds / 2)
        momentary(lab)
        lab.check_balance()
        time.sleep(seconds / 2)
    lab.check_well()
    lab.settle()
    lab.traffic.resume(lab.traffic.guests)
