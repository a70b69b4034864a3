"""Chains that pass best-effort components: the decisions, without any thread."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.core.test_batch_runner import RunnerDriver
from tests.core.test_dispatch_state import DispatchDriver
from zenactors.core.accounting import BestEffortCounts, Counts
from zenactors.core.best_effort import Tap, pass_by
from zenactors.core.callbacks import FLAG_STOP
from zenactors.core.chain import Chain, Step, build_chains
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.messages import Batch, QueuePosition, Scheduled
from zenactors.core.tokens import Token, TokenOutcome, Tracked


def chain_of(*components: int, event: str = "x") -> Chain:
    steps = tuple(Step(component, ()) for component in components)
    return Chain(event, 0, steps, revisits=len(set(components)) < len(components))


def route(chain: Chain) -> list[Any]:
    """Return the steps' components, and between them those of the taps, in brackets."""
    assert chain.taps is not None
    assert len(chain.taps) == len(chain.steps) + 1
    found: list[Any] = []
    for number, taps in enumerate(chain.taps):
        found += [[tap.component] for tap in taps]
        found += [step.component for step in chain.steps[number : number + 1]]
    return found


@pytest.mark.parametrize(
    ("components", "expected", "revisits"),
    [
        ([9, 1, 2], [[9], 1, 2], False),
        ([1, 9, 2], [1, [9], 2], False),
        ([1, 2, 9], [1, 2, [9]], False),
        ([1, 9, 8, 2], [1, [9], [8], 2], False),
        ([9, 1, 9], [[9], 1, [9]], False),
        ([1, 9, 1], [1, [9], 1], True),
        ([9], [[9]], False),
        ([9, 8], [[9], [8]], False),
    ],
)
def test_a_chain_has_taps_where_best_effort_components_would_be(
    components: list[int],
    expected: list[Any],
    revisits: bool,  # noqa: FBT001
) -> None:
    chain = chain_of(*components)
    taps = pass_by(chain, {9: 10, 8: 10}, 0)
    assert route(chain) == expected
    assert chain.revisits is revisits
    assert [step.component for step in chain.all_steps()] == components
    assert len({tap.chain.steps[0].order for tap in taps}) == len(taps)


def test_a_chain_without_such_components_does_not_change() -> None:
    chain = chain_of(1, 2)
    before = dataclasses.astuple(chain)
    assert pass_by(chain, {9: 10}, 0) == []
    assert dataclasses.astuple(chain) == before
    assert chain.taps is None


def tap_of(limit: int = 10) -> Tap:
    (tap,) = pass_by(chain_of(1, 9), {9: limit}, 0)
    return tap


def batch_of(*items: Any, control: bool = False) -> Batch:
    return Batch(chain_of(1), 1, (0,), list(items), len(items), on_control_lane=control)


def handled(copy: Batch, *answers: Any, dead: int = 0, left: int = 0, stopped: int = 0) -> Batch:
    copy.items, copy.dead, copy.left, copy.stopped = list(answers), dead, left, stopped
    return copy


def test_the_component_gets_a_copy_of_what_it_has_room_for_and_loses_the_rest() -> None:
    tap, batch = tap_of(limit=3), batch_of("a", "b")
    first = tap.offer(batch)
    second = tap.offer(batch_of("c", "d", "e"))
    assert first is not None
    assert second is not None
    assert (first.items, second.items) == (["a", "b"], ["c"])
    assert (first.tickets, second.tickets) == ((0,), (1,))
    assert first.items is not batch.items
    assert batch.items == ["a", "b"]
    assert tap.offer(batch_of("f")) is None
    assert tap.counts() == BestEffortCounts(offered=6, lost=3)
    assert tap.counts().pending == 3
    assert not tap.end(handled(first, "a", "b"))
    third = tap.offer(batch_of("g", "h", "i"))
    assert third is not None
    assert (third.items, third.tickets) == (["g", "h"], (2,))


def test_an_empty_batch_is_not_offered() -> None:
    tap = tap_of()
    assert tap.offer(batch_of()) is None
    assert tap.counts() == BestEffortCounts()


def test_each_end_of_an_event_is_counted() -> None:
    tap = tap_of()
    copy = tap.offer(batch_of(*range(10)))
    assert copy is not None
    tap.end(handled(copy, 1, 2, 3, dead=2, left=1, stopped=4))
    assert tap.counts() == BestEffortCounts(10, handled=7, failed=2, left=1)
    assert tap.counts().pending == 0
    assert copy.items == []


def test_a_copy_has_the_args_without_their_tokens() -> None:
    tap, token = tap_of(), Token(0, 1, print, None, 0.0)
    batch = batch_of(Tracked("a", token), "b")
    batch.tracked = True
    copy = tap.offer(batch)
    assert copy is not None
    assert (copy.items, copy.tracked) == (["a", "b"], False)
    assert isinstance(batch.items[0], Tracked)


def test_a_priority_event_needs_no_ticket() -> None:
    tap = tap_of()
    urgent, plain = tap.offer(batch_of("a", control=True)), tap.offer(batch_of("b"))
    assert urgent is not None
    assert plain is not None
    assert (urgent.on_control_lane, urgent.tickets, plain.tickets) == (True, (), (0,))


@pytest.mark.parametrize(
    ("answers", "stopped", "expected"),
    [
        (("a", "b"), 0, False),
        (("a",), 1, True),
        (("a", "B"), 0, True),
    ],
)
def test_an_answer_that_is_ignored_is_noticed_once(
    answers: tuple[str, ...],
    stopped: int,
    expected: bool,  # noqa: FBT001
) -> None:
    tap = tap_of()
    for first in (True, False):
        copy = tap.offer(batch_of("a", "b"))
        assert copy is not None
        assert tap.end(handled(copy, *answers, stopped=stopped)) is (expected and first)


def test_a_dead_letter_is_no_answer() -> None:
    tap = tap_of()
    copy = tap.offer(batch_of("a", "b"))
    assert copy is not None
    assert not tap.end(handled(copy, "b", dead=1))


# --- what starts ------------------------------------------------------------------------------


def passing(*best_effort: int, limit: int = 1000, **wiring: list[int]) -> DispatchDriver:
    driver = DispatchDriver(**wiring)  # type: ignore[arg-type]
    driver.state.pass_by(dict.fromkeys(best_effort, limit))
    return driver


def copies(driver: DispatchDriver) -> list[tuple[int, list[Any]]]:
    found = [(component, copy.items) for component, copy in driver.state.copies]
    driver.state.copies.clear()
    return found


def test_events_start_at_the_first_component_that_is_none_and_draw_its_tickets_alone() -> None:
    driver = passing(0, 2, x=[0, 1, 2])
    for number in range(3):
        driver.add("x", number)
    (batch,) = driver.admit()
    assert [step.component for step in batch.chain.steps] == [1]
    assert batch.tickets == (0,)
    assert copies(driver) == [(0, [0, 1, 2])]
    driver.finish(batch)
    assert driver.counts("x") == Counts(3, 3)


def test_a_lone_event_of_an_idle_daemon_is_offered_too() -> None:
    driver = passing(0, x=[0, 1])
    chain_state = driver.state.chain_states["x"]
    arriving = Scheduled(driver.state, QueuePosition.BACK, "x", "a", 0.0, "p", chain_state)
    (batch,) = driver.state.admit(arriving)
    assert batch.items == ["a"]
    assert copies(driver) == [(0, ["a"])]


def test_an_event_that_has_only_such_components_is_completed_at_once() -> None:
    driver = passing(0, 1, x=[0, 1], y=[2])
    for number in range(2):
        driver.add("x", number)
    driver.add("x", 2, position=QueuePosition.PRIORITY)
    assert driver.admit() == []
    assert copies(driver) == [(0, [2]), (1, [2]), (0, [0, 1]), (1, [0, 1])]
    assert driver.counts("x").in_flight == 3
    assert len(driver.state.passed) == 2
    while driver.state.passed:
        driver.state.complete(driver.state.passed.popleft())
    assert driver.counts("x") == Counts(3, 3)
    assert not driver.state.drained()  # the copies are not handled
    assert not driver.state.idle()


def test_many_of_them_are_bounded_by_the_window_like_all_others() -> None:
    driver = passing(0, x=[0])
    for number in range(40):
        driver.add("x", number)
    rounds = []
    while driver.admit() == [] and driver.state.passed:
        rounds.append(driver.state.in_flight())
        while driver.state.passed:
            driver.state.complete(driver.state.passed.popleft())
    assert len(rounds) > 1
    assert max(rounds) <= 32
    assert driver.counts("x") == Counts(40, 40)


def test_tokens_of_events_that_have_only_such_components_end_well() -> None:
    driver = passing(0, x=[0])
    token = Token(2, 1, print, None, 0.0)
    scheduled = Scheduled(driver.state, QueuePosition.BACK, "x", "a", 0.0, "p", token=token)
    driver.state.accept(scheduled)
    assert driver.admit() == []
    (batch,) = driver.state.passed
    assert batch.done == [token]
    driver.state.complete(batch)
    assert driver.state.tokens.finished == [token]
    assert token.outcome is TokenOutcome.DONE


def test_control_events_and_start_visit_such_components_as_all_others() -> None:
    chains = build_chains(
        [("c", [{"event": event, "callback": print} for event in ("start", "stop", "x")])]
    )
    state = DispatchState(chains)
    state.pass_by({0: 10})
    assert [event for event, chain in chains.items() if chain.taps is not None] == ["x"]


# --- in the middle of a chain -----------------------------------------------------------------


def test_a_runner_offers_what_it_sends_on() -> None:
    def stop_at_two(_daemon: Any, args: Any) -> Any:
        return (FLAG_STOP, args) if args == 2 else None

    driver = RunnerDriver(stop_at_two, steps=3)
    taps = pass_by(driver.chain, {1: 2}, 0)
    driver.runner.arrive(driver.batch(1, 2, 3, 4))
    driver.work()
    (copy_to, copy), (onward_to, onward) = driver.sink.forwarded
    assert (copy_to, copy.items, copy.chain) == (1, [1, 3], taps[0].chain)
    assert (onward_to, onward.items, onward.step) == (2, [1, 3, 4], 1)
    assert taps[0].counts() == BestEffortCounts(offered=3, lost=1)


def test_a_runner_offers_what_it_reports() -> None:
    driver = RunnerDriver(lambda *_: None, steps=2)
    pass_by(driver.chain, {1: 10}, 0)
    assert driver.run(1, 2).items == [1, 2]
    ((component, copy),) = driver.sink.forwarded
    assert (component, copy.items) == (1, [1, 2])
