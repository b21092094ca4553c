# SPDX-License-Identifier: MIT
"""From repeated results to a picture: SVG, a group of bars a row, longer is better or less."""

from __future__ import annotations

import statistics
from html import escape

from cases import Case, Row
from contestants import LEAST, LEAST_ALIKE, ORIGINAL, OURS
from nat_peers import PASTA, SLIRP4NETNS
from report import Results, values

WIDTH = 860
LABELS = 330  # where bars begin
FIGURES = 110  # behind the longest bar
BAR = 13
GAP = 12
# Told apart without colours too: each bar names its contestant.
COLOURS = {OURS: "#1b6ca8", ORIGINAL: "#c98b2b", LEAST: "#9aa5b1", LEAST_ALIKE: "#9aa5b1", SLIRP4NETNS: "#7d9a4f",
           PASTA: "#b0604f"}


def compared(results: Results, case: Case, row: Row) -> dict[str, float]:
    """The median of each contestant; empty unless somebody stands beside us."""
    medians = {}
    for name in case.contestants:
        figures = values(results, case, name, row.metric)
        if figures:
            medians[name] = statistics.median(figures)
    return medians if OURS in medians and len(medians) > 1 and max(medians.values()) > 0 else {}


def shown_rows(results: Results, cases: list[Case]) -> list[tuple[str, Row, dict[str, float]]]:
    """Of each case what it has a relative goal for."""
    groups = []
    for case in cases:
        for row in case.rows:
            medians = compared(results, case, row)
            if medians and any(goal.against for goal in row.goals):
                groups.append((f"{case.title}: {row.label}", row, medians))
    return groups


def text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start",
         weight: str = "normal", colour: str = "#24292f") -> str:
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{colour}">{escape(words)}</text>')


def bars(top: float, row: Row, medians: dict[str, float]) -> list[str]:
    parts = []
    room = WIDTH - LABELS - FIGURES - 10
    longest = max(medians.values())
    for index, (name, value) in enumerate(medians.items()):
        y = top + index * BAR
        length = max(1.0, room * value / longest)
        parts.append(f'<rect x="{LABELS}" y="{y:g}" width="{length:.1f}" height="{BAR - 2}" '
                     f'rx="2" fill="{COLOURS[name.split(",")[0]]}"/>')
        weight = "bold" if name == OURS else "normal"
        parts.append(text(LABELS - 6, y + BAR - 3.5, name, size=10, anchor="end", weight=weight,
                          colour="#57606a"))
        parts.append(text(LABELS + length + 5, y + BAR - 3.5, row.show(value), size=10,
                          weight=weight))
    return parts


def section(title: str, groups: list[tuple[str, Row, dict[str, float]]],
            top: float) -> tuple[list[str], float]:
    parts = [text(16, top, title, size=14, weight="bold")]
    top += 14
    for label, row, medians in groups:
        for number, line in enumerate(wrapped(label)):
            parts.append(text(16, top + 10 + number * 13, line))
        parts += bars(top, row, medians)
        top += max(len(medians) * BAR, len(wrapped(label)) * 13) + GAP
    return parts, top + 16


def wrapped(label: str, width: int = 34) -> list[str]:
    lines = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def picture(results: Results, cases: list[Case], conditions: list[str]) -> str:
    groups = shown_rows(results, cases)
    more = [group for group in groups if group[1].goals[0].at_least]
    less = [group for group in groups if not group[1].goals[0].at_least]
    parts = [text(16, 28, conditions[0], size=13),
             text(16, 46, conditions[1].split(" Command:")[0], size=10, colour="#57606a")]
    top = 74.0
    for title, chosen in (("Longer is better", more), ("Shorter is better", less)):
        if chosen:
            drawn, top = section(title, chosen, top)
            parts += drawn
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:g}" '
        f'viewBox="0 0 {WIDTH} {top:g}" font-family="Helvetica, Arial, sans-serif" role="img">',
        "<title>Lanyard beside its peers</title>",
        f'<rect width="{WIDTH}" height="{top:g}" rx="6" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"
