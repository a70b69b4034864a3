"""Random programs with best-effort components: the others' calls are those without them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.programs import ORDERINGS, outside_events, programs, random_program
from tests.core.replay import Program, replay
from tests.testing.test_ordering import EXAMPLES, SEEDS, UNIT, ProgramRun
from zenactors.core.best_effort import Tap
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, Handler
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.dispatch_state import DispatchState, Ordering
from zenactors.core.supervision import Retry, Supervision
from zenactors.errors import RestartComponent


class Onlooker(ZenDaemonComponent):
    """A best-effort component that is slow, fails, and answers what it must not."""

    def __init__(
        self,
        name: str,
        events: list[str],
        seed: int,
        seen: dict[tuple[str, Any], None],
        *,
        prepend: bool,
    ) -> None:
        rng = Random(f"{seed} {name}")
        policy = Supervision(
            best_effort=True,
            best_effort_limit=rng.choice([1, 3, 10, 1000]),
            on_error=rng.choice(["dead-letter", "restart"]),
            retry=rng.choice([None, Retry(attempts=2, delay=UNIT)]),
            max_restarts=1_000_000,
            delay=UNIT,
            max_delay=UNIT,
        )
        super().__init__(name=name, supervision=policy)
        self.seen = seen  # by all its incarnations, in this order
        self._events = events
        self._prepend = prepend
        self._slow = rng.choice([0.0, 0.2, 1.0])

    def get_events(self) -> list[Handler]:
        return [
            self.gen_event_handler(event, self._see(event), self._prepend) for event in self._events
        ]

    def _see(self, event: str) -> Any:
        def cbk(daemon: Any, args: Any) -> Any:
            rng = Random(f"{event} {args}")
            self.seen.setdefault((event, args))  # it may be tried again
            if rng.random() < self._slow:
                daemon.wait(rng.randrange(4) * UNIT)
            match rng.randrange(12):
                case 0:
                    raise ValueError("an onlooker fails")
                case 1:
                    raise RestartComponent("an onlooker")
                case 2:
                    return FLAG_STOP, args
                case 3:
                    return FLAG_CONTINUE, "changed"
                case _:
                    return None

        return cbk


class Onlookers:
    """Some of them, around the components of a program and between them."""

    def __init__(self, program: Program, seed: int) -> None:
        events = program.events()
        self.first = Onlooker("first", events, seed, {}, prepend=True)
        self.last = Onlooker("last", events, seed, {}, prepend=False)
        self.between = [
            Onlooker(f"between {number}", some_of(events, seed + number), seed, {}, prepend=False)
            for number in range(2)
        ]

    def place(self, players: list[Any]) -> list[Any]:
        placed = list(players)
        for onlooker in self.between:
            placed.insert(len(placed) // 2, onlooker)
        return [*placed, self.last, self.first]  # what is prepended last comes first

    def check(self, run: ProgramRun) -> None:
        """Compare what they saw with what has passed them, and with the books."""
        passed_first = [(event, args) for event, batch in run.log for args in batch]
        passed_last = replay(run.program, run.log).completed
        books = run.harness.accounting()
        assert books.is_balanced, books.imbalance()
        for onlooker in (self.first, self.last, *self.between):
            counts = books.best_effort[onlooker.name]
            assert counts.pending == counts.left == 0, (onlooker.name, counts)
            got = counts.handled + counts.failed
            assert len(onlooker.seen) == got, (onlooker.name, counts)
            assert books.components[onlooker.name].handled == got, (onlooker.name, counts)
            assert books.components[onlooker.name].failed == counts.failed
        lost = sum(each.lost for each in books.best_effort.values())
        assert books.total.lost == lost
        for onlooker, passed in ((self.first, passed_first), (self.last, passed_last)):
            counts = books.best_effort[onlooker.name]
            assert counts.offered == len(passed), (onlooker.name, counts)
            for event in run.program.events():
                mine = [args for name, args in onlooker.seen if name == event]
                theirs = [args for name, args in passed if name == event]
                assert is_part_of(mine, theirs), (onlooker.name, event)
            if counts.lost == 0:
                assert sorted(map(str, onlooker.seen)) == sorted(map(str, passed))


def some_of(events: list[str], seed: int) -> list[str]:
    rng = Random(seed)
    return rng.sample(events, rng.randrange(len(events) + 1)) or events[:1]


def is_part_of(mine: list[Any], theirs: list[Any]) -> bool:
    """Return True if `mine` is `theirs` without some of them, in the same order."""
    rest = iter(theirs)
    return all(any(each == other for other in rest) for each in mine)


def run_with_onlookers(program: Program, ordering: Ordering, seed: int) -> None:
    onlookers = Onlookers(program, seed)
    outside = outside_events(program, Random(seed), urgent=0.05)
    run = ProgramRun(program, ordering, seed, outside, others=onlookers.place)
    try:
        run.run()
        run.compare()
        onlookers.check(run)
    finally:
        run.harness.close()


@pytest.mark.parametrize("ordering", ORDERINGS)
@settings(max_examples=EXAMPLES)
@given(data=st.data(), seed=SEEDS)
def test_the_calls_of_the_others_equal_their_replay_without_the_onlookers(
    ordering: Ordering, data: st.DataObject, seed: int
) -> None:
    run_with_onlookers(data.draw(programs(by_event=ordering == "event")), ordering, seed)


@pytest.mark.slow
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_many_of_these_runs_equal_their_replay(ordering: Ordering) -> None:
    for seed in range(2_000):
        rng = Random(seed)
        run_with_onlookers(random_program(rng, by_event=ordering == "event"), ordering, seed)


def run_some() -> None:
    for seed in range(20):
        run_with_onlookers(random_program(Random(seed)), "component", seed)


def test_a_copy_that_is_lost_without_being_counted_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer = Tap.offer

    def losing(self: Tap, batch: Any) -> Any:
        copy = offer(self, batch)
        if copy is not None and len(copy.items) > 1:
            copy.items.pop()
            copy.size -= 1
        return copy

    monkeypatch.setattr(Tap, "offer", losing)
    with pytest.raises(AssertionError):
        run_some()


def test_copies_in_a_wrong_order_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pass_first = DispatchState._pass_first

    def reversing(self: DispatchState, batches: list[Any]) -> list[Any]:
        onward = pass_first(self, batches)
        for _, copy in self.copies:
            copy.items.reverse()
        return onward

    monkeypatch.setattr(DispatchState, "_pass_first", reversing)
    with pytest.raises(AssertionError, match="first"):
        run_some()
