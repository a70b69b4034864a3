"""Random programs whose components fail in every way, are made anew, retry, hold and are stopped.

The same programs run in virtual time and on real threads. Whatever happens: events are conserved,
each token ends once and with the outcome that its events had, and no two incarnations overlap.
"""

from __future__ import annotations

import functools
import math
import os
from collections import Counter
from random import Random
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.accounting import Accounting
from zenactors.core.callbacks import FLAG_STOP, gen_event_handler
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Retry, Supervision
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import RestartComponent
from zenactors.testing.harness import Harness

SOAK = float(os.environ.get("ZENACTORS_SOAK_SECONDS", "2700"))
SEEDS = 100  # of one test: some seconds
ROUNDS = math.ceil(SOAK / 30)
EVENTS = ("a", "b", "c")
ROOTS = 30
MAX_DEPTH = 3


class Ledger:
    """What happened, over all incarnations. Lists and dicts, each operation on them atomic."""

    def __init__(self) -> None:
        self.failed_roots: set[int] = set()  # some event of theirs cannot have ended well
        self.left_roots: set[int] = set()  # some event of theirs was left undone
        self.outcomes: list[tuple[int, TokenOutcome]] = []
        self.sent: list[int] = []
        self.stops: list[str] = []  # the events that ended with FLAG_STOP
        self.up: set[int] = set()  # the components that are set up
        self.overlaps: list[str] = []
        self.scheduled: list[str] = []
        self.cancelled: list[str] = []
        self.completed: list[str] = []  # the events that the last component has let pass

    def expected(self, root: int) -> TokenOutcome:
        """Return the outcome of a root of which nothing is under way any more."""
        if root in self.left_roots:
            return TokenOutcome.LEFT
        return TokenOutcome.FAILED if root in self.failed_roots else TokenOutcome.DONE


class Failing(ZenDaemonComponent):
    """Does with an event what the event's own random numbers say."""

    def __init__(
        self, name: str, events: tuple[str, ...], policy: Supervision, seed: int, ledger: Ledger
    ) -> None:
        super().__init__(name=name)
        self.supervision = policy
        self._events = events
        self._seed = seed
        self._ledger = ledger
        self._tried: dict[Any, int] = {}
        self._held: list[int] = []  # the roots of its holds

    def get_events(self) -> list[Any]:
        return [
            gen_event_handler(event, functools.partial(self.cbk, event)) for event in self._events
        ]

    def setup(self, daemon: Any) -> None:
        if id(self) in self._ledger.up:
            self._ledger.overlaps.append(self.name)
        # The first setup must succeed; later ones fail now and then.
        if self.incarnation > 1 and Random(f"{self._seed}{self.incarnation}").random() < 0.2:
            raise OSError("the setup fails")
        self._ledger.up.add(id(self))

    def teardown(self, daemon: Any) -> None:
        if id(self) not in self._ledger.up:
            self._ledger.overlaps.append(self.name)
        self._ledger.up.discard(id(self))
        self._ledger.left_roots.update(self._held)  # nobody releases these any more

    def cbk(self, event: str, daemon: Any, args: Any) -> Any:
        answer = self._decide(event, daemon, args)
        if answer is None and self.name == "last":
            self._ledger.completed.append(event)
        return answer

    def _decide(self, event: str, daemon: Any, args: Any) -> Any:
        root, path = args
        rng = Random(f"{self._seed}{self.name}{root}{path}")
        what = rng.random()
        attempt = self._tried[path, root] = self._tried.get((path, root), 0) + 1
        if what < 0.06:
            self._ledger.failed_roots.add(root)
            raise ValueError("always")
        if what < 0.10 and attempt == 1 and self.supervision.retry is not None:
            raise ConnectionError("the first time")  # the second attempt, in place, will do
        if what < 0.14:
            self._ledger.failed_roots.add(root)
            raise RestartComponent("always")
        if what < 0.24:
            self._ledger.stops.append(event)
            return FLAG_STOP, args
        if what < 0.5 and len(path) < MAX_DEPTH:
            self._send_children(daemon, rng, root, path)
        elif what < 0.6:
            hold = daemon.hold()
            if rng.random() < 0.1:
                hold.fail()
                self._ledger.failed_roots.add(root)
            else:
                self._held.append(root)
                daemon.io.call_later(rng.random() / 100, lambda _: self._release(hold, root))
        return None

    def _send_children(self, daemon: Any, rng: Random, root: int, path: tuple[int, ...]) -> None:
        for number in range(rng.randrange(1, 3)):
            child = root, (*path, number)
            event = rng.choice(EVENTS)
            self._ledger.scheduled.append(event)
            if rng.random() < 0.3:
                handle = daemon.queue.schedule_after(rng.random() / 100, event, child)
            else:
                handle = daemon.queue.schedule(event, child)
            if rng.random() < 0.05:
                self._cancel(handle, event, root)
            elif rng.random() < 0.2:
                cancel = functools.partial(self._cancel, handle, event, root)
                daemon.io.call_later(rng.random() / 100, lambda _, cancel=cancel: cancel())

    def _cancel(self, handle: Any, event: str, root: int) -> None:
        if handle.cancel():
            self._ledger.cancelled.append(event)
            self._ledger.failed_roots.add(root)

    def _release(self, hold: Any, root: int) -> None:
        self._held.remove(root)
        hold.release()


class Source(ZenDaemonComponent):
    """Sends each root with a token."""

    def __init__(self, seed: int, ledger: Ledger) -> None:
        super().__init__(name="source")
        self._seed = seed
        self._ledger = ledger

    def get_events(self) -> list[Any]:
        return [gen_event_handler("send", self.cbk_send, prepend=False)]

    def cbk_send(self, daemon: Any, root: int) -> None:
        event = Random(f"{self._seed}{root}").choice(EVENTS)
        self._ledger.sent.append(root)
        self._ledger.scheduled.append(event)
        daemon.queue.schedule(
            event, (root, ()), on_done=lambda end: self._ledger.outcomes.append((root, end))
        )


def policies(rng: Random) -> Supervision:
    return Supervision(
        on_error=rng.choice(["dead-letter", "restart"]),
        retry=rng.choice([None, Retry(attempts=2, delay=0.0), Retry(attempts=3, delay=0.001)]),
        max_restarts=10_000,
        delay=rng.choice([0.0, 0.001]),
        max_delay=0.002,
    )


def program(seed: int, ledger: Ledger) -> list[Any]:
    rng = Random(seed)
    components: list[Any] = [Source(seed, ledger)]
    for number in range(rng.randrange(1, 5)):
        events = tuple(sorted(rng.sample(EVENTS, rng.randrange(1, 4))))
        policy, name = policies(rng), f"failing {number}"
        if rng.random() < 0.25:
            components.append(
                Replicas(
                    lambda name=name, events=events, policy=policy: Failing(  # type: ignore[misc]
                        name, events, policy, seed, ledger
                    ),
                    2,
                )
            )
        else:
            components.append(Failing(name, events, policy, seed, ledger))
    # Each event has a handler.
    components.append(Failing("last", EVENTS, policies(rng), seed, ledger))
    return components


def check_tokens(dispatcher: Any, ledger: Ledger, seed: int) -> None:
    """Check a daemon that has done everything: each outcome is there, and is the right one."""
    assert dispatcher.open_tokens()[0] == 0, seed
    assert sorted(ledger.outcomes, key=lambda each: each[0]) == [
        (root, ledger.expected(root)) for root in range(ROOTS)
    ], seed


def check_books(dispatcher: Any, seed: int) -> Accounting:
    """Check the books at any moment at which nothing runs."""
    books: Accounting = dispatcher.accounting()
    assert books.is_balanced, (seed, books.imbalance())
    assert books.total.waiting == dispatcher.queue.count(), (seed, str(books))
    return books


def check_books_of(ledger: Ledger, books: Accounting, letters: list[Any], seed: int) -> None:
    """Compare the books with what the components have written down themselves."""
    for event in EVENTS:
        counts = books.events[event]
        dead = sum(letter.event == event for letter in letters)
        assert (
            counts.accepted,
            counts.completed,
            counts.stopped,
            counts.dead,
            counts.cancelled,
        ) == (
            ledger.scheduled.count(event),
            ledger.completed.count(event),
            ledger.stops.count(event),
            dead,
            ledger.cancelled.count(event),
        ), (seed, event, str(counts))
    failed = Counter(letter.component for letter in letters)
    assert {name: each.failed for name, each in books.components.items() if each.failed} == failed


def check_end(dispatcher: Any, ledger: Ledger, seed: int) -> None:
    """Check a daemon that was stopped, at whatever moment."""
    assert ledger.overlaps == [], seed
    assert ledger.up == set(), seed
    report = dispatcher.stop()
    total = check_books(dispatcher, seed).total
    assert total.pending + total.left == report.left + report.later, (seed, report, str(total))
    for event, counts in dispatcher.counts().items():
        assert counts.in_flight == 0, (seed, event, counts)
        assert counts.stopped == ledger.stops.count(event), (seed, event, counts)
    assert sorted(root for root, _ in ledger.outcomes) == sorted(ledger.sent), seed
    assert dispatcher.open_tokens()[0] == 0, seed
    for root, outcome in ledger.outcomes:
        if ledger.expected(root) is not TokenOutcome.DONE:
            assert outcome is not TokenOutcome.DONE, (seed, root)


@pytest.mark.parametrize("ordering", ["component", "global", "event"])
@pytest.mark.parametrize("first", range(0, 30, 10))
def test_in_virtual_time(first: int, ordering: Any) -> None:
    for seed in range(first, first + 10):
        ledger = Ledger()
        stops_early = seed % 3 == 0
        harness = Harness(program(seed, ledger), seed=seed, ordering=ordering)
        with harness:
            for root in range(ROOTS):
                harness.queue.schedule("send", root)
            for _ in range(6):
                harness.advance(0.0005)
                check_books(harness.daemon, seed)
            if not stops_early:
                harness.advance(60)
                assert check_books(harness.daemon, seed).total.pending == 0
                check_tokens(harness.daemon, ledger, seed)
            harness.stop()
            letters = harness.dead_letters()
            check_end(harness.daemon, ledger, seed)
            if not stops_early:
                check_books_of(ledger, harness.accounting(), letters, seed)


@pytest.mark.parametrize("seed", range(12))
def test_on_real_threads(seed: int) -> None:
    run_on_threads(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000_000, 1_000_000 + ROUNDS * SEEDS, SEEDS))
def test_for_long(first: int) -> None:
    for seed in range(first, first + SEEDS):
        run_on_threads(seed)


def run_on_threads(seed: int) -> None:
    ledger = Ledger()
    stops_early = seed % 3 == 0
    dispatcher = Dispatcher(program(seed, ledger), stop_timeout=DEADLINE)
    dispatcher.start()
    for root in range(ROOTS):
        dispatcher.queue.schedule("send", root)
    if not stops_early:
        assert dispatcher.wait_for_end(DEADLINE)
        check_tokens(dispatcher, ledger, seed)
        check_books_of(ledger, check_books(dispatcher, seed), dispatcher.dead_letters(), seed)
    report = dispatcher.stop()
    assert not report.stuck, (seed, report)
    assert not report.timed_out, (seed, report)
    check_end(dispatcher, ledger, seed)
