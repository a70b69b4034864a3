"""Ordering under the harness: the components' calls equal a replay of the dispatcher's log."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.programs import (
    FAULTY,
    ORDERINGS,
    compare,
    drop_empty_batches,
    first_events,
    log_starts,
    outside_events,
    programs,
    random_program,
    swap_pieces,
)
from tests.core.replay import Call, Player, Program, Tag, mismatch, replay, run_as_pyzenkit
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.engine import Engine
from zenactors.core.accounting import Counts
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.dispatch_state import DispatchState, Ordering
from zenactors.core.messages import NEW, Batch, OpenRun, Scheduled, ScheduledEvents, Sent
from zenactors.testing import Harness

SEEDS = st.integers(0, 2**32)
EXAMPLES = 30  # the slow tests run thousands
UNIT = 0.001  # seconds of delay per unit of a program
MAX_STEPS = 100_000

Check = Callable[[], None]


class ProgramRun:
    """A program under the harness, with producers outside.

    Args:
        program: The program.
        ordering: As for `Dispatcher`.
        seed: Chooses the task that moves next, the producers' calls, and the waits.
        outside: The events that threads outside schedule meanwhile.
        interrupt: The probability that a callback is interrupted.
        others: Returns all components, given the program's: those between them, and around them.
    """

    def __init__(
        self,
        program: Program,
        ordering: Ordering,
        seed: int,
        outside: dict[str, list[tuple[str, Tag]]],
        *,
        interrupt: float = 0.1,
        others: Callable[[list[Any]], list[Any]] = list,
    ) -> None:
        self.program = program
        self.ordering = ordering
        self.outside = outside
        self.calls: list[Call] = []
        self.withdrawn: list[Tag] = []
        self._seed = seed
        players = [
            Player(program, index, self.calls, pause=self._pause, unit=UNIT)
            for index in range(len(program.handlers))
        ]
        self.harness = Harness(others(players), seed=seed, ordering=ordering, interrupt=interrupt)
        self.engine: Engine = self.harness._dispatcher._engine
        self.state: DispatchState = self.engine.state
        self.log: list[tuple[str, list[Tag]]] = log_starts(self.state)

    def run(self, *, check: Check | None = None) -> None:
        """Let tasks move until none can. Fail if something is left undone then."""
        harness = self.harness
        harness.start()
        producers = [
            harness.spawn(lambda who=who, events=events: self._produce(who, events), who)  # type: ignore[misc]
            for who, events in self.outside.items()
        ]
        for _ in range(MAX_STEPS):
            if harness.step():
                if check is not None:
                    check()
            elif not harness._hub.pass_time(None):
                break
        else:
            pytest.fail("the program does not end")
        assert all(producer.done for producer in producers)
        assert self.state.drained(), f"undrained: {self.state.counts()}"
        assert self.state.idle()

    def compare(self) -> None:
        """Assert that the engine's work agrees with its log, its input and its counts."""
        compare(
            self.program,
            self.ordering,
            self.log,
            self.calls,
            given_from_outside=[pair for events in self.outside.values() for pair in events],
            withdrawn=self.withdrawn,
            counts=dict(self.state.counts()),
        )

    def _pause(self, digest: int) -> None:
        """Let some callbacks wait, while others move."""
        if digest % 5 == 0:
            self.harness.daemon.wait((digest >> 12) % 2 * UNIT)

    def _produce(self, who: str, events: list[tuple[str, Tag]]) -> None:
        rng = random.Random(f"{self._seed}:{who}")
        handles: list[Scheduled] = []
        for event, args in events:
            handles.append(self._schedule(rng, event, args))
            if rng.random() < 0.7:
                self.harness._hub.give_way()
            if rng.random() < 0.1:
                handle = handles.pop(rng.randrange(len(handles)))
                tag = handle.args
                if handle.cancel():
                    self.withdrawn.append(tag)
                assert not handle.cancel()

    def _schedule(self, rng: random.Random, event: str, args: Tag) -> Scheduled:
        queue, delay = self.harness.daemon.queue, rng.randrange(5) * UNIT
        match args.how:
            case "priority":
                return queue.schedule_priority(event, args)  # type: ignore[no-any-return]
            case "next":
                return queue.schedule_next(event, args)  # type: ignore[no-any-return]
            case "after":
                return queue.schedule_after(delay, event, args)  # type: ignore[no-any-return]
            case "at":
                return queue.schedule_at(self.harness.clock.time() + delay, event, args)  # type: ignore[no-any-return]
            case _:
                return queue.schedule(event, args)  # type: ignore[no-any-return]


def run_and_compare(
    program: Program, ordering: Ordering, seed: int, *, each: int = 20, urgent: float = 0.05
) -> ProgramRun:
    """Run a program, and compare it with its replay."""
    outside = outside_events(program, random.Random(seed), each=each, urgent=urgent)
    run = ProgramRun(program, ordering, seed, outside)
    try:
        run.run()
        run.compare()
    finally:
        run.harness.close()
    return run


# --- every run equals its replay -----------------------------------------------------------


@pytest.mark.parametrize("ordering", ORDERINGS)
@settings(max_examples=EXAMPLES)
@given(data=st.data(), seed=SEEDS)
def test_simulated_runs_equal_their_replay(
    ordering: Ordering, data: st.DataObject, seed: int
) -> None:
    run_and_compare(data.draw(programs(by_event=ordering == "event")), ordering, seed)


@pytest.mark.slow
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_many_simulated_runs_equal_their_replay(ordering: Ordering) -> None:
    for seed in range(3_000):
        rng = random.Random(seed)
        run_and_compare(random_program(rng, by_event=ordering == "event"), ordering, seed)


def run_and_compare_with_pyzenkit(program: Program, seed: int) -> None:
    queued = first_events(program, random.Random(seed), 30)
    run = ProgramRun(program, "global", seed, {})
    for event, args in queued:
        run.harness.daemon.queue.schedule(event, args)
    try:
        run.run()
    finally:
        run.harness.close()
    assert run.log == run_as_pyzenkit(program, queued)
    assert not mismatch(run.calls, replay(program, run.log).calls, "global")


@settings(max_examples=EXAMPLES)
@given(program=programs(ways=("back", "next")), seed=SEEDS)
def test_a_simulated_global_run_is_that_of_pyzenkit(program: Program, seed: int) -> None:
    run_and_compare_with_pyzenkit(program, seed)


@pytest.mark.slow
def test_many_simulated_global_runs_are_those_of_pyzenkit() -> None:
    for seed in range(1_000):
        program = random_program(random.Random(seed), ways=("back", "next"))
        run_and_compare_with_pyzenkit(program, seed)


@pytest.mark.parametrize("seed", [157331, 157461, 157574, 158397])
def test_a_question_from_outside_does_not_take_the_wake_up_for_a_timer(seed: int) -> None:
    program = Program(((), (("x", False),), ()), ways=("back", "next", "after"), by_event=False)
    run_and_compare(program, "global", seed)


# --- conservation ---------------------------------------------------------------------------


class EventCounter:
    """Count the events that are accepted and started, and find all batches."""

    def __init__(self, run: ProgramRun) -> None:
        self._engine = run.engine
        self._state = state = run.state
        self._accepted: Counter[Any] = Counter()
        self._started: Counter[Any] = Counter()
        self._cancelled: Counter[Any] = Counter()
        accept, accept_run = state.accept, state.accept_run
        admit, cancel = state.admit, state.cancel
        start, control = state._start, state._start_control
        join = state._join
        inside: set[Scheduled] = set()

        def counting_accept(scheduled: Scheduled) -> None:
            before = state.queue.count()
            accept(scheduled)
            if state.queue.count() > before:  # otherwise it was cancelled meanwhile
                inside.add(scheduled)
                self._accepted[scheduled.event] += 1

        def counting_run(run: OpenRun, limit: int) -> int:
            before = state.queue.count()
            taken = accept_run(run, limit)
            self._accepted[run.event] += state.queue.count() - before
            return taken

        def counting_admit(arriving: Scheduled | None = None) -> list[Batch]:
            is_new = arriving is not None and arriving.location is NEW
            batches = admit(arriving)
            if arriving is not None and is_new and arriving not in inside:  # past the queue
                self._accepted[arriving.event] += 1
            return batches

        def counting_cancel(scheduled: Scheduled) -> bool:
            is_inside = (
                scheduled.number < scheduled.run.taken
                if type(scheduled) is Sent
                else scheduled in inside
            )
            cancelled = cancel(scheduled)
            self._cancelled[scheduled.event] += cancelled
            self._accepted[scheduled.event] += cancelled and not is_inside
            return cancelled

        def counting_start(chain_state: Any, items: list[Any]) -> Batch:
            self._started[chain_state.chain.event] += len(items)
            return start(chain_state, items)

        def counting_join(chain_state: Any, items: list[Any], latest: dict[int, Batch]) -> bool:
            joined = join(chain_state, items, latest)
            self._started[chain_state.chain.event] += len(items) if joined else 0
            return joined

        def counting_control(chain_state: Any, args: Any) -> Batch:
            self._started[chain_state.chain.event] += 1
            return control(chain_state, args)

        state.accept = counting_accept  # type: ignore[method-assign]
        state.accept_run = counting_run  # type: ignore[method-assign]
        state.admit = counting_admit  # type: ignore[method-assign]
        state.cancel = counting_cancel  # type: ignore[method-assign]
        state._start = counting_start  # type: ignore[method-assign]
        state._join = counting_join  # type: ignore[method-assign]
        state._start_control = counting_control  # type: ignore[method-assign]

    def check(self) -> None:
        """Each accepted event has ended, was cancelled, waits, or is in flight, for each chain."""
        in_flight: Counter[Any] = Counter()
        for batch in self._batches():
            in_flight[batch.chain.event] += batch.size
        all_counts = dict(self._state.counts())
        for event, counts in all_counts.items():
            accepted = self._accepted[event]
            cancelled = self._cancelled[event]
            waiting = accepted - self._started[event] - cancelled
            done = counts.completed + counts.stopped + counts.dead + cancelled
            assert accepted == done + waiting + in_flight[event], (event, counts, in_flight)
            assert counts == Counts(
                accepted,
                counts.completed,
                counts.stopped,
                counts.dead,
                waiting,
                in_flight[event],
                cancelled=cancelled,
            )
        total = sum(all_counts.values(), Counts())
        assert total.in_flight == self._state.in_flight()
        assert total.waiting == self._state.queue.count()
        if self._state.drained():
            assert not any(in_flight.values())
            assert not any(isinstance(item, ScheduledEvents) for item in self._engine.loop._inbox)
            assert not any(runner.children for runner in self._engine.runners.values())

    def _batches(self) -> Iterator[Batch]:
        """Yield every batch, wherever it is."""
        for inbox in self._engine.mailboxes:
            waiting = [inbox._data.get_nowait() for _ in range(inbox._data.qsize())]
            for item in waiting:
                inbox._data.put(item)
            yield from (item for item in [*waiting, *inbox._control] if isinstance(item, Batch))
        yield from (item for item in self._engine.loop._inbox if isinstance(item, Batch))
        for runner in self._engine.runners.values():
            yield from runner._ready
            for early in runner._early.values():
                yield from early
            if runner._batch is not None:
                yield runner._batch


def run_and_count(program: Program, ordering: Ordering, seed: int) -> None:
    outside = outside_events(program, random.Random(seed), each=10, urgent=0.2)
    # While a control event's callback is interrupted, its batch is only on the callback's stack.
    run = ProgramRun(program, ordering, seed, outside, interrupt=0.0)
    counter = EventCounter(run)
    try:
        run.run(check=counter.check)
    finally:
        run.harness.close()


@pytest.mark.parametrize("ordering", ORDERINGS)
@settings(max_examples=EXAMPLES)
@given(data=st.data(), seed=SEEDS)
def test_no_event_is_ever_lost_or_counted_twice(
    ordering: Ordering, data: st.DataObject, seed: int
) -> None:
    run_and_count(data.draw(programs(by_event=ordering == "event")), ordering, seed)


@pytest.mark.slow
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_in_many_runs_no_event_is_lost_or_counted_twice(ordering: Ordering) -> None:
    for seed in range(1_000):
        rng = random.Random(seed)
        run_and_count(random_program(rng, by_event=ordering == "event"), ordering, seed)


def test_a_lost_event_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = DispatchLoop.forward

    def losing(self: DispatchLoop, component: int, batch: Batch) -> None:
        if len(batch.items) > 1:
            batch.items.pop()
            batch.size -= 1
        forward(self, component, batch)

    monkeypatch.setattr(DispatchLoop, "forward", losing)
    with pytest.raises(AssertionError, match=r"Counts\(accepted="):
        run_and_count(FAULTY, "component", 0)


# --- faults of the engine, planted --------------------------------------------------------------


def caught(fault: str, *, seeds: int = 30) -> str:
    """Run seeds until the comparison fails; return its message, or ""."""
    for seed in range(seeds):
        try:
            run_and_compare(FAULTY, "component", seed, each=60, urgent=0.0)
        except AssertionError as failure:
            lines = str(failure).splitlines()
            said = "\n".join(line for line in lines if not line.startswith("assert "))
            print(f"\n{fault} (seed {seed}):\n{said}")  # noqa: T201 - for -s
            return said
    return ""


@pytest.mark.parametrize("seeds", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_without_a_fault_nothing_is_caught(seeds: int) -> None:
    assert caught("no fault", seeds=seeds) == ""


def test_a_ticket_that_is_skipped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchRunner, "arrive", lambda self, batch: self._ready.append(batch))
    said = caught("a ticket skipped")
    assert "the engine ran" in said
    assert "the replay says" in said


def test_an_order_that_advances_before_the_last_part_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrive = BatchRunner.arrive

    def hasty(self: BatchRunner, batch: Batch) -> None:
        last, batch.last = batch.last, True
        arrive(self, batch)
        batch.last = last

    monkeypatch.setattr(BatchRunner, "arrive", hasty)
    assert caught("an order advanced too soon")


def test_parts_out_of_order_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    swap_pieces(monkeypatch, DispatchLoop)
    assert "the engine ran" in caught("parts out of order")


def test_a_dropped_empty_batch_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    drop_empty_batches(monkeypatch, DispatchLoop)
    assert "undrained" in caught("an empty batch dropped")


# --- variety ------------------------------------------------------------------------------------


def test_the_seeds_bring_small_windows_short_strides_and_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    windows: Counter[int] = Counter()
    strides: Counter[int] = Counter()
    early = batches = 0
    send_part, arrive = BatchRunner._send_done, BatchRunner.arrive

    def counting_batches(self: BatchRunner, batch: Batch) -> None:
        nonlocal batches
        batches += 1
        send_part(self, batch)

    def counting_early(self: BatchRunner, batch: Batch) -> None:
        nonlocal early
        before = len(self._early)
        arrive(self, batch)
        early += len(self._early) > before

    monkeypatch.setattr(BatchRunner, "_send_done", counting_batches)
    monkeypatch.setattr(BatchRunner, "arrive", counting_early)
    for seed in range(40):
        run = run_and_compare(FAULTY, "component", seed)
        for chain_state in run.state.chain_states.values():
            windows[chain_state.least_window] += 1
            strides.update(step.stride for step in chain_state.chain.steps)
    assert min(windows[size] for size in (1, 2, 3, 5, 16)) >= 5
    assert min(strides[size] for size in (1, 2, 4)) >= 5
    assert batches >= 20
    assert early >= 20
