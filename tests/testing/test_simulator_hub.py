from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.core.clock import VirtualClock
from zenactors.testing import EndlessMotionError, NothingMovesError
from zenactors.testing._simulator import hub
from zenactors.testing._simulator.hub import MAX_LATE, OUTSIDE, Hub


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def quiet(clock: VirtualClock) -> Iterator[Hub]:
    made = Hub(clock, None)
    yield made
    made.close()


def loop(hub: Hub, log: list[str], name: str, count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            log.append(name)
            hub.give_way()

    return run


def run_all(hub: Hub) -> None:
    while hub.step():
        pass


# --- who moves next -----------------------------------------------------------------------------


def test_without_a_seed_all_take_turns(quiet: Hub) -> None:
    log: list[str] = []
    for name in "abc":
        quiet.spawn(name, loop(quiet, log, name, 3))
    run_all(quiet)
    assert "".join(log) == "abcabcabc"


def test_with_a_seed_all_tasks_move_in_the_end_and_no_order_is_preferred(
    clock: VirtualClock,
) -> None:
    first: Counter[str] = Counter()
    for seed in range(300):
        hub = Hub(clock, random.Random(seed))
        log: list[str] = []
        for name in "abc":
            hub.spawn(name, loop(hub, log, name, 3))
        run_all(hub)
        assert sorted(log) == sorted("abc" * 3)
        first[log[0]] += 1
    assert min(first.values()) > 60


def test_each_running_task_has_an_identity_of_its_own(quiet: Hub) -> None:
    seen = [quiet.ident()]
    for _ in range(2):
        quiet.spawn("task", lambda: seen.append(quiet.ident()))
    run_all(quiet)
    assert seen[0] == OUTSIDE
    assert len(set(seen)) == 3


def test_what_a_task_raises_is_raised_by_who_lets_it_move(quiet: Hub) -> None:
    def fail() -> None:
        raise LookupError("not here")

    quiet.spawn("task", fail)
    with pytest.raises(LookupError, match="not here"):
        run_all(quiet)
    assert quiet.waiting() == []
    assert not quiet.step()


# --- time ---------------------------------------------------------------------------------------


def test_two_that_wait_at_the_same_time_end_each_at_its_own(
    quiet: Hub, clock: VirtualClock
) -> None:
    begin, ends = clock.monotonic(), {}

    def wait(seconds: float) -> None:
        quiet.wait(lambda: False, seconds)
        ends[seconds] = clock.monotonic() - begin

    for seconds in (10.0, 5.0):
        quiet.spawn("sleeper", lambda seconds=seconds: wait(seconds))  # type: ignore[misc]
    quiet.wait(lambda: len(ends) == 2)
    assert ends == {5.0: 5.0, 10.0: 10.0}


def test_a_wait_ends_with_its_fact_and_not_later(quiet: Hub, clock: VirtualClock) -> None:
    facts: list[float] = []

    def come_true() -> None:
        quiet.wait(lambda: False, 3.0)
        facts.append(clock.monotonic())

    quiet.spawn("task", come_true)
    quiet.wait(lambda: facts, 60.0)
    assert facts == [clock.monotonic()]


def test_a_wait_from_outside_ends_with_its_time(quiet: Hub, clock: VirtualClock) -> None:
    begin = clock.monotonic()
    quiet.wait(lambda: False, 7.0)
    assert clock.monotonic() == begin + 7.0


def test_what_cannot_come_true_any_more_is_told(quiet: Hub) -> None:
    quiet.spawn("waiter", lambda: quiet.wait(lambda: False))
    with pytest.raises(NothingMovesError):
        quiet.wait(lambda: False)


def test_a_loop_without_end_is_told_with_its_name(
    quiet: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MAX_MOVES", 100)

    def for_ever() -> None:
        while True:
            quiet.give_way()

    quiet.spawn("squirrel", for_ever)
    with pytest.raises(EndlessMotionError, match="squirrel"):
        run_all(quiet)


def test_moves_count_as_endless_only_while_no_time_passes(
    quiet: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MAX_MOVES", 10)
    ticks: list[int] = []

    def tick() -> None:
        for number in range(50):
            quiet.wait(lambda: False, 1.0)
            ticks.append(number)

    quiet.spawn("clock", tick)
    quiet.wait(lambda: len(ticks) == 50)
    assert len(ticks) == 50


# A task's steps: give way, wait for some time, make a fact true, wait for one with a limit.
_STEPS = st.one_of(
    st.just(("give",)),
    st.tuples(st.just("sleep"), st.integers(0, 3)),
    st.tuples(st.just("signal"), st.integers(0, 2)),
    st.tuples(st.just("await"), st.integers(0, 2), st.one_of(st.none(), st.integers(0, 3))),
)


@given(
    programs=st.lists(st.lists(_STEPS, max_size=6), min_size=1, max_size=5),
    seed=st.one_of(st.none(), st.integers(0, 2**32)),
)
def test_time_passes_only_when_no_task_can_move_and_never_past_a_deadline(
    programs: list[list[Any]], seed: int | None
) -> None:
    clock = VirtualClock()
    hub = Hub(clock, None if seed is None else random.Random(seed))
    late = 0.0 if seed is None else MAX_LATE
    signalled: Counter[int] = Counter()
    waits: dict[int, tuple[Callable[[], object], float | None]] = {}

    def wait(me: int, predicate: Callable[[], object], seconds: float | None) -> None:
        begin = clock.monotonic()
        waits[me] = predicate, None if seconds is None else begin + seconds
        hub.wait(predicate, seconds)
        del waits[me]
        assert predicate() or (seconds is not None and clock.monotonic() >= begin + seconds)

    def run(me: int, program: list[Any]) -> None:
        for what, *args in program:
            match what:
                case "give":
                    wait(me, lambda: True, None)
                case "sleep":
                    wait(me, lambda: False, args[0])
                case "signal":
                    signalled[args[0]] += 1
                case _:
                    wait(me, lambda predicate=args[0]: signalled[predicate], args[1])  # type: ignore[misc]

    def passed(seconds: float) -> None:
        now = clock.monotonic()
        assert seconds > 0
        for me in range(len(programs)):
            if not tasks[me].done:
                predicate, due = waits[me]  # otherwise a task had not begun
                assert not predicate()
                assert due is None or due > now
        first = min([end, *(due for _, due in waits.values() if due is not None)])
        assert first <= now + seconds <= min(first + late, end)

    hub.passed = passed
    tasks = [
        hub.spawn("task", lambda me=me, program=program: run(me, program))  # type: ignore[misc]
        for me, program in enumerate(programs)
    ]
    end = clock.monotonic() + 50.0
    hub.wait(lambda: all(task.done for task in tasks), 50.0)
    for me, (_, due) in waits.items():
        assert not tasks[me].done
        assert due is None  # only endless waits for facts that never come are left
    hub.close()


# --- the end ------------------------------------------------------------------------------------


def test_who_is_abandoned_releases_what_it_holds(quiet: Hub) -> None:
    released: list[str] = []

    def hold() -> None:
        try:
            quiet.wait(lambda: False)
        finally:
            released.append("held")

    def never_begun() -> None:
        released.append("ran")

    quiet.spawn("holder", hold)
    quiet.step()
    quiet.spawn("late", never_begun)
    quiet.close()
    assert released == ["held"]
    assert quiet.waiting() == []


def test_who_is_abandoned_may_not_wait_again(quiet: Hub) -> None:
    log: list[str] = []

    def stubborn() -> None:
        try:
            quiet.wait(lambda: False)
        finally:
            log.append("going")
            quiet.wait(lambda: False, 1.0)  # a teardown that waits when nothing moves
            log.append("never")

    task = quiet.spawn("stubborn", stubborn)
    quiet.step()
    quiet.close()
    assert log == ["going"]
    assert task.done
    assert task.failure is None


def test_an_abandoned_task_that_starts_over_is_ended_all_the_same(quiet: Hub) -> None:
    def again() -> None:
        for _ in range(3):
            try:
                quiet.wait(lambda: False)
            except BaseException:  # like a loop that must not end
                continue

    task = quiet.spawn("again", again)
    quiet.step()
    quiet.close()
    assert task.done


def test_after_a_death_no_task_moves_any_more() -> None:
    hub = Hub(VirtualClock(), None)
    moved: list[str] = []
    death = KeyError("dead")

    def die() -> None:
        try:
            hub.die(death)
        finally:
            moved.append("cleared away")

    def live_on() -> None:
        hub.give_way()
        moved.append("moved")

    hub.spawn("other", live_on)
    hub.spawn("dying", die)
    for _ in range(2):
        with pytest.raises(KeyError, match="dead"):
            hub.wait(lambda: False, 1.0)
        assert moved == []
    hub.close()
    assert moved == ["cleared away"]


def test_outside_itself_can_die() -> None:
    hub = Hub(VirtualClock(), None)
    with pytest.raises(KeyError, match="dead"):
        hub.die(KeyError("dead"))
