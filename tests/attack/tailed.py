"""A daemon that follows a log, which is written fast, and rotated; it is killed again and again.

The parent writes numbered lines to `logs/app.log` in the directory. The daemon copies them to
`out`; with `idle` it ends when everything was read, and with `polling` it takes no hints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

from tests.forking import Forked, ForkServer
from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.components import FileTailer, RawWriter

EVERY = 0.5  # seconds between two rotations
BATCH = 0.005  # seconds between two writes
LATE = 5  # writes to a file that was renamed, when there is a new one already
LONGEST = 1.0  # seconds from the moment that the daemon is ready to its end
PATIENCE = 120.0  # seconds; only a hang takes that long
LINE = re.compile(rb"(\d{9}) x{50}\n")


class Ready(ZenDaemonComponent):
    """Tells the parent that the daemon has started."""

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> None:
        os.write(1, b"ready\n")


def serve(directory: str, how: str, options: Collection[str]) -> int:
    """Run the daemon until it ends by itself. Return its exit status."""
    path = Path(directory)
    tailer = FileTailer(
        patterns=[str(path / "logs" / "app.log")],
        start="beginning",
        rotate_wait=2.0,
        notifications="polling" not in options,
        exactly_once=how == "exact",
    )
    return ZenDaemon(
        name="tailed",
        components=[Ready(), tailer, RawWriter(path=str(path / "out"))],
        exit_when_idle="idle" in options,
        default_state_dir=str(path / "state"),
        default_dead_letter_file=str(path / "letters"),
    ).serve()


# --- the parent -----------------------------------------------------------------------------------


class Log:
    """A log that a thread writes and rotates, as `logrotate` with `create` and a signal does.

    Args:
        directory: Gets `logs`.
        rate: Lines a second.
        every: Seconds between two rotations.
        kept: How many rotated files are kept; the inodes of the others are used again. None: all.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rate: float,
        every: float = EVERY,
        kept: int | None = None,
    ) -> None:
        self.path = directory / "logs" / "app.log"
        self.path.parent.mkdir()
        self.lines = 0
        self.rotations = 0
        self._rate, self._every, self._kept = rate, every, kept
        self._stopped = threading.Event()
        self._enough: tuple[int, threading.Event] | None = None
        with self.path.open("wb", buffering=0) as file:
            self._write(file, 1)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Log:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def wait_for_rotations(self, count: int) -> None:
        """Wait until the log was rotated so many times."""
        reached = threading.Event()
        self._enough = count, reached
        assert reached.wait(PATIENCE + count * self._every * 10)

    def _run(self) -> None:
        begun = time.monotonic()
        old: BinaryIO | None = None
        new = self.path.open("ab", buffering=0)
        late = 0
        while not self._stopped.wait(BATCH):
            seconds = time.monotonic() - begun
            self._write(old or new, int(seconds * self._rate) - self.lines)
            if old is not None:
                late += 1
                if late == LATE:
                    old.close()
                    old, late = None, 0
            elif seconds >= (self.rotations + 1) * self._every:
                self._rotate()
                old, new = new, self.path.open("ab", buffering=0)
        for file in (old, new):
            if file is not None:
                file.close()

    def _write(self, file: BinaryIO, count: int) -> None:
        count = min(count, int(self._rate))  # after a pause of the machine, too
        numbers = range(self.lines, self.lines + count)
        file.write(b"".join(b"%09d %s\n" % (number, b"x" * 50) for number in numbers))
        self.lines += count

    def _rotate(self) -> None:
        self.rotations += 1
        self.path.rename(f"{self.path}-{self.rotations:06d}")
        if self._kept is not None and self.rotations > self._kept:
            Path(f"{self.path}-{self.rotations - self._kept:06d}").unlink()
        if self._enough is not None and self.rotations >= self._enough[0]:
            self._enough[1].set()


@dataclasses.dataclass(kw_only=True)
class Outcome:
    """The lines in the output, and the dead letters."""

    lost: int
    duplicates: int
    torn: int
    out_of_order: int
    letters: list[str]


def examine(directory: Path, lines: int) -> Outcome:
    """Compare the output with the lines that were written."""
    out = (directory / "out").read_bytes()
    numbers = [int(found[1]) for found in LINE.finditer(out)]
    counts = Counter(numbers)
    letters = directory / "letters"
    return Outcome(
        lost=len(set(range(lines)) - counts.keys()),
        duplicates=len(numbers) - len(counts),
        torn=bool(LINE.sub(b"", out)),
        out_of_order=sum(b < a for a, b in itertools.pairwise(numbers)),
        letters=letters.read_text().splitlines() if letters.exists() else [],
    )


def kill_again_and_again(
    server: ForkServer, directory: Path, how: str, *, kills: int, rate: float, seed: int
) -> Outcome:
    """Let the daemon follow a log, and kill it at random moments.

    Args:
        server: Forks the daemon.
        directory: An empty one.
        how: `"plain"`, or `"exact"` for an output that is written exactly once.
        kills: How many.
        rate: Lines a second.
        seed: Of the moments, which differ from run to run all the same.
    """
    rng = Random(seed)
    log = Log(directory, rate=rate)
    _run_to_the_end(server, directory, how)  # from now on the file is known
    with log:
        for _ in range(kills):
            with _running(server, directory, how) as child:
                if rng.random() > 0.1:  # otherwise at any moment of its start
                    _wait_until_ready(child)
                _let_work(child, rng.random() * LONGEST)
    _run_to_the_end(server, directory, how)
    return examine(directory, log.lines)


def rotate_again_and_again(
    server: ForkServer,
    directory: Path,
    *options: str,
    rotations: int,
    rate: float,
    every: float,
) -> Outcome:
    """Let the daemon follow a log that is rotated so often; stop it, and let another one end.

    Args:
        server: Forks the daemon.
        directory: An empty one.
        options: Those of the program.
        rotations: How many.
        rate: Lines a second.
        every: Seconds between two rotations.
    """
    log = Log(directory, rate=rate, every=every, kept=20)
    with _running(server, directory, "plain", *options) as child:
        _wait_until_ready(child)
        with log:
            log.wait_for_rotations(rotations)
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 0, _said(directory)
    _run_to_the_end(server, directory, "plain", *options)
    return examine(directory, log.lines)


@contextlib.contextmanager
def _running(server: ForkServer, directory: Path, how: str, *options: str) -> Iterator[Forked]:
    with (
        (directory / "said").open("ab") as said,
        server.start_and_read(
            serve, stderr=said, directory=str(directory), how=how, options=options
        ) as child,
    ):
        yield child


def _run_to_the_end(server: ForkServer, directory: Path, how: str, *options: str) -> None:
    with _running(server, directory, how, *options, "idle") as child:
        assert child.wait(PATIENCE) == 0, _said(directory)


def _wait_until_ready(child: Forked) -> None:
    assert child.stdout.readline() == b"ready\n"


def _let_work(child: Forked, seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        status = child.wait(seconds)
        raise AssertionError(f"It ended by itself, with status {status}")


def _said(directory: Path) -> str:
    return (directory / "said").read_text()[-2_000:]
