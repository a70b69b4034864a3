from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from zenactors.core.clock import VirtualClock
from zenactors.core.event_queue import MAX_PRIORITY_STREAK, MAX_RUN, EventQueueManager
from zenactors.core.messages import Scheduled
from zenactors.errors import QueueEmptyException

NOW = 1_000_000.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.fixture
def queue(clock: VirtualClock) -> EventQueueManager:
    return EventQueueManager(clock=clock)


def take_all(queue: EventQueueManager) -> list[tuple[Any, Any]]:
    taken = []
    while queue.count():
        pair = queue.next()
        if pair == (None, None):
            break
        taken.append(pair)
    return taken


def events(queue: EventQueueManager) -> list[Any]:
    return [event for event, _ in take_all(queue)]


# --- order ----------------------------------------------------------------------------------


def test_events_come_out_in_the_order_they_were_scheduled(queue: EventQueueManager) -> None:
    for number in range(5):
        queue.schedule("line", number)
        queue.schedule("other", number)

    assert take_all(queue) == [(e, n) for n in range(5) for e in ("line", "other")]


@pytest.mark.parametrize("event", [0, "", False, None, (), 0.0, frozenset()])
@pytest.mark.parametrize("method", ["schedule", "schedule_next", "schedule_after", "schedule_at"])
def test_falsy_events_come_out(
    queue: EventQueueManager, clock: VirtualClock, event: Any, method: str
) -> None:
    args = object()
    if method == "schedule_after":
        queue.schedule_after(0.0, event, args)
    elif method == "schedule_at":
        queue.schedule_at(clock.time(), event, args)
    else:
        getattr(queue, method)(event, args)

    taken, given = queue.next()
    assert taken is event
    assert given is args
    assert queue.count() == 0


def test_equal_events_of_different_identity_come_out_as_they_went_in(
    queue: EventQueueManager,
) -> None:
    for event in (1, True, 1.0, 1):
        queue.schedule(event)

    assert [repr(event) for event in events(queue)] == ["1", "True", "1.0", "1"]


def test_args_are_the_objects_themselves_and_none_by_default(queue: EventQueueManager) -> None:
    mutable: list[int] = []
    queue.schedule("a", mutable)
    queue.schedule("a", mutable)
    queue.schedule("b")
    mutable.append(1)

    assert queue.next()[1] is mutable
    assert queue.next()[1] is mutable
    assert queue.next() == ("b", None)


def test_schedule_next_goes_to_the_front_the_last_one_first(queue: EventQueueManager) -> None:
    queue.schedule("a")
    queue.schedule_next("b")
    queue.schedule_next("c")
    queue.schedule("d")

    assert events(queue) == ["c", "b", "a", "d"]


@pytest.mark.parametrize("method", ["next", "when", "wait"])
def test_an_empty_queue_raises(queue: EventQueueManager, method: str) -> None:
    with pytest.raises(QueueEmptyException):
        getattr(queue, method)()

    queue.schedule("a")
    queue.next()
    with pytest.raises(QueueEmptyException):
        getattr(queue, method)()


def test_more_than_a_run_of_one_event_keeps_its_order(queue: EventQueueManager) -> None:
    for number in range(2 * MAX_RUN + 5):
        queue.schedule("line", number)

    assert queue.count() == 2 * MAX_RUN + 5
    assert [args for _, args in take_all(queue)] == list(range(2 * MAX_RUN + 5))


# --- timed events ---------------------------------------------------------------------------


def test_with_only_events_for_later_next_returns_none_and_when_their_time(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    queue.schedule_after(30.0, "late")
    queue.schedule_at(NOW + 10.0, "later")

    assert queue.next() == (None, None)
    assert queue.count() == 2
    assert queue.when() == NOW + 10.0
    assert queue.wait() == 10.0
    clock.advance(4.0)
    assert queue.when() == NOW + 10.0
    assert queue.wait() == 6.0
    clock.advance(6.0)
    assert queue.wait() == 0.0
    assert queue.next() == ("later", None)
    assert queue.next() == (None, None)
    clock.advance(20.0)
    assert queue.next() == ("late", None)
    with pytest.raises(QueueEmptyException):
        queue.next()


def test_when_is_now_if_an_event_is_ready(queue: EventQueueManager, clock: VirtualClock) -> None:
    queue.schedule_after(30.0, "late")
    queue.schedule("ready")
    clock.advance(5.0)

    assert queue.when() == clock.time()
    assert queue.wait() == 0.0


def test_due_events_come_before_all_sequential_ones(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    queue.schedule("sequential")
    queue.schedule_next("next")
    queue.schedule_after(1.0, "after")
    queue.schedule_at(NOW + 1.0, "at")
    queue.schedule_after(2.0, "late")
    clock.advance(1.0)

    assert events(queue) == ["after", "at", "next", "sequential"]
    assert queue.count() == 1


def test_events_due_at_the_same_instant_keep_their_order_and_are_never_compared(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    # Two dicts cannot be compared: a heap that tried would raise TypeError.
    for number in range(10):
        queue.schedule_at(NOW + 1.0, "at", {"number": number})
        queue.schedule_after(1.0, object, {"number": number})
    clock.advance(1.0)

    taken = take_all(queue)
    assert [args["number"] for event, args in taken if event == "at"] == list(range(10))
    assert [args["number"] for event, args in taken if event is object] == list(range(10))


def test_timed_events_come_out_by_time_not_by_order_of_scheduling(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    for delay in (5.0, 1.0, 3.0, 2.0, 4.0):
        queue.schedule_after(delay, delay)
    clock.advance(10.0)

    assert events(queue) == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("tstamp", [NOW, NOW - 1.0, 0.0, -5.0])
def test_a_time_already_past_is_due_at_once(queue: EventQueueManager, tstamp: float) -> None:
    queue.schedule_at(tstamp, "past")
    assert queue.wait() == 0.0
    assert queue.next() == ("past", None)


def test_a_negative_delay_is_due_at_once(queue: EventQueueManager) -> None:
    queue.schedule_after(-1.0, "past")
    assert queue.wait() == 0.0
    assert queue.next() == ("past", None)


def test_due_events_of_both_clocks_come_out_by_their_moment(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    queue.schedule_after(3.0, "third")
    queue.schedule_at(NOW + 2.0, "second")
    queue.schedule_after(1.0, "first")
    queue.schedule_at(NOW + 4.0, "fourth")
    clock.advance(10.0)
    assert [queue.next()[0] for _ in range(4)] == ["first", "second", "third", "fourth"]


def test_due_events_of_one_moment_come_out_by_their_number_whatever_their_clock(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    clock.step(0.1)  # the two clocks' readings of one moment differ in the last digits now
    for number in range(10):
        if number % 2:
            queue.schedule_at(clock.time() + 0.7, number)
        else:
            queue.schedule_after(0.7, number)
    clock.advance(0.7)
    clock.advance(1e-7)
    assert [queue.next()[0] for _ in range(10)] == list(range(10))


@pytest.mark.parametrize("method", ["schedule_after", "schedule_at"])
@pytest.mark.parametrize("value", [Decimal("0.5"), Fraction(1, 2), True, 10**300, -1, 5e-324])
def test_a_number_of_any_type_is_a_time(
    queue: EventQueueManager, clock: VirtualClock, method: str, value: Any
) -> None:
    getattr(queue, method)(value, "x")
    assert queue.count() == 1
    clock.advance(1e308)
    assert queue.next()[0] == "x"


@pytest.mark.parametrize("method", ["schedule_after", "schedule_at"])
@pytest.mark.parametrize(
    ("value", "error"),
    [("1", TypeError), (None, TypeError), ([], TypeError), (10**400, ValueError)],
)
def test_what_is_no_time_is_refused_and_leaves_no_trace(
    queue: EventQueueManager, method: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"tstamp|delay"):
        getattr(queue, method)(value, "x")
    assert queue.count() == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_moments_that_never_come_are_refused(queue: EventQueueManager, value: float) -> None:
    with pytest.raises(ValueError, match="tstamp"):
        queue.schedule_at(value, "x")
    with pytest.raises(ValueError, match="delay"):
        queue.schedule_after(value, "x")
    assert queue.count() == 0


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_step_of_the_wall_clock_moves_times_but_no_delay(
    queue: EventQueueManager, clock: VirtualClock, jump: float
) -> None:
    queue.schedule_after(60.0, "after")
    clock.step(jump)

    assert queue.wait() == 60.0
    assert queue.when() == pytest.approx(clock.time() + 60.0)
    queue.schedule_at(clock.time() + 30.0, "at")
    assert queue.wait() == pytest.approx(30.0)
    clock.step(jump)
    if jump > 0:
        assert queue.next() == ("at", None)
        assert queue.wait() == 60.0
    else:
        assert queue.wait() == 60.0
        clock.advance(60.0)
        assert queue.next() == ("after", None)
        assert queue.wait() == pytest.approx(3600.0 + 30.0 - 60.0)
        clock.step(3600.0)
        assert queue.next() == ("at", None)


# --- cancelling -----------------------------------------------------------------------------


def schedule_in(position: str, queue: EventQueueManager, args: Any = None) -> Scheduled:
    match position:
        case "back":
            return queue.schedule("x", args)
        case "front":
            return queue.schedule_next("x", args)
        case "after":
            return queue.schedule_after(1.0, "x", args)
        case "at":
            return queue.schedule_at(NOW + 1.0, "x", args)
        case "due":
            handle = queue.schedule_after(0.0, "x", args)
            queue.promote()
            return handle
        case _:
            return queue.schedule_priority("x", args)


POSITIONS = ["back", "front", "after", "at", "due", "priority"]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_cancelled_event_never_comes_out(
    queue: EventQueueManager, clock: VirtualClock, position: str
) -> None:
    handle = schedule_in(position, queue)

    assert handle.cancel() is True
    assert handle.cancel() is False
    assert queue.count() == 0
    clock.advance(10.0)
    with pytest.raises(QueueEmptyException):
        queue.wait()
    with pytest.raises(QueueEmptyException):
        queue.next()


@pytest.mark.parametrize("position", POSITIONS)
def test_an_event_that_was_taken_cannot_be_cancelled(
    queue: EventQueueManager, clock: VirtualClock, position: str
) -> None:
    handle = schedule_in(position, queue, "args")
    other = schedule_in(position, queue, "other")
    clock.advance(10.0)
    first = queue.next()

    taken, left = (handle, other) if first == ("x", "args") else (other, handle)
    assert taken.cancel() is False
    assert queue.count() == 1
    assert left.cancel() is True
    assert queue.count() == 0


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("which", [0, 1, 2, 3, 4])
def test_cancelling_one_of_several_leaves_the_others(
    queue: EventQueueManager, clock: VirtualClock, position: str, which: int
) -> None:
    handles = [schedule_in(position, queue, number) for number in range(5)]
    assert handles[which].cancel() is True
    assert queue.count() == 4
    clock.advance(10.0)

    order = list(range(5))
    if position == "front":
        order.reverse()
    order.remove(which)
    assert [args for _, args in take_all(queue)] == order
    assert not any(handle.cancel() for handle in handles)


def test_cancelling_in_a_run_that_is_half_taken(queue: EventQueueManager) -> None:
    handles = [queue.schedule("x", number) for number in range(8)]
    assert [queue.next()[1] for _ in range(3)] == [0, 1, 2]

    assert [handles[number].cancel() for number in (2, 3, 5, 7)] == [False, True, True, True]
    assert queue.count() == 2
    assert queue.ahead(None) == 2
    assert [args for _, args in take_all(queue)] == [4, 6]
    assert handles[4].cancel() is False


def test_cancelling_all_of_a_run_uncovers_the_next(queue: EventQueueManager) -> None:
    handles = [queue.schedule("x") for _ in range(3)]
    queue.schedule("y")
    assert all(handle.cancel() for handle in handles)

    assert queue.next() == ("y", None)
    with pytest.raises(QueueEmptyException):
        queue.next()


# --- priority -------------------------------------------------------------------------------


def test_priority_events_overtake_everything_in_their_own_order(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    queue.schedule("sequential")
    queue.schedule_after(0.0, "due")
    queue.schedule_priority("first")
    queue.schedule_priority("second")

    assert events(queue) == ["first", "second", "due", "sequential"]


def test_priority_events_hold_back_the_others_for_one_streak_only(
    queue: EventQueueManager,
) -> None:
    for number in range(3):
        queue.schedule("sequential", number)
    for number in range(2 * MAX_PRIORITY_STREAK + 50):
        queue.schedule_priority("priority", number)

    taken = events(queue)
    where = [position for position, event in enumerate(taken) if event == "sequential"]
    assert where[:2] == [MAX_PRIORITY_STREAK, 2 * MAX_PRIORITY_STREAK + 1]
    assert len(taken) == 2 * MAX_PRIORITY_STREAK + 53


def test_priority_events_that_renew_themselves_cannot_starve_the_others(
    queue: EventQueueManager,
) -> None:
    queue.schedule("sequential")
    queue.schedule_priority("priority")
    for taken in range(1_000):
        if queue.next()[0] == "sequential":
            assert taken == MAX_PRIORITY_STREAK
            return
        queue.schedule_priority("priority")
    pytest.fail("starved")


def test_due_maintenance_events_become_priority_events_and_do_not_count_as_busy(
    clock: VirtualClock,
) -> None:
    queue = EventQueueManager(clock=clock, maintenance=frozenset({"log_statistics"}))
    queue.schedule_after(5.0, "log_statistics")
    assert not queue.busy()
    assert queue.count() == 1
    queue.schedule_after(5.0, "work")
    assert queue.busy()
    clock.advance(5.0)

    assert events(queue) == ["log_statistics", "work"]
    assert not queue.busy()


def test_a_cancelled_maintenance_event_does_not_confuse_busy(clock: VirtualClock) -> None:
    queue = EventQueueManager(clock=clock, maintenance=frozenset({"maintenance_event"}))
    maintenance_event = queue.schedule_after(5.0, "maintenance_event")
    work = queue.schedule_after(5.0, "work")
    assert maintenance_event.cancel()
    assert queue.busy()
    assert work.cancel()
    assert not queue.busy()


# --- producers ------------------------------------------------------------------------------


def test_ahead_counts_the_waiting_events_of_one_producer(
    queue: EventQueueManager, clock: VirtualClock
) -> None:
    queue.schedule("x", producer="a")
    queue.schedule_next("x", producer="a")
    queue.schedule_after(1.0, "x", producer="a")
    handle = queue.schedule("x", producer="b")

    assert (queue.ahead("a"), queue.ahead("b"), queue.ahead("c")) == (2, 1, 0)
    handle.cancel()
    clock.advance(1.0)
    queue.promote()
    assert (queue.ahead("a"), queue.ahead("b")) == (3, 0)


def test_producers_take_turns(queue: EventQueueManager) -> None:
    for number in range(3):
        queue.schedule("x", ("a", number), producer="a")
    queue.schedule("x", ("b", 0), producer="b")

    assert [args for _, args in take_all(queue)] == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]


# --- against a model ------------------------------------------------------------------------

EVENTS = st.sampled_from(["a", "b", 0, "", None, False])
SECONDS = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0])


class AgainstAList(RuleBasedStateMachine):
    """The queue against a plain list that is searched for the right entry each time.

    Times are multiples of a quarter second: the arithmetic is exact.
    """

    @initialize()
    def begin(self) -> None:
        self.clock = VirtualClock(NOW)
        self.queue = EventQueueManager(clock=self.clock)
        self.waiting: list[dict[str, Any]] = []
        self.all: list[tuple[Scheduled, dict[str, Any]]] = []
        self.number = 0
        self.streak = 0

    def note(self, handle: Scheduled, position: str, when: float = 0.0) -> None:
        entry = {
            "event": handle.event,
            "args": handle.args,
            "position": position,
            "when": when,
            "number": self.number,
            "due": 0,
        }
        self.number += 1
        self.waiting.append(entry)
        self.all.append((handle, entry))

    def due_now(self) -> None:
        """Move due events behind those found due before, as every method of the queue does."""
        clocks = {"after": self.clock.monotonic(), "at": self.clock.time()}
        found = [
            (round(entry["when"] - clocks[entry["position"]], 6), entry["number"], entry)
            for entry in self.waiting
            if entry["position"] in clocks and entry["when"] <= clocks[entry["position"]]
        ]
        for _, _, entry in sorted(found, key=lambda each: each[:2]):
            entry["position"] = "due"
            entry["due"] = self.number
            self.number += 1

    def expected(self) -> dict[str, Any] | None:
        self.due_now()
        by_position: dict[str, list[dict[str, Any]]] = {}
        for entry in self.waiting:
            by_position.setdefault(entry["position"], []).append(entry)
        others = sorted(by_position.get("due", []), key=lambda e: e["due"]) or [
            *sorted(by_position.get("front", []), key=lambda e: -e["number"]),
            *sorted(by_position.get("back", []), key=lambda e: e["number"]),
        ]
        priority = by_position.get("priority", [])
        if priority and not (others and self.streak >= MAX_PRIORITY_STREAK):
            self.streak += 1
            return priority[0]
        self.streak = 0
        return others[0] if others else None

    @rule(event=EVENTS)
    def schedule(self, event: Any) -> None:
        self.note(self.queue.schedule(event, object()), "back")

    @rule(event=EVENTS)
    def schedule_next(self, event: Any) -> None:
        self.note(self.queue.schedule_next(event, object()), "front")

    @rule(event=EVENTS, delay=SECONDS)
    def schedule_after(self, event: Any, delay: float) -> None:
        when = self.clock.monotonic() + delay
        self.note(self.queue.schedule_after(delay, event, object()), "after", when)

    @rule(event=EVENTS, delay=SECONDS)
    def schedule_at(self, event: Any, delay: float) -> None:
        when = self.clock.time() + delay
        self.note(self.queue.schedule_at(when, event, object()), "at", when)

    @rule(event=EVENTS)
    def schedule_priority(self, event: Any) -> None:
        self.note(self.queue.schedule_priority(event, object()), "priority")

    @precondition(lambda self: self.all)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        handle, entry = data.draw(st.sampled_from(self.all))
        waits = any(entry is each for each in self.waiting)
        assert handle.cancel() is waits
        if waits:
            self.waiting = [each for each in self.waiting if each is not entry]

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 3.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-2.0, -0.5, 0.5, 2.0]))
    def step(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule(times=st.integers(1, 4))
    def next(self, times: int) -> None:
        for _ in range(times):
            if not self.waiting:
                with pytest.raises(QueueEmptyException):
                    self.queue.next()
                self.streak = 0
                return
            entry = self.expected()
            event, args = self.queue.next()
            if entry is None:
                assert (event, args) == (None, None)
            else:
                assert event is entry["event"]
                assert args is entry["args"]
                self.waiting = [each for each in self.waiting if each is not entry]

    @rule()
    def when_and_wait(self) -> None:
        if not self.waiting:
            for method in (self.queue.when, self.queue.wait):
                with pytest.raises(QueueEmptyException):
                    method()
            return
        bases = {"after": self.clock.monotonic(), "at": self.clock.time()}
        seconds = min(
            max(0.0, e["when"] - bases.get(e["position"], e["when"])) for e in self.waiting
        )
        assert self.queue.wait() == seconds
        assert self.queue.when() == self.clock.time() + seconds

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "queue"):
            assert self.queue.count() == len(self.waiting)
            assert self.queue.busy() is bool(self.waiting)


TestAgainstAList = AgainstAList.TestCase
TestAgainstAList.settings = settings(max_examples=50, stateful_step_count=40)


@pytest.mark.slow
def test_often_against_a_list() -> None:
    often = settings(max_examples=3_000, stateful_step_count=40)
    run_state_machine_as_test(AgainstAList, settings=often)


@pytest.mark.parametrize("method", ["schedule_after", "schedule_at"])
def test_time_outs_cancelled_long_before_they_are_due_do_not_pile_up(method: str) -> None:
    queue = EventQueueManager(clock=VirtualClock())
    kept = [getattr(queue, method)(5_000_000.0 + n, "kept", n) for n in range(10)]
    for _ in range(10_000):
        assert getattr(queue, method)(9_000_000.0, "time-out").cancel()

    assert queue.count() == len(kept)
    assert len(queue._after) + len(queue._at) < 200
