# SPDX-License-Identifier: MIT
"""The command line of vde_switch: spellings, modes and owners, exit codes, signals, files, daemon mode."""

from __future__ import annotations

import contextlib
import grp
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console import Console, open_console
from frames import broadcast, mac
from netns import NetNamespace
from switch_process import Switch, adopt_orphans, run_switch, switch_program, wait_for_orphan
from vde_client import VdeClient, as_user, connect_stream
from waiting import wait_until

Start = Callable[..., Switch]
GROUP = "daemon"  # a group that every Debian has and nobody is in


def mode_of(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def group_of(path: Path | str) -> str:
    return grp.getgrgid(os.stat(path).st_gid).gr_name


# -- spellings -----------------------------------------------------------------------------------

@pytest.mark.parametrize("spelling", ["-s {}", "-s{}", "--sock {}", "--sock={}", "-sock {}", "--so {}", "-so {}",
                                      "--vdesock {}", "-vdesock {}", "--vde {}", "--unix {}", "-unix {}", "--un {}"])
def test_directory(start_switch: Start, directory: Path, spelling: str) -> None:
    switch = start_switch(*spelling.format(directory / "other").split())
    assert switch.console().check("ds/showinfo")[0] == f"ctl dir {directory}/other"
    assert not switch.ctl_dir.exists()  # the last one of a repeated option wins
    VdeClient(directory / "other").close()


@pytest.mark.parametrize("spelling", ["-n 64", "-n64", "-n 0x40", "--numports 64", "--numports=64", "-numports 64",
                                      "-numports=64", "--num 64", "-num 64", "-n 5 -n 64", "-xn64", "-Fn 64"])
def test_number_of_ports(start_switch: Start, spelling: str) -> None:
    assert "Numports=64" in start_switch(*spelling.split()).console().check("port/showinfo")


@pytest.mark.parametrize("spelling", ["-x", "--hub", "-hub", "--hu", "-xF", "-Fx", "-hu"])
def test_hub(start_switch: Start, spelling: str) -> None:
    assert "HUB=true" in start_switch(*spelling.split()).console().check("port/showinfo")


@pytest.mark.parametrize("spelling", ["-F", "--fstp", "-fstp", "--fs", "-F --priority 0x1000", "-priority 4096",
                                      "--pri 1", "-D 3", "--debugclients 3", "-debugclients 3", "--deb 3"])
def test_accepted(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert switch.console().run("port/showinfo").ok
    assert "option" not in switch.log_text()


@pytest.mark.parametrize("spelling", ["--macaddr {}", "--macaddr={}", "-macaddr {}", "--mac {}", "-mac {}"])
@pytest.mark.parametrize("written", ["00:ff:01:02:03:04", "00.FF.01.02.03.04", "0:ff:1:2:3:4"])
def test_mac_address(start_switch: Start, spelling: str, written: str) -> None:
    lines = start_switch(*spelling.format(written).split()).console().check("showinfo")
    assert " MAC 00:ff:01:02:03:04 " in lines[-2]


def test_random_mac_address_has_the_known_beginning(switch: Switch) -> None:
    assert " MAC 00:ff:" in switch.console().check("showinfo")[-2]


@pytest.mark.parametrize("spelling", ["--hashsize 100", "-hashsize 100", "--hash 100", "-hash=100"])
def test_hash_size_is_rounded_up(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert switch.console().check("hash/showinfo")[0] == "Hash size 128"
    assert "Hash size must be a power of 2. 100 rounded to 128" in switch.log_text()


@pytest.mark.parametrize("spelling", ["-m 660", "-m660", "--mode 660", "-mode 660", "--mode=660", "--mod 660",
                                      "-mod 660"])
def test_mode(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert switch.console().check("ds/showinfo")[1] == "std mode 0660"
    assert mode_of(switch.ctl_dir / "ctl") == 0o660


@pytest.mark.root
@pytest.mark.parametrize("spelling", ["-g {}", "-g{}", "--group {}", "-group {}", "--gr {}"])
def test_group(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.format(GROUP).split())
    assert group_of(switch.ctl_dir) == GROUP
    assert group_of(switch.ctl_dir / "ctl") == GROUP
    assert group_of(switch.client().switch_path) == GROUP


@pytest.mark.parametrize("spelling", ["-M {}", "--mgmt {}", "-mgmt {}", "--mgmt={}"])
def test_console_socket(start_switch: Start, directory: Path, spelling: str) -> None:
    switch = start_switch("--nostdin" if not is_old() else "-x", *spelling.format(directory / "m").split(), mgmt=False)
    with open_console(directory / "m") as console:
        assert console.run("port/showinfo").ok
    assert mode_of(directory / "m") == 0o600
    switch.stop()
    assert not (directory / "m").exists()


def is_old() -> bool:
    return run_switch("--nostdin", "--version").stderr != ""


@pytest.mark.parametrize("spelling", ["--mgmtmode 0640", "-mgmtmode 640", "--mgmtm 640"])
def test_console_mode(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.split())
    assert mode_of(switch.mgmt_path) == 0o640


@pytest.mark.root
@pytest.mark.parametrize("spelling", ["--mgmtgroup {}", "-mgmtgroup {}", "--mgmtg {}"])
def test_console_group(start_switch: Start, spelling: str) -> None:
    switch = start_switch(*spelling.format(GROUP).split())
    assert group_of(switch.mgmt_path) == GROUP


@pytest.mark.root
@pytest.mark.parametrize("spelling", ["-t lydt0 -t lydt1", "--tap lydt0 --tap lydt1", "-tap lydt0 -tap lydt1",
                                      "--ta lydt0 -tlydt1"])
def test_taps(start_switch: Start, namespace: NetNamespace, spelling: str) -> None:
    switch = start_switch(*spelling.split(), netns=namespace.name)
    text = "\n".join(switch.console().check("port/print"))
    assert "module tuntap      : lydt0" in text
    assert "module tuntap      : lydt1" in text
    assert {"lydt0", "lydt1"} <= set(namespace.links())


@pytest.mark.root
@pytest.mark.parametrize("name", ["lyd/0", "lo"])
def test_a_tap_that_cannot_be_opened_is_only_logged(start_switch: Start, namespace: NetNamespace, name: str) -> None:
    switch = start_switch("-t", name, netns=namespace.name)
    assert "ERROR OPENING tap interface" in switch.log_text()
    assert switch.client().port == 1


@pytest.mark.root
def test_taps_with_one_name_are_one_bad_name(start_switch: Start, namespace: NetNamespace) -> None:
    switch = start_switch("-t", "lydt0,lydt1", netns=namespace.name)
    assert "lydt1" not in namespace.links()
    assert switch.client().send(broadcast(mac(1))) is None


@pytest.mark.root
def test_a_prepared_tap_needs_no_privilege(start_switch: Start, namespace: NetNamespace, directory: Path) -> None:
    namespace.add_tap("lydt0", user="nobody")
    os.chown(directory, 65534, 65534)
    # /dev/net/tun is open to all on Debian; where it is not, the switch sees a node that is.
    prepare = (f"mknod -m 666 {directory}/tun c 10 200 && mount --bind {directory}/tun /dev/net/tun && "
               'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"')
    switch = start_switch("-t", "lydt0", netns=namespace.name, directory=directory,
                          prefix=("unshare", "-m", "sh", "-c", prepare, "sh"))
    assert "module tuntap      : lydt0" in "\n".join(switch.console().check("port/print"))
    assert switch.log_text() == ""


@pytest.mark.parametrize("option", ["--bogus", "-bogus=3", "--mg", "-Z"])
def test_an_unknown_option_is_reported_and_the_switch_starts(start_switch: Start, option: str) -> None:
    switch = start_switch(option)
    assert switch.client().port == 1
    assert "option" in switch.log_text()


@pytest.mark.parametrize("option", ["-n", "--numports", "-t", "--macaddr", "-f"])
def test_a_missing_argument_is_reported_and_the_switch_starts(start_switch: Start, option: str) -> None:
    switch = start_switch(option)
    assert switch.client().port == 1
    assert "requires an argument" in switch.log_text()


# -- exit codes and messages ---------------------------------------------------------------------

@pytest.mark.parametrize("options, code, message", [
    ("-n 0", 1, "The switch must have at least 1 port"),
    ("-n -3", 1, "The switch must have at least 1 port"),
    ("--macaddr xx", 1, "Invalid MAC Addr xx"),
    ("--macaddr 00:ff:01:02:03", 1, "Invalid MAC Addr 00:ff:01:02:03"),
    ("-g nosuchgroup", 1, "No such group 'nosuchgroup'"),
    ("--mgmtgroup nosuchgroup", 1, "No such group 'nosuchgroup'"),
    ("-s /proc/nothing", 255, "Cannot create ctl directory '/proc/nothing': No such file or directory"),
    ("-s /nonexistent/a/b", 255, "Cannot create ctl directory '/nonexistent/a/b': No such file or directory"),
    ("-d -s /nonexistent/a/b", 255, ""),
    ("-p /nonexistent/pid", 1, "Error in pidfile creation: No such file or directory"),
], ids=str)
def test_refused_at_start(directory: Path, options: str, code: int, message: str) -> None:
    done = run_switch("-s", str(directory / "ctl"), *options.split(), cwd=directory)
    assert done.returncode == code
    assert message in done.stderr


def test_a_file_in_place_of_the_directory(directory: Path) -> None:
    (directory / "file").write_text("precious")
    done = run_switch("-s", str(directory / "file"), cwd=directory)
    assert done.returncode == 255
    assert "Not a directory" in done.stderr
    assert (directory / "file").read_text() == "precious"


@pytest.mark.parametrize("option", ["-h", "--help", "-help", "--hel"])
def test_help_is_on_standard_output_with_exit_code_1(option: str) -> None:
    done = run_switch(option)
    assert done.returncode == 1
    assert done.stdout.startswith("Usage: vde_switch [OPTIONS]\n")
    for word in ("--help", "--version", "--numports", "--hub", "--fstp", "--macaddr", "--priority", "--hashsize",
                 "--sock", "--vdesock", "--unix", "--mode", "--dirmode", "--group", "--daemon", "--pidfile",
                 "--rcfile", "--mgmt ", "--mgmtmode", "--mgmtgroup", "--debugclients", "--tap"):
        assert word in done.stdout


@pytest.mark.parametrize("option", ["-v", "--version", "-version", "--ver"])
def test_version(option: str) -> None:
    done = run_switch(option)
    assert (done.returncode, done.stdout[:9]) == (0, "VDE 2.3.2")


def test_words_without_option_are_a_usage_error(directory: Path) -> None:
    done = run_switch("-s", str(directory / "ctl"), "word")
    assert done.returncode == 1
    assert "Usage: " in done.stdout + done.stderr
    assert not (directory / "ctl").exists()


# -- modes and owners (directory and ctl) --------------------------------------------------------

@pytest.mark.parametrize("options, ctl, folder", [
    ("", 0o600, 0o2700),
    ("-m 660", 0o660, 0o2770),
    ("-m 666", 0o666, 0o2777),
    ("-m 640", 0o640, 0o2750),
    ("-m 0", 0o000, 0o2000),
    ("--dirmode 0750", 0o640, 0o750),
    ("--dirmode 2777", 0o666, 0o2777),
    ("-m 600 --dirmode 2755", 0o600, 0o2755),
    ("--dirmode 0755 -m 666", 0o666, 0o755),
    ("-m nonsense", 0o600, 0o2700),
], ids=str)
def test_modes(start_switch: Start, options: str, ctl: int, folder: int) -> None:
    switch = start_switch(*options.split(), preexec=lambda: os.umask(0o077) and None)
    assert oct(mode_of(switch.ctl_dir / "ctl")) == oct(ctl)
    assert oct(mode_of(switch.ctl_dir)) == oct(folder)


@pytest.mark.root
@pytest.mark.parametrize("options, uid, mode, group", [
    ("-m 666", 0, 0o600, "root"),
    ("-m 666", 65534, 0o600, "root"),
    (f"-m 666 -g {GROUP}", 65534, 0o600, GROUP),
    ("-m 777", 65534, 0o700, "root"),
], ids=str)
def test_modes_of_a_data_socket(start_switch: Start, options: str, uid: int, mode: int, group: str) -> None:
    switch = start_switch(*options.split())
    with as_user(uid) if uid else contextlib.nullcontext():
        client = switch.client()
    status = os.stat(client.switch_path)
    assert (status.st_uid, oct(stat.S_IMODE(status.st_mode)), group_of(client.switch_path)) == (uid, oct(mode), group)


@pytest.mark.root
def test_modes_of_a_switch_without_privilege(start_switch: Start, directory: Path) -> None:
    os.chown(directory, 65534, 65534)
    switch = start_switch("-m", "660", directory=directory,
                          prefix=("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"))
    assert oct(mode_of(switch.ctl_dir)) == oct(0o2770)
    with as_user(65534):
        client = switch.client()
    assert oct(mode_of(client.switch_path)) == oct(0o660)
    assert os.stat(client.switch_path).st_uid == 65534


@pytest.mark.root
def test_a_client_may_change_the_mode_of_its_data_socket(start_switch: Start) -> None:
    """As libvdeplug does after the handshake, for the mode its user asked for."""
    switch = start_switch("-m", "666")
    with as_user(65534):
        client = switch.client()
        os.chmod(client.switch_path, 0o770)
    assert oct(mode_of(client.switch_path)) == oct(0o770)


# -- signals -------------------------------------------------------------------------------------

def test_sigterm_cleans_up(switch: Switch) -> None:
    assert switch.stop(signal.SIGTERM) == 0
    assert "Caught signal 15, cleaning up and exiting" in switch.log_text()
    assert not switch.ctl_dir.exists()
    assert not switch.mgmt_path.exists()


def test_sigint_cleans_up_and_dies_of_it(switch: Switch) -> None:
    assert switch.stop(signal.SIGINT) == -signal.SIGINT
    assert "Caught signal 2, cleaning up and exiting" in switch.log_text()
    assert not switch.ctl_dir.exists()
    assert not switch.mgmt_path.exists()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_hard_end_leaves_the_files_and_a_new_start_takes_them(start_switch: Start, directory: Path,
                                                                number: signal.Signals) -> None:
    first = start_switch(directory=directory)
    first.client()
    assert first.stop(number) == -number
    assert (first.ctl_dir / "ctl").exists()
    second = start_switch(directory=directory)
    assert second.client().port == 1
    assert second.console().run("port/showinfo").ok


@pytest.mark.parametrize("name", ["HUP", "PIPE", "ALRM", "USR1", "USR2", "PROF", "VTALRM", "IO", "PWR"])
def test_ignored_signals(switch: Switch, name: str) -> None:
    console = switch.console()
    for _ in range(5):
        os.kill(switch.pid, getattr(signal, f"SIG{name}"))
        assert console.run("port/showinfo").ok


# -- files ---------------------------------------------------------------------------------------

def test_pid_file(start_switch: Start, directory: Path) -> None:
    switch = start_switch("-p", str(directory / "pidfile"))
    assert (directory / "pidfile").read_text() == f"{switch.pid}\n"
    assert oct(mode_of(directory / "pidfile")) == oct(0o644)
    switch.stop()
    assert not (directory / "pidfile").exists()


@pytest.mark.ours
@pytest.mark.parametrize("content", ["99999999\n", "", "garbage", "-5\n", "0\n"], ids=repr)
def test_a_stale_pid_file_is_overwritten(start_switch: Start, directory: Path, content: str) -> None:
    (directory / "pidfile").write_text(content)
    switch = start_switch("-p", str(directory / "pidfile"))
    assert (directory / "pidfile").read_text() == f"{switch.pid}\n"


@pytest.mark.ours
def test_a_pid_file_left_by_kill_9_does_not_stop_a_restart(start_switch: Start, directory: Path) -> None:
    first = start_switch(directory=directory, daemon=True)
    first.stop(signal.SIGKILL)
    second = start_switch(directory=directory, daemon=True)
    assert second.pid_file.read_text() == f"{second.pid}\n" != f"{first.pid}\n"


@pytest.mark.parametrize("daemon", [(), ("-d",)], ids=["foreground", "daemon"])
def test_the_pid_file_of_a_living_switch_is_refused(start_switch: Start, directory: Path,
                                                    daemon: tuple[str, ...]) -> None:
    if daemon and is_old():
        pytest.skip("the original finds out after the parent returned")
    first = start_switch("-p", str(directory / "pidfile"))
    done = run_switch("-s", str(directory / "second"), "-p", str(directory / "pidfile"), *daemon, cwd=directory)
    assert done.returncode == 1
    assert "Error in pidfile creation: File exists" in done.stderr
    if not first.is_original:  # which removes the file that is not its own
        assert (directory / "pidfile").read_text() == f"{first.pid}\n"
        assert not (directory / "second" / "ctl").exists()


def test_a_second_switch_on_the_same_directory_is_refused(start_switch: Start) -> None:
    first = start_switch()
    client = first.client()
    for daemon in ([], ["-d"]):
        done = run_switch("-s", str(first.ctl_dir), *daemon)
        assert done.returncode == 255
        assert f"Could not bind to socket '{first.ctl_dir}/ctl': Address already in use" in done.stderr
    other = first.client()
    client.send(broadcast(mac(1)))
    assert other.recv() == broadcast(mac(1))


def test_the_console_of_a_living_switch_is_not_taken(start_switch: Start, directory: Path) -> None:
    first = start_switch()
    second = start_switch("-s", str(directory / "two"), "-M", str(first.mgmt_path), mgmt=False, wait=False)
    wait_until("second switch", lambda: (directory / "two/ctl").exists())
    assert first.console().check("ds/showinfo")[0] == f"ctl dir {first.ctl_dir}"
    second.stop()
    assert first.console().check("ds/showinfo")[0] == f"ctl dir {first.ctl_dir}"


@pytest.mark.ours
def test_a_file_that_is_no_socket_is_not_taken_for_a_console(start_switch: Start, directory: Path) -> None:
    (directory / "mgmt").write_text("precious")
    switch = start_switch(directory=directory, wait=False)
    switch.wait_log("mgmt bind")
    VdeClient(switch.ctl_dir).close()
    switch.stop()
    assert (directory / "mgmt").read_text() == "precious"


def test_a_console_socket_that_cannot_be_made_is_only_logged(start_switch: Start) -> None:
    switch = start_switch("-M", "/nonexistent/mgmt", mgmt=False)
    switch.wait_log("mgmt bind")
    assert switch.client().port == 1


def test_an_existing_directory_is_used_and_foreign_files_stay(start_switch: Start, directory: Path) -> None:
    (directory / "ctl").mkdir(mode=0o755)
    (directory / "ctl" / "notes").write_text("mine")
    switch = start_switch(directory=directory)
    assert oct(mode_of(switch.ctl_dir)) == oct(0o2700)
    switch.stop()
    assert (directory / "ctl" / "notes").read_text() == "mine"
    assert not (directory / "ctl" / "ctl").exists()
    assert f"Could not remove ctl dir '{switch.ctl_dir}': Directory not empty" in switch.log_text()


def test_the_sockets_of_a_successor_are_left_alone(start_switch: Start) -> None:
    first = start_switch()
    (first.ctl_dir / "ctl").unlink()
    with Switch("-s", str(first.ctl_dir)) as second:
        first.stop()
        assert "Cleanup not removing files" in first.log_text()
        VdeClient(first.ctl_dir).close()
        second.stop()
    assert not first.ctl_dir.exists()


def test_the_directory_is_made_canonical(start_switch: Start, directory: Path) -> None:
    (directory / "real").mkdir()
    (directory / "link").symlink_to("real")
    switch = start_switch("-s", "link/net", directory=directory)
    assert switch.console().check("ds/showinfo")[0] == f"ctl dir {directory}/real/net"
    with VdeClient(directory / "link/net") as client:
        assert client.switch_path.startswith(f"{directory}/real/net/001.")


@pytest.mark.parametrize("length", [20, 60, 85, 92])
def test_long_directory_names_work(start_switch: Start, directory: Path, length: int) -> None:
    name = str(directory) + "/" + "d" * (length - len(str(directory)) - 1)
    start_switch("-s", name)
    wait_until("ctl", Path(name, "ctl").exists)
    # The client's own name must be short enough as well, so it lives elsewhere.
    with VdeClient(name, path=directory / "own", port=31) as client:
        assert Path(client.switch_path).parent == Path(name)
        assert Path(client.switch_path).name.startswith("031.")


@pytest.mark.ours
@pytest.mark.parametrize("length", [100, 103, 104, 106, 107, 108, 109, 120, 300])
def test_too_long_directory_names_are_refused_with_a_reason(directory: Path, length: int) -> None:
    name = "d" * 80 + "/" + "e" * 200
    path = f"{directory}/{name}"[:length]
    (directory / ("d" * 80)).mkdir(exist_ok=True)
    done = run_switch("-s", path)
    assert done.returncode not in (0, 127)
    assert str(len(path)) in done.stderr
    assert "92" in done.stderr  # what it may be
    assert list((directory / ("d" * 80)).iterdir()) == []


# -- rc file -------------------------------------------------------------------------------------

def test_rc_file_from_home(start_switch: Start, directory: Path) -> None:
    (directory / ".vde2").mkdir()
    (directory / ".vde2/vde_switch.rc").write_text("# lab\nport/create 3\n\nbogus\nvlan/create 10\nport/setvlan 3 10\n"
                                                   "logout\nshutdown\nload x\nport/create 7")
    switch = start_switch(directory=directory)
    ports = switch.console().check("port/allprint")
    assert ports[0].startswith("Port 0003 untagged_vlan=0010 INACTIVE - NOT")
    assert ports[4].startswith("Port 0007 ")
    assert "1000" not in switch.log_text() + switch.output_text()


@pytest.mark.parametrize("spelling", ["-f {}", "-f{}", "--rcfile {}", "--rcfile={}", "-rcfile {}", "--rc {}"])
def test_rc_file_by_option_replaces_the_one_from_home(start_switch: Start, directory: Path, spelling: str) -> None:
    (directory / ".vde2").mkdir()
    (directory / ".vde2/vde_switch.rc").write_text("port/create 3\n")
    (directory / "lab.rc").write_text("port/create 4\n")
    switch = start_switch(*spelling.format("lab.rc").split(), directory=directory)
    assert [line[:9] for line in switch.console().check("port/allprint")[::4]] == ["Port 0004"]


def test_an_absent_rc_file_is_no_error_and_none_is_read_instead(start_switch: Start, directory: Path) -> None:
    (directory / ".vde2").mkdir()
    (directory / ".vde2/vde_switch.rc").write_text("port/create 3\n")
    switch = start_switch("-f", "/nonexistent.rc", directory=directory)
    assert switch.console().check("port/allprint") == []


@pytest.mark.root
def test_rc_file_runs_when_the_taps_exist(start_switch: Start, namespace: NetNamespace, directory: Path) -> None:
    (directory / "lab.rc").write_text("vlan/create 10\nport/setvlan 1 10\n")
    switch = start_switch("-t", "lydt0", "-f", "lab.rc", netns=namespace.name, directory=directory)
    assert switch.console().check("port/print 1")[0].startswith("Port 0001 untagged_vlan=0010 ACTIVE")


@pytest.mark.ours
def test_rc_file_takes_long_lines(start_switch: Start, directory: Path) -> None:
    (directory / "lab.rc").write_text("#" * 500 + "\n" + " " * 300 + "port/create 3\nport/create 4\n")
    switch = start_switch("-f", "lab.rc", directory=directory)
    assert [line[:9] for line in switch.console().check("port/allprint")[::4]] == ["Port 0003", "Port 0004"]


# -- standard input and daemon mode --------------------------------------------------------------

def test_end_of_standard_input_ends_it(switch: Switch) -> None:
    switch.close_stdin()
    assert switch.wait_exit() == 0
    assert "EOF on stdin, cleaning up and exiting" in switch.log_text()
    assert not switch.ctl_dir.exists()


@pytest.mark.ours
@pytest.mark.parametrize("spelling", ["--nostdin", "-nostdin", "--nos"])
def test_without_console_on_standard_input(start_switch: Start, spelling: str) -> None:
    switch = start_switch(spelling)
    switch.close_stdin()
    assert switch.console().run("port/showinfo").ok
    assert switch.client().port == 1
    assert switch.alive()


def test_log_lines_begin_with_the_name_it_was_started_by(switch: Switch) -> None:
    switch.stop()
    names = (f"{switch.program}: ", f"{switch.program.name}: ")
    assert all(line.startswith(names) for line in switch.log_text().splitlines())
    assert switch.log_text()


@pytest.mark.ours
def test_a_daemon_is_ready_when_the_command_returns(start_switch: Start, namespace: NetNamespace,
                                                    directory: Path) -> None:
    (directory / "lab.rc").write_text("vlan/create 10\nport/setvlan 1 10\nport/create 9\n")
    switch = start_switch("-t", "lydt0", "-f", "lab.rc", netns=namespace.name, directory=directory, daemon=True,
                          wait=False)
    assert switch.pid_file.read_text() == f"{switch.pid}\n"
    with Console(switch.mgmt_path) as console:
        ports = console.check("port/allprint")
    assert ports[0].startswith("Port 0001 untagged_vlan=0010 ACTIVE")
    assert ports[4] == "  -- endpoint ID" + ports[4][16:21] + " module tuntap      : lydt0"
    assert ports[5].startswith("Port 0009 ")


def test_a_daemon_lets_go_of_terminal_and_session(start_switch: Start) -> None:
    switch = start_switch(daemon=True)
    assert os.getsid(switch.pid) != os.getsid(0)
    assert [os.readlink(f"/proc/{switch.pid}/fd/{number}") for number in range(3)] == ["/dev/null"] * 3
    assert Path(os.readlink(f"/proc/{switch.pid}/cwd")) == switch.directory
    assert switch.stop() == 0
    assert not switch.ctl_dir.exists()
    assert not switch.pid_file.exists()


def test_a_daemon_does_not_hold_the_callers_pipe(directory: Path) -> None:
    adopt_orphans()
    done = run_switch("-d", "-s", str(directory / "ctl"), "-p", str(directory / "pid"), timeout=5)
    assert done.returncode == 0  # communicate() inside run_switch ends only when nobody holds the pipes
    pid = int(wait_until("pid file", lambda: (directory / "pid").exists() and (directory / "pid").read_text()))
    os.kill(pid, signal.SIGTERM)
    assert wait_for_orphan(pid) == 0


@pytest.fixture
def relative_daemon(directory: Path) -> Iterator[Path]:
    """A daemon whose every path is relative, started in `directory`."""
    adopt_orphans()
    (directory / "lab.rc").write_text("port/create 3\n")
    assert run_switch("-d", "-s", "net", "-M", "net.mgmt", "-p", "net.pid", "-f", "lab.rc", cwd=directory).returncode == 0
    pid = int(wait_until("pid file", lambda: (directory / "net.pid").exists() and (directory / "net.pid").read_text()))
    try:
        yield directory
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for_orphan(pid)


@pytest.mark.ours
def test_relative_paths_of_a_daemon(relative_daemon: Path) -> None:
    assert not Path("/net.mgmt").exists()
    with Console(relative_daemon / "net.mgmt") as console:
        assert console.check("ds/showinfo")[0] == f"ctl dir {relative_daemon}/net"
        assert console.check("showinfo")[-1].endswith("net.mgmt perm 0600")
        assert console.check("port/allprint")[0].startswith("Port 0003 ")
    with VdeClient(relative_daemon / "net") as client:
        assert client.port == 1


@pytest.mark.ours
@pytest.mark.parametrize("options, code", [("-p /nonexistent/pid", 1), ("--macaddr xx", 1), ("-g nosuchgroup", 1),
                                           ("-M /nonexistent/mgmt", 0), ("-t nonexistent/tap", 0)], ids=str)
def test_a_daemon_returns_the_true_exit_code(directory: Path, options: str, code: int) -> None:
    adopt_orphans()
    done = run_switch("-d", "-s", str(directory / "ctl"), "-p", str(directory / "pid"), *options.split(),
                      cwd=directory)
    try:
        assert done.returncode == code
        assert "nonexistent" in done.stderr or "xx" in done.stderr or "nosuchgroup" in done.stderr \
            or "No such file" in done.stderr
    finally:
        if done.returncode == 0:
            pid = int((directory / "pid").read_text())
            os.kill(pid, signal.SIGTERM)
            wait_for_orphan(pid)


@pytest.mark.root
def test_start_and_stop_by_the_debian_interface_hooks(namespace: NetNamespace, directory: Path) -> None:
    adopt_orphans()
    base = directory / "tap0"
    namespace.add_tap("lydt0")
    program = str(switch_program())
    namespace.run("start-stop-daemon", "--start", "--quiet", "--pidfile", f"{base}.pid", "--exec", program, "--",
                  "-s", f"{base}.ctl", "-m", "660", "-g", GROUP, "-p", f"{base}.pid", "-t", "lydt0",
                  "-M", f"{base}.mgmt", "--mgmtmode", "660", "-d")
    pid = int(wait_until("pid file", lambda: Path(f"{base}.pid").exists() and Path(f"{base}.pid").read_text()))
    try:
        with open_console(f"{base}.mgmt") as console:
            assert "lydt0" in "\n".join(console.check("port/print"))
        assert oct(mode_of(f"{base}.ctl")) == oct(0o2770)
        assert oct(mode_of(f"{base}.mgmt")) == oct(0o660)
    finally:
        stopped = namespace.run("start-stop-daemon", "--stop", "--quiet", "--pidfile", f"{base}.pid",
                                "--exec", program, check=False)
        if stopped.returncode != 0:
            os.kill(pid, signal.SIGKILL)
        code = wait_for_orphan(pid)
    assert (stopped.returncode, code) == (0, 0)
    assert not Path(f"{base}.ctl").exists()


def test_ctl_takes_clients_as_soon_as_a_daemon_returns(directory: Path) -> None:
    adopt_orphans()
    for _ in range(5):
        assert run_switch("-d", "-s", str(directory / "ctl"), "-p", str(directory / "pid")).returncode == 0
        connect_stream(directory / "ctl/ctl").close()
        VdeClient(directory / "ctl").close()
        pid = int(wait_until("pid", lambda: (directory / "pid").exists() and (directory / "pid").read_text()))
        os.kill(pid, signal.SIGTERM)
        assert wait_for_orphan(pid) == 0


def test_a_start_is_fast(directory: Path) -> None:
    """Far above the figure that the benchmark measures; this only finds a start that waits for something."""
    with Switch(directory=directory, wait=False) as switch:
        wait_until("first port", lambda: served(switch.ctl_dir), timeout=1.0, step=0.001)


def served(folder: Path) -> bool:
    try:
        VdeClient(folder).close()
    except (OSError, socket.error, subprocess.SubprocessError):
        return False
    return True
