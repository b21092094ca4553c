# SPDX-License-Identifier: MIT
"""Runs a vde_switch for a test: directory, readiness, console, log, an end that always comes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from console import Console
from vde_client import VdeClient
from waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
ORIGINAL = Path("/usr/bin/vde_switch")

# What a sanitizer build prints when it found something; a test that provokes it must fail.
SANITIZER_MARKS = (
    "ERROR: AddressSanitizer",
    "ERROR: LeakSanitizer",
    "WARNING: ThreadSanitizer",
    "runtime error:",
)


def switch_program() -> Path:
    """The vde_switch under test: in $LANYARD_BIN, or in the release build."""
    folder = os.environ.get("LANYARD_BIN") or str(REPOSITORY / "build/release/bin")
    # Absolute: programs run in directories of their own. Not resolved: the name decides what it is.
    return Path(folder).absolute() / "vde_switch"


def is_original(program: Path) -> bool:
    """True for the packaged vde_switch."""
    return program.resolve() == ORIGINAL.resolve() and original_installed()


def is_sanitized(program: Path) -> bool:
    """True for a sanitizer build, which needs memory and descriptors of its own."""
    return b"__asan_init" in program.read_bytes() or b"__tsan_init" in program.read_bytes()


def original_installed() -> bool:
    """True when /usr/bin/vde_switch is the original and not an installed copy of ours."""
    if not ORIGINAL.exists():
        return False
    return "lanyard" not in ORIGINAL.resolve().name


def run_switch(
    *arguments: str, program: Path | None = None, cwd: Path | None = None, timeout: float = 10.0
) -> subprocess.CompletedProcess[str]:
    """Runs the switch to its end, with an empty standard input: for the ways it does not start."""
    return subprocess.run(
        [str(program or switch_program()), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd or "/nonexistent")},
    )


def short_directory() -> Path:
    path = Path(tempfile.mkdtemp(prefix="lyd-", dir="/tmp"))
    path.chmod(0o755)
    return path


def adopt_orphans() -> None:
    """Makes this process the parent of daemons that its children leave, so it can wait for them."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def wait_for_orphan(pid: int, timeout: float = 5.0) -> int:
    """The exit code of an adopted daemon, as subprocess reports it (negative: signal)."""

    def ended() -> tuple[int, int] | None:
        found, status = os.waitpid(pid, os.WNOHANG)
        return (found, status) if found else None

    return os.waitstatus_to_exitcode(wait_until(f"process {pid} ends", ended, timeout)[1])


def end_adopted(word: str) -> None:
    """Kills the adopted children that have this word on their command line, and waits for them."""
    for text in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        pid = int(text)
        if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGKILL)
            wait_for_orphan(pid, timeout=60)


def pid_in(path: Path | str) -> int:
    """The number in a pid file, which may still be on its way."""
    file = Path(path)
    text: str = wait_until(f"pid in {file}", lambda: file.read_text() if file.exists() else None)
    return int(text)


def descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def no_descriptors_left(pid: int) -> Iterator[None]:
    """The process can open nothing more while the block lasts."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    lowest_free = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def cpu_seconds_of(pid: int) -> float:
    """To the nanosecond: the ticks of /proc/PID/stat are 10 ms, two of them 7 % of 0.3 s."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_kib_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Switch:
    """A running switch. Used as a context manager; the temporary directory goes with it.

    options        command line options besides the ones made here (-s and -M)
    directory      where ctl/, mgmt, rc files and logs are; None makes one for this switch
    mgmt           False: without -M
    daemon         True: with -d and -p; the daemon is adopted, so its exit code can be read
    netns          name of the network namespace to run in
    env            changes to the environment (HOME is the directory, so no rc file is found)
    stderr         a descriptor for the log instead of the file `log`
    wait           False: do not wait until it serves
    prefix         a command in front that ends in exec (setpriv, prlimit), so the pid stays
    """

    def __init__(
        self,
        *options: str,
        program: Path | None = None,
        directory: Path | None = None,
        mgmt: bool = True,
        daemon: bool = False,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
        stderr: Any = None,
        wait: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:
        self.program = program or switch_program()
        if not self.program.exists():
            raise FileNotFoundError(
                f"{self.program} is missing: build it (cmake --build --preset "
                "release) or set LANYARD_BIN to the folder of the programs"
            )
        self.owns_directory = directory is None
        self.directory = directory or short_directory()
        self.ctl_dir = self.directory / "ctl"
        self.mgmt_path = self.directory / "mgmt"
        self.pid_file = self.directory / "pid"
        self.log = self.directory / "stderr"
        self.output = self.directory / "stdout"
        self.is_original = is_original(self.program)
        self.daemon = daemon
        self._expected_end = False
        self._closers: list[Callable[[], None]] = []
        self._returncode: int | None = None

        command = ["ip", "netns", "exec", netns] if netns else []
        command += [*prefix, str(self.program), "-s", str(self.ctl_dir)]
        if mgmt:
            command += ["-M", str(self.mgmt_path)]
        if daemon:
            command += ["-d", "-p", str(self.pid_file)]
            adopt_orphans()
        self.command = [*command, *options]
        self.uses_console = mgmt
        try:
            with self.log.open("ab") as log, self.output.open("ab") as output:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=stderr or log,
                    env={**os.environ, "HOME": str(self.directory), **(env or {})},
                    cwd=self.directory,
                    preexec_fn=preexec,
                )
            self.pid = self.process.pid
            if daemon:
                self._become_daemon()
            if wait:
                self.wait_ready()
        except BaseException:
            self._clean_up()
            raise

    def _become_daemon(self) -> None:
        code = self.process.wait(timeout=10)
        if code != 0:
            raise AssertionError(f"-d returned {code}: {self.log_text()}")
        self.pid = pid_in(self.pid_file)

    # -- life ------------------------------------------------------------------------------------

    def wait_ready(self, timeout: float = 10.0) -> None:
        """Until the console greets (taps and rc file are done then), or the ctl socket accepts."""

        def serves() -> bool:
            if not self.daemon and self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode} at start: {self.log_text()}")
            return self._console_greets() if self.uses_console else self._ctl_accepts()

        wait_until(f"{' '.join(self.command)} serves", serves, timeout, step=0.002)

    def _console_greets(self) -> bool:
        try:
            Console(self.mgmt_path, timeout=2.0).close()
        except OSError:
            return False
        return True

    def _ctl_accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self.ctl_dir / "ctl")) == 0

    def alive(self) -> bool:
        if self._returncode is not None:
            return False
        if not self.daemon:
            return self.process.poll() is None
        found, status = os.waitpid(self.pid, os.WNOHANG)
        if found:
            self._returncode = os.waitstatus_to_exitcode(status)
        return not found

    def wait_exit(self, timeout: float = 5.0) -> int:
        """The exit code; the test says with this that the end was wanted."""
        self._expected_end = True
        if self._returncode is None:
            self._returncode = (
                wait_for_orphan(self.pid, timeout) if self.daemon else self.process.wait(timeout)
            )
        return self._returncode

    def stop(self, number: int = signal.SIGTERM, timeout: float = 5.0) -> int:
        """Sends a signal and returns the exit code (negative: ended by that signal)."""
        self._expected_end = True
        if self.alive():
            os.kill(self.pid, number)
            return self.wait_exit(timeout)
        return self._returncode if self._returncode is not None else self.process.returncode

    def _clean_up(self) -> None:
        """Whatever happened before: no process and no directory of this switch stay."""
        try:
            if hasattr(self, "process"):
                self.process.kill()
                self.process.wait(60)
                if self.process.stdin:
                    self.process.stdin.close()
            if self.daemon:
                end_adopted(str(self.ctl_dir))
        finally:
            if self.owns_directory:
                shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Switch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        died = not self._expected_end and not self.alive()
        try:
            for close in reversed(self._closers):
                close()
            if not died:
                try:
                    self.stop()
                except (subprocess.TimeoutExpired, AssertionError):
                    if kind is None:
                        raise AssertionError("the switch did not end at SIGTERM") from None
            text = self.log_text()
            if text and "PYTEST_CURRENT_TEST" in os.environ:  # it shows this when the test fails
                print(f"--- the log of {' '.join(self.command)} ---\n{text[-4000:]}")
        finally:
            self._clean_up()
        if kind is not None:
            return
        if died:
            code = self._returncode if self.daemon else self.process.returncode
            raise AssertionError(f"the switch ended by itself ({code}): {text[-2000:]}")
        if any(mark in text for mark in SANITIZER_MARKS):
            raise AssertionError(f"a sanitizer complains: {text[-8000:]}")

    # -- what a test does with it ----------------------------------------------------------------

    def client(self, **how: Any) -> VdeClient:
        """A plugged client (see VdeClient); closed with the switch."""
        made = VdeClient(self.ctl_dir, **how)
        self._closers.append(made.close)
        return made

    def console(self, timeout: float = 10.0) -> Console:
        made = Console(self.mgmt_path, timeout=timeout)
        self._closers.append(made.close)
        return made

    def stdin(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def close_stdin(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def output_text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_log(self, text: str, timeout: float = 5.0) -> None:
        try:
            wait_until(f"log line with {text!r}", lambda: text in self.log_text(), timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log is: {self.log_text()[-2000:]}") from None

    def descriptors(self) -> int:
        return descriptors_of(self.pid)

    def cpu_seconds(self) -> float:
        return cpu_seconds_of(self.pid)

    def cpu_share(self, seconds: float = 0.5) -> float:
        """Part of one CPU that the switch uses during the next moments."""
        before, start = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)  # A measurement over time, not a wait for an event.
        return (self.cpu_seconds() - before) / (time.monotonic() - start)

    def resident_kib(self) -> int:
        return resident_kib_of(self.pid)
