"""Many events that are scheduled at once."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from queue import SimpleQueue
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, await_fact, in_threads
from tests.actors.test_holds import LoopDriver
from zenactors.actors.dispatch_loop import MAX_OPENED
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.intake import MAX_TAKEN
from zenactors.core.event_queue import MAX_RUN
from zenactors.core.messages import ManyScheduled, ScheduledEvents
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import NotRunningError, QueueFullError, UnknownEventError
from zenactors.testing import Harness

ORDERINGS = ("component", "event", "global")


def many_of(driver: LoopDriver, *chunks: list[Any]) -> ManyScheduled:
    many = ManyScheduled(driver.state, "x", "p", driver.state.chain_states["x"], None)
    many.chunks.extend(chunks)
    return many


def balance(dispatcher: Dispatcher) -> tuple[int, int, int]:
    counts = dispatcher.counts()["x"]
    assert counts.is_balanced
    return counts.accepted, counts.completed, counts.cancelled


# --- order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_they_come_between_the_producers_events_before_and_behind_them(ordering: Any) -> None:
    component = Fake({"x": None})
    size = 2 * MAX_RUN + 10
    with Dispatcher([component], ordering=ordering) as dispatcher:
        queue = dispatcher.queue
        queue.schedule("x", -1)
        queue.schedule_many("x", range(size))
        queue.schedule("x", size)
        queue.schedule_many("x", iter(range(size + 1, size + 4)))
        assert dispatcher.drain(DEADLINE)
        assert balance(dispatcher) == (size + 5, size + 5, 0)
    assert component.seen == list(range(-1, size + 4))


def test_those_of_a_callback_come_in_its_order_and_follow_the_event() -> None:
    def cbk(daemon: Any, _args: Any) -> None:
        daemon.queue.schedule("y", 0)
        daemon.queue.schedule_many("y", range(1, 3000))
        daemon.queue.schedule("y", 3000)

    behind = Fake({"y": None}, name="y")
    with Dispatcher([Fake({"x": cbk}), behind]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
    assert behind.seen == list(range(3001))


def test_before_the_start_they_wait_in_the_queue() -> None:
    component = Fake({"x": None})
    dispatcher = Dispatcher([component])
    dispatcher.queue.schedule_many("x", range(5))
    assert (dispatcher.queue.count(), dispatcher.queue.ahead()) == (5, 5)
    assert dispatcher.queue.next() == ("x", 0)
    with dispatcher:
        assert dispatcher.drain(DEADLINE)
    assert component.seen == [1, 2, 3, 4]


def test_none_of_them_is_no_event() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        handle = dispatcher.queue.schedule_many("x", [])
        assert dispatcher.drain(DEADLINE)
        assert handle.cancel() == 0
        assert balance(dispatcher) == (0, 0, 0)


# --- the handle ---------------------------------------------------------------------------------


def test_a_cancel_takes_back_those_that_were_not_started_and_says_how_many() -> None:
    gate = Gate()
    component = Fake({"x": gate})
    size = 3 * MAX_RUN
    with Dispatcher([component]) as dispatcher:
        handle = dispatcher.queue.schedule_many("x", range(size))
        dispatcher.queue.schedule("x", "behind")
        gate.await_entered()
        cancelled = in_threads(1, lambda _: handle.cancel())[0]
        assert handle.cancel() == 0
        gate.open()
        assert dispatcher.drain(DEADLINE)
        assert balance(dispatcher) == (size + 1, size + 1 - cancelled, cancelled)
    assert cancelled > 2 * MAX_RUN
    assert component.seen == [*range(size - cancelled), "behind"]


def test_what_a_cancel_takes_back_before_it_is_taken_in_is_accepted_never() -> None:
    driver = LoopDriver()
    many = many_of(driver, [1, 2], [3])
    assert driver.state.cancel_many(many) == 3
    driver.loop.outside.put(many)
    driver.loop.run_once()
    assert not driver.delivered()
    counts = driver.state.counts()[0][1]
    assert (counts.accepted, counts.cancelled, counts.is_balanced) == (3, 3, True)


def test_an_event_behind_cancelled_ones_of_another_chain_is_started() -> None:
    gate = Gate()
    other = Fake({"y": None}, name="y")
    with Dispatcher([Fake({"x": gate}), other]) as dispatcher:
        handle = dispatcher.queue.schedule_many("x", range(2000))
        dispatcher.queue.schedule("y", "behind")
        gate.await_entered()
        assert handle.cancel() > 0
        other.await_seen(["behind"])
        gate.open()


def test_cancelled_args_are_let_go_of_in_the_thread_that_cancels() -> None:
    class Args:
        pass

    dispatcher = Dispatcher([Fake({"x": None})])
    items = [Args() for _ in range(10)]
    references = [weakref.ref(each) for each in items]
    handle = dispatcher.queue.schedule_many("x", items)
    items.clear()
    assert handle.cancel() == 10
    gc.collect()
    assert [reference() for reference in references] == [None] * 10
    dispatcher.stop()


# --- tokens -------------------------------------------------------------------------------------


class Source(Fake):
    """Schedules numbers at once when it gets an event, and notes the outcome."""

    def __init__(self, size: int) -> None:
        super().__init__({"go": self.go}, name="source")
        self.size = size
        self.outcomes: SimpleQueue[TokenOutcome] = SimpleQueue()
        self.handle: Any = None

    def go(self, daemon: Any, _args: Any) -> None:
        self.handle = daemon.queue.schedule_many(
            "x", range(self.size), on_done=self.outcomes.put, position="here"
        )


def test_on_done_is_called_once_when_all_of_them_are_done() -> None:
    source, gate = Source(2 * MAX_RUN), Gate()
    with Dispatcher([source, Fake({"x": gate})]) as dispatcher:
        dispatcher.queue.schedule("go")
        gate.await_entered()
        assert source.outcomes.empty()
        gate.open()
        assert source.outcomes.get(timeout=DEADLINE) is TokenOutcome.DONE
        assert dispatcher.drain(DEADLINE)
    assert source.outcomes.empty()


def test_one_that_fails_makes_the_outcome_and_its_letter_has_the_position() -> None:
    def fail(_daemon: Any, args: int) -> None:
        if args == 7:
            raise ValueError(args)

    source = Source(10)
    with Dispatcher([source, Fake({"x": fail})]) as dispatcher:
        dispatcher.queue.schedule("go")
        assert source.outcomes.get(timeout=DEADLINE) is TokenOutcome.FAILED
        (letter,) = dispatcher.dead_letters
    assert (letter.args, letter.position) == (7, "here")


def test_cancelled_ones_have_failed() -> None:
    source, gate = Source(5000), Gate()
    with Dispatcher([source, Fake({"x": gate})]) as dispatcher:
        dispatcher.queue.schedule("go")
        gate.await_entered()
        assert source.handle.cancel() > 0
        gate.open()
        assert source.outcomes.get(timeout=DEADLINE) is TokenOutcome.FAILED
        assert dispatcher.drain(DEADLINE)
    assert source.outcomes.empty()


def test_those_that_a_tracked_event_schedules_belong_to_it() -> None:
    outcomes: SimpleQueue[TokenOutcome] = SimpleQueue()
    gate = Gate()

    def begin(daemon: Any, _args: Any) -> None:
        daemon.queue.schedule("middle", on_done=outcomes.put)

    def middle(daemon: Any, _args: Any) -> None:
        daemon.queue.schedule_many("x", range(20))

    components = [Fake({"go": begin, "middle": middle}, name="a"), Fake({"x": gate}, name="b")]
    with Dispatcher(components) as dispatcher:
        dispatcher.queue.schedule("go")
        gate.await_entered()
        assert outcomes.empty()
        gate.open()
        assert outcomes.get(timeout=DEADLINE) is TokenOutcome.DONE


# --- limits and errors --------------------------------------------------------------------------


def test_if_there_is_no_room_for_all_none_is_queued() -> None:
    gate = Gate()
    with Dispatcher([Fake({"x": gate})], queue_limit=100) as dispatcher:
        dispatcher.queue.schedule("x")
        gate.await_entered()
        dispatcher.queue.schedule_many("x", range(60))
        with pytest.raises(QueueFullError, match="'x'"):
            dispatcher.queue.schedule_many("x", range(100))
        gate.open()
        assert dispatcher.drain(DEADLINE)
        assert balance(dispatcher) == (61, 61, 0)


class Counted(SimpleQueue[Any]):
    """A queue that reports the third submission from now on."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.third = threading.Event()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - as the original
        super().put(item, block, timeout)
        self.left -= 1
        if not self.left:
            self.third.set()


def test_a_dispatcher_that_is_behind_makes_no_room_for_more_of_them() -> None:
    gate, limit, ahead = Gate(), 2000, [1]
    dispatcher = Dispatcher([Fake({"x": None, "held": gate})], queue_limit=limit)
    loop = dispatcher._engine.loop
    loop.outside = outside = Counted()

    def produce() -> None:
        with contextlib.suppress(QueueFullError):
            while True:
                dispatcher.queue.schedule_many("x", range(900))
                ahead.append(900)

    with dispatcher:
        dispatcher.queue.schedule("held")
        gate.await_entered()
        thread = threading.Thread(target=produce)
        with loop._lock:  # it holds the state for long
            outside.left = 3
            thread.start()
            assert outside.third.wait(DEADLINE)
        thread.join(DEADLINE)
        assert sum(ahead) <= limit
        gate.open()


def test_a_producer_that_waits_for_room_queues_them_in_parts() -> None:
    gate = Gate()
    component = Fake({"x": gate})
    ahead: SimpleQueue[int] = SimpleQueue()
    with Dispatcher([component], queue_limit=50, queue_full="block") as dispatcher:

        def produce(_number: int) -> None:
            dispatcher.queue.schedule_many("x", range(500))
            ahead.put(dispatcher.queue.ahead())

        def open_later(_number: int) -> None:
            gate.await_entered()
            gate.open()

        in_threads(2, lambda number: (produce, open_later)[number](number))
        assert ahead.get(timeout=DEADLINE) <= 50
        assert dispatcher.drain(DEADLINE)
    assert component.seen == list(range(500))


def test_an_event_without_a_chain_is_refused_before_any_is_queued() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        with pytest.raises(UnknownEventError, match="'z'"):
            dispatcher.queue.schedule_many("z", [1])
        with pytest.raises(RuntimeError, match="on_done"):
            dispatcher.queue.schedule_many("x", [1], on_done=print)
        with pytest.raises(TypeError):
            dispatcher.queue.schedule_many("x", 5)  # type: ignore[arg-type] # no iterable
        assert dispatcher.queue.count() == 0


def test_after_the_stop_they_are_refused() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    dispatcher.start()
    dispatcher.stop()
    with pytest.raises(NotRunningError, match="'x'"):
        dispatcher.queue.schedule_many("x", [1])


# --- bounded holds ------------------------------------------------------------------------------


def test_a_hold_takes_in_a_bounded_part_and_what_comes_behind_comes_behind() -> None:
    driver = LoopDriver(open_=False)
    many = many_of(driver, *([number] for number in range(MAX_TAKEN + 5)))
    driver.loop.outside.put(many)
    driver.loop.outside.put(driver.event("behind"))
    driver.loop.run_once()
    assert driver.loop.has_submissions()
    assert driver.state.queue.count() < MAX_TAKEN + 6
    while driver.loop.has_submissions():
        driver.loop.run_once()
    taken = [driver.state.take_next()[1] for _ in range(MAX_TAKEN + 6)]
    assert taken == [*range(MAX_TAKEN + 5), "behind"]


def test_so_does_a_hold_that_takes_them_from_a_callback() -> None:
    driver = LoopDriver(open_=False)
    many = many_of(driver, *([number] for number in range(3 * MAX_TAKEN)))
    holds = []
    driver.loop._inbox.append(ScheduledEvents([driver.event("first"), many]))
    while driver.loop._inbox:
        before = driver.state.queue.count()
        driver.loop._run(outside=False)
        holds.append(driver.state.queue.count() - before)
    assert max(holds) <= MAX_TAKEN + 2
    assert sum(holds) == 3 * MAX_TAKEN + 1


def test_the_rest_of_a_row_is_kept_if_an_event_of_it_raises() -> None:
    driver = LoopDriver(open_=False)
    unknown = driver.event(0)
    unknown.event = "unknown"
    for each in (driver.event(1), unknown, driver.event(2)):
        driver.loop.outside.put(each)
    driver.loop.run_once()
    driver.loop.run_once()
    assert [driver.state.take_next()[1] for _ in range(2)] == [1, 2]
    assert len(driver.problems.failures) == 1


# --- in the simulation --------------------------------------------------------------------------


def test_the_trace_of_a_harness_has_each_of_them() -> None:
    component = Fake({"x": None}, name="c")
    lines: list[str] = []
    with Harness([component], sink=lines.append) as harness:
        harness.queue.schedule_many("x", ["a", "b", "c"])
        cancelled = harness.queue.schedule_many("x", range(200)).cancel()
        harness.run_until_idle()
    text = "\n".join(lines)
    assert cancelled > 0
    assert component.seen == ["a", "b", "c", *range(200 - cancelled)]
    assert all(f"x#{number} " in text for number in range(1, 204))
    assert sum("cancel" in line for line in lines) == cancelled, lines[-30:]


def test_ahead_counts_them() -> None:
    gate = Gate()
    with Dispatcher([Fake({"x": gate})]) as dispatcher:
        dispatcher.queue.schedule_many("x", range(100))
        gate.await_entered()
        assert await_fact(dispatcher, lambda: dispatcher.queue.ahead() == 100 - 16)
        gate.open()


# --- one after the other, by `schedule` ---------------------------------------------------------


def test_what_a_tracked_event_schedules_belongs_to_it_also_after_untracked_ones() -> None:
    outcomes: SimpleQueue[TokenOutcome] = SimpleQueue()
    gate = Gate()

    def begin(daemon: Any, args: Any) -> None:
        on_done = outcomes.put if args else None
        daemon.queue.schedule("middle", args, on_done=on_done)

    def middle(daemon: Any, args: Any) -> None:
        for _ in range(3):
            daemon.queue.schedule("x", args)

    def work(*args: Any) -> None:
        if args[-1]:
            gate(*args)

    components = [Fake({"go": begin, "middle": middle}, name="a"), Fake({"x": work}, name="b")]
    with Dispatcher(components) as dispatcher:
        dispatcher.queue.schedule("go", 0)
        assert dispatcher.drain(DEADLINE)
        dispatcher.queue.schedule("go", 1)
        gate.await_entered()
        assert dispatcher.accounting().open_tokens == 1
        assert outcomes.empty()
        gate.open()
        assert outcomes.get(timeout=DEADLINE) is TokenOutcome.DONE


def test_a_thread_outside_that_is_far_ahead_waits_at_each_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    loop = dispatcher._engine.loop
    waits: list[int] = []
    monkeypatch.setattr(loop, "await_progress", lambda: waits.append(loop.outside.qsize()))
    for number in range(1 + (MAX_OPENED - 1) * MAX_RUN + 3):
        dispatcher.queue.schedule("x", number)
    # Once for each run that nobody has taken in, then for each event.
    assert waits == [*range(2, MAX_OPENED + 1), MAX_OPENED, MAX_OPENED + 1, MAX_OPENED + 2]
    dispatcher.stop()
