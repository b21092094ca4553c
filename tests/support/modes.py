# SPDX-License-Identifier: MIT
"""Modes and groups of files, as tests compare them."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

GROUP = "daemon"  # a group that every Debian has and nobody is in


def mode_of(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def group_of(path: Path | str) -> str:
    return grp.getgrgid(os.stat(path).st_gid).gr_name
