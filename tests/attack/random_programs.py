"""Random programs on real threads, and the promises of docs/model.md that each must keep.

Producers come and go, cancel, and meet the queue's limit; callbacks stop, raise and return
nonsense; components are given new options; the dispatcher drains, stops or halts in the middle.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Literal

import pytest

from tests.actors.fakes import Fake, switch_interval
from tests.actors.producing import dawdle, schedule_as_tagged
from tests.attack.checks import PATIENCE, explained, unbalanced, within
from tests.core.programs import (
    ORDERINGS,
    compare,
    log_starts,
    outside_events,
    random_program,
    swap_pieces,
    tuned,
)
from tests.core.replay import URGENT, Call, Player, Tag, replay
from zenactors.actors.component_messages import Change
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.shutdown import StopReport
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.dispatch_state import Ordering
from zenactors.core.event_queue import EventQueueManager
from zenactors.core.messages import Scheduled
from zenactors.core.replicas import Replicas
from zenactors.errors import NotRunningError, QueueFullError, ReloadError

LANES = 3  # producers at a time
LIMIT = 30.0  # seconds: only a hang takes that long
UNIT = 0.001  # seconds: the unit of a child's delay
LONGEST_PAUSE = 0.003  # seconds between two looks, or two reloads
STOP_WITHIN = 0.05  # seconds until an early stop
MOST_FAILURES = 3
SHARED = "shared"  # an event that replicas handle

Log = list[tuple[str, list[Tag]]]


@dataclasses.dataclass
class Plan:
    """A random program, and what happens to it; everything follows from the seed."""

    seed: int
    rng: random.Random = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.ordering: Ordering = rng.choice(ORDERINGS)
        self.program = random_program(
            rng,
            by_event=self.ordering == "event",
            children=rng.choice([0, 10, 40]),
            stops=rng.choice([0, 5, 30]),
            fails=rng.choice([0, 5, 30]),
        )
        each = rng.choice([10, 40, 100])
        self.outside = outside_events(self.program, rng, producers=10, each=each, urgent=0.02)
        self.shared = rng.choice([0.0, 0.3])  # events for the replicas, by each other event
        self.ending = rng.choice(["idle", "idle", "stop", "halt"])
        self.early = rng.uniform(0.0, STOP_WITHIN)
        self.reloads = rng.random() < 0.5
        self.limit = rng.choice([None, None, 1, 20])
        self.when_full: Literal["raise", "block"] = rng.choice(["raise", "block"])
        self.switch_interval = rng.choice([20e-6, 200e-6, 5e-3])
        self.tuning: dict[str, Any] = {
            "window": rng.choice([None, None, 1, 3]),
            "stride": rng.choice([None, 1, 2]),
            "split_after": rng.choice([None, 0.0]),
        }


class Reloadable(Player):
    """A player that takes new options, or refuses them."""

    level = 0

    def reconfigure(self, daemon: Any, options: Any) -> None:
        if options["refused_by"] == self.name:
            raise ValueError("refused")
        self.level = options["level"]


class Lane:
    """Producers, one after the other: each is a thread of its own.

    Attributes:
        given: The events whose `schedule` has returned.
        withdrawn: The args of those whose `cancel` was true.
        shared: How many events each producer has scheduled for the replicas.
    """

    def __init__(self, dispatcher: Dispatcher, plan: Plan, producers: list[str]) -> None:
        self._dispatcher = dispatcher
        self._plan = plan
        self._producers = producers
        self.given: list[tuple[str, Tag]] = []
        self.withdrawn: list[Tag] = []
        self.shared: Counter[str] = Counter()

    def run(self) -> None:
        for name in self._producers:
            with contextlib.suppress(NotRunningError):
                within(LIMIT, self._produce, name, random.Random(f"{self._plan.seed} {name}"))

    def _produce(self, name: str, rng: random.Random) -> None:
        kept: list[Scheduled] = []
        for event, args in self._plan.outside[name]:
            with contextlib.suppress(QueueFullError):
                handle = schedule_as_tagged(self._dispatcher.queue, rng, event, args)
                self.given.append((event, args))
                if rng.random() < 0.05:
                    kept.append(handle)
                if rng.random() < self._plan.shared:
                    self._schedule_shared(name, rng.choice((1, 1, 2, 40)))
            if kept and rng.random() < 0.1:
                self._cancel(kept.pop(rng.randrange(len(kept))))
        for handle in kept:
            self._cancel(handle)

    def _schedule_shared(self, name: str, count: int) -> None:
        args = [(name, self.shared[name] + number) for number in range(count)]
        if count == 1:
            self._dispatcher.queue.schedule(SHARED, args[0])
        else:
            self._dispatcher.queue.schedule_many(SHARED, args)
        self.shared[name] += count

    def _cancel(self, handle: Scheduled) -> None:
        args = handle.args
        if handle.cancel():
            self.withdrawn.append(args)
        assert not handle.cancel(), "a second cancel() is True"


class Run:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.calls: list[Call] = []
        self.players = [
            Reloadable(plan.program, index, self.calls, pause=dawdle, unit=UNIT)
            for index in range(len(plan.program.handlers))
        ]
        self.replicas = Replicas(
            lambda: Fake({SHARED: lambda _, args: dawdle(hash(args))}, name="replica"),
            plan.rng.randint(1, 3),
        )
        self.collector = Fake({SHARED: None}, name="collector")
        self.dispatcher = Dispatcher(
            [*self.players, self.replicas, self.collector],
            ordering=plan.ordering,
            queue_limit=plan.limit,
            queue_full=plan.when_full,
            stop_timeout=LIMIT / 2,
        )
        self.log: Log = log_starts(self.dispatcher._engine.state)
        names = list(plan.outside)
        self.lanes = [Lane(self.dispatcher, plan, names[lane::LANES]) for lane in range(LANES)]
        self.over = threading.Event()

    def run(self) -> None:
        """Run it to its end, and check every promise."""
        self.dispatcher.start()
        beside = [self._look_around, *([self._reload] if self.plan.reloads else [])]
        try:
            with in_background(beside, self.over):
                early = self._play()
            report = early or within(LIMIT, self.dispatcher.stop)
        finally:
            self.over.set()
            within(LIMIT, lambda: self.dispatcher.stop(drain=False), what="stop()")
        self._check(report)

    def _play(self) -> StopReport | None:
        early = self.plan.ending != "idle"
        with in_background([lane.run for lane in self.lanes]):
            if early:
                self.over.wait(self.plan.early)
                drain = self.plan.ending == "stop"
                return within(LIMIT, lambda: self.dispatcher.stop(drain=drain), what="stop()")
        assert within(LIMIT, self.dispatcher.wait_for_end, LIMIT / 2), self._counts()
        assert self.dispatcher.drain(0.0)
        for event, c in self._counts().items():
            assert (c.waiting, c.in_flight) == (0, 0), f"drained, and yet {event}: {c}"
        return None

    def _counts(self) -> Any:
        return within(PATIENCE, self.dispatcher.counts)

    # --- beside the producers ------------------------------------------------------------------

    def _look_around(self) -> None:
        """Ask for the counts: they are right at every moment."""
        rng = random.Random(self.plan.seed)
        while not self.over.wait(rng.uniform(0.0, LONGEST_PAUSE)):
            wrong = unbalanced(self.dispatcher)
            assert not wrong, wrong
            self.dispatcher.queue.count()
            self.dispatcher.drain(0.0)
            ahead = self.dispatcher.queue.ahead()
            if self.plan.ordering != "global":  # there, all producers are one
                assert ahead == 0, f"this thread schedules nothing, and is {ahead} events ahead"

    def _reload(self) -> None:
        """Give all components new options, which one of them may refuse."""
        rng = random.Random(self.plan.seed)
        names = [player.name for player in self.players]
        while not self.over.wait(rng.uniform(0.0, LONGEST_PAUSE)):
            level = self.players[0].level
            refused_by = rng.choice([None, *names])
            old = {"level": level, "refused_by": None}
            new = {"level": level + 1, "refused_by": refused_by}
            changes = {name: Change(old=old, new=new) for name in names}
            try:
                self.dispatcher.reconfigure(changes, lambda: None)
                assert refused_by is None, "a reload succeeded that was refused"
            except ReloadError:
                if self.dispatcher.is_done() or self.dispatcher.halted:
                    return
                assert refused_by is not None, "a reload failed that nothing refused"

    # --- the promises --------------------------------------------------------------------------

    def _check(self, report: StopReport) -> None:
        given = [pair for lane in self.lanes for pair in lane.given]
        withdrawn = [args for lane in self.lanes for args in lane.withdrawn]
        wrong = unbalanced(self.dispatcher)
        assert not wrong, wrong
        assert report.stuck == ()
        if self.plan.ending == "idle":
            self._compare(given, withdrawn)
        else:
            self._check_the_beginning(given, withdrawn)
        assert not (report.timed_out and self.plan.ending != "halt"), report
        self._check_shared()
        self._check_reloads()
        self._check_urgent(given, withdrawn)

    def _compare(self, given: list[tuple[str, Tag]], withdrawn: list[Tag]) -> None:
        program, counts = self.plan.program, self._counts()
        compare(
            program,
            self.plan.ordering,
            self._own_log(),
            self.calls,
            given_from_outside=given,
            withdrawn=withdrawn,
            counts={event: counts[event] for event in program.events()},
        )

    def _own_log(self) -> Log:
        """The log, without the events that the players do not handle."""
        events = self.plan.program.events()
        return [(event, batch) for event, batch in self.log if event in events]

    def _check_the_beginning(self, given: list[tuple[str, Tag]], withdrawn: list[Tag]) -> None:
        """Check a run that was stopped: as far as it came, it is right."""
        log = self._own_log()
        expected = replay(self.plan.program, log)
        check_prefix(self.calls, expected.calls, self.plan.ordering)
        started = Counter((event, args) for event, batch in log for args in batch)
        twice = [pair for pair, times in started.items() if times > 1]
        assert not twice, f"started twice: {twice}"
        gone = [args for _, args in started if args in set(withdrawn)]
        assert not gone, f"cancelled, and yet started: {gone}"
        known = {*given, *(pair for family in expected.children for pair in family)}
        # A producer may have been interrupted between its event and its note of it.
        unknown = [pair for pair in started if pair not in known]
        assert len(unknown) <= len(self.lanes), f"never scheduled: {unknown}"

    def _check_shared(self) -> None:
        """Each producer's events arrive in order and once, in the replicas and behind them."""
        for seen in [self.collector.seen, *(each.seen for each in self.replicas.instances)]:
            for producer in self.plan.outside:
                numbers = [number for name, number in seen if name == producer]
                assert numbers == sorted(set(numbers)), f"{producer}: {numbers}"
        scheduled = sum((lane.shared for lane in self.lanes), Counter())
        handled = Counter(name for name, _ in self.collector.seen)
        if self.plan.ending == "idle":
            assert handled == scheduled

    def _check_reloads(self) -> None:
        levels = {player.level for player in self.players}
        assert len(levels) == 1 or self.plan.ending != "idle", f"half a reload: {levels}"

    def _check_urgent(self, given: list[tuple[str, Tag]], withdrawn: list[Tag]) -> None:
        wanted = Counter(args for event, args in given if event == URGENT)
        wanted.subtract(args for args in withdrawn if wanted[args])
        for player in self.players:
            seen = Counter(player.urgent)
            assert max(seen.values(), default=0) <= 1
            if self.plan.ending == "idle":
                assert seen == +wanted


def check_prefix(saw: list[Call], expected: list[Call], ordering: str) -> None:
    """Check that each component has seen the beginning of what it should see."""

    def split(calls: list[Call]) -> dict[Hashable, list[Call]]:
        parts: dict[Hashable, list[Call]] = {}
        for call in calls:
            by = {"global": "all", "component": call.component}
            parts.setdefault(by.get(ordering, (call.component, call.event)), []).append(call)
        return parts

    theirs = split(expected)
    for part, ours in split(saw).items():
        for number, call in enumerate(ours):
            there = theirs.get(part, [])[number : number + 1]
            assert there == [call], f"{part}, call no. {number}: {call}, and by the replay {there}"


@contextlib.contextmanager
def in_background(
    works: list[Callable[[], None]], over: threading.Event | None = None
) -> Iterator[None]:
    """Run functions in threads; at the end of the block, set `over`, and wait for them.

    Raises:
        AssertionError: One of them raised, or does not end.
    """
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as cause:
            failures.append(cause)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        if over is not None:
            over.set()
        for thread in threads:
            thread.join(2 * LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if failures:
        raise failures[0]


def run_seed(seed: int) -> None:
    """Run the program of a seed."""
    plan = Plan(seed)
    with tuned(**plan.tuning), switch_interval(plan.switch_interval):
        Run(plan).run()


def run_seeds(*, first: int, count: int, most: int = MOST_FAILURES) -> dict[str, Any]:
    """Run the programs of so many seeds. List what broke a promise, and end when there is enough.

    Args:
        first: The first seed.
        count: How many.
        most: How many failures are enough.
    """
    broken: list[str] = []
    struck = 0
    for seed in range(first, first + count):
        struck += 1
        try:
            run_seed(seed)
        except Exception as failure:
            arguments = f"""'{{"first": {seed}, "count": 1}}'"""
            broken.append(
                f"seed {seed}: {explained(failure)[:3000]}\nRun it again: python -m"
                f" tests.attack.child {LIMIT * 4} tests.attack.random_programs run_seeds"
                f" {arguments}"
            )
            if len(broken) == most:
                break
    return {"broken": broken, "struck": struck}


# --- faults of the engine, planted ------------------------------------------------------------


def _forget_tickets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchRunner, "arrive", lambda self, batch: self._ready.append(batch))


def _swap_pieces(patch: pytest.MonkeyPatch) -> None:
    swap_pieces(patch, DispatchLoop)


def _lie_about_cancels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EventQueueManager, "_cancel_in_run", lambda self, run, number: True)


FAULTS = {"tickets": _forget_tickets, "pieces": _swap_pieces, "cancels": _lie_about_cancels}


def find_fault(fault: str, *, count: int) -> list[str]:
    """Plant a fault in the engine, and return what the first program finds that finds it."""
    with pytest.MonkeyPatch.context() as patch:
        FAULTS[fault](patch)
        found: list[str] = run_seeds(first=0, count=count, most=1)["broken"]
        return found
