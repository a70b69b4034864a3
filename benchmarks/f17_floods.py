"""F17: what four threads do to a daemon that schedule events in tight loops.

A running dispatcher has eight components that only count, and one that is idle. The main thread,
meanwhile and one sample after the other, schedules a priority event for the idle one, and asks for
`count()`, `counts()` and `ahead()`. The latency of the priority event ends in its callback; those
of the questions end with the answers. Then the main thread stops the dispatcher with a deadline.
The floods go on until the dispatcher refuses their events, so the stop cannot handle them all.

The rows of the signal are those of F6: a signal from another process to a real `ZenDaemon` with
four such threads, until its event's callback. At both intervals after which Python takes the
interpreter from a busy thread. Each run is a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import f06_signal
from benchmarks.common import (
    Options,
    Row,
    Target,
    in_fresh_process,
    percentile,
    require,
    single_row,
    switch_interval,
)
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import gen_event_handler, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.errors import NotRunningError

ID = "F17"
INTERVALS = (0.005, 0.0005)  # seconds
FLOODING = 4  # threads
COUNTING = 8  # components
SAMPLES = 100  # per run
SIGNALS = 150
RUNS = 3
WARM_UP = 0.3  # seconds
SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.012  # seconds
ANSWER_WITHIN = 30.0  # seconds; later means that it never comes
STOP_TIMEOUT = 2.0  # seconds
QUESTIONS = ("count()", "counts()", "ahead()")
LATENCY = Target(bound=50, at_least=False, of="ours", unit="ms")
ANSWER = Target(bound=100, at_least=False, of="ours", unit="ms")
STOP = Target(bound=STOP_TIMEOUT * 1000, at_least=False, of="ours", unit="ms")


def run(options: Options) -> Iterator[Row]:
    for seconds in INTERVALS:
        yield from _rows(options, seconds)


def _rows(options: Options, interval: float) -> Iterator[Row]:
    samples = options.size(SAMPLES, quick=20)
    runs = [in_fresh_process("f17_floods", interval, samples) for _ in range(options.repeats(RUNS))]
    where = f"switch interval {interval * 1000:g} ms"

    def tags(what: str) -> dict[str, Any]:
        return {"what": what, "interval": interval}

    def figures(name: str, percent: float) -> list[float]:
        return [percentile(run[name], percent) for run in runs]

    def all_of(name: str) -> list[float]:
        return [figure for run in runs for figure in run[name]]

    flood = f"{sum(run['scheduled'] for run in runs) / sum(run['seconds'] for run in runs):,.0f}/s"
    yield single_row(
        ID,
        f"four floods: priority event to callback p99, {where}",
        figures("priority", 99),
        unit="ms",
        target=LATENCY,
        note=f"p50 {percentile(all_of('priority'), 50):.1f} ms, worst"
        f" {max(all_of('priority')):.1f} ms; the flood: {flood}",
        tags=tags("priority"),
    )
    latencies, rate = f06_signal.measure(
        "flood", "own", options.size(SIGNALS, quick=20), interval=interval
    )
    yield single_row(
        ID,
        f"four floods: signal to callback p99 in a ZenDaemon, {where}",
        [percentile(latencies, 99)],
        unit="ms",
        target=LATENCY,
        note=f"p50 {percentile(latencies, 50):.1f} ms, worst {max(latencies):.1f} ms;"
        f" meanwhile {rate:,.0f} events/s",
        tags=tags("signal"),
    )
    for name in QUESTIONS:
        yield single_row(
            ID,
            f"four floods: {name} answered, slowest, {where}",
            figures(name, 100),
            unit="ms",
            target=ANSWER,
            note=f"p50 {percentile(all_of(name), 50):.1f} ms,"
            f" p99 {percentile(all_of(name), 99):.1f} ms, worst {max(all_of(name)):.1f} ms",
            tags=tags(name),
        )
    left = percentile([run["left"] for run in runs], 50)
    yield single_row(
        ID,
        f"four floods: stop with a deadline of {STOP_TIMEOUT:g} s, {where}",
        [run["stop"] for run in runs],
        unit="ms",
        target=STOP,
        note=f"longest overrun {max(run['stop'] for run in runs) - STOP.bound:+,.0f} ms;"
        f" {left:,.0f} events left",
        tags=tags("stop"),
    )


# --- in the fresh process ---------------------------------------------------------------------


class Counting(ZenDaemonComponent):
    """Counts its own event."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"Counting{number}")
        self.own_event = f"work{number}"
        self.seen = 0

    def get_events(self) -> list[Any]:
        return [gen_event_handler(self.own_event, self.cbk_event_work)]

    def cbk_event_work(self, daemon: Any, args: Any) -> None:
        self.seen += 1


class Idle(ZenDaemonComponent):
    """Records the latency of the priority event, whose args are the time of its `schedule`."""

    def __init__(self) -> None:
        super().__init__()
        self.milliseconds: list[float] = []
        self.called = threading.Event()

    @handles("urgent")
    def cbk_event_urgent(self, daemon: Any, args: float) -> None:
        self.milliseconds.append((time.perf_counter() - args) * 1e3)
        self.called.set()


def _flood(dispatcher: Dispatcher, scheduled: list[int]) -> None:
    """Schedule events as fast as one thread can, until they are refused."""
    schedule = dispatcher.queue.schedule
    events = [f"work{number}" for number in range(COUNTING)]
    rounds = 0
    with contextlib.suppress(NotRunningError):
        while True:
            for event in events:
                schedule(event, rounds)
            rounds += 1
    scheduled.append(rounds * COUNTING)


def _milliseconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return (time.perf_counter() - begin) * 1e3


def measure(samples: int) -> dict[str, Any]:
    """Return all figures of a run, in milliseconds."""
    idle = Idle()
    dispatcher = Dispatcher([idle, *(Counting(number) for number in range(COUNTING))])
    dispatcher.start()
    queue = dispatcher.queue
    scheduled: list[int] = []
    floods = [
        threading.Thread(target=_flood, args=(dispatcher, scheduled)) for _ in range(FLOODING)
    ]
    begin = time.perf_counter()
    for flood in floods:
        flood.start()
    time.sleep(WARM_UP)
    asked: dict[str, Callable[[], object]] = {
        "count()": queue.count,
        "counts()": dispatcher.counts,
        "ahead()": queue.ahead,
    }
    figures: dict[str, Any] = {name: [] for name in QUESTIONS}
    for _ in range(samples):
        time.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
        idle.called.clear()
        queue.schedule_priority("urgent", time.perf_counter())
        require(idle.called.wait(ANSWER_WITHIN), "the priority event was not handled")
        queue.schedule("work0")  # this thread has something ahead
        for name in QUESTIONS:
            figures[name].append(_milliseconds(asked[name]))
    elapsed = time.perf_counter() - begin
    stopping = time.perf_counter()
    report = dispatcher.stop(timeout=STOP_TIMEOUT)
    figures["stop"] = (time.perf_counter() - stopping) * 1e3
    for flood in floods:
        flood.join(ANSWER_WITHIN)
    require(len(scheduled) == FLOODING, "a flood was not refused")
    require(not report.stuck and not report.dead_letters, f"{report}")
    figures["priority"] = idle.milliseconds
    figures["scheduled"], figures["seconds"] = sum(scheduled), elapsed
    figures["left"] = report.left
    return figures


def main() -> None:
    interval, samples = sys.argv[1:]
    with switch_interval(float(interval)):
        print(json.dumps(measure(int(samples))))


if __name__ == "__main__":
    main()
