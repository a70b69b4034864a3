"""Checks that an engine is whole, each of them with a time-out."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.testing._leaks import stack_of

T = TypeVar("T")

PATIENCE = 4.0  # seconds: generous, so that only a hang takes that long
DRAIN = 2.0  # seconds: far more than the few events here take


class HangError(AssertionError):
    """A call that did not return. The message has the stack of its thread."""


def within(seconds: float, call: Callable[..., T], *args: Any, what: str = "") -> T:
    """Call a function in a thread outside, and return its result.

    Raises:
        HangError: It did not return in time. Its thread is left behind.
        BaseException: It raised.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call(*args))
        except BaseException as cause:
            failures.append(cause)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        name = what or getattr(call, "__name__", "the call")
        own = stack_of(thread).partition("results.append(call(*args))\n")[2]
        raise HangError(f"{name} did not return in {seconds} s:\n{own}")
    if failures:
        raise failures[0]
    return results[0]


class Beacon(ZenDaemonComponent):
    """Sets the event (of threads) that it is given: so a test sees that events are handled."""

    def __init__(self) -> None:
        super().__init__(name="beacon")

    @handles("beacon")
    def cbk_event_beacon(self, daemon: Any, args: threading.Event) -> None:
        args.set()


def unbalanced(dispatcher: Dispatcher) -> list[str]:
    """Return the events whose counts do not add up."""
    return [f"{event}: {c}" for event, c in dispatcher.counts().items() if not c.is_balanced]


def assert_answers(dispatcher: Dispatcher, patience: float = PATIENCE) -> None:
    """Assert that all questions are answered, in threads outside."""
    for question in (dispatcher.counts, dispatcher.queue.count, dispatcher.is_idle):
        within(patience, question)
    within(patience, dispatcher.drain, 0.0)


def assert_whole(dispatcher: Dispatcher, *, delay: float | None = None) -> None:
    """Assert that a running dispatcher with a `Beacon` handles events, drains and counts.

    Args:
        dispatcher: It runs.
        delay: Seconds until a timed event that must be handled, too.
    """
    steps: list[str] = []

    def check() -> None:
        steps.append("schedule()")
        handled = threading.Event()
        dispatcher.queue.schedule("beacon", handled)
        steps.append("the handling of a fresh event")
        assert handled.wait(DRAIN), f"A fresh event is not handled: {dispatcher.counts()}"
        if delay is not None:
            steps.append("the handling of a timed event")
            due = threading.Event()
            dispatcher.queue.schedule_after(delay, "beacon", due)
            assert due.wait(DRAIN), f"A timed event is not handled: {dispatcher.counts()}"
        steps.append("drain()")
        assert dispatcher.drain(DRAIN), f"drain() is False: {dispatcher.counts()}"
        steps.append("counts()")
        wrong = unbalanced(dispatcher)
        assert not wrong, wrong
        assert not dispatcher.halted

    try:
        within(PATIENCE + 2 * DRAIN, check)
    except HangError as hang:
        raise HangError(f"{steps[-1]} hangs. {hang}") from None


def assert_stops(dispatcher: Dispatcher, *, timeout: float = 1.0) -> None:
    """Assert that `stop` keeps its time-out, and that the counts are right afterwards."""
    report = within(timeout + PATIENCE, lambda: dispatcher.stop(timeout=timeout), what="stop()")
    assert report.stuck == (), report
    wrong = within(PATIENCE, unbalanced, dispatcher)
    assert not wrong, wrong


def explained(failure: BaseException) -> str:
    """Return a failure as text, with the innermost lines of its traceback."""
    text = "".join(traceback.format_exception_only(failure)).rstrip()
    frames = traceback.extract_tb(failure.__traceback__)[-3:]
    return text + "".join(
        f"\n  in {frame.name}, {frame.filename}:{frame.lineno}: {frame.line}" for frame in frames
    )
