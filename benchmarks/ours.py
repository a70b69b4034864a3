"""The work of most benchmarks, done by zenactors with its default options."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.common import require
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.supervision import Retry, Supervision

EVENT = "x"
POLICIES = {
    "default": Supervision(),
    "supervised": Supervision(retry=Retry(attempts=3), on_error="restart"),
    "limited": Supervision(retry=Retry(attempts=3), on_error="restart", hard_limit=30.0),
}


@contextlib.contextmanager
def supervision(policy: str) -> Iterator[None]:
    """Let all components that declare nothing have one of the `POLICIES` meanwhile."""
    before = ZenDaemonComponent.supervision
    ZenDaemonComponent.supervision = POLICIES[policy]
    try:
        yield
    finally:
        ZenDaemonComponent.supervision = before


class Noop(ZenDaemonComponent):
    """Pass every event on."""

    @handles(EVENT)
    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        return (daemon.FLAG_CONTINUE, args)


class Silent(ZenDaemonComponent):
    """Return None, as most callbacks do: the event goes on unchanged."""

    @handles(EVENT)
    def cbk_event_x(self, daemon: Any, args: Any) -> None:
        return


class Recorder(ZenDaemonComponent):
    """Keep the args in order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    @handles(EVENT)
    def cbk_event_x(self, daemon: Any, args: Any) -> tuple[int, Any]:
        self.seen.append(args)
        return (daemon.FLAG_CONTINUE, args)


class OpenedAt(ZenDaemonComponent):
    """Record the time of its `start` callback: no event begins before that has returned."""

    moment = 0.0

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> tuple[int, Any]:
        self.moment = time.perf_counter()
        return (daemon.FLAG_CONTINUE, args)


def prefilled(components: list[Any], count: int) -> Dispatcher:
    """Return a dispatcher that is not started, with `count` events queued."""
    dispatcher = Dispatcher(components)
    schedule = dispatcher.queue.schedule
    for number in range(count):
        schedule(EVENT, number)
    return dispatcher


def finish(dispatcher: Dispatcher, count: int) -> None:
    """Stop the dispatcher, and raise unless all the work was done."""
    totals = list(dispatcher.counts().items())
    completed = sum(counts.completed for event, counts in totals if event != "start")
    report = dispatcher.stop()
    require(completed == count, f"{completed:,} of {count:,} events were completed")
    require(report.drained and not report.stuck and not report.dead_letters, f"{report}")


def rate_of_chain(length: int, count: int, stage: Callable[[], Any] = Noop) -> float:
    """Return events/s from `start()` to the end of `drain()`, with all events queued before."""
    dispatcher = prefilled([stage() for _ in range(length)], count)
    begin = time.perf_counter()
    dispatcher.start()
    dispatcher.drain()
    elapsed = time.perf_counter() - begin
    finish(dispatcher, count)
    return count / elapsed


def seen_by_last(length: int, count: int) -> list[Any]:
    """Return the args that the last component of a chain receives."""
    last = Recorder()
    dispatcher = prefilled([*(Noop() for _ in range(length - 1)), last], count)
    dispatcher.start()
    dispatcher.drain()
    finish(dispatcher, count)
    return last.seen
