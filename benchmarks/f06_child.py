"""The daemon whose signal latency F6 measures: 8 busy actors, 1,000 circulating events or a flood.

    python -m benchmarks.f06_child BOARD wait|compute|flood own|busy POLICY 0.005

It records its measurements in BOARD, a file of 64-bit integers that the parent maps too. The last
argument is the switch interval in seconds, and POLICY a name in `ours.POLICIES`.
"""

from __future__ import annotations

import contextlib
import mmap
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.ours import supervision
from zenactors.core.callbacks import gen_event_handler, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import NotRunningError

ACTORS = 8
CIRCULATING = 1_000
FLOODING = 4  # threads
SENT = 0  # when the parent sent the last signal, ns on the monotonic clock
CAUGHT = 1  # how many signals reached the callback
WORK = 2  # work done by each of the actors
LATENCIES = WORK + ACTORS
SPIN = 10_000  # rounds of a loop: about half a millisecond of pure Python


class Board:
    """A file of integers, shared with the other process."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self.cells = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")


class SignalStopwatch:
    """Record the time since the parent sent the signal."""

    board: Board

    def cbk_event_signal(self, daemon: Any, args: Any) -> tuple[int, Any]:
        now = time.monotonic_ns()
        cells = self.board.cells
        caught = cells[CAUGHT]
        cells[LATENCIES + caught] = now - cells[SENT]
        cells[CAUGHT] = caught + 1
        return (daemon.FLAG_CONTINUE, args)


class Watcher(SignalStopwatch, ZenDaemonComponent):
    """An idle actor, which may handle the signal. It schedules the first events, or all of them."""

    def __init__(self, board: Board, *, floods: bool, stopwatch: bool) -> None:
        super().__init__()
        self.board = board
        self.floods = floods
        self.stopwatch = stopwatch

    def get_events(self) -> list[Any]:
        events = super().get_events()
        if self.stopwatch:
            events.append(gen_event_handler("signal", self.cbk_event_signal))
        return events

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> tuple[int, Any]:
        if self.floods:
            daemon.io.keep_alive()  # threads outside are no sources: without them it is idle
            for _ in range(FLOODING):
                threading.Thread(target=self.flood, args=(daemon,), daemon=True).start()
            return (daemon.FLAG_CONTINUE, args)
        for number in range(CIRCULATING):
            daemon.queue.schedule(f"work{number % ACTORS}", number)
        return (daemon.FLAG_CONTINUE, args)

    def flood(self, daemon: Any) -> None:
        """Schedule events as fast as one thread can. The queue grows all the time."""
        with contextlib.suppress(NotRunningError):
            while not daemon.is_done():
                for number in range(ACTORS):
                    daemon.queue.schedule(f"work{number}", number)


class Busy(SignalStopwatch, ZenDaemonComponent):
    """Work on an event and send it to the next actor of the ring. In a flood: only count it."""

    def __init__(self, board: Board, number: int, *, work: str, stopwatch: bool) -> None:
        super().__init__(name=f"Busy{number}")
        self.board = board
        self.number = number
        self.following = f"work{(number + 1) % ACTORS}"
        self.work = work
        self.stopwatch = stopwatch

    def get_events(self) -> list[Any]:
        events: list[Any] = [gen_event_handler(f"work{self.number}", self.cbk_event_work)]
        if self.stopwatch:
            events.append(gen_event_handler("signal", self.cbk_event_signal))
        return events

    def cbk_event_work(self, daemon: Any, args: Any) -> tuple[int, Any]:
        if self.work == "compute":
            total = 0
            for number in range(SPIN):
                total += number
        elif self.work == "wait":
            time.sleep(0.001)
        self.board.cells[WORK + self.number] += 1
        if self.work != "flood" and not daemon.is_done():
            daemon.queue.schedule(self.following, args)
        return (daemon.FLAG_CONTINUE, args)


def main() -> None:
    path, work, handler, policy, interval = sys.argv[1:]
    with supervision(policy):
        _serve(path, work, handler, float(interval))


def _serve(path: str, work: str, handler: str, interval: float) -> None:
    board = Board(path)
    busy = [
        Busy(
            board,
            number,
            work=work,
            stopwatch=handler == "busy" and number == 0,
        )
        for number in range(ACTORS)
    ]
    watcher = Watcher(board, floods=work == "flood", stopwatch=handler == "own")
    # The signal has an event of its own: for SIGUSR1, the daemon's own callback saves the runlog
    # before the components' callbacks run.
    ZenDaemon(
        name="bench-signals",
        components=[*busy, watcher],
        default_signals={"SIGWINCH": "signal"},
        switch_interval=interval,
    ).serve()


if __name__ == "__main__":
    main()
