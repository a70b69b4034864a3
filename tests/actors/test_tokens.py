"""Completion tokens: a source learns when an event, and everything that came of it, is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sweeps import seeds
from zenactors import Dispatcher
from zenactors.actors.component_messages import Change
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, gen_event_handler, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Retry, Supervision
from zenactors.core.tokens import OpenTokens, Token, TokenOutcome
from zenactors.errors import RestartComponent, ZenDaemonStopException
from zenactors.testing.harness import Harness

LATE = 0.4  # virtual seconds: a hasty stop ends tokens before, and waits for longer
DONE, FAILED, LEFT = TokenOutcome.DONE, TokenOutcome.FAILED, TokenOutcome.LEFT


class Source(ZenDaemonComponent):
    """Schedules `x` for each `go`, and keeps the outcomes by the numbers that it gave."""

    def __init__(self, event: str = "x", name: str = "source") -> None:
        super().__init__(name=name)
        self.event_name = event
        self.outcomes: list[tuple[Any, TokenOutcome]] = []
        self.handles: dict[Any, Any] = {}

    @handles("go")
    def cbk_go(self, daemon: Any, number: Any) -> None:
        self.send(daemon, number)

    def send(self, daemon: Any, number: Any) -> None:
        self.handles[number] = daemon.queue.schedule(
            self.event_name,
            number,
            on_done=lambda outcome: self.outcomes.append((number, outcome)),
        )


class Step(ZenDaemonComponent):
    """Calls a function for each `x`."""

    def __init__(
        self,
        callback: Any = None,
        event: str = "x",
        name: str = "step",
        supervision: Supervision | None = None,
    ) -> None:
        super().__init__(name=name)
        self.supervision = supervision or Supervision()
        self._callback = callback
        self._event_name = event
        self.seen: list[Any] = []

    def get_events(self) -> list[Any]:
        return [gen_event_handler(self._event_name, self.cbk)]

    def cbk(self, daemon: Any, args: Any) -> Any:
        self.seen.append(args)
        return None if self._callback is None else self._callback(daemon, args)


def go(harness: Harness, *numbers: Any) -> None:
    for number in numbers:
        harness.queue.schedule("go", number)
    harness.run_until_idle()


def test_an_event_is_done_when_its_whole_chain_has_handled_it() -> None:
    source, first, last = Source(), Step(), Step(name="last")
    with Harness([source, first, last]) as harness:
        go(harness, 1, 2, 3)
        assert source.outcomes == [(1, DONE), (2, DONE), (3, DONE)]
        assert harness.daemon.open_tokens() == (0, 0.0)
    assert first.seen == last.seen == [1, 2, 3]


def test_the_next_component_gets_what_the_one_before_returned() -> None:
    source = Source()
    last = Step(name="last")
    with Harness([source, Step(lambda d, a: (FLAG_CONTINUE, a * 10)), last]) as harness:
        go(harness, 1, 2)
        assert source.outcomes == [(1, DONE), (2, DONE)]
    assert last.seen == [10, 20]


def test_flag_stop_is_done_and_a_dead_letter_is_failed() -> None:
    def callback(_daemon: Any, number: int) -> Any:
        if number == 2:
            raise ValueError("two")
        return (FLAG_STOP, number) if number == 1 else None

    source = Source()
    with Harness([source, Step(callback), Step(name="last")]) as harness:
        go(harness, 1, 2, 3)
        assert sorted(source.outcomes, key=lambda each: each[0]) == [
            (1, DONE),
            (2, FAILED),
            (3, DONE),
        ]
        (letter,) = harness.dead_letters()
        assert letter.args == 2


def test_what_came_of_an_event_counts_and_the_worst_outcome_wins() -> None:
    def split(daemon: Any, number: int) -> None:
        for part in range(3):
            daemon.queue.schedule("part", (number, part))

    def fail_some(_daemon: Any, part: tuple[int, int]) -> None:
        if part == (2, 0):
            raise ValueError(part)

    source, parts = Source(), Step(fail_some, "part", name="parts")
    with Harness([source, Step(split), parts]) as harness:
        go(harness, 1, 2)
        assert sorted(source.outcomes, key=lambda each: each[0]) == [(1, DONE), (2, FAILED)]
        assert len(parts.seen) == 6
        harness.dead_letters()


def test_a_timed_event_of_an_event_counts_until_it_was_handled() -> None:
    source, later = Source(), Step(None, "later", name="later")
    step = Step(lambda daemon, number: daemon.queue.schedule_after(60, "later", number) and None)
    with Harness([source, step, later]) as harness:
        go(harness, 1)
        harness.advance(59)
        assert source.outcomes == []
        assert harness.daemon.open_tokens() == (1, 59.0)
        harness.advance(1)
        assert source.outcomes == [(1, DONE)]


def test_a_cancelled_event_is_failed() -> None:
    source, later = Source(), Step(None, "later", name="later")
    scheduled: list[Any] = []

    def schedule(daemon: Any, number: int) -> None:
        scheduled.append(daemon.queue.schedule_after(60, "later", number))

    with Harness([source, Step(schedule), later]) as harness:
        go(harness, 1)
        assert scheduled[0].cancel()
        harness.run_until_idle()
        assert source.outcomes == [(1, FAILED)]


def test_an_event_that_is_cancelled_by_the_callback_that_scheduled_it_is_failed() -> None:
    class Fickle(Source):
        def send(self, daemon: Any, number: Any) -> None:
            super().send(daemon, number)
            assert self.handles[number].cancel()

    fickle, step = Fickle(), Step()
    with Harness([fickle, step]) as harness:
        go(harness, 1)
        assert fickle.outcomes == [(1, FAILED)]
    assert step.seen == []


def test_a_batching_sink_defers_with_holds() -> None:
    class Sink(Step):
        def __init__(self) -> None:
            super().__init__()
            self.batch: list[Any] = []

        def cbk(self, daemon: Any, args: Any) -> None:
            self.batch.append((args, daemon.hold()))
            if len(self.batch) == 3:
                for number, hold in self.batch:
                    if number == 2:
                        hold.fail()
                    else:
                        hold.release()
                    hold.release()  # no effect
                self.batch.clear()

    source, sink = Source(), Sink()
    with Harness([source, sink]) as harness:
        go(harness, 1, 2)
        assert source.outcomes == []
        go(harness, 3)
        assert sorted(source.outcomes, key=lambda each: each[0]) == [
            (1, DONE),
            (2, FAILED),
            (3, DONE),
        ]


def test_a_sink_may_release_its_holds_in_its_teardown() -> None:
    class Sink(Step):
        def cbk(self, daemon: Any, args: Any) -> None:
            self.last = daemon.hold()

        def teardown(self, daemon: Any) -> None:
            self.last.release()

    source, sink = Source(), Sink()
    with Harness([source, sink]) as harness:
        go(harness, 1)
        assert source.outcomes == []
    assert source.outcomes == [(1, DONE)]


def test_a_timer_may_schedule_as_part_of_a_held_event() -> None:
    class Timer(Step):
        def cbk(self, daemon: Any, args: Any) -> None:
            hold = daemon.hold()

            def ring(daemon: Any) -> None:
                with daemon.part_of(hold):
                    daemon.queue.schedule("later", args)
                hold.release()

            daemon.io.call_later(10, ring)

    source = Source()
    with Harness([source, Timer(), Step(self_fails, "later", name="later")]) as harness:
        go(harness, 1)
        assert source.outcomes == []
        harness.advance(10)
        assert source.outcomes == [(1, FAILED)]
        harness.dead_letters()


def self_fails(_daemon: Any, args: Any) -> None:
    raise ValueError(args)


def test_an_event_with_on_done_inside_another_is_a_part_of_it() -> None:
    source = Source()
    inner: list[TokenOutcome] = []

    def nest(daemon: Any, number: int) -> None:
        daemon.queue.schedule("inner", number, on_done=inner.append)

    with Harness([source, Step(nest), Step(self_fails, "inner", name="inner")]) as harness:
        go(harness, 1)
        assert inner == [FAILED]
        assert source.outcomes == [(1, FAILED)]
        harness.dead_letters()


def test_what_a_stop_leaves_undone_is_left_before_the_source_is_torn_down() -> None:
    class Careful(Source):
        def teardown(self, daemon: Any) -> None:
            self.outcomes.append(("teardown", DONE))

    source = Careful()
    step = Step(lambda daemon, number: daemon.queue.schedule_after(60, "later", number) and None)
    with Harness([source, step, Step(None, "later", name="later")]) as harness:
        go(harness, 1)
    assert source.outcomes == [(1, LEFT), ("teardown", DONE)]


def test_what_follows_an_immediate_stop_is_left() -> None:
    def stop(_daemon: Any, number: int) -> None:
        if number == 2:
            raise ZenDaemonStopException

    source = Source()
    with Harness([source, Step(stop)]) as harness:
        go(harness, 1, 2, 3)
    assert sorted(source.outcomes, key=lambda each: each[0]) == [
        (1, DONE),
        (2, LEFT),
        (3, LEFT),
    ]


def test_a_system_exit_does_not_complete_its_event() -> None:
    def leave(_daemon: Any, _number: int) -> None:
        raise SystemExit(3)

    source = Source()
    with Harness([source, Step(leave)]) as harness:
        go(harness, 1)
        harness.dead_letters()
    assert source.outcomes == [(1, LEFT)]


def test_replicas_report_each_of_their_events() -> None:
    def callback(_daemon: Any, number: int) -> None:
        if number % 3 == 0:
            raise ValueError(number)

    source = Source()
    workers = Replicas(lambda: Step(callback), 3)
    with Harness([source, workers, Step(name="last")]) as harness:
        go(harness, *range(12))
        assert sorted(source.outcomes, key=lambda each: each[0]) == [
            (number, DONE if number % 3 else FAILED) for number in range(12)
        ]
        harness.dead_letters()


def test_a_replicas_key_gets_the_args_and_its_failure_fails_the_event() -> None:
    def key(number: int) -> int:
        if number == 2:
            raise ValueError(number)
        return number

    source = Source()
    with Harness([source, Replicas(Step, 2, key=key)]) as harness:
        go(harness, 1, 2, 3)
        assert sorted(source.outcomes, key=lambda each: each[0]) == [
            (1, DONE),
            (2, FAILED),
            (3, DONE),
        ]
        harness.dead_letters()


def test_a_restart_of_the_sink_leaves_its_holds_and_keeps_the_rest() -> None:
    class Sink(Step):
        def cbk(self, daemon: Any, args: Any) -> None:
            if args == "restart":
                raise RestartComponent("asked for")
            self.kept = daemon.hold()

    source = Source()
    sink = Sink(supervision=Supervision(delay=1.0, retry=Retry(attempts=2)))
    with Harness([source, sink]) as harness:
        go(harness, 1, "restart", 3)
        assert source.outcomes == [(1, LEFT)]
        harness.advance(10)
        assert source.outcomes == [(1, LEFT), ("restart", FAILED)]
        harness.dead_letters()
    assert source.outcomes[2:] == [(3, LEFT)]  # its hold was never released


def test_a_source_that_was_made_anew_does_not_hear_of_its_former_life() -> None:
    class Restarting(Source):
        supervision = Supervision(delay=1.0)

        @handles("restart")
        def cbk_restart(self, daemon: Any, args: Any) -> None:
            raise RestartComponent("asked for")

    source = Restarting()
    step = Step(lambda daemon, number: daemon.queue.schedule_after(5, "later", number) and None)
    with Harness([source, step, Step(None, "later", name="later")]) as harness:
        go(harness, 1)
        harness.queue.schedule("restart")
        harness.advance(10)
        assert source.outcomes == []
        assert harness.daemon.open_tokens() == (0, 0.0)
        harness.dead_letters()


@pytest.mark.parametrize("seed", [None, *range(20)])
def test_what_an_on_done_schedules_keeps_the_daemon_from_ending(seed: int | None) -> None:
    class Chained(Source):
        def send(self, daemon: Any, number: Any) -> None:
            def ended(outcome: TokenOutcome) -> None:
                self.outcomes.append((number, outcome))
                if number < 20:
                    self.send(daemon, number + 1)

            daemon.queue.schedule("x", number, on_done=ended)

    source = Chained()
    with Harness([source, Step()], seed=seed) as harness:
        harness.queue.schedule("go", 1)
        assert harness.daemon.drain(60)
        assert harness.daemon.is_idle()
        assert [number for number, _ in source.outcomes] == list(range(1, 21))


def test_an_on_done_that_raises_is_contained() -> None:
    class Broken(Source):
        @handles("go")
        def cbk_go(self, daemon: Any, number: Any) -> None:
            daemon.queue.schedule("x", number, on_done=lambda outcome: 1 / 0)

    with Harness([Broken(), step := Step()]) as harness:
        go(harness, 1, 2)
        assert step.seen == [1, 2]
        assert not harness.daemon.is_done()
        assert "ZeroDivisionError" in harness.logs[-1].message


def test_holds_and_on_done_belong_to_components() -> None:
    with Dispatcher([Step()]) as dispatcher:
        with pytest.raises(RuntimeError, match=r"^on_done belongs to a component's own thread"):
            dispatcher.queue.schedule("x", 1, on_done=print)
        with pytest.raises(RuntimeError, match=r"^daemon\.hold\(\) belongs to a component's own"):
            dispatcher.hold()


def test_a_hold_on_an_event_without_a_token_has_no_effect() -> None:
    class Sink(Step):
        def cbk(self, daemon: Any, args: Any) -> None:
            daemon.hold().release()

    with Harness([sink := Sink()]) as harness:
        harness.queue.schedule("x", 1)
        harness.run_until_idle()
    assert sink.seen == []


@pytest.mark.parametrize("ordering", ["component", "global", "event"])
@seeds(5, soak=20)
def test_each_event_ends_once_whatever_happens(seed: int, ordering: Any) -> None:
    numbers = list(range(60))

    def split(daemon: Any, number: int) -> Any:
        if number % 4 == 0:
            daemon.queue.schedule("part", number)
        if number % 5 == 0:
            daemon.queue.schedule_next("part", number)
        if number % 7 == 0:
            daemon.queue.schedule_after(0.5, "part", number)
        if number % 11 == 3:
            raise ValueError(number)
        return (FLAG_STOP, number) if number % 6 == 1 else None

    def part(_daemon: Any, number: int) -> None:
        if number % 8 == 0:
            raise RestartComponent(str(number))

    source = Source()
    policy = Supervision(delay=0.1, max_restarts=1000)
    components = [
        source,
        Step(split),
        Replicas(lambda: Step(name="many"), 2),
        Step(part, "part", name="parts", supervision=policy),
    ]
    with Harness(components, seed=seed, ordering=ordering) as harness:
        for number in numbers:
            harness.queue.schedule("go", number)
        harness.advance(3000)
        assert sorted(source.outcomes, key=lambda each: each[0]) == [
            (number, FAILED if number % 8 == 0 or number % 11 == 3 else DONE) for number in numbers
        ]
        assert harness.daemon.open_tokens() == (0, 0.0)
        harness.dead_letters()


def test_a_part_of_a_held_event_counts_even_if_the_hold_is_released_before() -> None:
    class Timer(Step):
        def cbk(self, daemon: Any, args: Any) -> None:
            hold = daemon.hold()

            def ring(daemon: Any) -> None:
                with daemon.part_of(hold):
                    hold.release()
                    daemon.queue.schedule("later", args)

            daemon.io.call_later(10, ring)

    source = Source()
    with Harness([source, Timer(), Step(self_fails, "later", name="later")]) as harness:
        go(harness, 1)
        harness.advance(10)
        assert source.outcomes == [(1, FAILED)]
        harness.dead_letters()


def test_a_hold_of_another_component_cannot_be_used() -> None:
    holds: list[Any] = []
    step = Step(lambda daemon, _: holds.append(daemon.hold()))

    def use(daemon: Any, _args: Any) -> None:
        with daemon.part_of(holds[0]):
            pass

    with Harness([source := Source(), step, Step(use, "use", name="thief")]) as harness:
        go(harness, 1)
        harness.queue.schedule("use")
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        assert str(letter.cause).startswith("A hold belongs to the component's own thread")
    assert source.outcomes == [(1, LEFT)]


def test_a_source_that_is_down_hears_of_nothing() -> None:
    class Restarting(Source):
        supervision = Supervision(delay=20.0)

        @handles("restart")
        def cbk_restart(self, daemon: Any, args: Any) -> None:
            raise RestartComponent("asked for")

    source = Restarting()
    step = Step(lambda daemon, number: daemon.queue.schedule_after(5, "later", number) and None)
    with Harness([source, step, Step(None, "later", name="later")]) as harness:
        go(harness, 1)
        harness.queue.schedule("restart")
        harness.advance(6)
        assert harness.daemon.readiness() != []
        assert source.outcomes == []
        assert harness.daemon.open_tokens() == (0, 0.0)
        harness.dead_letters()


def test_a_reload_that_makes_a_sink_anew_leaves_its_holds() -> None:
    class Sink(Step):
        def cbk(self, daemon: Any, args: Any) -> None:
            self.seen.append(daemon.hold())

        def teardown(self, daemon: Any) -> None:
            self.seen[0].release()  # there is time for that

    source = Source()
    with Harness([source, Sink()]) as harness:
        go(harness, 1, 2)
        change = Change({}, {}, replacement=Sink())
        harness.spawn(lambda: harness.daemon.reconfigure({"step": change}, lambda: None))
        harness.run_until_idle()
        assert source.outcomes == [(1, DONE), (2, LEFT)]


def test_on_done_must_be_callable() -> None:
    source = Step(lambda daemon, _: daemon.queue.schedule("y", on_done="done") and None)
    with Harness([source, Step(None, "y", name="y")]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        assert str(letter.cause) == "on_done must be callable, not 'done'."


def test_a_token_ends_once() -> None:
    tokens = OpenTokens()
    parent = Token(0, 1, print, None, 0.0)
    for token in (parent, Token(0, 1, print, parent, 0.0)):
        tokens.add(token)
        tokens.end(token, DONE)
        tokens.add(token)
        tokens.end(token, FAILED)
        assert token.outcome is DONE
    assert len(tokens.finished) == 2

    tokens.add(left := Token(0, 1, print, None, 0.0))
    assert tokens.fail_those_of(0) == [left]
    tokens.add(left)
    tokens.end(left, DONE)
    assert (len(tokens.finished), tokens.count(), left.outcome) == (2, 0, LEFT)


def test_a_token_that_a_callback_makes_while_its_component_is_torn_down_ends() -> None:
    outcomes: list[TokenOutcome] = []

    def late(daemon: Any, args: Any) -> None:
        daemon.wait(60)  # until the stop
        harness._runtime.event().wait(LATE)  # then the stop ends the tokens of this component
        daemon.queue.schedule("x", on_done=outcomes.append)

    with Harness([Step(late)]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        assert harness.daemon.stop(drain=False).stuck == ()
        assert outcomes == [LEFT]
        assert harness.daemon.open_tokens()[0] == 0


def test_a_teardown_gets_no_token() -> None:
    class Late(Step):
        def teardown(self, daemon: Any) -> None:
            daemon.queue.schedule("x", on_done=outcomes.append)

    outcomes: list[TokenOutcome] = []
    with Harness([Late()]) as harness:
        harness.daemon.stop(drain=False)
        assert (outcomes, harness.daemon.open_tokens()[0]) == ([], 0)
