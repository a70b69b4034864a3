"""F13: a pipeline of stock components against the same in plain Python, in one thread.

An access log is read from its beginning, parsed, counted and written to a table, with the position
in the same transaction. The plain loop calls the functions of the library that parse a line and
make a row, and nothing else of it: so the ratio is what components, threads, events and tokens
cost, or gain. It keeps its position in the database, too, and reads blocks of 256 KiB.

Two ways to count: `Statistics` by status, and `WindowedCounter` by status and minute, whose counts
are on the disk before an event is done.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random

from benchmarks.common import Options, Row, Target, interleave, paired_row, require
from zenactors import Dispatcher, ZenDaemonComponent
from zenactors.components import (
    AccessLogParser,
    FileTailer,
    SqliteSink,
    Statistics,
    WindowedCounter,
)
from zenactors.components.parsers.access_log import access_format

ID = "F13"
LINES = 300_000
REPEATS = 5
BLOCK = 256 << 10
ROWS = 10_000  # in a transaction
LONGEST = 600.0  # seconds
MINUTES = 60
COLUMNS = [
    "host",
    "ident",
    "user",
    "time",
    "method",
    "path",
    "protocol",
    "status",
    "size",
    "referer",
    "agent",
]


def make_log(path: Path, count: int) -> None:
    random = Random(13)
    with path.open("w") as file:
        for number in range(count):
            second = number * MINUTES * 60 // count
            status = random.choices([200, 304, 404, 500], [80, 10, 9, 1])[0]
            file.write(
                f"10.0.{random.randrange(256)}.{random.randrange(256)} - -"
                f" [10/Oct/2026:13:{second // 60:02}:{second % 60:02} +0000]"
                f' "GET /item/{random.randrange(5000)} HTTP/1.1" {status} {random.randrange(9999)}'
                ' "https://example.org/" "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"\n'
            )


def run(options: Options) -> Iterator[Row]:
    count = options.size(LINES)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        make_log(place / "access.log", count)
        for minutes, name in ((False, "Statistics"), (True, "WindowedCounter")):
            yield paired_row(
                ID,
                f"tail, parse, count ({name}), SQLite",
                interleave(
                    lambda minutes=minutes: _ours(place, count, minutes=minutes),
                    lambda minutes=minutes: _plain(place, count, minutes=minutes),
                    options.repeats(REPEATS),
                ),
                unit="lines/s",
                peer_name="plain loop",
                target=Target(bound=0.8, at_least=True),
                note=f"{count:,} lines",
            )


def _ours(place: Path, count: int, *, minutes: bool) -> float:
    _clear(place)
    counter: ZenDaemonComponent
    if minutes:
        counter = WindowedCounter(by=["status"], size=60.0, time="time", lateness=86_400.0)
    else:
        counter = Statistics(by=["status"])
    components: list[ZenDaemonComponent] = [
        FileTailer(patterns=[str(place / "access.log")], start="beginning", exactly_once=True),
        AccessLogParser(),
        counter,
        SqliteSink(path=str(place / "out.db"), table="requests"),
    ]
    if minutes:
        counts = SqliteSink(
            path=str(place / "out.db"),
            table="counts",
            key=["begin", "status"],
            name="counts",
            event_map={"lines": "counts"},
        )
        components.append(counts)
    begin = time.perf_counter()
    with Dispatcher(components, exit_when_idle=True, state_dir=str(place / "state")) as dispatcher:
        require(dispatcher.wait_for_end(LONGEST), "the pipeline has not ended in time")
    elapsed = time.perf_counter() - begin
    _check(place, count)
    return count / elapsed


def _plain(place: Path, count: int, *, minutes: bool) -> float:
    _clear(place)
    begin = time.perf_counter()
    parse = access_format().parse
    counts: Counter[object] = Counter()
    rows: list[list[object]] = []
    with contextlib.closing(sqlite3.connect(place / "out.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"CREATE TABLE requests ({', '.join(COLUMNS)})")
        database.execute("CREATE TABLE position (offset)")
        database.execute("INSERT INTO position VALUES (0)")
        marks = ", ".join("?" * len(COLUMNS))

        def commit(offset: int) -> None:
            database.execute("BEGIN")
            database.executemany(f"INSERT INTO requests VALUES ({marks})", rows)
            database.execute("UPDATE position SET offset = ?", (offset,))
            database.execute("COMMIT")
            rows.clear()

        offset = 0
        rest = b""
        with (place / "access.log").open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                *lines, rest = (rest + block).decode().split("\n")
                rest = rest.encode()
                offset = file.tell() - len(rest)
                for line in lines:
                    record = parse(line)
                    if record is None:
                        continue
                    if minutes:
                        minute = datetime.fromisoformat(record["time"]).timestamp() // 60
                        counts[minute, record["status"]] += 1
                    else:
                        counts[record["status"]] += 1
                    rows.append([record.get(column) for column in COLUMNS])
                if len(rows) >= ROWS:
                    commit(offset)
        commit(offset)
    elapsed = time.perf_counter() - begin
    require(counts.total() == count, f"{counts.total():,} of {count:,} lines were counted")
    _check(place, count)
    return count / elapsed


def _clear(place: Path) -> None:
    shutil.rmtree(place / "state", ignore_errors=True)
    for file in place.glob("out.db*"):
        file.unlink()


def _check(place: Path, count: int) -> None:
    with contextlib.closing(sqlite3.connect(place / "out.db")) as database:
        ((found,),) = database.execute("SELECT count(*) FROM requests")
    require(found == count, f"{found:,} of {count:,} lines are in the table")
