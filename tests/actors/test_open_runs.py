"""The protocol between a thread that appends to an open run, and the one that takes it in."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, in_threads
from tests.actors.test_holds import LoopDriver
from zenactors.actors.dispatch_loop import MAX_OPENED
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.intake import MAX_QUIET, MAX_TAKEN, RUN_SHARE
from zenactors.actors.live_queue import LiveQueue
from zenactors.actors.runtime import Runtime
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.event_queue import MAX_RUN
from zenactors.core.messages import NO_RUN, OpenRun, Scheduled, Sent
from zenactors.errors import NotRunningError


class Producer(LoopDriver):
    """A loop without threads, and a queue: the test is the dispatcher's thread, and a producer."""

    def __init__(self) -> None:
        super().__init__(open_=False)
        self.runtime = Runtime()
        self.queue = LiveQueue(
            self.loop,
            self.clock,
            {},
            self.runtime,
            accepts_all=False,
            limit=None,
            when_full="raise",
        )

    @property
    def run(self) -> OpenRun:
        return self.runtime.producers.run

    def open_run(self) -> OpenRun:
        """Schedule two events, `0` and `1`, take them in, and return the open run."""
        self.queue.schedule("x", 0)
        self.queue.schedule("x", 1)
        self.loop.run_once()
        assert self.run.watched
        return self.run

    def queued(self) -> list[Any]:
        """Take everything in and out again: return the args."""
        while self.loop.has_submissions():
            self.loop.run_once()
        return [self.state.take_next()[1] for _ in range(self.state.queue.count())]


def _x(producer: Producer) -> Any:
    return producer.state.chain_states["x"]


class Box(list[Any]):
    """A list of args that calls something in the middle of the next `append`."""

    def __init__(self, run: OpenRun) -> None:
        super().__init__(run.args)
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None
        run.args = run.box = self

    def append(self, item: Any) -> None:
        before, self.before = self.before, None
        if before:
            before()
        super().append(item)
        after, self.after = self.after, None
        if after:
            after()


def test_a_lone_event_is_handed_over_by_itself() -> None:
    producer = Producer()
    for number in range(3):
        assert producer.loop.prepare_sleep() is None
        assert type(producer.queue.schedule("x", number)) is Scheduled
        assert producer.loop.outside.qsize() == 1
        producer.loop.run_once()
    assert producer.queued() == [0, 1, 2]


def test_a_busy_dispatcher_is_not_woken_for_each_event() -> None:
    producer = Producer()
    producer.open_run()
    for number in range(2, 100):
        assert type(producer.queue.schedule("x", number)) is Sent
    assert producer.loop.outside.empty()
    assert producer.loop.has_submissions()
    assert producer.queued() == list(range(100))


def test_before_it_sleeps_the_dispatcher_takes_in_what_was_appended() -> None:
    producer = Producer()
    run = producer.open_run()
    producer.queue.schedule("x", 2)
    assert producer.loop.prepare_sleep() == 0.0
    assert producer.queued() == [0, 1, 2]
    assert producer.loop.prepare_sleep() is None
    assert not run.watched
    producer.queue.schedule("x", 3)
    assert producer.loop.outside.qsize() == 1  # this wakes it
    assert producer.queued() == [3]


def test_what_is_appended_after_the_last_look_is_handed_over() -> None:
    producer = Producer()
    box = Box(producer.open_run())
    sleeps: list[float | None] = []
    box.before = lambda: sleeps.append(producer.loop.prepare_sleep())
    producer.queue.schedule("x", 2)
    assert sleeps == [None]
    assert producer.loop.outside.qsize() == 1
    assert producer.run is NO_RUN
    producer.queue.schedule("x", 3)
    assert producer.queued() == [0, 1, 2, 3]


def test_what_is_appended_before_the_last_look_keeps_the_dispatcher_awake() -> None:
    producer = Producer()
    box = Box(producer.open_run())
    sleeps: list[float | None] = []
    box.after = lambda: sleeps.append(producer.loop.prepare_sleep())
    producer.queue.schedule("x", 2)
    assert sleeps == [0.0]
    producer.queue.schedule("x", 3)
    assert producer.queued() == [0, 1, 2, 3]
    assert producer.loop.prepare_sleep() is None


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_interrupts_an_append_takes_no_number_of_it(moment: str) -> None:
    producer = Producer()
    box = Box(producer.open_run())
    within: list[Scheduled] = []
    setattr(box, moment, lambda: within.append(producer.queue.schedule("x", "same")))
    handle = producer.queue.schedule("x", "same")
    producer.loop.run_once()
    assert producer.state.queue.count() == 4
    assert producer.state.cancel(within[0])
    assert producer.state.cancel(handle)
    assert not producer.state.cancel(handle)
    assert producer.queued() == [0, 1]


def test_what_interrupts_an_append_and_raises_leaves_a_whole_event_or_none() -> None:
    producer = Producer()
    box = Box(producer.open_run())

    def strike() -> None:
        raise KeyboardInterrupt

    box.before = strike
    with pytest.raises(KeyboardInterrupt):
        producer.queue.schedule("x", "none")
    producer.queue.schedule("x", 2)
    box = Box(producer.open_run())
    box.after = strike
    with pytest.raises(KeyboardInterrupt):
        producer.queue.schedule("x", "whole")
    producer.queue.schedule("x", 3)
    assert producer.queued() == [0, 1, 2, 0, 1, "whole", 3]


@pytest.mark.parametrize(
    "other",
    [
        lambda queue: queue.schedule("y", "other"),
        lambda queue: queue.schedule_many("x", ["other"]),
        lambda queue: queue.schedule_many("y", ["other"]),
    ],
)
def test_what_comes_behind_an_open_run_stays_behind_it(other: Callable[[LiveQueue], Any]) -> None:
    producer = Producer()
    run = producer.open_run()
    producer.queue.schedule("x", 2)
    other(producer.queue)
    producer.queue.schedule("x", 3)
    producer.queue.schedule("x", 4)
    assert producer.run is not run
    assert producer.queued() == [0, 1, 2, "other", 3, 4]
    producer.loop.prepare_sleep()
    assert not run.watched


def test_a_hold_takes_in_a_bounded_number_of_open_runs_events() -> None:
    producer = Producer()
    producer.queue.schedule("x", 0)
    count = 3 * MAX_RUN
    for number in range(1, count):
        producer.queue.schedule("x", number)
    seen = []
    while producer.loop.has_submissions():
        before = producer.state.queue.count()
        producer.loop.run_once()
        seen.append(producer.state.queue.count() - before)
    assert sum(seen) == count
    assert max(seen) <= MAX_TAKEN * RUN_SHARE
    assert producer.queued() == list(range(count))


def test_a_question_waits_for_what_its_producer_appended_before() -> None:
    producer = Producer()
    producer.open_run()
    for number in range(2 * MAX_TAKEN * RUN_SHARE):
        producer.queue.schedule("x", number)
    answers: list[int] = []

    def look(state: DispatchState) -> bool:
        answers.append(state.queue.count())
        return False

    watch = producer.loop.watch(look, lambda: None)
    while producer.loop.has_submissions():
        producer.loop.run_once()
    assert answers[0] == 2 * MAX_TAKEN * RUN_SHARE + 2
    assert not watch.met


def test_the_open_runs_of_threads_that_have_ended_are_closed() -> None:
    producer = Producer()
    producer.queue.schedule("x", 0)  # so that there is always something to do
    for number in range(1, 4 * MAX_QUIET):
        in_threads(1, lambda _: [producer.queue.schedule("x", None) for _ in range(2)])
        producer.loop.run_once()
        producer.queue.schedule("x", number)
    assert len(producer.loop._open) <= MAX_QUIET + 1
    assert producer.run in producer.loop._open  # of a thread that goes on
    assert [args for args in producer.queued() if args is not None] == list(range(4 * MAX_QUIET))


def test_a_handle_does_not_keep_the_runs_of_events_that_were_taken() -> None:
    producer = Producer()
    run = producer.open_run()
    started = producer.queue.schedule("x", 2)
    for number in range(3, 20):
        producer.queued()
        producer.queue.schedule("x", number)
    producer.loop.run_once()
    assert len(run.places) == 1
    assert not producer.state.cancel(started)
    assert producer.queued() == [19]


def test_of_many_open_runs_those_in_use_stay_open() -> None:
    producer = Producer()
    runs = [OpenRun(producer.queue, "x", number, _x(producer), None) for number in range(100)]
    for run in runs:
        run.args.append(0)
        producer.loop.hand_over(run)
    producer.loop.run_once()
    for run in runs[::2]:
        run.args.append(1)
    late = OpenRun(producer.queue, "x", "late", _x(producer), None)
    producer.loop.hand_over(late)
    producer.loop.run_once()
    assert producer.loop._open == [*runs[::2], late]


def test_a_finalizer_in_the_middle_of_a_hold_waits_for_no_progress() -> None:
    producer = Producer()
    for _ in range(2 * MAX_OPENED):
        producer.loop.wake()
    with producer.loop._lock:  # as a helper's thread does, which is not one of the loop's own
        producer.queue.schedule("x", 0)
        producer.queue.schedule("x", 1)
        assert producer.loop.outside.qsize() == 2 * MAX_OPENED + 2  # and no question
    assert producer.queued() == [0, 1]


def test_an_open_run_that_is_full_is_left() -> None:
    producer = Producer()
    run = producer.open_run()
    for number in range(2, 3 * MAX_RUN):
        producer.queue.schedule("x", number)
    assert len(run.args) == MAX_RUN
    assert producer.queued() == list(range(3 * MAX_RUN))
    assert not run.watched


def test_no_event_of_an_open_run_is_scheduled_after_the_halt() -> None:
    producer = Producer()
    producer.open_run()
    producer.state.lifecycle.halted = True
    with pytest.raises(NotRunningError):
        producer.queue.schedule("x", 2)
    assert producer.queued() == [0, 1]


def test_one_and_true_come_out_as_they_went_in() -> None:
    seen: list[Any] = []
    fake = Fake({1: lambda _daemon, args: seen.append(args)})
    with Dispatcher([fake]) as dispatcher:
        handles = [
            dispatcher.queue.schedule(event, event) for event in (1, 1, True, True, 1, 1.0, 1.0)
        ]
        assert [type(handle.event) for handle in handles] == [
            int,
            int,
            bool,
            bool,
            int,
            float,
            float,
        ]
        assert dispatcher.drain(DEADLINE)
    assert list(map(str, seen)) == ["1", "1", "True", "True", "1", "1.0", "1.0"]


def test_in_a_callback_a_handle_of_an_open_run_cancels_its_event() -> None:
    seen: list[Any] = []
    results: list[Any] = []

    def go(daemon: Any, _args: Any) -> None:
        handles = [daemon.queue.schedule("x", number) for number in range(5)]
        results.append(daemon.queue.ahead())
        results.extend(handles[number].cancel() for number in (0, 3, 3))
        results.append(handles[3].args)
        results.append(daemon.queue.ahead())
        handles.append(daemon.queue.schedule("x", 5))

    fake = Fake({"go": go, "x": lambda _daemon, args: seen.append(args)})
    with Dispatcher([fake]) as dispatcher:
        dispatcher.queue.schedule("go")
        assert dispatcher.drain(DEADLINE)
        counts = dispatcher.counts()["x"]
    assert seen == [1, 2, 4, 5]
    assert results == [5, True, True, False, None, 3]
    assert (counts.accepted, counts.cancelled, counts.completed) == (6, 2, 4)


def test_an_open_run_keeps_no_args_alive_once_they_were_handled() -> None:
    class Thing:
        pass

    gate = Gate()
    alive: list[int] = []

    def produce(_: int) -> None:
        things = [Thing() for _ in range(20)]
        references = [weakref.ref(thing) for thing in things]
        for thing in things:
            dispatcher.queue.schedule("x", thing)
        del thing
        things.clear()
        gate.open()
        assert dispatcher.drain(DEADLINE)
        fake.seen.clear()
        gc.collect()
        alive.append(sum(reference() is not None for reference in references))

    fake = Fake({"x": None, "held": lambda *_: gate()})
    with Dispatcher([fake]) as dispatcher:
        dispatcher.queue.schedule("held")
        gate.await_entered()
        in_threads(1, produce)
    assert alive == [0]
