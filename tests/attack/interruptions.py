"""Attacks: in the middle of `schedule()`, its thread schedules and asks something else.

A signal handler may do so between any two lines, and so may a finalizer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.actors.fakes import DEADLINE, Fake
from tests.actors.test_open_runs import Producer
from tests.attack.striking import PACKAGE, place, tracing
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.live_queue import LiveQueue

MOST_FAILURES = 3


class Interrupter:
    """A trace function that calls something once, before the n-th line of the package's own code.

    Args:
        at: Which line, from 1 on.
        call: What to call.

    Attributes:
        called: The place where it was called, or "".
    """

    def __init__(self, at: int, call: Callable[[], Any]) -> None:
        self._left = at
        self._call = call
        self.called = ""

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Trace a frame, if its code is the package's."""
        if self.called or not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        return self._trace

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and not self.called:
            self._left -= 1
            if not self._left:
                self.called = place(frame)
                self._call()
        return self._trace


@dataclasses.dataclass
class Log:
    """What one thread has scheduled, and what was seen of it.

    Attributes:
        queue: The queue.
        spans: When each event's call began and ended, by its number: the events' args.
        seen: The numbers, in the order in which the events came out.
    """

    queue: LiveQueue
    spans: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    seen: list[int] = dataclasses.field(default_factory=list)
    _moment: int = 0

    def schedule(self, event: str = "x") -> None:
        self._noted(functools.partial(self.queue.schedule, event))

    def schedule_several(self, count: int = 2) -> None:
        for _ in range(count):
            self.schedule()

    def schedule_many(self) -> None:
        self._noted(lambda number: self.queue.schedule_many("x", [number]))

    def _noted(self, call: Callable[[int], Any]) -> None:
        number, begin = len(self.spans), self._now()
        self.spans.append((begin, 0))
        call(number)
        self.spans[number] = begin, self._now()

    def _now(self) -> int:
        self._moment += 1
        return self._moment

    def faults(self) -> list[str]:
        """Return what is wrong: each event comes out once, behind all that had been scheduled."""
        if sorted(self.seen) != list(range(len(self.spans))):
            return [f"of {len(self.spans)} events came out {self.seen}"]
        order = [self.spans[number] for number in self.seen]
        return [
            f"out of order: {self.seen}"
            for at, (begin, _) in enumerate(order)
            if any(end < begin for _, end in order[at + 1 :])
        ][:1]


class Idler(Producer):
    """A dispatcher's thread that runs only when it is told to, and a producer."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log(self.queue)
        self._sleeps = False

    def run_once(self) -> None:
        """Let the dispatcher's thread run once, unless it sleeps and nothing has woken it."""
        if self._sleeps:
            if self.loop.outside.empty():
                return
            self.loop._arrived = self.loop.outside.get_nowait()
            self.loop.unpark()
            self._sleeps = False
        self.loop.run_once()

    def fall_asleep(self) -> None:
        """Let the dispatcher's thread run until it sleeps."""
        self.run_once()
        while not self._sleeps:
            self._sleeps = self.loop.prepare_sleep() is None
            if not self._sleeps:
                self.loop.run_once()

    def finish(self) -> list[str]:
        """Let it run as long as anything wakes it; return what is wrong."""
        self.fall_asleep()
        while not self.loop.outside.empty():
            self.fall_asleep()
        self.log.seen = [self.state.take_next()[1] for _ in range(self.state.queue.count())]
        return self.log.faults()


def _one(idler: Idler) -> None:
    idler.log.schedule()


def _several(idler: Idler) -> None:
    idler.log.schedule_several(3)


def _another(idler: Idler) -> None:
    idler.log.schedule("y")


Steps = tuple[Callable[[Idler], None], ...]

BEFORE: dict[str, Steps] = {
    "nothing": (),
    "one": (_one,),
    "a run on its way": (_one, _one),
    "an open run": (_one, _one, Idler.run_once),
    "a closed run": (_one, _one, Idler.fall_asleep),
}
CALLS: dict[str, Callable[[Log], None]] = {
    "schedule": Log.schedule,
    "schedule_many": Log.schedule_many,
    "schedule several": Log.schedule_several,
}
BETWEEN: dict[str, Steps] = {
    "an event": (_one,),
    "several events": (_several,),
    "another event": (_another,),
    "several and another": (_several, _another),
    "the dispatcher": (Idler.run_once,),
    "its sleep": (Idler.fall_asleep,),
    "its sleep and several": (Idler.fall_asleep, _several),
    "several and its sleep": (_several, Idler.fall_asleep),
}


def interrupt_outside(before: str) -> dict[str, Any]:
    """Interrupt calls of a thread outside at each line, by everything. List what broke."""
    broken: list[str] = []
    count = 0
    for call, make in CALLS.items():
        for between, steps in BETWEEN.items():
            at, called = 1, "once"
            while called and len(broken) < MOST_FAILURES:
                idler = Idler()
                _take(BEFORE[before], idler)
                interrupter = Interrupter(at, functools.partial(_take, steps, idler))
                with tracing(interrupter):
                    make(idler.log)
                called = interrupter.called
                idler.log.schedule_several()
                broken += [f"{call}, {between}, {called}: {fault}" for fault in idler.finish()]
                count += 1
                at += 1
    return {"broken": broken, "struck": count}


def _take(steps: tuple[Callable[[Any], None], ...], who: Idler | Log) -> None:
    for step in steps:
        step(who)


def _ask(log: Log) -> None:
    log.queue.count()


def _other(log: Log) -> None:
    log.schedule("y")


ASKED: dict[str, tuple[Callable[[Log], None], ...]] = {
    "a question": (_ask,),
    "an event": (Log.schedule,),
    "several events": (Log.schedule_several,),
    "an event and a question": (Log.schedule, _ask),
    "a question and several": (_ask, Log.schedule_several),
    "two and a question": (Log.schedule, _other, _ask),
    "many at once": (Log.schedule_many,),
}


def interrupt_callback(before: int) -> dict[str, Any]:
    """Interrupt `schedule()` in a callback at each line, by what a finalizer may do.

    Args:
        before: How many events the callback has scheduled before.
    """
    broken: list[str] = []
    work: list[Callable[[], Any]] = []
    seen: list[int] = []

    def keep(_daemon: Any, args: int) -> None:
        seen.append(args)

    go = Fake({"go": lambda *_: work.pop()()}, name="go")
    count = 0
    with Dispatcher([go, Fake({"x": keep, "y": keep}, name="work")]) as dispatcher:
        for asked, steps in ASKED.items():
            at, called = 1, "once"
            while called and len(broken) < MOST_FAILURES:
                log = Log(dispatcher.queue, seen=seen)
                seen.clear()
                interrupter = Interrupter(at, functools.partial(_take, steps, log))
                work.append(functools.partial(_callback, log, before, interrupter))
                dispatcher.queue.schedule("go")
                assert dispatcher.drain(DEADLINE)
                called = interrupter.called
                broken += [f"{asked}, {called}: {fault}" for fault in log.faults()]
                count += 1
                at += 1
        broken += [letter.traceback for letter in dispatcher.dead_letters()]
    return {"broken": broken, "struck": count}


def _callback(log: Log, before: int, interrupter: Interrupter) -> None:
    log.schedule_several(before)
    with tracing(interrupter):
        log.schedule()
    log.schedule_several()
