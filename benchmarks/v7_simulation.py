"""V7: the time of a simulated day of a log daemon, and the number of seeds explored per minute.

The day: a tailer that looks four times a second, and the access log's parser, statistics and
writer, on files in memory. Ten lines come each minute. The seed chooses the order of all steps,
and each line must be written once. The seeds: the same daemon on the example's 200 lines, until
it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from loguru import logger

from benchmarks.common import ROOT, Options, Row, Target, repeat, require, single_row
from zenactors import ZenDaemon
from zenactors.components import AccessLogParser, FileTailer, JsonLinesWriter, Statistics
from zenactors.testing import Harness, Scenario, explore, simulate

ID = "V7"
SOURCE, RESULT = "/virtual/access.log", "/virtual/access.jsonl"
MINUTES = 24 * 60
LINES = 10  # per minute
SEEDS = 200
REPEATS = 3


def run(options: Options) -> Iterator[Row]:
    logger.disable("zenactors")
    try:
        yield single_row(
            ID,
            "one simulated day",
            repeat(lambda: _day(options.size(MINUTES)), options.repeats(REPEATS)),
            unit="s",
            target=Target(bound=10.0, at_least=False, of="ours", unit="s"),
        )
        yield single_row(
            ID,
            "seeds of the access-log daemon",
            repeat(lambda: _seeds(options.size(SEEDS)), options.repeats(REPEATS)),
            unit="/min",
            target=Target(bound=200.0, at_least=True, of="ours", unit="/min"),
        )
    finally:
        logger.enable("zenactors")


def _build() -> ZenDaemon:
    return ZenDaemon(
        name="day",
        components=[
            FileTailer(patterns=[SOURCE], start="beginning"),
            AccessLogParser(),
            Statistics(by=["status", "path"]),
            JsonLinesWriter(path=RESULT),
        ],
    )


def _day(minutes: int) -> float:
    example = _example()

    def drive(harness: Harness) -> None:
        assert harness.files is not None
        for minute in range(minutes):
            begin = minute * LINES % len(example)
            harness.files.append(SOURCE, b"".join(example[begin : begin + LINES]))
            harness.advance(60)

    def check(harness: Harness) -> None:
        _require_lines(harness, minutes * LINES)

    begin = time.perf_counter()
    simulate(_build, seed=1, drive=drive, check=check, files={SOURCE: b"", "/virtual/.keep": b""})
    return time.perf_counter() - begin


def _seeds(count: int) -> float:
    content = b"".join(_example())

    def build() -> ZenDaemon:
        daemon = _build()
        daemon.exit_when_idle = True
        return daemon

    def check(harness: Harness) -> None:
        _require_lines(harness, content.count(b"\n"))

    scenario = Scenario(build=build, check=check, files={SOURCE: content})
    begin = time.perf_counter()
    explore(scenario, seeds=range(count))
    return count / (time.perf_counter() - begin) * 60


def _example() -> list[bytes]:
    return Path(ROOT / "examples/data/access.log").read_bytes().splitlines(keepends=True)


def _require_lines(harness: Harness, count: int) -> None:
    assert harness.files is not None
    written = harness.files.content(RESULT).count(b"\n")
    rejected = harness.component("AccessLogParser").statistics_cur.get("unmatched", 0)
    require(
        written + rejected == count,
        f"{written} lines were written and {rejected} rejected, of {count}",
    )
