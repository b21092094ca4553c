# SPDX-License-Identifier: MIT
"""From repeated results to the table."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path

from cases import BEST_PEER, Case, Goal, Result, Row
from contestants import OURS

# results[case][column] is a list, one result for each repetition.
Results = dict[str, dict[str, list[Result]]]


def values(results: Results, case: Case, column: str, metric: str) -> list[float]:
    return [result[metric] for result in results.get(case.name, {}).get(column, []) if metric in result]


def cell(row: Row, figures: list[float]) -> str:
    if not figures:
        return "–"
    middle = row.show(statistics.median(figures))
    if len(figures) == 1 or min(figures) == max(figures):
        return middle
    low, high = (row.show(figure).split(" ")[0] for figure in (min(figures), max(figures)))
    return f"{middle} ({low}..{high})"


def judge(row: Row, goal: Goal, ours: list[float], other: list[float]) -> tuple[str, str]:
    """The ratio, and whether the goal is met."""
    if not ours or (goal.against and not other):
        return "–", "–"
    reference = statistics.median(other) if goal.against else None
    figure = statistics.median(ours)
    if row.every_run:
        figure = min(ours) if goal.at_least else max(ours)
    ratio = f"{figure / reference:.2f}" if reference else "–"
    return ratio, "yes" if goal.met(figure, reference) else "**no**"


def reference_of(results: Results, case: Case, row: Row, goal: Goal) -> list[float]:
    if goal.against != BEST_PEER:
        return values(results, case, goal.against, row.metric) if goal.against else []
    peers = [figures for name in case.contestants
             if name != OURS and (figures := values(results, case, name, row.metric))]
    better = max if goal.at_least else min
    return better(peers, key=statistics.median, default=[])


def case_lines(results: Results, case: Case) -> list[str]:
    lines = []
    for row in case.rows:
        cells = [cell(row, values(results, case, name, row.metric))
                 for name in case.contestants]
        ours = values(results, case, OURS, row.metric)
        for goal in row.goals or (None,):
            ratio, text, met = "–", "–", "–"
            if goal:
                other = reference_of(results, case, row, goal)
                ratio, met = judge(row, goal, ours, other)
                text = goal.text(row.show)
            elif ours and (other := values(results, case, case.contestants[1], row.metric)):
                base = statistics.median(other)
                ratio = f"{statistics.median(ours) / base:.2f}" if base else "–"
            fields = [f"{case.title}: {row.label}", *cells, ratio, text, met]
            lines.append(f"| {' | '.join(fields)} |")
            cells = ["″"] * len(case.contestants)
    for column, runs in results.get(case.name, {}).items():
        if not runs or column in case.contestants:
            continue
        for row in case.rows:
            shown = cell(row, values(results, case, column, row.metric))
            fields = [f"{case.title}: {row.label}, {column}", shown, *["–"] * 5]
            lines.append(f"| {' | '.join(fields)} |")
    return lines


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text()
    models = {line.split(":", 1)[1].strip() for line in info.splitlines()
              if line.startswith("model name")}
    model = ", ".join(sorted(models)) or platform.machine()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def measured_here() -> str:
    return f"Measured {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} on {machine()}."


def table(results: Results, cases: list[Case], conditions: list[str], notes: list[str]) -> str:
    """`conditions`: when and where, then how; a line each."""
    lines = list(conditions)
    shown: tuple[str, ...] = ()
    for case in cases:
        if case.contestants != shown:
            shown = case.contestants
            lines += ["", f"| case | {' | '.join(shown)} | ratio | goal | met |",
                      f"| --- |{' --- |' * len(shown)} --- | --- | --- |"]
        lines += case_lines(results, case)
    if notes:
        lines += ["", *[f"- {note}" for note in notes]]
    return "\n".join(lines) + "\n"
