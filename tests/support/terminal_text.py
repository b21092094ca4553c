# SPDX-License-Identifier: MIT
"""Whether text that came from a stranger does no harm on a terminal or in a log."""

from __future__ import annotations

import unicodedata

CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_harmless(text: str) -> bool:
    """No control characters, no line separators, nothing that turns the direction of writing."""
    return all(
        unicodedata.category(letter) not in CONTROLS
        and unicodedata.bidirectional(letter) not in DIRECTIONS
        for letter in text
    )
