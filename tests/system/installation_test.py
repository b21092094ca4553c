# SPDX-License-Identifier: MIT
"""What `cmake --install` leaves: all of it is there, and works from where it lies."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from frames import broadcast, mac
from switch_process import REPOSITORY, Switch, switch_program

pytestmark = pytest.mark.ours

BUILD = switch_program().parent.parent
PROGRAMS = ["lanyard", "lanyardd", "lanyard-gateway"]
DOCUMENTS = "share/doc/lanyard"


@pytest.fixture(scope="module", name="prefix")
def _prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cmake = shutil.which("cmake")
    if not cmake or not (BUILD / "cmake_install.cmake").exists():
        pytest.skip("needs cmake and the build tree")
    if not (BUILD / "completions/lanyard").exists():
        pytest.skip("needs everything built, not single targets")
    prefix = tmp_path_factory.mktemp("prefix")
    done = subprocess.run([cmake, "--install", BUILD, "--prefix", prefix], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return prefix


def files_below(directory: Path) -> set[str]:
    return {str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "file",
    [
        "share/bash-completion/completions/lanyard",
        "include/lanyard/lanyard_plugin.h",
        "share/pkgconfig/lanyard.pc",
        "share/cmake/lanyard/lanyard-config.cmake",
        "share/cmake/lanyard/lanyard-config-version.cmake",
        f"{DOCUMENTS}/README.md",
        f"{DOCUMENTS}/copyright",
        f"{DOCUMENTS}/changelog.Debian.gz",
    ],
)
def test_it_is_there_and_not_empty(prefix: Path, file: str) -> None:
    assert (prefix / file).stat().st_size > 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_start(prefix: Path, name: str) -> None:
    done = subprocess.run([prefix / "bin" / name, "--version"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    assert "anyard" in done.stdout


def test_the_compatible_name_is_a_link_that_goes_on_if_the_tree_is_moved(prefix: Path) -> None:
    link = prefix / "bin/vde_switch"
    assert link.is_symlink()
    assert not os.path.isabs(os.readlink(link))
    assert link.resolve() == (prefix / "bin/lanyardd").resolve()


def test_every_page_of_the_manual_is_there(prefix: Path) -> None:
    pages = {page.name for page in (REPOSITORY / "man").iterdir() if page.suffix in (".1", ".5", ".7", ".8")}
    assert {page.removesuffix(".gz").split("/")[-1] for page in files_below(prefix / "share/man")} == pages


def test_the_examples_are_all_there_with_their_modes(prefix: Path) -> None:
    ours, theirs = REPOSITORY / "examples", prefix / DOCUMENTS / "examples"
    assert files_below(theirs) == files_below(ours)
    for file in files_below(ours):
        executable = os.access(ours / file, os.X_OK)
        assert os.access(theirs / file, os.X_OK) == executable, file


def test_a_switch_from_there_carries_frames_through_a_plugin_from_there(prefix: Path) -> None:
    plugin = prefix / "lib/lanyard/plugins/acl.so"
    with Switch(program=prefix / "bin/vde_switch") as switch:
        switch.console().check(f"plugin/add {plugin}")
        one, two = switch.client(), switch.client()
        data = broadcast(mac(1), b"from where it was installed")
        one.send(data)
        assert two.recv() == data
