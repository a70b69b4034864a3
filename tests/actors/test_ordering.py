"""Ordering on real threads: the components' calls equal a replay of the dispatcher's log.

Under the harness: tests/testing/test_ordering.py.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger

from tests.actors.fakes import Fake, ObservedNotifier, switch_interval
from tests.actors.producing import dawdle, schedule_as_tagged
from tests.core.programs import (
    FAULTY,
    ORDERINGS,
    compare,
    drop_empty_batches,
    first_events,
    log_starts,
    outside_events,
    random_program,
    swap_pieces,
    tuned,
)
from tests.core.replay import Call, Player, Program, Tag, mismatch, replay, run_as_pyzenkit
from tests.sweeps import seeds
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.mailbox import Mailbox
from zenactors.actors.runtime import Runtime, StateLock
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.chain import build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch_state import DispatchState, Ordering
from zenactors.core.messages import Batch, QueuePosition, Scheduled
from zenactors.core.phase import Phase

# --- real threads ---------------------------------------------------------------------------


@pytest.fixture
def hurried() -> Iterator[None]:
    """Let the interpreter switch threads a hundred times as often, and silence dead letters."""
    logger.disable("zenactors")
    with switch_interval(50e-6):
        yield
    logger.enable("zenactors")


class Production:
    """Threads outside that schedule events at the same time, and cancel some of them."""

    def __init__(self, dispatcher: Dispatcher, outside: dict[str, list[tuple[str, Tag]]]) -> None:
        self._dispatcher = dispatcher
        self._outside = outside
        self._barrier = threading.Barrier(max(1, len(outside)))
        self.withdrawn: list[Tag] = []
        self.failures: list[BaseException] = []

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._produce, args=(random.Random(name), events))
            for name, events in self._outside.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30.0)
            assert not thread.is_alive()
        assert not self.failures

    def _produce(self, rng: random.Random, events: list[tuple[str, Tag]]) -> None:
        try:
            self._barrier.wait(10.0)
            for event, args in events:
                handle = schedule_as_tagged(self._dispatcher.queue, rng, event, args)
                if rng.random() < 0.02 and handle.cancel():
                    self.withdrawn.append(args)
        except BaseException as cause:  # in a thread it would only be a warning
            self.failures.append(cause)


def run_and_compare(
    program: Program,
    ordering: Ordering,
    outside: dict[str, list[tuple[str, Tag]]],
    *,
    timeout: float = 30.0,
) -> list[tuple[str, list[Tag]]]:
    """Run a program on real threads, compare it with its replay, and return the log."""
    calls: list[Call] = []
    players = [
        Player(program, index, calls, pause=dawdle, unit=0.001)
        for index in range(len(program.handlers))
    ]
    dispatcher = Dispatcher(players, ordering=ordering)
    log = log_starts(dispatcher._engine.state)
    with dispatcher:
        production = Production(dispatcher, outside)
        production.run()
        assert dispatcher.wait_for_end(timeout), f"undrained: {dispatcher.counts()}"
        counts = dispatcher.counts()
    compare(
        program,
        ordering,
        log,
        calls,
        given_from_outside=[pair for events in outside.values() for pair in events],
        withdrawn=production.withdrawn,
        counts=counts,
    )
    return log


def run_random_program(ordering: Ordering, seed: int, *, each: int) -> None:
    rng = random.Random(seed)
    program = random_program(rng, by_event=ordering == "event", children=rng.choice([10, 40]))
    outside = outside_events(program, rng, producers=3, each=each, urgent=0.01)
    with tuned(
        window=rng.choice([None, None, 1, 3]),
        stride=rng.choice([None, 1, 2]),
        split_after=rng.choice([None, 0.0]),
    ):
        run_and_compare(program, ordering, outside)


@pytest.mark.usefixtures("hurried")
@seeds(2, soak=6)
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_runs_on_real_threads_equal_their_replay(ordering: Ordering, seed: int) -> None:
    run_random_program(ordering, seed, each=150 if ordering == "global" else 400)


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_long_runs_on_real_threads_equal_their_replay(ordering: Ordering) -> None:
    end = time.monotonic() + 40.0
    seed = 1_000
    while time.monotonic() < end:
        seed += 1
        run_random_program(ordering, seed, each=1_500)


# --- global -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("seed", range(3))
def test_a_global_run_on_real_threads_is_that_of_pyzenkit(seed: int) -> None:
    rng = random.Random(seed)
    program = random_program(rng, ways=("back", "next"), children=30)
    queued = first_events(program, rng, 150)
    calls: list[Call] = []
    players = [
        Player(program, index, calls, pause=dawdle, unit=0.001)
        for index in range(len(program.handlers))
    ]
    dispatcher = Dispatcher(players, ordering="global")
    log = log_starts(dispatcher._engine.state)
    for event, args in queued:
        dispatcher.queue.schedule(event, args)
    with dispatcher:
        assert dispatcher.drain(30.0)

    assert log == run_as_pyzenkit(program, queued)
    assert not mismatch(calls, replay(program, log).calls, "global")


@pytest.mark.usefixtures("hurried")
def test_in_global_an_event_scheduled_next_is_the_very_next() -> None:
    rng = random.Random(5)
    program = random_program(rng, ways=("next", "back"), children=40)
    outside = outside_events(program, rng, each=150, ways=("back",), urgent=0.0)
    log = run_and_compare(program, "global", outside)

    # The comparison has shown that it starts after the chain of its parent has ended.
    flat = [(event, args) for event, batch in log for args in batch]
    asked = 0
    for position, children in enumerate(replay(program, log).children):
        following = [pair for pair in children if pair[1].how == "next"]
        if following:
            asked += 1
            assert flat[position + 1] == following[-1]
    assert asked > 10


# --- faults of the engine, planted --------------------------------------------------------------


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("fault", ["ticket", "pieces", "empty batch"])
def test_the_faults_are_caught_on_real_threads_too(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "ticket":
        monkeypatch.setattr(BatchRunner, "arrive", lambda self, batch: self._ready.append(batch))
    elif fault == "pieces":
        swap_pieces(monkeypatch, DispatchLoop)
    else:
        drop_empty_batches(monkeypatch, DispatchLoop)
    for seed in range(20):
        outside = outside_events(FAULTY, random.Random(seed), each=300, urgent=0.0)
        with tuned(window=8, stride=1, split_after=0.0):
            try:
                run_and_compare(FAULTY, "component", outside, timeout=1.0)
            except AssertionError as failure:
                print(f"\n{fault}, on threads (seed {seed}):\n{str(failure)[:600]}")  # noqa: T201 - for -s
                return
    pytest.fail("not caught")


# --- batches stay together --------------------------------------------------------------------


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_one_producers_events_of_one_name_keep_their_order(ordering: Ordering) -> None:
    components = [Fake({"x": None}) for _ in range(3)]
    with Dispatcher(components, ordering=ordering) as dispatcher:
        for number in range(2_000):
            dispatcher.queue.schedule("x", number)
        assert dispatcher.drain(20.0)

    for component in components:
        assert component.seen == list(range(2_000))


# --- submissions that must not be overlooked --------------------------------------------------


class InterruptedLock:
    """A lock that makes a call when it is acquired, as if in another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.interrupt: Callable[[], None] | None = None

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002 - as threading's
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            interrupt()
        self._lock.release()

    def _is_owned(self) -> bool:
        return False


class LockingRuntime(Runtime):
    """Real threads, but with a lock of the test's."""

    def __init__(self, lock: InterruptedLock) -> None:
        super().__init__()
        self.lock_of_state = lock

    def state_lock(self) -> StateLock:
        return self.lock_of_state


class RecordingMailbox(Mailbox):
    """Keeps the batches that are delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered: list[Batch] = []

    def deliver(self, batch: Batch) -> None:
        self.delivered.append(batch)


class Listener:
    """Notes the failures of a loop."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []

    def loop_failed(self, cause: Exception) -> None:
        self.failures.append(cause)

    def component_skipped(self, event: Any, component: int) -> None:
        raise AssertionError(event, component)


@pytest.mark.parametrize(
    "position", [QueuePosition.BACK, QueuePosition.FRONT, QueuePosition.PRIORITY]
)
def test_a_submission_while_another_thread_holds_the_state_is_acted_on(
    position: QueuePosition,
) -> None:
    clock = VirtualClock()
    chains = build_chains([("c", Fake({"x": None}).get_events())])
    state = DispatchState(chains, clock=clock)
    for phase in (Phase.SETTING_UP, Phase.STARTING, Phase.OPEN):
        state.lifecycle.advance(phase)
    mailbox = RecordingMailbox()
    listener = Listener()
    lock = InterruptedLock()
    runtime = LockingRuntime(lock)
    loop = DispatchLoop(state, clock, mailboxes=[mailbox], listener=listener, runtime=runtime)
    lock.interrupt = lambda: loop.submit(Scheduled(state, position, "x", 1))
    # The submitting thread finds the lock held, and relies on its holder to run the state.
    loop.run_once()

    assert [batch.items for batch in mailbox.delivered] == [[1]]
    assert listener.failures == []


def test_cancelling_the_last_event_wakes_a_thread_that_waits_for_the_end() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        handle = dispatcher.queue.schedule_after(3600.0, "x")
        notifier = dispatcher._engine.notifier = ObservedNotifier()
        waiter = threading.Thread(target=dispatcher.wait_for_end, args=(30.0,))
        waiter.start()
        notifier.await_waiter()
        assert handle.cancel()
        waiter.join(3.0)
        woken = not waiter.is_alive()
        dispatcher.set_done()
        waiter.join()
    assert woken


def test_a_wait_takes_real_time_whatever_clock_the_dispatcher_has() -> None:
    with Dispatcher([Fake({"x": None})], clock=VirtualClock()) as dispatcher:
        moment = 0.01  # the shortest period that is no mere look
        assert not dispatcher.wait(moment)
        dispatcher.set_done()
        assert dispatcher.wait(float("inf"))
