from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest

from tests.core.supervised import unsupervised
from tests.policies import OTHER
from zenactors import EventPolicy
from zenactors.core.accounting import Counts
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.callbacks import gen_event_handler
from zenactors.core.chain import build_chains
from zenactors.core.chain_state import FAST_WINDOW, MAX_WINDOW, MIN_WINDOW, SLOW_WINDOW
from zenactors.core.clock import VirtualClock
from zenactors.core.dead_letters import DeadLetter
from zenactors.core.dispatch_state import MAX_SERVED, DispatchState, Ordering
from zenactors.core.event_queue import MAX_PRIORITY_STREAK
from zenactors.core.messages import Batch, QueuePosition, Scheduled
from zenactors.core.phase import Lifecycle, Phase
from zenactors.errors import QueueEmptyException, UnknownEventError

ORDERINGS: list[Ordering] = ["global", "component", "event"]


def proceed(daemon: Any, args: Any) -> None:
    return None


def open_up(state: DispatchState) -> None:
    for phase in (Phase.SETTING_UP, Phase.STARTING, Phase.OPEN):
        state.lifecycle.advance(phase)


class DispatchDriver:
    """A `DispatchState` whose batches the test completes itself.

    Args:
        wiring: The components of each event's chain, by index.
        ordering: Which events may overlap.
    """

    def __init__(
        self,
        ordering: Ordering = "component",
        *,
        policy: EventPolicy | None = None,
        **wiring: list[int],
    ) -> None:
        count = 1 + max((c for chain in wiring.values() for c in chain), default=0)
        components: list[tuple[str, list[Any]]] = [(f"c{number}", []) for number in range(count)]
        for event, chain in wiring.items():
            for component in chain:
                components[component][1].append(gen_event_handler(event, proceed))
        self.clock = VirtualClock()
        self.state = DispatchState(
            build_chains(components), ordering=ordering, clock=self.clock, policy=policy
        )
        self.open()

    def open(self) -> None:
        open_up(self.state)

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

    def admit(self) -> list[Batch]:
        return self.state.admit()

    def started(self) -> list[tuple[Any, list[Any]]]:
        return [(batch.chain.event, batch.items) for batch in self.admit()]

    def finish(self, *batches: Batch) -> None:
        for batch in batches:
            batch.step = len(batch.chain.steps)
            batch.end()
            self.state.complete(batch)

    def counts(self, event: Any) -> Counts:
        counts: Counts = dict(self.state.counts())[event]
        return counts


# --- accepting --------------------------------------------------------------------------------


def test_an_unknown_event_is_refused_and_leaves_no_trace() -> None:
    driver = DispatchDriver(line=[0])
    with pytest.raises(UnknownEventError, match="did you mean 'line'"):
        driver.add("lime")
    assert driver.state.queue.count() == 0
    assert driver.counts("line") == Counts()


def test_with_another_policy_an_unknown_event_is_reported_when_its_time_has_come() -> None:
    driver = DispatchDriver(policy=OTHER, line=[0])
    driver.add("lime")
    assert driver.state.queue.count() == 1
    with pytest.raises(UnknownEventError):
        driver.admit()


def test_a_wrong_ordering_is_refused() -> None:
    with pytest.raises(ValueError, match="global, component, event"):
        DispatchState({}, ordering="chaos")  # type: ignore[arg-type]


def test_nothing_starts_before_it_is_open() -> None:
    driver = DispatchDriver(x=[0])
    driver.state.lifecycle = Lifecycle()
    driver.add("x", 1)
    driver.add("x", 2, position=QueuePosition.PRIORITY)
    driver.after(1.0, "x")
    assert driver.admit() == []
    assert driver.state.next_due() is None
    driver.open()
    assert driver.state.next_due() == 1.0
    assert len(driver.admit()) == 2


def test_events_of_one_chain_travel_as_one_batch() -> None:
    driver = DispatchDriver(x=[0], y=[0])
    for number in range(5):
        driver.add("x", number)
    driver.add("y", "y")
    driver.add("x", 5)
    assert driver.started() == [("x", [0, 1, 2, 3, 4]), ("y", ["y"]), ("x", [5])]


def test_a_batch_draws_a_ticket_of_each_component_on_its_way() -> None:
    driver = DispatchDriver(x=[0, 2], y=[0, 1], z=[2])
    for event in "xyzx":
        driver.add(event)
    assert [batch.tickets for batch in driver.admit()] == [(0, 0), (1, 0), (1,), (2, 2)]


def test_in_event_ordering_each_chain_has_tickets_of_its_own() -> None:
    driver = DispatchDriver("event", x=[0, 2], y=[0, 1], z=[2])
    for event in "xyzx":
        driver.add(event)
    assert [batch.tickets for batch in driver.admit()] == [(0, 0), (0, 0), (0,), (1, 1)]


def test_a_chain_that_returns_to_a_component_is_travelled_one_event_at_a_time() -> None:
    handlers = [gen_event_handler("x", proceed), gen_event_handler("x", proceed, True)]  # noqa: FBT003
    chains = build_chains([("b", [gen_event_handler("x", proceed)]), ("a", handlers)])
    state = DispatchState(chains, clock=VirtualClock())
    open_up(state)
    for number in range(3):
        state.accept(Scheduled(state, QueuePosition.BACK, "x", number))

    batches = state.admit()
    assert [batch.items for batch in batches] == [[0], [1], [2]]
    assert [batch.tickets for batch in batches] == [(0, 0, 1), (2, 1, 3), (4, 2, 5)]


# --- counting -----------------------------------------------------------------------------------


def test_every_event_is_counted_in_its_place() -> None:
    driver = DispatchDriver(x=[0])
    for number in range(20):
        driver.add("x", number)
    assert driver.counts("x") == Counts(accepted=20, waiting=20)

    (batch,) = driver.admit()
    assert driver.counts("x") == Counts(accepted=20, waiting=4, in_flight=16)
    batch.items, batch.stopped, batch.dead = batch.items[:10], 4, 2
    driver.finish(batch)
    assert driver.counts("x") == Counts(20, completed=10, stopped=4, dead=2, waiting=4)
    assert driver.state.in_flight() == 0


@pytest.mark.parametrize("position", list(QueuePosition))
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_cancelled_event_is_counted_as_such(position: QueuePosition, ordering: Ordering) -> None:
    driver = DispatchDriver(ordering, x=[0])
    handle = driver.add("x", 1, position=position)
    driver.add("x", 2, position=position)
    assert handle.cancel()
    assert not handle.cancel()
    assert driver.counts("x") == Counts(accepted=2, waiting=1, cancelled=1)
    (batch,) = driver.admit()
    assert batch.items == [2]
    driver.finish(batch)
    assert driver.counts("x") == Counts(accepted=2, completed=1, cancelled=1)


def test_an_event_cancelled_before_it_is_queued_counts_once() -> None:
    driver = DispatchDriver(x=[0])
    scheduled = Scheduled(driver.state, QueuePosition.BACK, "x", 1)
    assert scheduled.cancel()
    driver.state.accept(scheduled)
    assert driver.state.admit(scheduled) == []
    assert driver.counts("x") == Counts(accepted=1, cancelled=1)
    assert driver.admit() == []


def test_a_started_event_cannot_be_cancelled() -> None:
    driver = DispatchDriver(x=[0])
    handles = [driver.add("x", 1), driver.add("x", 2, position=QueuePosition.PRIORITY)]
    driver.admit()
    assert [handle.cancel() for handle in handles] == [False, False]
    assert driver.counts("x").in_flight == 2


def test_cancelling_the_event_that_holds_a_producer_back() -> None:
    driver = DispatchDriver(x=[0], y=[0])
    for number in range(16):
        driver.add("x", number)
    (batch,) = driver.admit()
    handle = driver.add("x", 16)
    driver.add("y", "y")
    assert driver.admit() == []
    assert handle.cancel()
    driver.finish(batch)
    assert driver.started() == [("y", ["y"])]


def test_an_event_that_is_taken_out_counts_as_cancelled() -> None:
    driver = DispatchDriver(x=[0])
    driver.add("x", 1)
    assert driver.state.take_next() == ("x", 1)
    assert driver.counts("x") == Counts(accepted=1, cancelled=1)
    with pytest.raises(QueueEmptyException):
        driver.state.take_next()
    driver.after(5.0, "x")
    assert driver.state.take_next() == (None, None)
    assert driver.counts("x") == Counts(accepted=2, waiting=1, cancelled=1)


def test_an_event_that_a_full_window_holds_back_can_be_taken_out_too() -> None:
    driver = DispatchDriver(x=[0])
    for number in range(17):
        driver.add("x", number)
    driver.admit()
    driver.admit()
    assert driver.state.take_next() == ("x", 16)


def test_a_producer_does_not_wait_for_one_whose_event_was_taken_out() -> None:
    driver = DispatchDriver(x=[0])
    for number in range(16):
        driver.add("x", number, "first")
    (batch,) = driver.admit()
    driver.add("x", "second", "second")
    driver.add("x", "third", "third")
    assert driver.admit() == []
    driver.finish(batch)
    assert driver.state.take_next() == ("x", "second")
    assert driver.started() == [("x", ["third"])]


# --- a lone event -------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_lone_event_starts_past_the_queue(ordering: Ordering) -> None:
    driver = DispatchDriver(ordering, x=[0, 1])
    scheduled = Scheduled(driver.state, QueuePosition.BACK, "x", "args", 0.0, "p")
    (batch,) = driver.state.admit(scheduled)
    assert driver.state.queue.count() == 0
    assert (batch.items, batch.size, batch.tickets) == (["args"], 1, (0, 0))
    assert driver.counts("x") == Counts(accepted=1, in_flight=1)
    assert scheduled.cancel() is False
    driver.finish(batch)
    assert driver.counts("x").completed == 1


def test_an_arriving_event_starts_behind_what_is_ready() -> None:
    driver = DispatchDriver(x=[0], y=[0])

    def arrive(event: str, args: Any, producer: str = "q") -> list[tuple[Any, list[Any]]]:
        scheduled = Scheduled(driver.state, QueuePosition.BACK, event, args, 0.0, producer)
        return [(batch.chain.event, batch.items) for batch in driver.state.admit(scheduled)]

    with pytest.raises(UnknownEventError):
        arrive("unknown", 0)
    driver.after(1.0, "x", "due")
    assert arrive("y", 1) == [("y", [1])]
    driver.clock.advance(1.0)
    assert arrive("y", 2) == [("x", ["due"]), ("y", [2])]
    for number in range(17):
        driver.add("x", number)
    assert [len(items) for _, items in driver.started()] == [15]
    assert arrive("y", 3) == [("y", [3])]  # only producers whose next event is an x are held back
    assert arrive("y", 4, "p") == []


def test_a_call_of_admit_serves_a_bounded_number_of_runs() -> None:
    side = DispatchDriver(x=[0], y=[1])
    count = 2 * MAX_SERVED + 10
    for chain_state in side.state.chain_states.values():
        chain_state.window = count
    for number in range(count):  # each is a run of its own
        side.add("xy"[number % 2], number)
    started: list[list[Any]] = []
    sizes: list[int] = []
    while not sizes or side.state.unfinished:
        before = side.state.in_flight()
        started += [batch.items for batch in side.admit()]
        sizes.append(side.state.in_flight() - before)
    assert sizes == [MAX_SERVED, MAX_SERVED, 10]
    for first in (0, 1):
        own = [number for items in started for number in items if number % 2 == first]
        assert own == list(range(first, count, 2))


def test_lone_events_fill_the_window_like_others() -> None:
    driver = DispatchDriver(x=[0])
    for number in range(16):
        assert driver.state.admit(Scheduled(driver.state, QueuePosition.BACK, "x", number))
    assert driver.state.chain_states["x"].full
    assert driver.state.admit(Scheduled(driver.state, QueuePosition.BACK, "x", 16)) == []
    assert driver.state.queue.count() == 1


def test_in_global_a_lone_event_waits_for_the_end_of_the_event_under_way() -> None:
    driver = DispatchDriver("global", x=[0], y=[1])
    (batch,) = driver.state.admit(Scheduled(driver.state, QueuePosition.BACK, "x", 1))
    assert driver.state.admit(Scheduled(driver.state, QueuePosition.BACK, "y", 2)) == []
    driver.finish(batch)
    assert driver.started() == [("y", [2])]


# --- windows ------------------------------------------------------------------------------------


def fill(driver: DispatchDriver, events: int = 3000) -> None:
    for number in range(events):
        driver.add("x", number)


def test_a_window_bounds_the_number_of_events_under_way() -> None:
    driver = DispatchDriver(x=[0])
    fill(driver)
    batches = driver.admit()
    assert sum(batch.size for batch in batches) == MIN_WINDOW == 16
    assert driver.admit() == []
    batches[0].size = 6
    batches[0].items = batches[0].items[:6]
    driver.finish(batches[0])
    assert [len(batch.items) for batch in driver.admit()] == [6]
    assert driver.state.in_flight() == 16


def test_a_window_doubles_while_it_is_quick_and_halves_when_it_is_slow() -> None:
    driver = DispatchDriver(x=[0])
    fill(driver, 20_000)
    chain_state = driver.state.chain_states["x"]
    sizes = []
    for _ in range(9):
        batches = driver.admit()
        sizes.append(sum(batch.size for batch in batches))
        driver.clock.advance(FAST_WINDOW * 0.9)
        driver.finish(*batches)
    assert sizes == [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]
    assert chain_state.window == MAX_WINDOW

    for expected in (1024, 512, 256, 128, 64, 32, 16, 16):
        assert chain_state.window == expected
        batches = driver.admit()
        driver.clock.advance(SLOW_WINDOW * 1.1)
        driver.finish(*batches)


def test_a_window_between_quick_and_slow_stays() -> None:
    driver = DispatchDriver(x=[0])
    fill(driver)
    for _ in range(4):
        batches = driver.admit()
        driver.clock.advance((FAST_WINDOW + SLOW_WINDOW) / 2)
        driver.finish(*batches)
    assert driver.state.chain_states["x"].window == 16


def test_a_window_that_is_never_full_does_not_grow() -> None:
    driver = DispatchDriver(x=[0])
    for _ in range(50):
        driver.add("x")
        driver.finish(*driver.admit())
    assert driver.state.chain_states["x"].window == 16


def test_empty_batches_hold_their_place_in_the_window() -> None:
    driver = DispatchDriver(x=[0, 1])
    fill(driver)
    (batch,) = driver.admit()
    batch.items, batch.stopped, batch.step = [], 16, 1  # all stopped in the first step
    assert driver.admit() == []
    driver.finish(batch)
    assert driver.counts("x").stopped == 16
    assert len(driver.admit()) == 1


# --- producers ----------------------------------------------------------------------------------


def test_a_producer_waits_for_its_own_full_chain_and_others_do_not() -> None:
    driver = DispatchDriver(slow=[0], quick=[1])
    for number in range(20):
        driver.add("slow", number, "a")
    driver.add("quick", "a", "a")
    driver.add("quick", "b", "b")

    assert driver.started() == [("slow", list(range(16))), ("quick", ["b"])]
    assert driver.state.ahead("a") == 5
    assert driver.admit() == []


def test_events_of_one_producer_overtake_none_with_which_they_share_a_component() -> None:
    driver = DispatchDriver(slow=[0], quick=[1, 0])
    for number in range(40):
        driver.add("slow" if number % 3 else "quick", number, "a")
    order: list[int] = []
    under_way: list[Batch] = []
    while len(order) < 40:
        batches = driver.admit()
        order += [item for batch in batches for item in batch.items]
        under_way += batches
        driver.finish(under_way.pop(0))
    assert order == list(range(40))


def test_events_join_a_batch_of_the_same_admission_past_chains_that_share_no_component() -> None:
    driver = DispatchDriver(a=[0], b=[1], shared=[0, 1])
    for number in range(3):
        driver.add("a", number, "p")
        driver.add("b", number, "p")
    driver.add("shared", 3, "p")
    driver.add("a", 4, "p")
    assert driver.started() == [("a", [0, 1, 2]), ("b", [0, 1, 2]), ("shared", [3]), ("a", [4])]


def test_a_window_is_refilled_when_a_quarter_of_it_is_free() -> None:
    driver = DispatchDriver(x=[0])
    fill(driver, 16)
    (batch,) = driver.admit()
    for number in range(10):
        driver.add("x", number)
    assert driver.admit() == []
    done = Batch(batch.chain, 1, batch.tickets, batch.items[:3], 3, last=False)
    driver.state.complete(done)
    assert driver.admit() == []
    driver.state.complete(Batch(batch.chain, 1, batch.tickets, batch.items[3:4], 1, last=False))
    assert driver.started() == [("x", [0, 1, 2, 3])]


def test_a_due_event_goes_on_when_the_one_before_it_turns_out_to_be_cancelled() -> None:
    driver = DispatchDriver(x=[0])
    fill(driver, 16)
    (batch,) = driver.admit()
    first = driver.add("x", "cancelled", "other")
    assert driver.admit() == []
    driver.after(0.0, "x", "due")
    assert driver.admit() == []  # both are held back, the other one first
    driver.state.queue.cancel(first)  # past the state, which would release the producer at once
    driver.finish(batch)
    assert driver.started() == [("x", ["due"])]


def test_a_producer_goes_on_at_once_when_the_event_that_held_it_back_is_cancelled() -> None:
    driver = DispatchDriver(slow=[0], quick=[1])
    for number in range(16):
        driver.add("slow", number, "a")
    driver.admit()
    blocked = driver.add("slow", "blocked", "a")
    driver.add("quick", "free", "a")
    assert driver.admit() == []
    assert blocked.cancel()
    assert driver.started() == [("quick", ["free"])]


def test_producers_on_one_full_chain_share_it_fairly() -> None:
    driver = DispatchDriver(x=[0])
    producers = [f"p{number}" for number in range(4)]
    for producer in producers:
        for _ in range(400):
            driver.add("x", producer, producer)
    shares = dict.fromkeys(producers, 0)
    under_way = driver.admit()
    for _ in range(40):
        driver.clock.advance(0.01)
        driver.finish(under_way.pop(0))
        under_way += driver.admit()
        for batch in under_way[-1:]:
            shares[batch.items[0]] += len(batch.items)
    assert max(shares.values()) <= min(shares.values()) + 16


def test_held_back_producers_all_go_on_when_there_is_room() -> None:
    driver = DispatchDriver(x=[0])
    fill(driver, 16)
    (batch,) = driver.admit()
    for producer in range(5):
        driver.add("x", producer, producer)
    assert driver.admit() == []
    driver.finish(batch)
    assert driver.started() == [("x", list(range(5)))]


def test_schedule_next_releases_a_producer_that_was_held_back() -> None:
    driver = DispatchDriver(slow=[0], quick=[1])
    for number in range(17):
        driver.add("slow", number, "a")
    (batch,) = driver.admit()
    assert driver.admit() == []
    driver.add("quick", "now", "a", position=QueuePosition.FRONT)
    assert driver.started() == [("quick", ["now"])]
    driver.finish(batch)
    assert driver.started() == [("slow", [16])]


def test_schedule_next_on_the_full_chain_itself_comes_first_when_there_is_room() -> None:
    driver = DispatchDriver(slow=[0])
    for number in range(17):
        driver.add("slow", number, "a")
    (batch,) = driver.admit()
    assert driver.admit() == []
    driver.add("slow", "next", "a", position=QueuePosition.FRONT)
    assert driver.admit() == []
    driver.finish(batch)
    assert driver.started() == [("slow", ["next", 16])]


def test_due_events_start_before_sequential_ones() -> None:
    driver = DispatchDriver(x=[0], y=[0])
    driver.add("x", "sequential")
    driver.after(1.0, "y", "due")
    driver.clock.advance(1.0)
    assert driver.started() == [("y", ["due"]), ("x", ["sequential"])]


# --- priority -----------------------------------------------------------------------------------


def test_priority_events_take_no_ticket_and_no_place_in_the_window() -> None:
    driver = DispatchDriver(x=[0, 1])
    fill(driver, 16)
    driver.admit()
    driver.add("x", "urgent", position=QueuePosition.PRIORITY)
    (batch,) = driver.admit()
    assert (batch.items, batch.tickets, batch.on_control_lane) == (["urgent"], (), True)
    assert driver.state.chain_states["x"].in_flight == 16
    assert driver.counts("x").in_flight == 17
    driver.finish(batch)
    assert driver.counts("x") == Counts(accepted=17, completed=1, in_flight=16)


def test_one_admission_starts_a_streak_of_priority_events_then_the_others() -> None:
    driver = DispatchDriver(x=[0], urgent=[0])
    driver.add("x", "x")
    for number in range(250):
        driver.add("urgent", number, position=QueuePosition.PRIORITY)
    started = driver.started()
    assert len(started) == 250 + 1
    assert started[MAX_PRIORITY_STREAK] == ("x", ["x"])


def test_in_global_priority_events_cannot_starve_the_rest() -> None:
    driver = DispatchDriver("global", x=[0], urgent=[0])
    driver.add("x", "x")
    for number in range(300):
        driver.add("urgent", number, position=QueuePosition.PRIORITY)
    for taken in range(301):
        (batch,) = driver.admit()
        if batch.chain.event == "x":
            assert taken == MAX_PRIORITY_STREAK
            return
        driver.finish(batch)
    pytest.fail("starved")


# --- global -------------------------------------------------------------------------------------


def test_in_global_one_event_is_under_way_at_a_time() -> None:
    driver = DispatchDriver("global", x=[0], y=[1])
    for number in range(3):
        driver.add("x", number, "a")
        driver.add("y", number, "b")
    order = []
    while batches := driver.admit():
        (batch,) = batches
        order.append((batch.chain.event, list(batch.items)))
        assert driver.admit() == []
        driver.finish(batch)
    assert order == [(event, [number]) for number in range(3) for event in "xy"]


# --- start, maintenance, idleness -------------------------------------------------------------


def test_nothing_else_starts_before_start_is_over() -> None:
    driver = DispatchDriver(start=[0, 1], x=[0])
    driver.state.lifecycle = Lifecycle()
    (start,) = driver.state.start_first("args")
    assert (start.items, start.on_control_lane) == (["args"], True)
    assert driver.counts("start") == Counts(accepted=1, in_flight=1)
    driver.add("x", 1)
    driver.add("x", 2, position=QueuePosition.PRIORITY)
    driver.after(0.0, "x")
    assert driver.admit() == []
    assert driver.state.next_due() is None
    assert driver.state.admit(Scheduled(driver.state, QueuePosition.BACK, "x", 1)) == []
    driver.finish(start)
    driver.open()
    assert [(batch.on_control_lane, batch.size) for batch in driver.admit()] == [
        (True, 1),
        (False, 3),
    ]


def test_without_start_callbacks_nothing_has_to_start_first() -> None:
    driver = DispatchDriver(x=[0])
    assert driver.state.start_first() == []
    driver.add("x")
    assert len(driver.admit()) == 1


def test_maintenance_events_do_not_keep_the_daemon_busy() -> None:
    driver = DispatchDriver(log_statistics=[0], x=[0])
    driver.after(60.0, "log_statistics")
    assert driver.state.idle()
    assert driver.state.drained()
    later = driver.after(60.0, "x")
    assert not driver.state.idle()
    assert driver.state.drained()
    later.cancel()
    assert driver.state.idle()

    driver.clock.advance(60.0)
    (batch,) = driver.admit()
    assert batch.on_control_lane  # it travels past all others
    assert not driver.state.idle()
    driver.finish(batch)
    assert driver.state.idle()


def test_sources_and_work_under_way_keep_it_from_being_idle() -> None:
    driver = DispatchDriver(x=[0])
    assert driver.state.idle()
    driver.state.source_changed(+1)
    assert not driver.state.idle()
    assert driver.state.drained()
    driver.state.source_changed(-1)
    driver.add("x")
    assert not driver.state.drained()
    (batch,) = driver.admit()
    assert not driver.state.drained()
    driver.finish(batch)
    assert driver.state.drained()
    assert driver.state.idle()


def test_ahead_counts_per_producer_except_in_global() -> None:
    driver, one = DispatchDriver(x=[0]), DispatchDriver("global", x=[0])
    for each in (driver, one):
        each.add("x", 1, "a")
        each.add("x", 2, "b")
    assert (driver.state.ahead("a"), driver.state.ahead("c")) == (1, 0)
    assert one.state.ahead("a") == 2


# --- sources that re-schedule themselves -----------------------------------------------------


class Pair:
    """A quick component 0 and a slow component 1, which runs only when the test calls it."""

    def __init__(self, ordering: Ordering, **callbacks: list[Any]) -> None:
        self.clock = VirtualClock()
        components: list[tuple[str, list[Any]]] = [("quick", []), ("slow", [])]
        for event, pair in callbacks.items():
            for number, callback in enumerate(pair):
                if callback is not None:
                    components[number][1].append(gen_event_handler(event, callback))
        self.steps = 0
        self.state = DispatchState(build_chains(components), ordering=ordering, clock=self.clock)
        open_up(self.state)
        self.runners = [
            BatchRunner(index, name, self, self, self, self.clock, supervisor=unsupervised())
            for index, (name, _) in enumerate(components)
        ]

    # Of the daemon, for the quick component.
    def schedule(self, event: Any, args: Any = None) -> Any:
        if isinstance(event, list):
            for child in event:
                self.state.accept(child)
            return None
        scheduled = Scheduled(self.state, QueuePosition.BACK, event, args, 0.0, 0)
        self.runners[0].children.append(scheduled)
        return scheduled

    # Of the sink.
    def forward(self, component: int, batch: Batch) -> None:
        self.steps += 1
        self.runners[component].arrive(batch)

    def report(self, batch: Batch) -> None:
        self.steps += 1
        for child in batch.children or ():
            self.state.accept(child)
        batch.end()
        self.state.complete(batch)

    def dead_letter(self, letter: DeadLetter) -> None:
        raise AssertionError from letter.cause

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        raise AssertionError from cause

    def gave_up(self, component: int, cause: BaseException) -> None:
        raise AssertionError from cause

    def settle(self) -> None:
        """Run everything except the slow component until nothing changes."""
        while True:
            batches = self.state.admit()
            for batch in batches:
                self.forward(batch.chain.steps[0].component, batch)
            before = self.steps
            while self.runners[0].work():
                pass
            if not batches and self.steps == before:
                return


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("one chain", MIN_WINDOW),
        # Besides the window: the event that the producer's order holds back, and the one
        # produced by the tick before it.
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
        before = handled
        pair.runners[1].work()
        assert handled > before, "it stalled"
    assert handled >= 300
    assert ahead <= limit


def test_due_events_of_the_time_before_the_opening_start_by_their_moment() -> None:
    driver = DispatchDriver(x=[0], y=[0])
    driver.state.lifecycle = Lifecycle()
    now = driver.clock.time()
    driver.add("x", "a minute ago", position=QueuePosition.AT, when=now - 60)
    assert driver.admit() == []
    driver.add("x", "an hour ago", position=QueuePosition.AT, when=now - 3600)
    assert driver.admit() == []
    assert driver.state.ahead("p") == 0  # timed events are in no producer's order yet

    driver.open()
    assert driver.started() == [("x", ["an hour ago", "a minute ago"])]
