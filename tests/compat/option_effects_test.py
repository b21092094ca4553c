# SPDX-License-Identifier: MIT
"""Every option of the command line, given to the original and to ours: the same files with the same
modes and owners, the same answers of the console, the same end.

What is meant to differ is in OPTION_DIFFERENCES, each with its reason; a difference that is gone fails.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from intended_differences import OPTION_DIFFERENCES  # noqa: E402
from netns import NetNamespace  # noqa: E402
from player import masked  # noqa: E402
from switch_process import ORIGINAL, Switch, original_installed, run_switch, switch_program  # noqa: E402

pytestmark = [pytest.mark.ours, pytest.mark.root]

# What runs: {d} is the directory of the test.
LINES = [
    "",
    *(f"-m {mode}" for mode in ("0", "600", "640", "660", "666", "777", "0x1ff", "abc")),
    "--mode 660", "--mod 660", "-mode=660",
    *(f"--dirmode {mode}" for mode in ("700", "750", "755", "2770", "abc")),
    "-m 660 --dirmode 2750",
    "-g daemon", "--group daemon", "-m 660 -g daemon", "--dirmode 750 -g daemon",
    "--mgmtmode 0", "--mgmtmode 640", "--mgmtmode 666", "--mgmtmode abc",
    "--mgmtgroup daemon", "--mgmtmode 660 --mgmtgroup daemon",
    "-n 5", "-n 0x20", "--numports 100", "--numports=7",
    "-x", "--hub", "-x -n 4",
    "-macaddr 00:ff:01:02:03:04", "--mac 00.FF.01.02.03.04",
    "--hashsize 100", "--hashsize 1024", "--hashsize 1",
    "--priority 0x1000", "--priority 70000",
    "-D 3",
    "-p {d}/pidfile", "--pidfile {d}/pidfile", "-d -p {d}/pidfile",
    "-f {d}/rc", "--rcfile {d}/rc", "-f {d}/none",
    "-t lytap0", "--tap lytap0 -t lytap1", "-t lo",
    "-s {d}/ctl -m 640", "-sock {d}/ctl", "--vdesock {d}/ctl", "--unix {d}/ctl",
    "-n 3 -n 9", "-m 600 -m 666",
    "--bogus", "-Z",
]

# With a spanning tree; the address is in what it prints.
TREES = [
    f"{line} --macaddr 00:ff:01:02:03:04" for line in (
        "-F", "--fstp", "-F --priority 0x1000", "-F --priority 70000", "-x -F", "-F -x", "--priority 0x1000")
]

# What does not start.
REFUSED = [
    "-n 0", "-n -3", "-g no-such-group", "--mgmtgroup no-such-group",
    "--macaddr nonsense", "--macaddr 00:ff:01:02:03", "word", "-x word",
    "-s /nonexistent/a/b", "-s /dev/null", "-p {d}/existing", "-p /nonexistent/pid",
    "-v", "--version", "-h", "--help",
]

TREE_COMMANDS = ("fstp/showinfo", "fstp/print")
COMMANDS = ("showinfo", "ds/showinfo", "port/showinfo", "port/allprint", "hash/showinfo", "vlan/allprint")


@dataclass(frozen=True)
class Effect:
    files: tuple[str, ...]
    console: str
    exit_code: int
    files_left: tuple[str, ...]


def listing(directory: Path) -> tuple[str, ...]:
    """Names, kinds, modes and owners of what the switch has made; what differs in every run masked."""
    lines = []
    for folder, folders, files in os.walk(directory):
        for name in [*folders, *files]:
            path = Path(folder) / name
            if name in ("stderr", "stdout", "rc", "existing") or name.startswith("."):
                continue
            info = path.lstat()
            shown = re.sub(r"^(\d{3})\.\d+$", r"\1.#", name)
            text = " " + re.sub(r"^\d+$", "PID", path.read_text().strip()) if stat.S_ISREG(info.st_mode) else ""
            lines.append(f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid} "
                         f"{(path.parent / shown).relative_to(directory)}{text}")
    return tuple(sorted(lines))


def prepare(directory: Path) -> None:
    (directory / "rc").write_text("vlan/create 7\nport/create 3\n# a remark\nport/setvlan 3 7\n")
    (directory / "existing").write_text(f"{os.getpid()}\n")


def console_text(switch: Switch) -> str:
    commands = COMMANDS + TREE_COMMANDS if "--macaddr" in switch.command else COMMANDS
    with switch.console() as console:
        replies = [f"{command}: {console.run(command).raw}" for command in commands]
    # Masked before: the directory of the test, which differs, too.
    text = masked("\n".join(replies).replace(str(switch.directory), "DIR"))
    return re.sub(r"mgmt \S+", "mgmt PATH", text)


def effect(line: str, program: Path, directory: Path, namespace: NetNamespace) -> Effect:
    prepare(directory)
    options = [word.format(d=directory) for word in line.split()]
    daemon = "-d" in options
    if daemon:
        options = options[options.index("-p") + 2:]
    with Switch(*options, program=program, directory=directory, daemon=daemon, netns=namespace.name) as switch:
        with switch.client(description="alice"):
            files, console = listing(directory), console_text(switch)
        code = switch.stop(signal.SIGTERM)
        return Effect(files, console, code, listing(directory))


@pytest.fixture(autouse=True)
def _needs_the_original() -> None:
    if not original_installed():
        pytest.skip("the original vde_switch is not installed")


def both(line: str, tmp: Path, namespace: NetNamespace) -> tuple[Effect, Effect]:
    effects = []
    for name, program in (("a", ORIGINAL), ("b", switch_program())):
        directory = tmp / name
        directory.mkdir(mode=0o755)
        effects.append(effect(line, program, directory, namespace))
    return effects[0], effects[1]


def lines_of(effect: object) -> list[str]:
    return str(effect).replace("\\n", "\n").replace("', '", "\n").split("\n")


def compared(line: str, original: object, ours: object) -> None:
    reason = next((one.reason for one in OPTION_DIFFERENCES if line in one.lines), None)
    if reason is None:
        assert lines_of(ours) == lines_of(original)
    else:
        assert ours != original, f"it does not differ any more: {reason}"


@pytest.mark.parametrize("line", LINES)
def test_an_option_has_the_same_effect(line: str, directory: Path, namespace: NetNamespace) -> None:
    compared(line, *both(line, directory, namespace))


@pytest.mark.parametrize("line", TREES)
def test_a_spanning_tree_starts_the_same(line: str, directory: Path, namespace: NetNamespace) -> None:
    original, ours = both(line, directory, namespace)
    if "fstp/showinfo: 1038" in ours.console:
        pytest.skip("this switch has no spanning tree")
    compared(line, original, ours)


def refusal(line: str, program: Path, directory: Path) -> tuple[int, bool, tuple[str, ...]]:
    prepare(directory)
    words = [word.format(d=directory) for word in line.split()]
    if "-s" not in words:
        words = ["-s", str(directory / "ctl"), *words]
    done = run_switch(*words, program=program, cwd=directory)
    return done.returncode, bool(done.stdout), listing(directory)


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused_ends_with_the_same_code_and_leaves_the_same(line: str, directory: Path) -> None:
    results = []
    for name, program in (("a", ORIGINAL), ("b", switch_program())):
        folder = directory / name
        folder.mkdir()
        results.append(refusal(line, program, folder))
    compared(line, *results)


def test_every_difference_is_about_a_line_that_is_played() -> None:
    lines = {line for one in OPTION_DIFFERENCES for line in one.lines}
    assert lines - {*LINES, *TREES, *REFUSED} == set()
