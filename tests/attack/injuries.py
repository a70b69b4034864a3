"""Attacks: exceptions that other threads raise in a producer, and a stack that is full."""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.actors.fakes import Fake, switch_interval
from tests.attack.checks import (
    PATIENCE,
    Beacon,
    HangError,
    assert_stops,
    assert_whole,
    explained,
    within,
)
from tests.attack.striking import Struck
from zenactors.actors.dispatcher import Dispatcher

MOST_FAILURES = 3
STOP_TIMEOUT = 2.0  # seconds
LATER = 3600.0  # seconds
MOMENT = 0.001  # seconds
MOST_STRIKES = 4  # of one thread
LONGEST_DELAY = 0.002  # seconds until a thread is struck
SPARE = range(1, 61)  # calls that the stack still has room for


def running() -> Dispatcher:
    """Return a dispatcher that runs."""
    dispatcher = Dispatcher([Fake({"x": None}), Beacon()], stop_timeout=STOP_TIMEOUT)
    dispatcher.start()
    return dispatcher


# --- exceptions from other threads ------------------------------------------------------------


class Victim:
    """A thread outside that calls the dispatcher in a loop, until an exception strikes it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._working = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.cause: BaseException | None = None
        self.calls = 0

    def strike(self, delay: float) -> None:
        """Start the thread, strike it after a while, and wait for its end."""
        self._thread.start()
        assert self._working.wait(PATIENCE)
        self._thread.join(delay)
        ident = ctypes.c_ulong(self._thread.ident or 0)
        for _ in range(MOST_STRIKES):  # one that hits a finalizer is only reported
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Struck))
            self._thread.join(PATIENCE / MOST_STRIKES)
            if not self._thread.is_alive():
                break
        if self._thread.is_alive():
            raise HangError("A producer that was struck goes on.")
        assert isinstance(self.cause, Struck), f"it was struck, and raised {self.cause!r}"

    def _run(self) -> None:
        try:
            try:
                self._working.set()
                while True:
                    self._call()
                    self.calls += 1
            except BaseException as cause:
                self.cause = cause
        except Struck as cause:  # while the thread was leaving
            self.cause = cause


def strike_producers(*, seconds: float, seed: int) -> dict[str, Any]:
    """Strike threads that schedule, cancel and ask, at random moments."""
    rng = random.Random(seed)
    broken: list[str] = []
    end = time.monotonic() + seconds
    dispatcher, struck = running(), 0
    with switch_interval(MOMENT / 10):
        while time.monotonic() < end and len(broken) < MOST_FAILURES:
            name, call = rng.choice(_calls(dispatcher))
            try:
                Victim(call).strike(rng.uniform(0.0, LONGEST_DELAY))
                assert_whole(dispatcher)
            except AssertionError as failure:
                broken.append(f"{name}, strike {struck}: {explained(failure)}")
                dispatcher = running()
            struck += 1
    if not broken:
        assert_stops(dispatcher)
    return {"broken": broken, "struck": struck}


def _calls(dispatcher: Dispatcher) -> list[tuple[str, Callable[[], object]]]:
    queue = dispatcher.queue
    return [
        ("schedule", lambda: queue.schedule("x")),
        ("schedule_next", lambda: queue.schedule_next("x")),
        ("schedule_priority", lambda: queue.schedule_priority("x")),
        ("schedule_after", lambda: queue.schedule_after(LATER, "x").cancel()),
        ("count", queue.count),
        ("counts", dispatcher.counts),
        ("ahead", queue.ahead),
        ("drain", lambda: dispatcher.drain(MOMENT)),
    ]


# --- a full stack -----------------------------------------------------------------------------


def dive(depth: int, call: Callable[[], object]) -> object:
    """Call a function with a deeper stack."""
    return dive(depth - 1, call) if depth else call()


def deepest() -> int:
    """Return how deep a caller of `dive` can dive to call a function of Python."""
    depth = sys.getrecursionlimit()
    while True:
        with contextlib.suppress(RecursionError):
            dive(depth, lambda: None)
            return depth
        depth -= 1


def call_on_a_full_stack() -> dict[str, Any]:
    """Call everything on a stack that has room for a few more calls only."""
    broken: list[str] = []
    dispatcher, struck = running(), 0
    bottom = within(PATIENCE, deepest)
    for number in range(len(_calls(dispatcher))):
        for spare in SPARE:
            name, call = _calls(dispatcher)[number]
            try:
                try:
                    within(PATIENCE, dive, bottom - spare, call, what=name)
                except RecursionError:
                    struck += 1
                assert_whole(dispatcher)
            except AssertionError as failure:
                broken.append(f"{name}, with {spare} calls to spare: {explained(failure)}")
                if len(broken) == MOST_FAILURES:
                    return {"broken": broken, "struck": struck}
                dispatcher = running()
                break
    if not broken:
        assert_stops(dispatcher)
    return {"broken": broken, "struck": struck}
