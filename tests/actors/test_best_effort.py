"""Best-effort components under the engine: nothing waits for them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, switch_interval
from zenactors import BestEffortCounts, Counts, Dispatcher
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Supervision
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import ConfigurationError, RestartComponent
from zenactors.testing.harness import Harness
from zenactors.testing.probe import Probe

BEST_EFFORT = Supervision(best_effort=True, best_effort_limit=5)


class Sink(ZenDaemonComponent):
    """Writes down what it gets; does what the args say."""

    def __init__(
        self, policy: Supervision = BEST_EFFORT, name: str = "sink", seconds: float = 0.0
    ) -> None:
        super().__init__(name=name, supervision=policy)
        self.seen: list[Any] = []
        self._seconds = seconds

    @handles("x")
    @handles("only")
    def cbk(self, daemon: Any, args: Any) -> Any:
        self.seen.append(args)
        if self._seconds:
            daemon.wait(self._seconds)
        match args:
            case "hang":
                daemon.wait(5_000.0)
            case "fail":
                raise ValueError("as told")
            case "restart":
                raise RestartComponent("as told")
            case "stop":
                return FLAG_STOP, args
            case "change":
                return FLAG_CONTINUE, "changed"
            case "child":
                daemon.queue.schedule("child", "born")
        return None

    @handles("start")
    @handles("stop")
    def cbk_life(self, daemon: Any, args: Any) -> None:
        self.inc_statistic("life")


class Source(ZenDaemonComponent):
    """Sends numbers with tokens."""

    def __init__(self) -> None:
        super().__init__(name="source")
        self.outcomes: list[tuple[Any, TokenOutcome]] = []

    @handles("send")
    def cbk_send(self, daemon: Any, args: tuple[str, list[Any]]) -> None:
        event, numbers = args
        for number in numbers:
            daemon.queue.schedule(
                event, number, on_done=lambda end, n=number: self.outcomes.append((n, end))
            )


class Worker(Probe):
    def __init__(self) -> None:
        super().__init__("x", name="worker")


ORDERS = {
    "first": lambda sink, source, worker: [sink, source, worker],
    "between": lambda sink, source, worker: [source, worker, sink, Probe("x", name="last")],
    "last": lambda sink, source, worker: [source, worker, sink],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ordering", ["component", "event", "global"])
def test_a_stuck_sink_loses_events_and_nothing_else_notices(order: str, ordering: Any) -> None:
    sink, source, worker = Sink(seconds=300.0), Source(), Worker()
    numbers = list(range(100))
    with Harness(ORDERS[order](sink, source, worker), ordering=ordering) as harness:
        harness.queue.schedule("send", ("x", numbers))
        harness.advance(1)
        assert [each.args for each in worker.received] == numbers
        assert source.outcomes == [(number, TokenOutcome.DONE) for number in numbers]
        books = harness.accounting()
        assert books.events["x"] == Counts(100, 100, lost=95)
        assert books.best_effort == {"sink": BestEffortCounts(offered=100, lost=95)}
        assert books.best_effort["sink"].pending == 5
        assert not harness.daemon.is_idle()
        assert sink.seen == [0]
        harness.advance(5 * 300)
        assert harness.daemon.is_idle()
        assert sink.seen == [0, 1, 2, 3, 4]
        assert harness.accounting().best_effort == {
            "sink": BestEffortCounts(offered=100, handled=5, lost=95)
        }
        losses = [each for each in harness.logs if "are lost to it" in each.message]
        assert [each.component for each in losses] == ["sink"]


def test_an_event_that_only_such_a_sink_handles_is_done_at_once() -> None:
    sink, source = Sink(seconds=10.0), Source()
    with Harness([source, sink]) as harness:
        harness.queue.schedule("send", ("only", list(range(2000))))
        harness.queue.schedule_priority("only", "urgent")
        harness.advance(1)
        assert source.outcomes == [(number, TokenOutcome.DONE) for number in range(2000)]
        assert harness.accounting().events["only"] == Counts(2001, 2001, lost=1996)
        assert harness.daemon.chains()["only"] == [("sink", "cbk")]
        harness.advance(100)
        assert len(sink.seen) == 5
        assert "urgent" in sink.seen


@pytest.mark.parametrize("args", ["stop", "change"])
def test_what_it_answers_has_no_effect_and_is_logged_once(args: str) -> None:
    sink, worker = Sink(), Worker()
    with Harness([sink, worker]) as harness:
        for _ in range(3):
            harness.queue.schedule("x", args)
            harness.run_until_idle()
        assert [each.args for each in worker.received] == [args] * 3
        lines = [each.message for each in harness.logs if each.level == "WARNING"]
        assert lines == [
            "Component 'sink' is best effort, so what its callback answers on event 'x' has no"
            " effect: neither FLAG_STOP nor other args"
        ]


def test_what_fails_in_it_is_a_dead_letter_and_not_the_failure_of_the_event() -> None:
    sink, source, worker = Sink(), Source(), Worker()
    with Harness([source, worker, sink]) as harness:
        harness.queue.schedule("send", ("x", ["a", "fail", "b"]))
        harness.run_until_idle()
        assert source.outcomes == [(each, TokenOutcome.DONE) for each in ("a", "fail", "b")]
        (letter,) = harness.dead_letters()
        assert (letter.event, letter.args, letter.component) == ("x", "fail", "sink")
        books = harness.accounting()
        assert books.events["x"] == Counts(3, 3)
        assert books.best_effort["sink"] == BestEffortCounts(3, handled=2, failed=1)
        assert books.components["sink"].failed == 1


def test_what_it_schedules_counts_by_itself() -> None:
    sink, source, children = Sink(), Source(), Sink(name="slow", seconds=50.0)
    children.get_events = lambda: [  # type: ignore[method-assign]
        children.gen_event_handler("child", children.cbk)
    ]
    children.supervision = Supervision()
    with Harness([source, sink, children]) as harness:
        harness.queue.schedule("send", ("x", ["child"]))
        harness.advance(1)
        assert source.outcomes == [("child", TokenOutcome.DONE)]
        assert harness.accounting().events["child"] == Counts(1, in_flight=1)
        assert not harness.daemon.is_idle()
        harness.advance(100)
        assert harness.daemon.is_idle()


def test_a_restart_and_a_suspension_of_it_hold_up_nothing() -> None:
    policy = Supervision(
        best_effort=True, best_effort_limit=3, max_restarts=1, delay=8.0, when_exhausted="suspend"
    )
    sink, worker = Sink(policy), Worker()
    with Harness([sink, worker]) as harness:
        for args in ("a", "restart", *"bcdef", "restart", *"ghijk"):
            harness.queue.schedule("x", args)
            harness.run_until_idle()
        assert len(worker.received) == 13
        books = harness.accounting()
        assert books.events["x"] == Counts(13, 13, lost=8)
        assert books.best_effort["sink"] == BestEffortCounts(13, handled=1, failed=1, lost=8)
        harness.advance(10)
        assert harness.accounting().best_effort["sink"].handled == 4
        for args in ("restart", "l", "m"):
            harness.queue.schedule("x", args)
        harness.run_until_idle()
        assert harness.daemon.readiness() != []  # it is suspended
        assert len(worker.received) == 16
        report = harness.stop()
        harness.dead_letters()
        assert (report.timed_out, report.stuck, report.left) == (False, (), 0)
        assert harness.accounting().best_effort["sink"] == BestEffortCounts(
            16, handled=4, failed=2, left=2, lost=8
        )


@pytest.mark.parametrize("seed", [None, *range(10)])
def test_one_that_hangs_is_replaced_and_goes_on_with_what_it_has(seed: int | None) -> None:
    policy = Supervision(best_effort=True, best_effort_limit=4, hard_limit=5.0, delay=0.0)
    sink, worker = Sink(policy, seconds=0.0), Worker()
    with Harness([sink, worker], seed=seed) as harness:
        harness.queue.schedule("x", "hang")
        for number in range(10):
            harness.queue.schedule("x", number)
            harness.run_until_idle()
        assert len(worker.received) == 11
        counts = harness.accounting().best_effort["sink"]
        assert (counts.offered, counts.pending, counts.lost) == (11, 4, 7)
        harness.advance(20)
        counts = harness.accounting().best_effort["sink"]
        assert counts == BestEffortCounts(11, handled=3, failed=1, lost=7)
        (letter,) = harness.dead_letters()
        assert letter.args == "hang"
        harness.advance(10_000)  # the old thread wakes up
        assert harness.accounting().best_effort["sink"] == counts


def test_a_stop_waits_for_what_it_has_taken_on() -> None:
    sink, worker = Sink(seconds=1.0), Worker()
    with Harness([sink, worker]) as harness:
        for number in range(5):
            harness.queue.schedule("x", number)
        harness.run_until_idle()
        report = harness.stop()
        assert report.drained
        assert harness.now == 0.0  # its waits end, and the stop learns of that at once
        assert sink.seen == [0, 1, 2, 3, 4]
        assert sink.statistics_cur["life"] == 2  # `start` and `stop` are not best effort


def test_replicas_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Component 'sink/1' is best effort and has repl"):
        Harness([Replicas(Sink, 2)]).start()


@pytest.mark.parametrize(
    "wrong", [{"best_effort": 5}, {"best_effort_limit": 0}, {"best_effort_limit": True}]
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Supervision(**wrong)


def test_what_it_sees_of_each_chain_is_in_order_on_real_threads() -> None:
    policy = Supervision(best_effort=True, best_effort_limit=16)
    events = dict.fromkeys("xyz")
    onlookers = [Fake(events, name=f"onlooker {number}") for number in range(3)]
    for onlooker in onlookers:
        onlooker.supervision = policy
    workers = [Fake({"x": None, "y": None}, name=f"worker {number}") for number in range(2)]
    first, between, last = onlookers
    dispatcher = Dispatcher([first, workers[0], between, workers[1], last], stop_timeout=DEADLINE)
    with switch_interval(0.000_05), dispatcher:

        def produce(producer: int) -> None:
            for number in range(1500):
                dispatcher.queue.schedule("xyz"[number % 3], (producer, number))

        threads = [threading.Thread(target=produce, args=(each,)) for each in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert dispatcher.drain(DEADLINE)
    books = dispatcher.accounting()
    assert books.is_balanced
    assert sum(books.events[event].completed for event in "xyz") == 4500
    for onlooker in onlookers:
        counts = books.best_effort[onlooker.name]
        assert (counts.offered, counts.pending) == (4500, 0)
        assert counts.handled == len(onlooker.seen)
        for producer in range(3):
            for event in range(3):
                seen = [n for who, n in onlooker.seen if who == producer and n % 3 == event]
                assert seen == sorted(seen), (onlooker.name, producer, "xyz"[event])


def test_one_that_blocks_does_not_hold_up_a_flood_on_real_threads() -> None:
    gate, fast = Gate(), Fake({"x": None}, name="fast")
    blocked = Fake({"x": gate}, name="blocked")
    blocked.supervision = Supervision(best_effort=True)
    last = Fake({"x": None}, name="last")
    with Dispatcher([fast, blocked, last], stop_timeout=DEADLINE) as dispatcher:
        for number in range(20_000):
            dispatcher.queue.schedule("x", number)
        last.await_count(20_000)
        assert fast.seen == last.seen == list(range(20_000))
        gate.await_entered()
        books = dispatcher.accounting()
        assert books.best_effort["blocked"].pending == 1024
        assert books.best_effort["blocked"].lost == 20_000 - 1024
        gate.open()
        assert dispatcher.drain(DEADLINE)
        assert blocked.seen == list(range(1024))
        assert dispatcher.accounting().events["x"] == Counts(20_000, 20_000, lost=20_000 - 1024)


def test_a_letter_of_a_best_effort_component_is_not_handled_again_by_the_others() -> None:
    sink, probe = Sink(), Fake({"x": None})
    with Harness([sink, probe]) as harness:
        harness.queue.schedule("x", "fail")
        harness.advance(1)
        (letter,) = harness.dead_letters()
        with pytest.raises(ValueError, match="is best effort") as refused:
            harness.dead_letters.replay()
        assert letter.id in str(refused.value)
        harness.advance(1)
        assert probe.seen == ["fail"]
        assert sink.seen == ["fail"]


def test_a_letter_is_replayed_into_an_event_that_only_best_effort_components_handle() -> None:
    sink = Sink()
    other = Fake({"x": None})
    with Harness([sink, other]) as harness:
        harness.queue.schedule("x", "fail")
        harness.advance(1)
        (letter,) = harness.dead_letters.replay(into="only")
        harness.advance(1)
        assert sink.seen == ["fail", "fail"]
        assert other.seen == ["fail"]
        (again,) = harness.dead_letters()  # the component does not take part in the outcome
        assert again.id != letter.id
        harness.dead_letters.replay(again)
        harness.advance(1)
        assert sink.seen == ["fail"] * 3
        assert other.seen == ["fail"]
        harness.dead_letters()


def test_a_replay_shows_a_best_effort_component_nothing_that_lies_before_its_beginning() -> None:
    class Mended(Sink):
        mended = False

        @handles("x")
        def cbk(self, daemon: Any, args: Any) -> None:
            if not self.mended:
                raise ValueError(args)

    before, behind, last = Sink(name="before"), Sink(name="behind"), Mended(Supervision(), "last")
    parser = Fake({"x": lambda _daemon, args: (FLAG_CONTINUE, f"parsed {args}")})
    with Harness([before, parser, last, behind]) as harness:
        harness.queue.schedule("x", "line")
        harness.advance(1)
        last.mended = True
        assert len(harness.dead_letters.replay()) == 1
        harness.advance(1)
        assert before.seen == ["line"]
        assert behind.seen == ["parsed line"]
        assert harness.daemon.accounting().best_effort["before"].offered == 1
