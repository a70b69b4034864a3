"""One daemon of 20 components, five of which misbehave: the others do all their work.

One crashes on each event, one hangs for ever, one is slow, one floods, one leaks timers. The other
chains share no component with theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import gen_event_handler
from zenactors.core.clock import Deadline, SystemClock
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.supervision import Supervision
from zenactors.testing.harness import Harness

CHAINS = 5
LENGTH = 3
EVENTS = 40  # of each chain
START = 0.2  # seconds until then; the others misbehave from the beginning
SLOW = 0.1  # seconds
OWN_EVENTS = 10  # of each that misbehaves
FLOOD = 5  # events at a time, from each of ten timers
STOP_TIMEOUT = 3.0  # seconds
SLACK = 2.0  # seconds beyond it, in which components that hang are left behind
PATIENCE = 60.0  # seconds that the real thread hangs, unless it is let go
BAD = ("crashing", "hanging", "slow", "flooding", "leaking")


class Bad(ZenDaemonComponent):
    """One of the five; its event has its name.

    Args:
        name: Which one.
        hang: Waits for ever.
        replaced: Called once the one that hangs was replaced.
        hard_limit: Of each callback, in seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        hang: Callable[[Any], Any],
        replaced: Callable[[], Any],
        hard_limit: float | None,
    ) -> None:
        policy = Supervision(
            on_error="restart",
            max_restarts=2,
            delay=0.01,
            when_exhausted="suspend",
            hard_limit=hard_limit if name == "hanging" else None,
        )
        super().__init__(name=name, supervision=policy)
        self._hang, self._replaced = hang, replaced

    def get_events(self) -> list[Any]:
        return [
            gen_event_handler("start", self.cbk_event_start),
            gen_event_handler(self.name, getattr(self, self.name)),
            gen_event_handler(f"{self.name} more", self.slow),
        ]

    def cbk_event_start(self, daemon: Any, args: Any) -> None:
        for _ in range(OWN_EVENTS):
            daemon.queue.schedule(self.name)

    def crashing(self, daemon: Any, args: Any) -> None:
        raise ConnectionError("always")

    def hanging(self, daemon: Any, args: Any) -> None:
        if self.incarnation == 1:
            self._hang(daemon)
            daemon.queue.schedule("crashing")  # refused, if the thread was abandoned
        self._replaced()

    def slow(self, daemon: Any, args: Any) -> None:
        daemon.wait(SLOW)

    def flooding(self, daemon: Any, args: Any) -> None:
        def flood(daemon: Any) -> None:
            for number in range(FLOOD):
                daemon.queue.schedule("flooding more", number)

        daemon.io.call_every(0.1, flood)

    def leaking(self, daemon: Any, args: Any) -> None:
        daemon.io.call_every(1.0, lambda _: None)
        daemon.queue.schedule_after(0.1, "leaking")


class First(Fake):
    """The first one of a good chain; it schedules the work, as a producer of its own."""

    def setup(self, daemon: Any) -> None:
        (self._event,) = self._callbacks
        daemon.io.call_later(START, self._produce)

    def _produce(self, daemon: Any) -> None:
        for number in range(EVENTS):
            daemon.queue.schedule(self._event, number)


def neighbours(
    hang: Callable[[Any], Any],
    hard_limit: float | None,
    replaced: Callable[[], Any] = lambda: None,
) -> tuple[list[Any], list[Fake]]:
    """Return all components, and the last one of each good chain."""
    chains = [
        [
            (First if step == 0 else Fake)({f"work {chain}": None}, name=f"{chain}.{step}")
            for step in range(LENGTH)
        ]
        for chain in range(CHAINS)
    ]
    bad = [Bad(name=name, hang=hang, replaced=replaced, hard_limit=hard_limit) for name in BAD]
    return [*bad, *(each for chain in chains for each in chain)], [c[-1] for c in chains]


@pytest.mark.parametrize("hard_limit", [None, 5.0])
@pytest.mark.parametrize("seed", [None, 1])
def test_the_others_do_all_their_work_in_virtual_time(
    seed: int | None, hard_limit: float | None
) -> None:
    components, ends = neighbours(lambda _: gate.wait(), hard_limit)
    harness = Harness(components, seed=seed)
    gate = harness._runtime.event()
    with harness:
        harness.advance(START + 0.1)
        assert [end.seen for end in ends] == [list(range(EVENTS))] * CHAINS

        harness.advance(14.0)  # until the hang is noticed
        not_ready = " ".join(harness.daemon.readiness())
        assert "'crashing' is suspended" in not_ready
        assert ("'hanging' does not return" in not_ready) == (hard_limit is None)
        assert harness.daemon.abandoned() == ([] if hard_limit is None else ["hanging"])
        if hard_limit is not None:
            before = harness.counts()
            assert (before["hanging"].dead, before["hanging"].completed) == (1, OWN_EVENTS - 1)
            gate.set()
            harness.run_until_idle()
            assert harness.daemon.abandoned() == []
            assert harness.counts() == before  # the thread that was abandoned changes nothing
        begin = harness.now
        report = harness.daemon.stop(timeout=STOP_TIMEOUT)
        assert harness.now - begin <= STOP_TIMEOUT + SLACK
        assert report.stuck == (("hanging",) if hard_limit is None else ())
        assert report.suspended == ("crashing",)
        harness.close()


@pytest.mark.parametrize("hard_limit", [None, 0.2])
def test_the_others_do_all_their_work_on_real_threads(hard_limit: float | None) -> None:
    gate, replaced, clock = threading.Event(), threading.Event(), SystemClock()
    components, ends = neighbours(lambda _: gate.wait(PATIENCE), hard_limit, replaced.set)
    dispatcher = Dispatcher(components)
    dispatcher.start()
    try:
        for end in ends:
            end.await_seen(list(range(EVENTS)))
        assert hard_limit is None or replaced.wait(DEADLINE)
        deadline = Deadline(clock, STOP_TIMEOUT + SLACK + DEADLINE)
        report = dispatcher.stop(timeout=STOP_TIMEOUT)
        assert not deadline.over()
    finally:
        gate.set()
    assert ("hanging" in report.stuck) == (hard_limit is None)
    assert report.abandoned == (() if hard_limit is None else ("hanging",))
    assert set(report.stuck) <= set(BAD)
