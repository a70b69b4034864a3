"""Draw the picture of a recorded run, and write its tables into a page.

    python -m benchmarks.picture FILE PICTURE.svg [PAGE.md]

FILE is what `python -m benchmarks --json FILE` has written. The picture has each way to write the
pipeline, with stages that call one function. Text is text, and the colours follow the reader's.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from benchmarks.recording import INTERVALS, OURS, PEERS, Figure, Recording
from benchmarks.tables import with_tables

WIDTH = 920
LEFT, RIGHT = 250, 730  # of the axis
TOP, ROW, HEAD = 96, 26, 34  # pixels
KINDS = {PEERS: ("a call", "a pair"), OURS: ("None",)}  # stages that call one function
HEADS = {PEERS: "Others", OURS: "zenactors, chain of three"}
LEFT_OUT = ("schedule(), 8 stages", "pyzenkit, prefilled")
STYLE = """
    .ground { fill: #ffffff } .text { fill: #1f2933 } .faint { fill: #52606d }
    .grid { stroke: #d9e0e6 } .band { fill: #f3f6f8 }
    .peers { fill: #6b7c8c; stroke: #6b7c8c } .ours { fill: #b23c17; stroke: #b23c17 }
    .hollow { fill: #ffffff }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #14181c } .text { fill: #e4e9ee } .faint { fill: #a3b0bc }
      .grid { stroke: #333d46 } .band { fill: #1c2228 }
      .peers { fill: #93a4b3; stroke: #93a4b3 } .ours { fill: #ff9a6e; stroke: #ff9a6e }
      .hollow { fill: #14181c }
    }
"""


def picture(recording: Recording) -> str:
    """Return the picture as SVG: a line for each way, a dot for each switch interval."""
    groups = {side: _ways(recording, side) for side in HEADS}
    figures = [figure for ways in groups.values() for way in ways for figure in way]
    axis = _Axis(min(each.low for each in figures), max(each.high for each in figures))
    lines: list[str] = []
    y = TOP
    for side, ways in groups.items():
        lines.append(_text(16, y + 18, HEADS[side], "text", weight="bold"))
        y += HEAD
        for number, way in enumerate(ways):
            if number % 2 == 0:
                lines.append(
                    f'<rect class="band" x="8" y="{y - 4}" width="{WIDTH - 16}" height="{ROW}"/>'
                )
            lines += _line(way, y + 9, axis)
            y += ROW
        y += 8
    height = y + 42
    summary = "; ".join(
        f"{way[0].way}: {_short(way[0].median)}" for ways in groups.values() for way in ways
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
            ' aria-labelledby="title desc"'
            ' font-family="\'DejaVu Sans\', Verdana, Arial, sans-serif" font-size="13">',
            '<title id="title">Items per second through a pipeline of three stages</title>',
            f'<desc id="desc">Medians, at a switch interval of 5 ms. {escape(summary)}.</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="ground" x="0" y="0" width="{WIDTH}" height="{height}"/>',
            _text(
                16,
                28,
                "Items per second through a pipeline of three stages",
                "text",
                weight="bold",
                size=16,
            ),
            _text(16, 48, recording.machine(), "faint"),
            *_legend(),
            *axis.grid(TOP + 10, y),
            *lines,
            *axis.labels(y + 16),
            "</svg>",
            "",
        ]
    )


def _ways(recording: Recording, side: str) -> list[list[Figure]]:
    """Return the figures of each way, one for each interval, the fastest way first."""
    found: dict[str, list[Figure]] = {}
    for figure in recording.figures():
        shown = figure.stages in KINDS[side] and figure.way not in LEFT_OUT
        if figure.side == side and shown:
            found.setdefault(figure.way, []).append(figure)
    for figures in found.values():
        figures.sort(key=lambda figure: INTERVALS.index(figure.interval))
    return sorted(found.values(), key=lambda figures: -figures[0].median)


class _Axis:
    """A logarithmic axis from a power of ten to another."""

    def __init__(self, low: float, high: float) -> None:
        self.first, self.last = math.floor(math.log10(low)), math.ceil(math.log10(high))

    def x(self, value: float) -> float:
        share = (math.log10(value) - self.first) / (self.last - self.first)
        return round(LEFT + share * (RIGHT - LEFT), 1)

    def grid(self, top: int, bottom: int) -> Iterator[str]:
        for power in range(self.first, self.last + 1):
            x = self.x(10**power)
            yield f'<line class="grid" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>'

    def labels(self, y: int) -> Iterator[str]:
        for power in range(self.first, self.last + 1):
            yield _text(self.x(10**power), y, _short(10**power), "faint", anchor="middle")


def _line(figures: list[Figure], y: int, axis: _Axis) -> Iterator[str]:
    yield _text(24, y + 4, figures[0].way, "text")
    for number, figure in enumerate(figures):
        side, hollow = figure.side, " hollow" if number else ""
        at = y + (4 if number else -3)
        yield (
            f'<line class="{side}" x1="{axis.x(figure.low)}" y1="{at}"'
            f' x2="{axis.x(figure.high)}" y2="{at}" stroke-width="1.5"/>'
        )
        yield (
            f'<circle class="{side}{hollow}" cx="{axis.x(figure.median)}" cy="{at}" r="4"'
            ' stroke-width="1.5"/>'
        )
    shown = " / ".join(_short(figure.median) for figure in figures)
    yield _text(WIDTH - 16, y + 4, shown, "text", anchor="end")


def _legend() -> Iterator[str]:
    y = 72
    for x, hollow, interval in ((24, "", INTERVALS[0]), (206, " hollow", INTERVALS[1])):
        yield f'<circle class="ours{hollow}" cx="{x}" cy="{y - 4}" r="4" stroke-width="1.5"/>'
        yield _text(x + 10, y, f"switch interval {interval * 1000:g} ms", "faint")
    yield _text(390, y, "median, smallest to largest; logarithmic axis", "faint")
    yield _text(
        WIDTH - 16,
        y,
        " / ".join(f"{each * 1000:g} ms" for each in INTERVALS),
        "faint",
        anchor="end",
    )


def _text(
    x: float,
    y: float,
    text: str,
    colour: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    size: int = 13,
) -> str:
    return (
        f'<text class="{colour}" x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}"'
        f' font-size="{size}">{escape(text)}</text>'
    )


def _short(value: float) -> str:
    """Return three digits at most: 12 k, 123 k, 1.23 M, 12 M."""
    if value >= 999_500:
        millions = value / 1e6
        return f"{millions:.3g} M"
    return f"{value / 1e3:.3g} k"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.picture", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("picture", type=Path, metavar="PICTURE.svg")
    parser.add_argument("page", type=Path, nargs="?", metavar="PAGE.md")
    arguments = parser.parse_args()
    recording = Recording.load(arguments.file)
    # Both are made before either is written.
    svg = picture(recording)
    page = arguments.page and with_tables(arguments.page.read_text("utf-8"), recording)
    arguments.picture.write_text(svg, "utf-8")
    if page:
        arguments.page.write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
