"""F3: the latency from `schedule()` in another thread to the callback of an idle dispatcher.

The peer is a bare thread that is parked in `SimpleQueue.get()`. The clock is read just before
`queue.schedule()` or `SimpleQueue.put()`, and again first in the callback, or just after the
`get()`. The two sides alternate, sample by sample. A pause of a millisecond follows each sample,
so the receiving threads are parked again. Each round gives one p50 and one p99 for each side.
"""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

from benchmarks.common import (
    Options,
    Row,
    Target,
    paired_row,
    percentile,
    require,
    wait_until,
)
from benchmarks.ours import EVENT, finish
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent

ID = "F3"
SAMPLES = 2_000
ROUNDS = 3
PAUSE = 0.001  # seconds
WARM_UP = 50  # samples


class Stopwatch(ZenDaemonComponent):
    """Record the time since an event was scheduled."""

    def __init__(self) -> None:
        super().__init__()
        self.nanoseconds: list[int] = []

    @handles(EVENT)
    def cbk_event_x(self, daemon: Any, args: int) -> tuple[int, Any]:
        self.nanoseconds.append(perf_counter_ns() - args)
        return (daemon.FLAG_CONTINUE, args)


def run(options: Options) -> Iterator[Row]:
    count = options.size(SAMPLES)
    rounds = [one_round(count) for _ in range(options.repeats(ROUNDS))]
    for percent in (50, 99):
        samples = [
            (percentile(mine, percent) / 1_000, percentile(theirs, percent) / 1_000)
            for mine, theirs in rounds
        ]
        yield paired_row(
            ID,
            f"idle latency, p{percent}",
            samples,
            unit="µs",
            peer_name="SimpleQueue",
            target=Target(bound=2.5, at_least=False),
            note=f"{len(rounds)} x {count:,} samples",
            tags={"percent": percent},
        )


def one_round(count: int) -> tuple[list[int], list[int]]:
    """Return nanoseconds: ours, and those of a bare thread."""
    handed_over: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    theirs: list[int] = []

    def receive() -> None:
        while (sent := handed_over.get()) is not None:
            theirs.append(perf_counter_ns() - sent)

    receiver = threading.Thread(target=receive)
    receiver.start()
    component = Stopwatch()
    dispatcher = Dispatcher([component])
    dispatcher.start()
    pause = threading.Event()
    schedule = dispatcher.queue.schedule
    mine = component.nanoseconds
    gc.collect()
    try:
        for number in range(1, WARM_UP + count + 1):
            _sample(lambda: schedule(EVENT, perf_counter_ns()), mine, number, pause)
            _sample(lambda: handed_over.put(perf_counter_ns()), theirs, number, pause)
    finally:
        handed_over.put(None)
        receiver.join()
        finish(dispatcher, len(mine))
    require(len(mine) == len(theirs) == WARM_UP + count, "samples are missing")
    return mine[WARM_UP:], theirs[WARM_UP:]


def _sample(
    send: Callable[[], object], results: list[int], number: int, pause: threading.Event
) -> None:
    send()
    pause.wait(PAUSE)
    wait_until(lambda: len(results) >= number, timeout=5.0, what="a callback")
