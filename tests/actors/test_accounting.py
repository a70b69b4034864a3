"""The books of a running dispatcher: balanced in every state that it can be in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors.fakes import Fake, Gate
from zenactors import Accounting, ComponentCounts, Counts, Dispatcher
from zenactors.actors.component_messages import Change
from zenactors.core.callbacks import FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Supervision
from zenactors.testing.harness import Harness

RESTARTS = Supervision(on_error="restart", delay=1.0)


class Worker(ZenDaemonComponent):
    """Does what the args say."""

    def __init__(self, policy: Supervision = RESTARTS, name: str = "worker") -> None:
        super().__init__(name=name, supervision=policy)

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> Any:
        match args:
            case "fail":
                raise ValueError("as told")
            case "stop":
                return FLAG_STOP, args
        return None


class Source(ZenDaemonComponent):
    @handles("begin")
    def cbk_begin(self, daemon: Any, args: Any) -> None:
        daemon.queue.schedule_after(60, "x", "later", on_done=lambda _: None)


def test_each_event_is_counted_where_it_is() -> None:
    with Harness([Worker()]) as harness:
        for args in ("a", "stop", "b", "fail", "c", "d"):
            harness.queue.schedule("x", args)
        harness.queue.schedule_after(100, "x", "later")
        assert harness.queue.schedule_after(50, "x", "never").cancel()
        harness.run_until_idle()
        books = harness.accounting()
        assert books.events["x"] == Counts(8, 2, 1, 1, waiting=1, in_flight=2, cancelled=1)
        assert books.components["worker"] == ComponentCounts(handled=4, failed=1)
        harness.advance(5)
        books = harness.accounting()
        assert books.events["x"] == Counts(8, 4, 1, 1, waiting=1, cancelled=1)
        assert books.components["worker"] == ComponentCounts(handled=6, failed=1, restarts=1)
        report = harness.stop()
        harness.dead_letters()
        assert harness.accounting() == books  # after the end, too
        assert report.later == books.total.pending == 1


def test_a_suspended_component_keeps_its_events_in_flight_and_a_stop_counts_them_as_left() -> None:
    policy = Supervision(on_error="restart", max_restarts=0, when_exhausted="suspend")
    with Harness([Worker(policy)]) as harness:
        for args in ("fail", "a", "b"):
            harness.queue.schedule("x", args)
        harness.advance(100)
        assert harness.accounting().events["x"] == Counts(3, dead=1, in_flight=2)
        report = harness.stop()
        harness.dead_letters()
        assert harness.accounting().events["x"] == Counts(3, dead=1, left=2)
        assert report.left == 2


def test_a_reload_in_the_middle_keeps_the_books() -> None:
    with Harness([Worker()]) as harness:
        for args in ("a", "fail", "b", "c"):
            harness.queue.schedule("x", args)
        harness.run_until_idle()
        assert harness.accounting().events["x"] == Counts(4, 1, dead=1, in_flight=2)
        harness.spawn(
            lambda: harness.daemon.reconfigure({"worker": Change({}, {"a": 1})}, lambda: None)
        )
        harness.run_until_idle()
        assert harness.accounting().events["x"] == Counts(4, 3, dead=1)
        harness.dead_letters()
        assert harness.accounting().components["worker"].handled == 4


def test_each_replica_has_counts_of_its_own() -> None:
    with Harness([Replicas(Worker, 2)]) as harness:
        for args in ("a", "b", "c", "stop"):
            harness.queue.schedule("x", args)
        harness.run_until_idle()
        books = harness.accounting()
        assert books.events["x"] == Counts(4, 3, 1)
        shares = [books.components[f"worker/{number}"].handled for number in (1, 2)]
        assert shares == [2, 2]


def test_the_oldest_open_token_has_its_age() -> None:
    with Harness([Source(), Worker()]) as harness:
        assert harness.accounting().oldest_token == 0.0
        harness.queue.schedule("begin")
        harness.advance(45)
        books = harness.accounting()
        assert (books.open_tokens, books.oldest_token) == (1, 45.0)
        assert str(books).splitlines()[-1] == "open tokens: 1, the oldest 45.0 s"
        harness.advance(30)
        assert harness.accounting().open_tokens == 0


def test_an_event_counts_once_the_callback_that_schedules_it_has_returned() -> None:
    seen: list[Accounting] = []

    def cbk(daemon: Any, args: Any) -> None:
        daemon.queue.schedule("y")
        seen.append(daemon.accounting())

    component = Fake({"x": cbk, "y": None})
    with Harness([component]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        assert harness.accounting().total == Counts(2, 2)
    (meanwhile,) = seen
    assert meanwhile.total == Counts(1, in_flight=1)
    assert meanwhile.is_balanced


def test_an_event_under_a_component_that_hangs_stays_in_flight_until_it_wakes() -> None:
    gate = Gate()
    dispatcher = Dispatcher([Fake({"x": gate}, name="hangs")])
    dispatcher.start()
    for number in range(3):
        dispatcher.queue.schedule("x", number)
    gate.await_entered()
    report = dispatcher.stop(timeout=0.5)
    assert report.stuck == ("hangs",)
    books = dispatcher.accounting()
    assert books.is_balanced
    assert books.total.pending == report.left == 3
    gate.open()


class Stuck(ZenDaemonComponent):
    """Hangs on some events, in virtual time, past its hard limit."""

    def __init__(self) -> None:
        policy = Supervision(hard_limit=5.0, delay=0.0, max_restarts=100)
        super().__init__(name="stuck", supervision=policy)

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        if args == "stuck":
            daemon.wait(1_000)


@pytest.mark.parametrize("seed", [None, *range(10)])
def test_an_event_in_which_a_thread_was_abandoned_is_dead_whatever_the_thread_says(
    seed: int | None,
) -> None:
    with Harness([Stuck(), Worker()], seed=seed) as harness:
        for args in ("a", "stuck", "b", "stuck", "c"):
            harness.queue.schedule("x", args)
        for _ in range(20):
            harness.advance(1)
            assert harness.accounting().is_balanced
        harness.queue.schedule_priority("x", "stuck")
        harness.queue.schedule("x", "d")
        harness.advance(20)
        books = harness.accounting()
        assert books.events["x"] == Counts(7, 4, dead=3)
        assert books.components["stuck"] == ComponentCounts(handled=7, failed=3, restarts=3)
        assert books.components["worker"].handled == 4
        harness.advance(2_000)  # the old threads wake up
        assert harness.accounting() == books
        harness.dead_letters()
