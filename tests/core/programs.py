"""Random programs for the engine, and the comparison of its calls with a replay."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.core.replay import URGENT, Call, Program, Run, Tag, mismatch, out_of_fifo, replay
from zenactors.core import batch_runner as runner_module
from zenactors.core import chain_state as chain_state_module
from zenactors.core.accounting import Counts
from zenactors.core.chain_state import ChainState
from zenactors.core.dispatch_state import DispatchState, Ordering
from zenactors.core.messages import Batch

ORDERINGS: list[Ordering] = ["global", "component", "event"]

# A program in which faults show: every component mixes its state with the args.
FAULTY = Program(
    (
        (("x", False), ("y", False), ("z", True)),
        (("x", False), ("x", True), ("z", False)),
        (("y", False), ("x", False), ("z", False)),
    ),
    stops=15,
    children=30,
)


@contextlib.contextmanager
def tuned(
    *, window: int | None = None, stride: int | None = None, split_after: float | None = None
) -> Iterator[None]:
    """Force tiny windows, short strides and early pieces."""
    with pytest.MonkeyPatch.context() as patch:
        if window is not None:
            patch.setattr(chain_state_module, "MIN_WINDOW", window)
            patch.setattr(chain_state_module, "MAX_WINDOW", max(window, 8))
        if stride is not None:
            patch.setattr(runner_module, "MAX_STRIDE", stride)
        if split_after is not None:
            patch.setattr(runner_module, "SPLIT_AFTER", split_after)
        yield


_HANDLERS = st.lists(
    st.tuples(st.sampled_from("xyz"), st.sampled_from([False, False, True])), max_size=4
).map(tuple)


def programs(*, ways: tuple[str, ...] = ("back", "next", "after"), by_event: bool = False) -> Any:
    """Return the strategy for programs: up to 4 components, repeats (A, B, A) included."""
    return st.builds(
        Program,
        handlers=st.lists(_HANDLERS, min_size=1, max_size=4).map(tuple).filter(any),
        stops=st.sampled_from([0, 5, 40]),
        fails=st.sampled_from([0, 5, 30]),
        children=st.sampled_from([0, 10, 40]),
        ways=st.just(ways),
        by_event=st.just(by_event),
    )


def outside_events(
    program: Program,
    rng: random.Random,
    *,
    producers: int = 3,
    each: int = 20,
    ways: tuple[str, ...] = ("back", "back", "back", "next", "after", "at"),
    urgent: float = 0.05,
) -> dict[str, list[tuple[str, Tag]]]:
    """Return the events that some threads outside schedule."""
    events = program.events()
    outside: dict[str, list[tuple[str, Tag]]] = {}
    for producer in range(rng.randint(1, producers)):
        name = f"p{producer}"
        outside[name] = [
            (rng.choice(events), Tag(name, rng.choice(ways), number, 0, number))
            for number in range(rng.randint(0, each))
        ]
        for number in range(each):
            if rng.random() < urgent:
                index = rng.randint(0, len(outside[name]))
                tag = Tag(name, "priority", number, 0, 0)
                outside[name].insert(index, (URGENT, tag))
    return outside


def random_program(rng: random.Random, *, by_event: bool = False, **options: Any) -> Program:
    """Return a program with 2 to 5 components and at least one handler each."""
    handlers = tuple(
        tuple((rng.choice("xyz"), rng.random() < 0.3) for _ in range(rng.randint(1, 4)))
        for _ in range(rng.randint(2, 5))
    )
    return Program(handlers, by_event=by_event, **options)


def first_events(program: Program, rng: random.Random, count: int) -> list[tuple[str, Tag]]:
    events = program.events()
    return [(rng.choice(events), Tag("p", "back", n, 0, n)) for n in range(count)]


def compare(
    program: Program,
    ordering: Ordering,
    log: list[tuple[str, list[Tag]]],
    calls: list[Call],
    *,
    given_from_outside: list[tuple[str, Tag]],
    withdrawn: list[Tag],
    counts: dict[str, Counts],
) -> None:
    """Assert that calls and counts agree with the log, and the log with the input."""
    expected = replay(program, log)
    difference = mismatch(calls, expected.calls, ordering)
    assert not difference, difference
    assert not out_of_fifo(program, log)
    children = [pair for family in expected.children for pair in family]
    _assert_all_were_started_once(log, [*given_from_outside, *children], withdrawn)
    _assert_counts(expected, counts)


def _assert_all_were_started_once(
    log: list[tuple[str, list[Tag]]], scheduled: list[tuple[str, Tag]], withdrawn: list[Tag]
) -> None:
    started = Counter((event, args) for event, batch in log for args in batch)
    wanted = Counter(pair for pair in scheduled if pair[0] != URGENT)
    for pair in list(wanted):
        if pair[1] in withdrawn:
            del wanted[pair]
    assert started == wanted


def _assert_counts(expected: Run, counts: dict[str, Counts]) -> None:
    for event, each in counts.items():
        if event != URGENT:
            ends = tuple(expected.ends[event, end] for end in ("completed", "stopped", "dead"))
            assert (each.completed, each.stopped, each.dead) == ends
            assert (each.accepted - each.cancelled, each.pending) == (sum(ends), 0)


def swap_pieces(monkeypatch: pytest.MonkeyPatch, sink: Any) -> None:
    """Let the second piece of a batch overtake the first, if there is a third."""
    forward: Callable[[Any, int, Batch], None] = sink.forward
    held: dict[tuple[Any, ...], Batch] = {}

    def swapped(self: Any, component: int, batch: Batch) -> None:
        key = (id(self), batch.chain.event, batch.step, batch.tickets)
        first = held.pop(key, None)
        if first is None and not batch.last:
            held[key] = batch
            return
        batches = [batch] if first is None else [first, batch] if batch.last else [batch, first]
        for each in batches:
            forward(self, component, each)

    monkeypatch.setattr(sink, "forward", swapped)


def drop_empty_batches(monkeypatch: pytest.MonkeyPatch, sink: Any) -> None:
    """Lose the batches that travel on empty."""
    forward: Callable[[Any, int, Batch], None] = sink.forward

    def dropping(self: Any, component: int, batch: Batch) -> None:
        if batch.items or not batch.last:
            forward(self, component, batch)

    monkeypatch.setattr(sink, "forward", dropping)


def log_starts(state: DispatchState) -> list[tuple[Any, list[Any]]]:
    """Let a state note each batch that it starts, `(event, args)`; return the list."""
    log: list[tuple[Any, list[Any]]] = []

    class Logged(type(state)):  # type: ignore[misc]
        def _start(self, chain_state: ChainState, items: list[Any]) -> Batch:
            batch: Batch = super()._start(chain_state, items)
            log.append((chain_state.chain.event, list(items)))
            self.entries[id(batch)] = batch, log[-1][1]
            return batch

        def _join(
            self, chain_state: ChainState, items: list[Any], latest: dict[int, Batch]
        ) -> bool:
            joined: bool = super()._join(chain_state, items, latest)
            if joined:
                batch = latest[chain_state.components[0]]
                self.entries[id(batch)][1].extend(items)
            return joined

    state.__class__ = Logged
    state.entries = {}  # type: ignore[attr-defined] # by identity, with the batch, to keep it
    return log
