from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest

from zenactors.core.batch_runner import BatchRunner
from zenactors.core.callbacks import gen_event_handler
from zenactors.core.chain import build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch_state import (
    FAST_WINDOW,
    MAX_WINDOW,
    MIN_WINDOW,
    SLOW_WINDOW,
    Counts,
    DispatchState,
    Ordering,
)
from zenactors.core.event_queue import MAX_PRIORITY_STREAK, QueuePosition, Scheduled
from zenactors.core.messages import Batch, DeadLetter
from zenactors.errors import QueueEmptyException, UnknownEventError

ORDERINGS: list[Ordering] = ["global", "component", "event"]


def proceed(daemon: Any, args: Any) -> None:
    return None


class Desk:
    """A dispatch whose batches the test completes by hand.

    Args:
        wiring: The components of each event's chain, by number.
        ordering: What may overlap.
    """

    def __init__(
        self, ordering: Ordering = "component", *, strict: bool = True, **wiring: list[int]
    ) -> None:
        count = 1 + max((c for chain in wiring.values() for c in chain), default=0)
        components: list[tuple[str, list[Any]]] = [(f"c{number}", []) for number in range(count)]
        for event, chain in wiring.items():
            for component in chain:
                components[component][1].append(gen_event_handler(event, proceed))
        self.clock = VirtualClock()
        self.state = DispatchState(
            build_chains(components), ordering=ordering, clock=self.clock, strict=strict
        )
        self.state.open = True

    def add(
        self,
        event: Any,
        args: Any = None,
        producer: Hashable = "p",
        position: QueuePosition = QueuePosition.BACK,
        when: float = 0.0,
    ) -> Scheduled:
        scheduled = Scheduled(self.state, position, event, args, when, producer)
        self.state.accept(scheduled)
        return scheduled

    def after(self, delay: float, event: Any, args: Any = None) -> Scheduled:
        return self.add(event, args, "p", QueuePosition.AFTER, self.clock.monotonic() + delay)

    def turn(self) -> list[Batch]:
        return self.state.turn()

    def started(self) -> list[tuple[Any, list[Any]]]:
        return [(batch.chain.event, batch.items) for batch in self.turn()]

    def finish(self, *batches: Batch) -> None:
        for batch in batches:
            batch.step = len(batch.chain.steps)
            self.state.complete(batch)

    def counts(self, event: Any) -> Counts:
        return self.state.counts()[event]


# --- accepting --------------------------------------------------------------------------------


def test_an_unknown_event_is_refused_and_leaves_no_trace() -> None:
    desk = Desk(line=[0])
    with pytest.raises(UnknownEventError, match="did you mean 'line'"):
        desk.add("lime")
    assert desk.state.queue.count() == 0
    assert desk.counts("line") == Counts()


def test_without_strictness_an_unknown_event_is_reported_when_its_time_has_come() -> None:
    desk = Desk(strict=False, line=[0])
    desk.add("lime")
    assert list(desk.state.unknown()) == ["lime"]
    with pytest.raises(UnknownEventError):
        desk.turn()


def test_a_wrong_ordering_is_refused() -> None:
    with pytest.raises(ValueError, match="global, component, event"):
        DispatchState({}, ordering="chaos")  # type: ignore[arg-type]


def test_nothing_starts_before_it_is_open() -> None:
    desk = Desk(x=[0])
    desk.state.open = False
    desk.add("x", 1)
    desk.add("x", 2, position=QueuePosition.PRIORITY)
    desk.after(1.0, "x")
    assert desk.turn() == []
    assert desk.state.next_due() is None
    assert not desk.state.more_priority()
    desk.state.open = True
    assert desk.state.next_due() == 1.0
    assert len(desk.turn()) == 2


def test_events_of_one_chain_travel_as_one_batch() -> None:
    desk = Desk(x=[0], y=[0])
    for number in range(5):
        desk.add("x", number)
    desk.add("y", "y")
    desk.add("x", 5)
    assert desk.started() == [("x", [0, 1, 2, 3, 4]), ("y", ["y"]), ("x", [5])]


def test_a_batch_draws_a_ticket_of_each_component_on_its_way() -> None:
    desk = Desk(x=[0, 2], y=[0, 1], z=[2])
    for event in "xyzx":
        desk.add(event)
    assert [batch.tickets for batch in desk.turn()] == [(0, 0), (1, 0), (1,), (2, 2)]


def test_in_event_ordering_each_chain_has_tickets_of_its_own() -> None:
    desk = Desk("event", x=[0, 2], y=[0, 1], z=[2])
    for event in "xyzx":
        desk.add(event)
    assert [batch.tickets for batch in desk.turn()] == [(0, 0), (0, 0), (0,), (1, 1)]


def test_a_way_that_comes_back_is_travelled_one_event_at_a_time() -> None:
    handlers = [gen_event_handler("x", proceed), gen_event_handler("x", proceed, True)]  # noqa: FBT003
    chains = build_chains([("b", [gen_event_handler("x", proceed)]), ("a", handlers)])
    state = DispatchState(chains, clock=VirtualClock())
    state.open = True
    for number in range(3):
        state.accept(Scheduled(state, QueuePosition.BACK, "x", number))

    batches = state.turn()
    assert [batch.items for batch in batches] == [[0], [1], [2]]
    assert [batch.tickets for batch in batches] == [(0, 0, 1), (2, 1, 3), (4, 2, 5)]


# --- counting -----------------------------------------------------------------------------------


def test_every_event_is_counted_where_it_is() -> None:
    desk = Desk(x=[0])
    for number in range(20):
        desk.add("x", number)
    assert desk.counts("x") == Counts(accepted=20, waiting=20)

    (batch,) = desk.turn()
    assert desk.counts("x") == Counts(accepted=20, waiting=4, in_flight=16)
    batch.items, batch.stopped, batch.dead = batch.items[:10], 4, 2
    desk.finish(batch)
    assert desk.counts("x") == Counts(20, completed=10, stopped=4, dead=2, waiting=4)
    assert desk.state.in_flight() == 0


@pytest.mark.parametrize("position", list(QueuePosition))
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_cancelled_event_was_never_accepted(position: QueuePosition, ordering: Ordering) -> None:
    desk = Desk(ordering, x=[0])
    handle = desk.add("x", 1, position=position)
    desk.add("x", 2, position=position)
    assert handle.cancel()
    assert not handle.cancel()
    assert desk.counts("x") == Counts(accepted=1, waiting=1)
    (batch,) = desk.turn()
    assert batch.items == [2]
    desk.finish(batch)
    assert desk.counts("x") == Counts(accepted=1, completed=1)


def test_an_event_cancelled_on_its_way_to_the_queue_is_not_taken_in() -> None:
    desk = Desk(x=[0])
    scheduled = Scheduled(desk.state, QueuePosition.BACK, "x", 1)
    assert scheduled.cancel()
    desk.state.accept(scheduled)
    assert desk.state.start_alone(scheduled) is None
    assert desk.counts("x") == Counts()
    assert desk.turn() == []


def test_what_was_started_cannot_be_cancelled() -> None:
    desk = Desk(x=[0])
    handles = [desk.add("x", 1), desk.add("x", 2, position=QueuePosition.PRIORITY)]
    desk.turn()
    assert [handle.cancel() for handle in handles] == [False, False]
    assert desk.counts("x").in_flight == 2


def test_cancelling_the_event_that_holds_a_producer_back() -> None:
    desk = Desk(x=[0], y=[0])
    for number in range(16):
        desk.add("x", number)
    (batch,) = desk.turn()
    handle = desk.add("x", 16)
    desk.add("y", "y")
    assert desk.turn() == []
    assert handle.cancel()
    desk.finish(batch)
    assert desk.started() == [("y", ["y"])]


def test_taking_an_event_out_withdraws_it() -> None:
    desk = Desk(x=[0])
    desk.add("x", 1)
    assert desk.state.take_next() == ("x", 1)
    assert desk.counts("x") == Counts()
    with pytest.raises(QueueEmptyException):
        desk.state.take_next()
    desk.after(5.0, "x")
    assert desk.state.take_next() == (None, None)
    assert desk.counts("x") == Counts(accepted=1, waiting=1)


def test_what_a_full_window_holds_back_can_be_taken_out_too() -> None:
    desk = Desk(x=[0])
    for number in range(17):
        desk.add("x", number)
    desk.turn()
    desk.turn()
    assert desk.state.take_next() == ("x", 16)


def test_a_producer_does_not_wait_for_one_whose_event_was_taken_out() -> None:
    desk = Desk(x=[0])
    for number in range(16):
        desk.add("x", number, "first")
    (batch,) = desk.turn()
    desk.add("x", "second", "second")
    desk.add("x", "third", "third")
    assert desk.turn() == []
    desk.finish(batch)
    assert desk.state.take_next() == ("x", "second")
    assert desk.started() == [("x", ["third"])]


# --- a lone event -------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_lone_event_starts_past_the_queue(ordering: Ordering) -> None:
    desk = Desk(ordering, x=[0, 1])
    scheduled = Scheduled(desk.state, QueuePosition.BACK, "x", "args", 0.0, "p")
    batch = desk.state.start_alone(scheduled)
    assert batch is not None
    assert (batch.items, batch.size, batch.tickets) == (["args"], 1, (0, 0))
    assert desk.counts("x") == Counts(accepted=1, in_flight=1)
    assert scheduled.cancel() is False
    desk.add("x", "other")
    assert desk.state.start_alone(Scheduled(desk.state, QueuePosition.BACK, "x", 2)) is None
    desk.finish(batch)
    assert desk.counts("x").completed == 1


def test_a_lone_event_queues_behind_what_waits() -> None:
    desk = Desk(x=[0], y=[0])

    def alone(event: str = "y", position: QueuePosition = QueuePosition.BACK) -> bool:
        scheduled = Scheduled(desk.state, position, event, 0, 0.0, "q")
        return desk.state.start_alone(scheduled) is not None

    assert not any(
        alone(position=position) for position in QueuePosition if position is not QueuePosition.BACK
    )
    assert not alone("unknown")
    due = desk.after(1.0, "x")
    assert alone()
    desk.clock.advance(1.0)
    assert not alone()
    due.cancel()
    assert alone()
    for number in range(17):
        desk.add("x", number)
    desk.turn()
    assert not alone()  # one is held back


def test_lone_events_fill_the_window_like_others() -> None:
    desk = Desk(x=[0])
    for number in range(16):
        assert desk.state.start_alone(Scheduled(desk.state, QueuePosition.BACK, "x", number))
    assert desk.state.chain_states["x"].full
    assert desk.state.start_alone(Scheduled(desk.state, QueuePosition.BACK, "x", 16)) is None


def test_in_global_a_lone_event_waits_for_the_end_of_what_is_under_way() -> None:
    desk = Desk("global", x=[0], y=[1])
    batch = desk.state.start_alone(Scheduled(desk.state, QueuePosition.BACK, "x", 1))
    assert batch is not None
    assert desk.state.start_alone(Scheduled(desk.state, QueuePosition.BACK, "y", 2)) is None
    desk.finish(batch)
    assert desk.state.start_alone(Scheduled(desk.state, QueuePosition.BACK, "y", 3)) is not None


# --- windows ------------------------------------------------------------------------------------


def fill(desk: Desk, events: int = 3000) -> None:
    for number in range(events):
        desk.add("x", number)


def test_a_window_bounds_what_is_under_way() -> None:
    desk = Desk(x=[0])
    fill(desk)
    batches = desk.turn()
    assert sum(batch.size for batch in batches) == MIN_WINDOW == 16
    assert desk.turn() == []
    batches[0].size = 6
    batches[0].items = batches[0].items[:6]
    desk.finish(batches[0])
    assert [len(batch.items) for batch in desk.turn()] == [6]
    assert desk.state.in_flight() == 16


def test_a_window_doubles_while_it_is_quick_and_halves_when_it_is_slow() -> None:
    desk = Desk(x=[0])
    fill(desk, 20_000)
    chain_state = desk.state.chain_states["x"]
    sizes = []
    for _ in range(9):
        batches = desk.turn()
        sizes.append(sum(batch.size for batch in batches))
        desk.clock.advance(FAST_WINDOW * 0.9)
        desk.finish(*batches)
    assert sizes == [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]
    assert chain_state.window == MAX_WINDOW

    for expected in (1024, 512, 256, 128, 64, 32, 16, 16):
        assert chain_state.window == expected
        batches = desk.turn()
        desk.clock.advance(SLOW_WINDOW * 1.1)
        desk.finish(*batches)


def test_a_window_between_quick_and_slow_stays() -> None:
    desk = Desk(x=[0])
    fill(desk)
    for _ in range(4):
        batches = desk.turn()
        desk.clock.advance((FAST_WINDOW + SLOW_WINDOW) / 2)
        desk.finish(*batches)
    assert desk.state.chain_states["x"].window == 16


def test_a_window_that_is_never_full_does_not_grow() -> None:
    desk = Desk(x=[0])
    for _ in range(50):
        desk.add("x")
        desk.finish(*desk.turn())
    assert desk.state.chain_states["x"].window == 16


def test_empty_batches_hold_their_place_in_the_window() -> None:
    desk = Desk(x=[0, 1])
    fill(desk)
    (batch,) = desk.turn()
    batch.items, batch.stopped, batch.step = [], 16, 1  # all stopped in the first step
    assert desk.turn() == []
    desk.finish(batch)
    assert desk.counts("x").stopped == 16
    assert len(desk.turn()) == 1


# --- producers ----------------------------------------------------------------------------------


def test_a_producer_waits_for_its_own_full_chain_and_others_do_not() -> None:
    desk = Desk(slow=[0], quick=[1])
    for number in range(20):
        desk.add("slow", number, "a")
    desk.add("quick", "a", "a")
    desk.add("quick", "b", "b")

    assert desk.started() == [("slow", list(range(16))), ("quick", ["b"])]
    assert desk.state.ahead("a") == 5
    assert desk.turn() == []


def test_events_of_one_producer_overtake_none_with_which_they_share_a_component() -> None:
    desk = Desk(slow=[0], quick=[1, 0])
    for number in range(40):
        desk.add("slow" if number % 3 else "quick", number, "a")
    order: list[int] = []
    under_way: list[Batch] = []
    while len(order) < 40:
        batches = desk.turn()
        order += [item for batch in batches for item in batch.items]
        under_way += batches
        desk.finish(under_way.pop(0))
    assert order == list(range(40))


def test_events_join_a_batch_of_their_turn_past_chains_that_share_no_component() -> None:
    desk = Desk(a=[0], b=[1], shared=[0, 1])
    for number in range(3):
        desk.add("a", number, "p")
        desk.add("b", number, "p")
    desk.add("shared", 3, "p")
    desk.add("a", 4, "p")
    assert desk.started() == [("a", [0, 1, 2]), ("b", [0, 1, 2]), ("shared", [3]), ("a", [4])]


def test_a_window_is_filled_up_again_when_a_quarter_of_it_is_free() -> None:
    desk = Desk(x=[0])
    fill(desk, 16)
    (batch,) = desk.turn()
    for number in range(10):
        desk.add("x", number)
    assert desk.turn() == []
    done = Batch(batch.chain, 1, batch.tickets, batch.items[:3], 3, last=False)
    desk.state.complete(done)
    assert desk.turn() == []
    desk.state.complete(Batch(batch.chain, 1, batch.tickets, batch.items[3:4], 1, last=False))
    assert desk.started() == [("x", [0, 1, 2, 3])]


def test_a_due_event_goes_on_when_what_was_before_it_turns_out_to_be_cancelled() -> None:
    desk = Desk(x=[0])
    fill(desk, 16)
    (batch,) = desk.turn()
    first = desk.add("x", "cancelled", "other")
    assert desk.turn() == []
    desk.after(0.0, "x", "due")
    assert desk.turn() == []  # both are held back now, the other one first
    desk.state.queue.cancel(first)  # past the dispatch, which would let it go on at once
    desk.finish(batch)
    assert desk.started() == [("x", ["due"])]


def test_a_producer_goes_on_at_once_when_the_event_that_held_it_back_is_cancelled() -> None:
    desk = Desk(slow=[0], quick=[1])
    for number in range(16):
        desk.add("slow", number, "a")
    desk.turn()
    blocked = desk.add("slow", "blocked", "a")
    desk.add("quick", "free", "a")
    assert desk.turn() == []
    assert blocked.cancel()
    assert desk.started() == [("quick", ["free"])]


def test_producers_on_one_full_chain_share_it_fairly() -> None:
    desk = Desk(x=[0])
    producers = [f"p{number}" for number in range(4)]
    for producer in producers:
        for _ in range(400):
            desk.add("x", producer, producer)
    shares = dict.fromkeys(producers, 0)
    under_way = desk.turn()
    for _ in range(40):
        desk.clock.advance(0.01)
        desk.finish(under_way.pop(0))
        under_way += desk.turn()
        for batch in under_way[-1:]:
            shares[batch.items[0]] += len(batch.items)
    assert max(shares.values()) <= min(shares.values()) + 16


def test_held_producers_all_get_on_when_there_is_room() -> None:
    desk = Desk(x=[0])
    fill(desk, 16)
    (batch,) = desk.turn()
    for producer in range(5):
        desk.add("x", producer, producer)
    assert desk.turn() == []
    desk.finish(batch)
    assert desk.started() == [("x", list(range(5)))]


def test_schedule_next_frees_a_producer_that_was_held_back() -> None:
    desk = Desk(slow=[0], quick=[1])
    for number in range(17):
        desk.add("slow", number, "a")
    (batch,) = desk.turn()
    assert desk.turn() == []
    desk.add("quick", "now", "a", position=QueuePosition.FRONT)
    assert desk.started() == [("quick", ["now"])]
    desk.finish(batch)
    assert desk.started() == [("slow", [16])]


def test_schedule_next_on_the_full_chain_itself_comes_first_later() -> None:
    desk = Desk(slow=[0])
    for number in range(17):
        desk.add("slow", number, "a")
    (batch,) = desk.turn()
    assert desk.turn() == []
    desk.add("slow", "next", "a", position=QueuePosition.FRONT)
    assert desk.turn() == []
    desk.finish(batch)
    assert desk.started() == [("slow", ["next", 16])]


def test_due_events_start_before_sequential_ones() -> None:
    desk = Desk(x=[0], y=[0])
    desk.add("x", "sequential")
    desk.after(1.0, "y", "due")
    desk.clock.advance(1.0)
    assert desk.started() == [("y", ["due"]), ("x", ["sequential"])]


# --- priority -----------------------------------------------------------------------------------


def test_priority_events_take_no_ticket_and_no_place_in_the_window() -> None:
    desk = Desk(x=[0, 1])
    fill(desk, 16)
    desk.turn()
    desk.add("x", "urgent", position=QueuePosition.PRIORITY)
    (batch,) = desk.turn()
    assert (batch.items, batch.tickets, batch.on_control_lane) == (["urgent"], (), True)
    assert desk.state.chain_states["x"].in_flight == 16
    assert desk.counts("x").in_flight == 17
    desk.finish(batch)
    assert desk.counts("x") == Counts(accepted=17, completed=1, in_flight=16)


def test_a_turn_starts_a_streak_of_priority_events_then_the_others() -> None:
    desk = Desk(x=[0], urgent=[0])
    desk.add("x", "x")
    for number in range(250):
        desk.add("urgent", number, position=QueuePosition.PRIORITY)
    started = desk.started()
    assert len(started) == MAX_PRIORITY_STREAK + 1
    assert started[-1] == ("x", ["x"])
    assert desk.state.more_priority()
    assert len(desk.turn()) == 100
    assert len(desk.turn()) == 50
    assert not desk.state.more_priority()


def test_in_global_priority_events_cannot_starve_the_rest() -> None:
    desk = Desk("global", x=[0], urgent=[0])
    desk.add("x", "x")
    for number in range(300):
        desk.add("urgent", number, position=QueuePosition.PRIORITY)
    for taken in range(301):
        (batch,) = desk.turn()
        if batch.chain.event == "x":
            assert taken == MAX_PRIORITY_STREAK
            return
        desk.finish(batch)
    pytest.fail("starved")


# --- global -------------------------------------------------------------------------------------


def test_in_global_one_event_is_under_way_at_a_time() -> None:
    desk = Desk("global", x=[0], y=[1])
    for number in range(3):
        desk.add("x", number, "a")
        desk.add("y", number, "b")
    order = []
    while batches := desk.turn():
        (batch,) = batches
        order.append((batch.chain.event, batch.items))
        assert desk.turn() == []
        desk.finish(batch)
    assert order == [(event, [number]) for number in range(3) for event in "xy"]


# --- start, maintenance, idleness -------------------------------------------------------------


def test_nothing_else_starts_before_start_is_over() -> None:
    desk = Desk(start=[0, 1], x=[0])
    (start,) = desk.state.start_barrier("args")
    assert (start.items, start.on_control_lane) == (["args"], True)
    assert desk.counts("start") == Counts(accepted=1, in_flight=1)
    desk.add("x", 1)
    desk.add("x", 2, position=QueuePosition.PRIORITY)
    desk.after(0.0, "x")
    assert desk.turn() == []
    assert desk.state.next_due() is None
    assert desk.state.start_alone(Scheduled(desk.state, QueuePosition.BACK, "x", 1)) is None
    desk.finish(start)
    assert [(batch.on_control_lane, batch.size) for batch in desk.turn()] == [(True, 1), (False, 2)]


def test_without_start_callbacks_there_is_no_barrier() -> None:
    desk = Desk(x=[0])
    assert desk.state.start_barrier() == []
    desk.add("x")
    assert len(desk.turn()) == 1


def test_chores_keep_nobody_busy() -> None:
    desk = Desk(log_statistics=[0], x=[0])
    desk.after(60.0, "log_statistics")
    assert desk.state.idle()
    assert desk.state.drained()
    later = desk.after(60.0, "x")
    assert not desk.state.idle()
    assert desk.state.drained()
    later.cancel()
    assert desk.state.idle()

    desk.clock.advance(60.0)
    (batch,) = desk.turn()
    assert batch.on_control_lane  # it travels past all others
    assert not desk.state.idle()
    desk.finish(batch)
    assert desk.state.idle()


def test_sources_and_work_under_way_keep_it_from_being_idle() -> None:
    desk = Desk(x=[0])
    assert desk.state.idle()
    desk.state.source_changed(+1)
    assert not desk.state.idle()
    assert desk.state.drained()
    desk.state.source_changed(-1)
    desk.add("x")
    assert not desk.state.drained()
    (batch,) = desk.turn()
    assert not desk.state.drained()
    desk.finish(batch)
    assert desk.state.drained()
    assert desk.state.idle()


def test_ahead_is_per_producer_but_in_global() -> None:
    desk, one = Desk(x=[0]), Desk("global", x=[0])
    for each in (desk, one):
        each.add("x", 1, "a")
        each.add("x", 2, "b")
    assert (desk.state.ahead("a"), desk.state.ahead("c")) == (1, 0)
    assert one.state.ahead("a") == 2


# --- A10: sources that re-schedule themselves -----------------------------------------------------


class Pair:
    """A quick component 0 and a slow component 1; the slow one moves only when told to."""

    def __init__(self, ordering: Ordering, **callbacks: list[Any]) -> None:
        self.clock = VirtualClock()
        components: list[tuple[str, list[Any]]] = [("quick", []), ("slow", [])]
        for event, pair in callbacks.items():
            for number, callback in enumerate(pair):
                if callback is not None:
                    components[number][1].append(gen_event_handler(event, callback))
        self.state = DispatchState(build_chains(components), ordering=ordering, clock=self.clock)
        self.state.open = True
        self.runners = [BatchRunner(name, self, self, self.clock) for name, _ in components]

    # Of the daemon, for the quick component.
    def schedule(self, event: Any, args: Any = None) -> Any:
        if isinstance(event, list):
            for child in event:
                self.state.accept(child)
            return None
        scheduled = Scheduled(self.state, QueuePosition.BACK, event, args, 0.0, 0)
        self.runners[0].children.append(scheduled)
        return scheduled

    # Of the outlet.
    def forward(self, component: int, batch: Batch) -> None:
        self.runners[component].arrive(batch)

    def report(self, batch: Batch) -> None:
        for child in batch.children or ():
            self.state.accept(child)
        self.state.complete(batch)

    def dead_letter(self, letter: DeadLetter) -> None:
        raise AssertionError from letter.cause

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        raise AssertionError from cause

    def settle(self) -> None:
        """Let everybody but the slow component do all there is to do."""
        while True:
            batches = self.state.turn()
            for batch in batches:
                self.forward(batch.chain.steps[0].component, batch)
            if not batches and not self.runners[0].has_work():
                return
            while self.runners[0].has_work():
                self.runners[0].work()


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("one chain", MIN_WINDOW),
        # Besides the window: what the producer's order holds back, and what was produced by
        # the tick that stood before it.
        ("work first", MIN_WINDOW + 1),
        ("work last", MIN_WINDOW + 2),
    ],
)
def test_a_source_that_renews_itself_stays_within_a_window_of_slow_work(
    ordering: Ordering, kind: str, limit: int
) -> None:
    produced = handled = 0

    def produce(daemon: Pair, args: Any) -> None:
        nonlocal produced
        produced += 1
        if kind == "one chain":
            daemon.schedule("tick")
        elif kind == "work first":
            daemon.schedule("work")
            daemon.schedule("tick")
        else:
            daemon.schedule("tick")
            daemon.schedule("work")

    def handle(daemon: Pair, args: Any) -> None:
        nonlocal handled
        handled += 1
        daemon.clock.advance(0.005)

    if kind == "one chain":
        pair = Pair(ordering, tick=[produce, handle])
    else:
        pair = Pair(ordering, tick=[produce, None], work=[None, handle])
    for _ in range(5 if kind == "one chain" else 1):
        pair.state.accept(Scheduled(pair.state, QueuePosition.BACK, "tick", None))
    ahead = 0
    for _ in range(300):
        pair.settle()
        ahead = max(ahead, produced - handled)
        assert pair.runners[1].has_work(), "it stalled"
        pair.runners[1].work()
    assert handled >= 300
    assert ahead <= limit
