# SPDX-License-Identifier: MIT
"""The wall clock of the programs under test, which jumps when a test wants it: tests/support/wall_clock.c."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from switch_process import REPOSITORY, is_sanitized, switch_program

YEAR_S = 365 * 86400
SECONDS = struct.Struct("<q")


def library() -> Path:
    folder = os.environ.get("LANYARD_BIN") or str(REPOSITORY / "build/release/bin")
    return Path(folder).absolute().parent / "tests/wall_clock.so"


class WallClock:
    """`env` is for the program that is to go by it. A sanitizer has functions of its own there, so nothing jumps."""

    def __init__(self, directory: Path) -> None:
        path = directory / "wall_clock"
        path.write_bytes(bytes(SECONDS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), SECONDS.size)
        self.jumps = not is_sanitized(switch_program())
        self.env = {"LD_PRELOAD": str(library()), "LANYARD_WALL_CLOCK": str(path)} if self.jumps else {}

    @property
    def off_s(self) -> int:
        return int(SECONDS.unpack(self._shared)[0])

    def jump(self, seconds: int) -> None:
        """Forwards, or back."""
        self._shared[:] = SECONDS.pack(self.off_s + seconds)

    def now(self) -> float:
        """Seconds since 1970, for those programs."""
        return time.time() + (self.off_s if self.jumps else 0)
