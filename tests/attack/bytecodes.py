"""Attacks: an exception at each bytecode of a call outside, and of the engine's own threads."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from loguru import logger

from tests.actors.fakes import Fake, Gate
from tests.attack.checks import (
    DRAIN,
    PATIENCE,
    Beacon,
    assert_stops,
    assert_whole,
    explained,
    within,
)
from tests.attack.striking import Striker, Struck, tracing, tracing_new_threads
from zenactors.actors.dispatcher import Dispatcher

LATER = 3600.0  # seconds
MOST_FAILURES = 3  # of one call; each may cost the patience of a check
HELD = 1100  # events: more than the largest window
IN_A_ROW = 4  # events: the second opens a run
MOMENT = 0.001  # seconds
STOP_TIMEOUT = 2.0  # seconds

Call = Callable[[Dispatcher], Any]
Attack = Callable[[], Any]


@dataclasses.dataclass
class Target:
    """A dispatcher under attack, with a component that can be held up."""

    gate: Gate = dataclasses.field(default_factory=Gate)
    dispatcher: Dispatcher = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        held = Fake({"held": lambda *_: self.gate()}, name="held")
        work = Fake({"x": None, "row": _schedule_row}, name="work")
        self.dispatcher = Dispatcher([held, work, Beacon()], stop_timeout=STOP_TIMEOUT)
        self.dispatcher.start()

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """Keep events in flight and waiting, as long as the block lasts."""
        self.gate = Gate()
        for _ in range(HELD):
            self.dispatcher.queue.schedule("held")
        self.gate.await_entered()
        try:
            yield
        finally:
            self.gate.open()


def _schedule_row(daemon: Any, _args: Any) -> None:
    for number in range(IN_A_ROW):
        daemon.queue.schedule("x", number)


def _cancel(dispatcher: Dispatcher) -> Attack:
    return dispatcher.queue.schedule_after(LATER, "x").cancel


def _cancel_the_queued(dispatcher: Dispatcher) -> Attack:
    return dispatcher.queue.schedule("held").cancel


def _schedule_in_a_row(dispatcher: Dispatcher) -> Attack:
    """Append to an open run: the dispatcher, which has been woken, waits for the state."""

    def attack() -> None:
        with dispatcher._engine.loop._lock:
            for number in range(IN_A_ROW):
                dispatcher.queue.schedule("x", number)

    return attack


# What is called, and before it what it needs. The calls of `HELD_UP` find events that wait.
CALLS: dict[str, Callable[[Dispatcher], Attack]] = {
    "schedule": lambda d: lambda: d.queue.schedule("x", 1),
    "schedule_in_a_row": _schedule_in_a_row,
    "schedule_many": lambda d: lambda: d.queue.schedule_many("x", (1, 2)),
    "schedule_next": lambda d: lambda: d.queue.schedule_next("x", 1),
    "schedule_after": lambda d: lambda: d.queue.schedule_after(LATER, "x", 1),
    "schedule_after_nothing": lambda d: lambda: d.queue.schedule_after(0.0, "x", 1),
    "schedule_at": lambda d: lambda: d.queue.schedule_at(time.time(), "x", 1),
    "schedule_priority": lambda d: lambda: d.queue.schedule_priority("x", 1),
    "cancel": _cancel,
    "count": lambda d: d.queue.count,
    "ahead": lambda d: d.queue.ahead,
    "counts": lambda d: d.counts,
    "is_idle": lambda d: d.is_idle,
    "set_done": lambda d: d.set_done,
    "get_statistics": lambda d: d.get_statistics,
    "drain_nothing": lambda d: lambda: d.drain(DRAIN),
}
HELD_UP: dict[str, Callable[[Dispatcher], Attack]] = {
    "schedule_behind_a_full_window": lambda d: lambda: d.queue.schedule("held", 1),
    "cancel_a_queued_event": _cancel_the_queued,
    "cancel_many_queued_events": lambda d: d.queue.schedule_many("held", (1, 2)).cancel,
    "next": lambda d: d.queue.next,
    "when": lambda d: d.queue.when,
    "wait": lambda d: d.queue.wait,
    "wait_for_end": lambda d: lambda: d.wait_for_end(MOMENT),
    "drain": lambda d: lambda: d.drain(MOMENT),
}
NAMES = [*CALLS, *HELD_UP]


def strike_call(name: str, *, step: int, offset: int) -> dict[str, Any]:
    """Strike a call in this thread at each bytecode, or at every `step`-th; list what broke."""
    target = Target()
    broken: list[str] = []
    at, bytecodes = 1 + offset % step, 0
    while True:
        striker = Striker(at)
        held = target.held_up() if name in HELD_UP else contextlib.nullcontext()
        try:
            with held:
                _strike({**CALLS, **HELD_UP}[name](target.dispatcher), striker)
            assert_whole(target.dispatcher)
        except Exception as failure:
            broken.append(f"{name}, bytecode {at}, {striker.struck}: {explained(failure)}")
            if len(broken) == MOST_FAILURES:
                break
            target = Target()
        if not striker.struck:
            bytecodes = striker.seen
            break
        at += step
    if not broken:
        assert_stops(target.dispatcher)
    return {"broken": broken, "bytecodes": bytecodes, "struck": (at - 1) // step}


def _strike(call: Attack, striker: Striker) -> None:
    with contextlib.suppress(Struck), tracing(striker):
        call()


def strike_stop(*, first: int, stop: int, step: int) -> dict[str, Any]:
    """Strike `stop` in this thread at these bytecodes; the next stop does the rest."""
    broken: list[str] = []
    struck, where = 0, ""
    for at in range(first, stop, step):
        dispatcher = Target().dispatcher
        dispatcher.queue.schedule("x", 1)
        striker = Striker(at)
        _strike(functools.partial(dispatcher.stop, timeout=STOP_TIMEOUT), striker)
        where = striker.struck
        struck += bool(where)
        try:
            assert_stops(dispatcher)
        except Exception as failure:
            broken.append(f"stop, bytecode {at}, {where}: {explained(failure)}")
            if len(broken) == MOST_FAILURES:
                break
    return {"broken": broken, "struck": struck, "last": where}


def strike_own_thread(whose: str, *, first: int, stop: int, step: int) -> dict[str, Any]:
    """Strike the thread of a component, or the dispatcher's, while it works on an event.

    The dispatcher may end, but it says so once, and every question is answered.
    """
    broken: list[str] = []
    struck, where = 0, ""
    for at in range(first, stop, step):
        where = _strike_once(whose, at, broken)
        struck += bool(where)
        if len(broken) == MOST_FAILURES:
            break
    return {"broken": broken, "struck": struck, "last": where}


def _strike_once(whose: str, at: int, broken: list[str]) -> str:
    striker = Striker()
    with tracing_new_threads(striker):
        dispatcher = Target().dispatcher
    engine = dispatcher._engine
    thread = engine.dispatcher_thread if whose == "dispatcher" else engine.threads[1]
    critical: list[str] = []
    sink = logger.add(lambda message: critical.append(str(message)), level="CRITICAL")
    striker.arm(at, thread.ident)
    try:
        _work_and_stop(dispatcher, striker)
        assert dispatcher.status in (0, 70, 130), dispatcher.status
        assert len(critical) <= 1, critical
    except Exception as failure:
        broken.append(f"{whose}, bytecode {at}, {striker.struck}: {explained(failure)}")
    finally:
        logger.remove(sink)
    return striker.struck


def _work_and_stop(dispatcher: Dispatcher, striker: Striker) -> None:
    def work() -> None:
        dispatcher.queue.schedule("row")
        for position in ("schedule", "schedule_next", "schedule_priority"):
            getattr(dispatcher.queue, position)("x", 1)
        dispatcher.queue.schedule_after(10 * MOMENT, "x", 1)  # the dispatcher's thread is woken

    with contextlib.suppress(Exception):  # it may have stopped, and say so
        within(PATIENCE, work)
    within(DRAIN + PATIENCE, dispatcher.wait_for_end, DRAIN)
    within(DRAIN + PATIENCE, dispatcher.drain, MOMENT)
    striker.arm(None)
    if not dispatcher.halted:  # nothing was lost, or nothing notices that it was
        assert_whole(dispatcher, delay=10 * MOMENT)
    within(PATIENCE, dispatcher.counts)
    within(PATIENCE, dispatcher.queue.count)
    within(STOP_TIMEOUT + PATIENCE, lambda: dispatcher.stop(timeout=STOP_TIMEOUT), what="stop()")
    within(PATIENCE, dispatcher.counts)
