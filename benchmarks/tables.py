"""The tables of a recorded run, for a page of the documentation.

A table's place in the page is between `<!-- recorded: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from benchmarks.common import BenchmarkError
from benchmarks.recording import INTERVALS, OURS, PEERS, Figure, Recording

BASE = ("asyncio queues", "no call")
OTHERS = ("F3", "F10", "F12", "F17", "F19")
STAGES = {
    "no call": "call nothing",
    "a call": "call one function",
    "a pair": "return a pair",
    "None": "return None",
}

_PLACE = re.compile(r"(<!-- recorded: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def with_tables(page: str, recording: Recording) -> str:
    """Return a page with each table in its place.

    Raises:
        BenchmarkError: The page has no place for a table, or one for a table that does not exist.
    """
    names = [name for _, name in _PLACE.findall(page)]
    if sorted(names) != sorted(TABLES):
        raise BenchmarkError(f"the page has places for {names}, the tables are {sorted(TABLES)}")
    return _PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](recording)}\n", page)


def machine(recording: Recording) -> str:
    return f"Recorded on: {recording.machine()}.\n"


def ways(recording: Recording) -> str:
    """Return the rates of all ways at each interval, and their ratios to asyncio's."""
    heads = [f"{each * 1000:g} ms" for each in INTERVALS]
    lines = [
        ["who", "way", "the stages", *(part for head in heads for part in (head, "asyncio = 1"))],
    ]
    found: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in recording.figures():
        found.setdefault((figure.side, figure.way, figure.stages), []).append(figure)
    for side, who in ((PEERS, "others"), (OURS, "ours")):
        for (its_side, way, stages), figures in found.items():
            if its_side == side:
                cells = [who, way, STAGES[stages]]
                for figure in sorted(figures, key=lambda each: INTERVALS.index(each.interval)):
                    base = recording.figure(*BASE, figure.interval).median
                    cells += [f"{figure.median:,.0f}", f"{figure.median / base:.2f}"]
                lines.append(cells)
    return _table(lines, right=4)


def costs(recording: Recording) -> str:
    """Return what things cost at each interval."""
    lines = [["what", *(f"µs at {each * 1000:g} ms" for each in INTERVALS)]]
    for cost in recording.costs():
        lines.append([cost.what, *(f"{each:.2f}" for each in cost.microseconds)])
    return _table(lines, right=len(INTERVALS))


def others(recording: Recording) -> str:
    """Return the other figures, as in the table on the terminal."""
    lines = [["what", "ours", "beside", "ratio", "which is"]]
    for id_ in OTHERS:
        rows = recording.of(id_)
        if not rows:
            raise BenchmarkError(f"{id_} is not in the recorded run")
        lines += [_other(row) for row in rows]
    return _table(lines, right=0)


def _other(row: dict[str, Any]) -> list[str]:
    if row["peer"] is None:
        return [row["case"], f"{_number(row['ours'])} {row['unit']}", "", "", ""]
    return [
        row["case"],
        f"{_number(row['ours'])} {row['unit']}",
        _number(row["peer"]),
        f"{row['ratio']:.2f}",
        row["peer_name"],
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(lines: list[list[str]], *, right: int) -> str:
    """Return a Markdown table, whose last columns are aligned to the right."""
    left = len(lines[0]) - right
    rules = ["---"] * left + ["--:"] * right
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (lines[0], rules, *lines[1:]))


TABLES: dict[str, Callable[[Recording], str]] = {
    "machine": machine,
    "ways": ways,
    "costs": costs,
    "others": others,
}
