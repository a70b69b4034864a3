"""A whole pipeline that is killed with -9 at random moments: each line is in its tables once."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.components.forks import PRELOAD, killed
from tests.forked import ForkServer
from tests.running import LIMIT, ROOT

SPEC = ROOT / "tests/pipelines/three_sources.toml"
SOURCES = ("web", "shop", "jobs")
PROGRESS = """
[[component]]
use = "tests.pipelines.progress:Progress"
"""
STATUSES = (200, 304, 404, 500)
MINUTES = 7
ROTATE_AT = 20_000  # bytes of a log


class Writer(threading.Thread):
    """Writes numbered lines to three logs and renames them now and then, until it is told to end.

    Attributes:
        numbers: How many lines each log has got.
        counts: How many lines have which minute and status.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__()
        self.numbers = dict.fromkeys(SOURCES, 0)
        self.counts: Counter[tuple[int, int]] = Counter()
        self._directory = directory
        self._random = Random(seed)
        self._end = threading.Event()

    def run(self) -> None:
        rotations = 0
        while not self._end.wait(self._random.uniform(0.001, 0.01)):
            source = self._random.choice(SOURCES)
            path = self._directory / f"{source}.log"
            if path.exists() and path.stat().st_size > ROTATE_AT:
                rotations += 1
                path.rename(path.with_suffix(f".log.{rotations}"))
            with path.open("ab") as file:
                file.write(b"".join(self._line(source) for _ in range(self._random.randrange(20))))

    def end(self) -> None:
        self._end.set()
        self.join()

    def _line(self, source: str) -> bytes:
        number, minute = self.numbers[source], self._random.randrange(MINUTES)
        status = self._random.choice(STATUSES)
        self.numbers[source] += 1
        self.counts[minute, status] += 1
        time = f"2024-06-18T10:{minute:02}:{self._random.randrange(60):02}+00:00"
        if source == "web":
            stamp = f"18/Jun/2024:{time[11:19]} +0000"
            text = f'10.0.0.1 - - [{stamp}] "GET /web/{number} HTTP/1.1" {status} 17'
        elif source == "shop":
            text = json.dumps({"path": f"/shop/{number}", "status": status, "time": time})
        else:
            text = f"path=/jobs/{number} status={status} time={time}"
        return text.encode() + b"\n"


def rows(directory: Path, statement: str) -> list[Any]:
    if not (directory / "out.db").exists():
        return []
    with contextlib.closing(sqlite3.connect(directory / "out.db", timeout=LIMIT)) as database:
        try:
            return database.execute(statement).fetchall()
        except sqlite3.OperationalError:  # there is no such table yet
            return []


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer(PRELOAD) as server:
        yield server


def kill_at_random_moments(forks: ForkServer, directory: Path, kills: int, seed: int) -> Writer:
    random = Random(seed)
    (directory / SPEC.name).write_text(SPEC.read_text() + PROGRESS)
    writer = Writer(directory, seed)
    command = ("-m", "zenactors", "run", SPEC.name, "--no-summary")
    writer.start()
    try:
        for _ in range(kills):
            with killed(forks, *command, cwd=directory) as output:
                # Without progress in two processes, the next one would go carefully.
                for _ in range(random.randrange(50, 150)):
                    assert output.read(1)
    finally:
        writer.end()
    return writer


def check(forks: ForkServer, directory: Path, writer: Writer) -> None:
    (directory / SPEC.name).write_text(SPEC.read_text())
    done = forks.run("-m", "zenactors", "run", SPEC.name, "--exit-when-idle", cwd=directory)
    assert done.returncode == 0, done.stderr

    found = Counter(path for (path,) in rows(directory, "SELECT path FROM records"))
    wanted = Counter(f"/{name}/{n}" for name in SOURCES for n in range(writer.numbers[name]))
    assert sorted(wanted - found) == []
    assert sorted(found - wanted) == []

    counts = {
        (int(begin[14:16]), int(status)): count
        for begin, status, count in rows(directory, "SELECT begin, status, count FROM counts")
    }
    assert counts == writer.counts


def test_each_line_is_in_the_tables_once_after_5_kills(forks: ForkServer, tmp_path: Path) -> None:
    check(forks, tmp_path, kill_at_random_moments(forks, tmp_path, 5, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 4))
def test_each_line_is_in_the_tables_once_after_30_kills(
    forks: ForkServer, tmp_path: Path, seed: int
) -> None:
    check(forks, tmp_path, kill_at_random_moments(forks, tmp_path, 30, seed))
