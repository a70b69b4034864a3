from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import (
    DEADLINE,
    Fake,
    Gate,
    ObservedQueue,
    assert_conserved,
    in_threads,
    switch_interval,
)
from zenactors.actors import hang_guard
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.dispatch_state import DispatchState, Ordering
from zenactors.core.messages import Batch, Scheduled
from zenactors.errors import QueueEmptyException

A_DAY = 86_400.0


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dispatcher sleep for as long as no event is due: no look for hangs wakes it."""
    monkeypatch.setattr(hang_guard, "LOOK_INTERVAL", A_DAY)


@pytest.mark.parametrize("ordering", ["component", "event", "global"])
def test_of_many_events_from_many_threads_none_is_lost(ordering: Ordering) -> None:
    outside = 5_000 if ordering != "global" else 1_000

    def again(event: str) -> Any:
        def cbk(daemon: Any, args: Any) -> None:
            producer, number, hops = args
            if hops and number % 5 == 0:
                daemon.queue.schedule(event, (producer, number, hops - 1))

        return cbk

    first = Fake({"a": again("b"), "b": None}, name="first")
    second = Fake({"b": again("a"), "a": None}, name="second")
    with switch_interval(0.000_05), Dispatcher([first, second], ordering=ordering) as dispatcher:

        def produce(producer: int) -> None:
            for number in range(outside):
                dispatcher.queue.schedule("a", (producer, number, 2))
                if number % 100 == 0:
                    dispatcher.is_idle()  # drains the inbox for other threads

        assert in_threads(4, produce) == [None] * 4
        assert dispatcher.drain(DEADLINE)
        total = sum(c.completed for c in dispatcher.counts().values())
        assert total == 4 * (outside + 2 * outside // 5)
        assert_conserved(dispatcher)
    for producer in range(4):  # each producer's events are in order
        numbers = [n for p, n, hops in first.seen if p == producer and hops == 2]
        assert numbers == list(range(outside))


def test_what_is_handed_over_while_the_state_is_held_is_acted_on() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:

        def held(_state: DispatchState) -> None:
            in_threads(1, lambda _: dispatcher.queue.schedule("x", "while held"))

        dispatcher._engine.loop.ask(held)
        component.await_seen(["while held"])


def test_what_a_component_submits_while_the_state_is_held_is_acted_on() -> None:
    entered, held, submitted = Gate(), Gate(), threading.Event()

    def cbk(daemon: Any, args: Any) -> None:
        if args == "first":
            entered(daemon, args)
            daemon.queue.schedule("x", "child")

    component = Fake({"x": cbk})
    with Dispatcher([component]) as dispatcher:
        loop = dispatcher._engine.loop
        loop.submit = noting(loop.submit, submitted)  # type: ignore[method-assign, assignment]
        loop.report = noting(loop.report, submitted)  # type: ignore[assignment]
        dispatcher.queue.schedule("x", "first")
        entered.await_entered()
        asking = threading.Thread(target=loop.ask, args=(lambda state: held(state, None),))
        asking.start()
        held.await_entered()
        entered.open()
        assert submitted.wait(DEADLINE)  # it found the state held, and has gone away
        held.open()
        component.await_seen(["first", "child"])
        asking.join()


def noting(call: Callable[[Any], None], done: threading.Event) -> Callable[[Any], None]:
    def noted(submission: Any) -> None:
        call(submission)
        done.set()

    return noted


def test_an_exception_of_a_question_reaches_the_asking_thread_alone() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        with pytest.raises(QueueEmptyException):
            dispatcher.queue.next()
        dispatcher.queue.schedule("x", 1)
        component.await_seen([1])


def test_a_question_is_answered_although_the_state_raises() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:

        def broken(arriving: Scheduled | None = None) -> list[Batch]:
            raise AssertionError("bug")

        dispatcher._engine.state.admit = broken  # type: ignore[method-assign]
        assert dispatcher.queue.count() == 0
    assert dispatcher.status == 70


def test_a_submission_while_the_dispatcher_goes_to_sleep_is_not_overlooked() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        loop = dispatcher._engine.loop
        original = loop._seconds
        submitted = threading.Event()

        def seconds() -> float | None:
            if threading.current_thread().name == "zenactors:dispatcher" and not submitted.is_set():
                submitted.set()  # it holds the lock, and is about to sleep
                in_threads(1, lambda _: dispatcher.queue.schedule("x", "goodnight"))
            return original()

        loop._seconds = seconds  # type: ignore[method-assign]
        loop.wake()
        assert submitted.wait(DEADLINE)
        component.await_seen(["goodnight"])


@pytest.mark.usefixtures("no_looks")
def test_a_timed_event_from_outside_wakes_a_dispatcher_that_sleeps_for_ever() -> None:
    ran = threading.Event()
    dispatcher = Dispatcher([Fake({"x": lambda *_: ran.set()})])
    wake_ups = dispatcher._engine.loop.outside = ObservedQueue()
    with dispatcher:
        wake_ups.await_sleeper(A_DAY, A_DAY)
        dispatcher.queue.schedule_after(0.01, "x")
        assert ran.wait(DEADLINE)


@pytest.mark.usefixtures("no_looks")
def test_an_earlier_timed_event_wakes_a_dispatcher_that_sleeps_for_a_later_one() -> None:
    order: list[Any] = []
    ran = threading.Event()

    def cbk(_daemon: Any, args: Any) -> None:
        order.append(args)
        if args == "last":
            ran.set()

    dispatcher = Dispatcher([Fake({"x": cbk})])
    wake_ups = dispatcher._engine.loop.outside = ObservedQueue()
    with dispatcher:
        dispatcher.queue.schedule_after(3600.0, "x", "never")
        wake_ups.await_sleeper(3000.0, 3600.0)
        dispatcher.queue.schedule_after(0.1, "x", "last")
        dispatcher.queue.schedule_after(0.05, "x", "second")
        dispatcher.queue.schedule_at(time.time() + 0.01, "x", "first")
        assert ran.wait(DEADLINE)
    assert order == ["first", "second", "last"]
    assert dispatcher.stop().later == 1


def test_an_event_for_a_far_future_breaks_no_wait() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        for delay in (1e10, 1e12, 1e300):
            dispatcher.queue.schedule_after(delay, "x", "never")
        dispatcher.queue.schedule_after(0.01, "x", "soon")
        component.await_seen(["soon"])
        dispatcher.queue.schedule_after(0.01, "x", "again")
        component.await_seen(["soon", "again"])


@pytest.mark.usefixtures("no_looks")
def test_a_pending_timed_event_does_not_wake_the_dispatcher_for_every_other_event() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    loop = dispatcher._engine.loop
    wake_ups = loop.outside = ObservedQueue()
    with dispatcher:
        dispatcher.queue.schedule_after(3600.0, "x")
        wake_ups.await_sleeper(3000.0, 3600.0)
        wakes: list[None] = []
        original = loop.wake
        loop.wake = lambda: (wakes.append(None), original())[1]  # type: ignore[method-assign, func-returns-value]
        for number in range(500):
            dispatcher.queue.schedule("x", number)
            assert dispatcher.drain(DEADLINE)
        assert len(wakes) < 10  # a few, if this thread was delayed for a millisecond
        loop.wake = original  # type: ignore[method-assign]


def test_a_cancelled_timed_event_does_not_run() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        first = dispatcher.queue.schedule_after(0.02, "x", "cancelled")
        dispatcher.queue.schedule_after(0.04, "x", "kept")
        assert first.cancel()
        assert not first.cancel()
        component.await_count(1)
    assert component.seen == ["kept"]


def test_a_bug_in_the_state_ends_the_daemon_with_a_status(
    logged: list[tuple[str, str, dict[str, Any]]],
) -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        engine = dispatcher._engine

        def broken(arriving: Scheduled | None = None) -> list[Batch]:
            raise AssertionError("bug")

        engine.state.admit = broken  # type: ignore[method-assign]
        dispatcher.queue.schedule_next("x")
        assert dispatcher.wait(DEADLINE)
        assert dispatcher.halted
    assert dispatcher.status == 70
    assert any(level == "CRITICAL" for level, _, _ in logged)
