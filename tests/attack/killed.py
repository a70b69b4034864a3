"""A daemon that is killed with SIGKILL again and again, and does all its work nevertheless.

Its source numbers its events, and moves its mark, which is in a file, behind those that are done.
Its sink appends the numbers to a file. The directory holds:

- `mark`: the lowest number that is not done;
- `numbers`: what the sink has written, one number a line;
- `limit`: written by the parent when it has killed enough; the source ends there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from tests.forking import ForkServer
from zenactors import TokenOutcome, ZenDaemon, ZenDaemonComponent, handles

BOUND = 50  # of unacknowledged events
AT_ONCE = 20  # numbers that a holding sink writes together
FURTHER = 500  # numbers, after the last kill
LONGEST = 0.15  # seconds from the moment that the daemon is ready to its end
PATIENCE = 60.0  # seconds; only a hang takes that long


class Numbers(ZenDaemonComponent):
    """Schedules numbers from the mark on, at most `BOUND` of them ahead of it."""

    def __init__(self, *, directory: Path) -> None:
        super().__init__(name="numbers")
        self._mark_file, self._limit_file = directory / "mark", directory / "limit"
        self._done: set[int] = set()

    def setup(self, daemon: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._mark = int(self._mark_file.read_text())
        self._next = self._mark

    _mark = 0

    @handles("start")
    @handles("more")
    def cbk_event_more(self, daemon: Any, args: Any) -> None:
        limit = self._mark + BOUND
        with contextlib.suppress(FileNotFoundError):
            limit = min(limit, int(self._limit_file.read_text()))
        while self._next < limit:
            number = self._next
            self._next += 1
            daemon.queue.schedule(
                "number", number, on_done=lambda end, n=number: self._ended(daemon, n, end)
            )

    def _ended(self, daemon: Any, number: int, outcome: TokenOutcome) -> None:
        if outcome is not TokenOutcome.DONE:
            return
        self._done.add(number)
        before = self._mark
        while self._mark in self._done:
            self._done.discard(self._mark)
            self._mark += 1
        if self._mark > before:
            new = self._mark_file.with_suffix(".new")
            new.write_text(str(self._mark))
            new.replace(self._mark_file)
            daemon.queue.schedule("more")


class Step(ZenDaemonComponent):
    """Passes the numbers on: some as events of their own."""

    @handles("number")
    def cbk_event_number(self, daemon: Any, number: int) -> Any:
        if number % 3 == 0:
            daemon.queue.schedule("write", number)
            return daemon.FLAG_STOP, number
        return None


class Sink(ZenDaemonComponent):
    """Appends each number to a file, at once or a few together."""

    def __init__(self, *, directory: Path, holds: bool) -> None:
        super().__init__(name="sink")
        self._path, self._holds = directory / "numbers", holds
        self._held: list[tuple[int, Any]] = []

    def setup(self, daemon: Any) -> None:
        self._file = self._path.open("ab")

    @handles("number")
    @handles("write")
    def cbk_event_number(self, daemon: Any, number: int) -> None:
        self._held.append((number, daemon.hold()))
        if not self._holds or len(self._held) >= AT_ONCE:
            self._write(daemon)
        elif len(self._held) == 1:
            daemon.io.call_later(0.005, self._write)

    def _write(self, daemon: Any) -> None:
        self._file.write(b"".join(b"%d\n" % number for number, _ in self._held))
        self._file.flush()
        for _, hold in self._held:
            hold.release()
        self._held.clear()

    def teardown(self, daemon: Any) -> None:
        self._file.close()


class Ready(ZenDaemonComponent):
    """Tells the parent that the daemon has started."""

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> None:
        os.write(1, b"ready\n")


def serve(directory: str, how: str) -> int:
    """Run the daemon until it ends by itself. Return its exit status."""
    path = Path(directory)
    return ZenDaemon(
        name="killed",
        components=[
            Ready(),
            Numbers(directory=path),
            Step(),
            Sink(directory=path, holds=how == "holding"),
        ],
    ).serve()


# --- the parent -----------------------------------------------------------------------------------


def kill_again_and_again(
    server: ForkServer, directory: Path, how: str, *, kills: int, seed: int
) -> None:
    """Run the daemon, kill it at random moments, and check what it has written.

    Args:
        server: Forks the daemon.
        directory: An empty one.
        how: The sink writes each number at once, `"plain"`, or some together, `"holding"`.
        kills: How many.
        seed: Of the moments.

    Raises:
        AssertionError: A number is missing, or more came twice than a kill allows. The message
            has the seed; the moments differ from run to run.
    """
    rng = Random(seed)
    known: set[int] = set()
    size = 0
    for run in range(kills + 1):
        if run == kills:
            mark = int((directory / "mark").read_text()) if (directory / "mark").exists() else 0
            (directory / "limit").write_text(str(mark + FURTHER))
        _run_once(server, directory, how, None if run == kills else rng)
        path = directory / "numbers"
        written = path.read_bytes()[size:] if path.exists() else b""
        size += len(written)
        numbers = Counter(map(int, written.split()))
        assert max(numbers.values(), default=1) == 1, f"seed {seed}, run {run}: twice in one run"
        again = len(known & numbers.keys())
        assert again <= BOUND, f"seed {seed}, run {run}: {again} numbers came twice"
        known |= numbers.keys()
        mark = int((directory / "mark").read_text()) if (directory / "mark").exists() else 0
        missing = set(range(mark)) - known
        assert not missing, f"seed {seed}, run {run}: acknowledged, but lost: {sorted(missing)[:9]}"
    limit = int((directory / "limit").read_text())
    assert known == set(range(limit)), f"seed {seed}: {len(known)} numbers, not {limit}"


def _run_once(server: ForkServer, directory: Path, how: str, rng: Random | None) -> None:
    log = directory / "log"
    with (
        log.open("wb") as stderr,
        server.start_and_read(serve, stderr=stderr, directory=str(directory), how=how) as child,
    ):
        if rng is None:
            assert child.wait(PATIENCE) == 0, log.read_text()[-2000:]
            return
        if rng.random() > 0.1:  # otherwise at any moment of its start
            assert child.stdout.readline() == b"ready\n", log.read_text()[-2000:]
        moment = rng.random() * LONGEST
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = child.wait(moment)
            raise AssertionError(f"It ended by itself, {status}: {log.read_text()[-2000:]}")
