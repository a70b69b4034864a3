"""Attacks: threads that schedule in a loop, faster than the components work."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.actors.fakes import Fake
from tests.attack.checks import PATIENCE, Beacon, HangError, explained, within
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.daemon.zendaemon import ZenDaemon
from zenactors.errors import NotRunningError

THREADS = 4
STOP_TIMEOUT = 2.0  # seconds
SHORT_DRAIN = 0.05  # seconds
UNDER_WAY = 20_000  # events: then it is a flood


class Flood:
    """Threads that schedule until they are refused, or are told to end."""

    def __init__(self, queue: Any, event: str) -> None:
        self._queue = queue
        self._event = event
        self._ended = False
        self.under_way = threading.Event()
        self.scheduled = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join(PATIENCE)
        alive = [thread for thread in self._threads if thread.is_alive()]
        if alive:
            raise HangError(f"schedule() of {len(alive)} threads does not return")

    def _run(self) -> None:
        number = 0
        with contextlib.suppress(NotRunningError):
            while not self._ended:
                self._queue.schedule(self._event, number)
                number += 1
                if number == UNDER_WAY // THREADS:
                    self.under_way.set()


class Flooded(ZenDaemonComponent):
    """Starts a flood of its own event, and reports when it is one.

    Args:
        begins_in: The event with which it starts: `"start"`, or `"work"`, which follows.
    """

    def __init__(self, begins_in: str) -> None:
        super().__init__(name="flooded")
        self.begins_in = begins_in

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> None:
        daemon.queue.schedule("work")
        self._begin("start", daemon)

    @handles("work")
    def cbk_event_work(self, daemon: Any, args: Any) -> None:
        self._begin("work", daemon)

    @handles("drop")
    def cbk_event_drop(self, daemon: Any, args: Any) -> None:
        pass

    def _begin(self, event: str, daemon: Any) -> None:
        if event == self.begins_in:
            flood = Flood(daemon.queue, "drop")
            flood.start()
            assert flood.under_way.wait(PATIENCE)
            os.write(1, b"flooded\n")


def serve(begins_in: str) -> int:
    """Be a daemon under a flood, until a signal ends it. Return its status."""
    daemon = ZenDaemon(name="flooded", components=[Flooded(begins_in)])
    daemon.dispatcher.stop_timeout = STOP_TIMEOUT
    return daemon.serve()


@contextlib.contextmanager
def flooded() -> Iterator[Dispatcher]:
    """A dispatcher under a flood."""
    dispatcher = Dispatcher([Fake({"drop": None}), Beacon()], stop_timeout=STOP_TIMEOUT)
    dispatcher.start()
    flood = Flood(dispatcher.queue, "drop")
    flood.start()
    assert flood.under_way.wait(PATIENCE)
    yield dispatcher
    flood.end()


def ask_under_a_flood(*, bound: float, looks: int) -> dict[str, Any]:
    """Ask everything during a flood, in threads outside. Return the slowest answers in seconds.

    Args:
        bound: Seconds that an answer may take.
        looks: How often each question is asked.
    """
    slowest: dict[str, float] = {}
    broken: list[str] = []
    with flooded() as dispatcher:
        for name, question in _questions(dispatcher).items():
            try:
                slowest[name] = max(_seconds(question, bound) for _ in range(looks))
            except AssertionError as failure:
                broken.append(f"{name}: {explained(failure)}")
        begin = time.monotonic()
        try:
            within(1.0 + bound, lambda: dispatcher.stop(timeout=1.0), what="stop(timeout=1.0)")
        except HangError as hang:
            broken.append(str(hang))
        slowest["stop(timeout=1.0)"] = time.monotonic() - begin
    return {"broken": broken, "slowest": slowest, "struck": len(slowest)}


def _questions(dispatcher: Dispatcher) -> dict[str, Callable[[], object]]:
    def priority() -> None:
        handled = threading.Event()
        dispatcher.queue.schedule_priority("beacon", handled)
        assert handled.wait(PATIENCE), "a priority event is not handled"

    return {
        "counts()": dispatcher.counts,
        "count()": dispatcher.queue.count,
        "ahead()": dispatcher.queue.ahead,
        "is_idle()": dispatcher.is_idle,
        "schedule()": lambda: dispatcher.queue.schedule("drop"),
        "schedule_after()": lambda: dispatcher.queue.schedule_after(0.0, "drop"),
        "cancel()": lambda: dispatcher.queue.schedule_after(PATIENCE, "drop").cancel(),
        "priority event to callback": priority,
        # Either answer is right: it is about what was scheduled before.
        f"drain({SHORT_DRAIN})": lambda: dispatcher.drain(SHORT_DRAIN),
    }


def _seconds(question: Callable[[], object], bound: float) -> float:
    begin = time.monotonic()
    within(bound, question, what="the question")
    return time.monotonic() - begin
