# SPDX-License-Identifier: MIT
"""What every system test shares: the programs, and fixtures that clean up after a failure."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

from netns import NetNamespace  # noqa: E402  (the path above makes these importable)
from switch_process import Switch, is_original, short_directory, switch_program  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        action="store_true",
        help="record the golden console transcripts from /usr/bin/vde_switch",
    )


def pytest_configure() -> None:
    # A runner that gives up sends SIGTERM; as an exception it still lets every fixture clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"switch under test: {switch_program()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("ours") and is_original(switch_program()):
            item.add_marker(pytest.mark.skip(reason="the original vde_switch fails this by design"))
        needs_root = item.get_closest_marker("root") or "namespace" in getattr(
            item, "fixturenames", ()
        )
        if needs_root and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # A file that skips itself as a whole, with its reason printed, is no failure.
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter is not None and reporter.stats.get("skipped")
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and skipped:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short name: socket paths have only 108 bytes. Other users may enter it."""
    path = short_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start_switch() -> Iterator[Callable[..., Switch]]:
    """start_switch(*options, **how): a running switch, stopped however the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda *options, **how: stack.enter_context(Switch(*options, **how))


@pytest.fixture
def switch(start_switch: Callable[..., Switch]) -> Switch:
    """A switch with default options, a console socket and an open standard input."""
    return start_switch()


@pytest.fixture
def keeps_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started may end with memory that nobody freed, as the plugins of the vde2 package do."""
    monkeypatch.setenv("LSAN_OPTIONS", "detect_leaks=0")


@pytest.fixture
def namespace() -> Iterator[NetNamespace]:
    """An empty network namespace of its own."""
    with NetNamespace() as made:
        yield made
