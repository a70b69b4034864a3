from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, ObservedNotifier, await_fact, in_threads
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.runtime import Runtime
from zenactors.core.accounting import Counts
from zenactors.errors import NotRunningError, QueueEmptyException, QueueFullError


def test_before_the_start_the_queue_can_be_read_and_emptied() -> None:
    dispatcher = Dispatcher([Fake({"x": None, "y": None})])
    queue = dispatcher.queue
    with pytest.raises(QueueEmptyException):
        queue.next()
    with pytest.raises(QueueEmptyException):
        queue.when()
    with pytest.raises(QueueEmptyException):
        queue.wait()
    queue.schedule("x", 1)
    queue.schedule_next("y", 2)
    queue.schedule_after(600.0, "x", 3)
    assert (queue.count(), queue.ahead(), queue.wait()) == (3, 2, 0.0)
    assert abs(queue.when() - time.time()) < 60.0
    assert [queue.next(), queue.next(), queue.next()] == [("y", 2), ("x", 1), (None, None)]
    assert 500.0 < queue.wait() <= 600.0
    assert queue.when() > time.time() + 500.0
    assert queue.count() == 1
    report = dispatcher.stop()
    assert (report.left, report.later) == (0, 1)


def test_ahead_counts_the_waiting_events_of_the_calling_producer() -> None:
    gate = Gate()
    unsent: SimpleQueue[int] = SimpleQueue()

    def cbk(daemon: Any, _args: Any) -> None:
        for number in range(3):
            daemon.queue.schedule("y", number)
        unsent.put(daemon.queue.ahead())

    components = [Fake({"x": gate}, name="x"), Fake({"z": cbk}, name="z"), Fake({"y": None})]
    with Dispatcher(components) as dispatcher:
        for _ in range(100):
            dispatcher.queue.schedule("x")
        gate.await_entered()
        assert await_fact(dispatcher, lambda: dispatcher.queue.ahead() == 100 - 16)  # first window
        assert in_threads(1, lambda _: dispatcher.queue.ahead()) == [0]
        in_threads(1, lambda _: dispatcher.queue.schedule("z"))
        assert unsent.get(timeout=DEADLINE) == 3
        gate.open()
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.queue.ahead() == 0


def test_a_source_that_reschedules_itself_before_slow_work_stays_within_a_window() -> None:
    ahead: list[int] = []
    gate = Gate()

    def produce(daemon: Any, args: int) -> None:
        if args < 300:
            daemon.queue.schedule("work", args + 1)

    source = Fake({"work": produce}, name="source")

    def consume(*_: Any) -> None:
        gate()
        ahead.append(len(source.seen) - len(ahead))

    sink = Fake({"work": consume})
    with Dispatcher([source, sink]) as dispatcher:
        dispatcher.queue.schedule("work", 0)
        gate.await_entered()
        source.await_count(16)
        gate.open()
        assert dispatcher.drain(DEADLINE)
    assert len(sink.seen) == 301
    assert ahead[0] <= 16


def test_a_producer_whose_chain_is_full_holds_up_no_other_producer() -> None:
    gate = Gate()
    quick = Fake({"quick": None}, name="quick")
    with Dispatcher([Fake({"slow": gate}), quick]) as dispatcher:
        for _ in range(100):
            dispatcher.queue.schedule("slow")
        dispatcher.queue.schedule("quick", "behind the slow ones")
        gate.await_entered()
        in_threads(1, lambda _: dispatcher.queue.schedule("quick", "of another thread"))
        quick.await_seen(["of another thread"])
        gate.open()
    assert quick.seen == ["of another thread", "behind the slow ones"]


def test_an_event_can_be_cancelled_by_another_thread_until_it_is_started() -> None:
    gate = Gate()
    component = Fake({"x": gate})
    with Dispatcher([component]) as dispatcher:
        handles = [dispatcher.queue.schedule("x", number) for number in range(50)]
        gate.await_entered()
        results = in_threads(1, lambda _: [handle.cancel() for handle in handles])[0]
        gate.open()
        assert dispatcher.drain(DEADLINE)
        assert not handles[-1].cancel()
    assert results.count(True) > 0
    assert component.seen == [n for n, cancelled in enumerate(results) if not cancelled]


def test_of_many_threads_that_cancel_an_event_one_succeeds() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    handle = dispatcher.queue.schedule("x")
    assert sorted(in_threads(8, lambda _: handle.cancel())) == [False] * 7 + [True]
    assert dispatcher.queue.count() == 0
    assert dispatcher.stop().drained


@pytest.mark.parametrize("method", ["schedule", "schedule_next", "schedule_after"])
def test_a_callback_can_cancel_an_event_that_it_has_just_scheduled(method: str) -> None:
    results: list[bool] = []

    def cbk(daemon: Any, _args: Any) -> None:
        when = (0.0,) if method == "schedule_after" else ()
        handle = getattr(daemon.queue, method)(*when, "y")
        results.extend([handle.cancel(), handle.cancel()])

    component = Fake({"x": cbk, "y": None})
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x", "x")
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.is_idle()
        assert dispatcher.counts()["y"] == Counts(accepted=1, cancelled=1)
    assert results == [True, False]
    assert component.seen == ["x"]


def test_a_thread_that_is_too_far_ahead_gets_an_error() -> None:
    gate = Gate()
    component = Fake({"x": gate})
    with Dispatcher([component], queue_limit=10) as dispatcher:
        accepted = 0

        def produce() -> None:
            nonlocal accepted
            for _ in range(1_000):
                dispatcher.queue.schedule("x")
                accepted += 1

        with pytest.raises(QueueFullError, match="10 events ahead"):
            produce()
        gate.await_entered()
        dispatcher.queue.schedule_after(600.0, "x")  # the limit does not count events for later
        gate.open()
        assert dispatcher.drain(DEADLINE)
        dispatcher.queue.schedule("x")
    assert len(component.seen) == accepted + 1
    assert 10 <= accepted <= 10 + 16


def test_a_thread_that_is_too_far_ahead_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zenactors.actors.live_queue.STOP_CHECK", 600.0)  # it must be woken
    gate = Gate()
    component = Fake({"x": gate})
    dispatcher = Dispatcher([component], queue_limit=10, queue_full="block")
    notifier = dispatcher.queue._room = ObservedNotifier()
    accepted: list[int] = []
    with dispatcher:

        def produce() -> None:
            for number in range(200):
                dispatcher.queue.schedule("x", number)
                accepted.append(number)

        producing = threading.Thread(target=produce, daemon=True)
        producing.start()
        notifier.await_waiter()
        assert 10 <= len(accepted) <= 26
        gate.open()
        producing.join(DEADLINE)
        assert not producing.is_alive()
        assert dispatcher.drain(DEADLINE)
    assert component.seen == list(range(200))


def test_a_thread_that_waits_for_room_goes_on_when_the_dispatcher_halts() -> None:
    gate = Gate()
    dispatcher = Dispatcher([Fake({"x": gate})], queue_limit=1, queue_full="block")
    notifier = dispatcher.queue._room = ObservedNotifier()
    dispatcher.start()

    errors: list[str] = []

    def produce() -> None:
        try:
            for _ in range(100):
                dispatcher.queue.schedule("x")
        except NotRunningError as cause:
            errors.append(str(cause))

    producing = threading.Thread(target=produce)
    producing.start()
    notifier.await_waiter()
    stopping = threading.Thread(target=lambda: dispatcher.stop(drain=False))
    stopping.start()
    producing.join(5.0)
    assert not producing.is_alive()
    gate.open()
    stopping.join(DEADLINE)
    assert errors == ["Event 'x' was not scheduled: the dispatcher has stopped."]


def test_a_component_is_never_held_up_by_the_limit() -> None:
    def cbk(daemon: Any, args: int) -> None:
        if args == 0:
            for number in range(1, 500):
                daemon.queue.schedule("x", number)

    component = Fake({"x": cbk})
    with Dispatcher([component], queue_limit=1, queue_full="block") as dispatcher:
        dispatcher.queue.schedule("x", 0)
        assert dispatcher.drain(DEADLINE)
    assert component.seen == list(range(500))


@pytest.mark.parametrize(("limit", "full"), [(0, "raise"), (-1, "raise"), (1, "drop")])
def test_an_impossible_limit_is_refused(limit: int, full: Any) -> None:
    with pytest.raises(ValueError, match=r"queue_(limit|full) must be"):
        Dispatcher([], queue_limit=limit, queue_full=full)


def test_a_priority_event_overtakes_all_others_in_queue_and_mailbox() -> None:
    gate = Gate()
    component = Fake({"x": gate, "urgent": None})
    with Dispatcher([component]) as dispatcher:
        for number in range(1_000):
            dispatcher.queue.schedule("x", number)
        gate.await_entered()
        dispatcher.queue.schedule_priority("urgent", "urgent")
        gate.open()
    assert component.seen.index("urgent") <= 64  # behind the stride under way
    assert len(component.seen) == 1_001


def test_in_a_callback_schedule_next_overtakes_the_components_waiting_events() -> None:
    def cbk(daemon: Any, args: Any) -> None:
        if args == "first":
            daemon.queue.schedule("y", "behind")
            daemon.queue.schedule_next("y", "before")

    component = Fake({"x": cbk, "y": None})
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x", "first")
        assert dispatcher.drain(DEADLINE)
    assert component.seen == ["first", "before", "behind"]


def test_a_callback_finds_what_it_has_scheduled_in_the_queue() -> None:
    found: list[Any] = []

    def cbk(daemon: Any, _args: Any) -> None:
        daemon.queue.schedule("y", "taken")
        found.append(daemon.queue.next())
        daemon.queue.schedule_after(600.0, "y", "later")
        found.append(daemon.queue.count())

    component = Fake({"x": cbk, "y": None})
    with Dispatcher([component], ordering="global") as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
    assert found == [("y", "taken"), 1]
    assert component.seen == [None]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf")])
def test_an_impossible_time_is_refused(seconds: float) -> None:
    queue = Dispatcher([Fake({"x": None})]).queue
    with pytest.raises(ValueError, match="finite"):
        queue.schedule_at(seconds, "x")
    with pytest.raises(ValueError, match="finite"):
        queue.schedule_after(seconds, "x")
    assert queue.count() == 0


def test_events_that_a_failing_callback_had_scheduled_are_run() -> None:
    def cbk(daemon: Any, _args: Any) -> None:
        daemon.queue.schedule("y", "y")
        raise ValueError

    component = Fake({"x": cbk, "y": None})
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x", "x")
        assert dispatcher.drain(DEADLINE)
    assert component.seen == ["x", "y"]
    assert len(dispatcher.dead_letters()) == 1


def test_after_the_stop_schedule_raises_in_a_thread_outside() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    with dispatcher:
        pass

    with pytest.raises(NotRunningError, match="'x' was not scheduled: the dispatcher has stopped"):
        dispatcher.queue.schedule("x")


def test_a_new_thread_inherits_nothing_of_one_that_had_its_identifier() -> None:
    class WithoutHelpers(Runtime):  # a helper's thread would take the identifier
        def run_apart(self, function: Callable[[], None]) -> None:
            function()

    # Not started: all events wait.
    dispatcher = Dispatcher([Fake({"x": None})], queue_limit=3, runtime=WithoutHelpers())
    first: list[int] = []

    def fill() -> None:
        first.append(threading.get_ident())
        for number in range(3):
            dispatcher.queue.schedule("x", number)
        assert dispatcher.queue.ahead() == 3

    found: list[tuple[int, int]] = []

    def look() -> None:
        found.append((threading.get_ident(), dispatcher.queue.ahead()))

    for work in (fill, *[look] * 20):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert first[0] in [ident for ident, _ in found], "the system gave no identifier again"
    assert {ahead for _, ahead in found} == {0}
    dispatcher.stop(drain=False)


def test_many_short_lived_threads_leave_nothing_behind() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        references = []

        def produce() -> None:
            dispatcher.queue.schedule("x")
            references.append(weakref.ref(dispatcher._runtime.producers.current))

        for _ in range(300):
            thread = threading.Thread(target=produce)
            thread.start()
            thread.join()
        assert dispatcher.drain(DEADLINE)
        dispatcher.get_statistics()
        gc.collect()
        assert [each for each in references if each() is not None] == []
        assert dispatcher._engine.state.queue._producer_queues == {}
