from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from zenactors.core.batch_runner import MAX_STRIDE, SPLIT_AFTER, BatchRunner, exit_status
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, gen_event_handler
from zenactors.core.chain import Chain, build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.event_queue import QueuePosition, Scheduled
from zenactors.core.messages import Batch, DeadLetter
from zenactors.errors import ZenDaemonComponentException, ZenDaemonStopException

Callback = Callable[[Any, Any], Any]
DAEMON = object()


class RecordingOutlet:
    """Keeps what a host sends."""

    def __init__(self) -> None:
        self.forwarded: list[tuple[int, Batch]] = []
        self.reported: list[Batch] = []
        self.scheduled: list[list[Scheduled]] = []
        self.letters: list[DeadLetter] = []
        self.stops: list[tuple[int, BaseException]] = []

    def forward(self, component: int, batch: Batch) -> None:
        self.forwarded.append((component, batch))

    def report(self, batch: Batch) -> None:
        self.reported.append(batch)

    def schedule(self, children: list[Scheduled]) -> None:
        self.scheduled.append(children)

    def dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        self.stops.append((status, cause))


class Bench:
    """One host with a chain of its own: `callbacks` on component 0, then one on component 1."""

    def __init__(self, *callbacks: Callback, steps: int = 1) -> None:
        self.clock = VirtualClock()
        self.sink = RecordingOutlet()
        components: list[tuple[str, list[Any]]] = [
            ("c", [gen_event_handler("x", callback) for callback in callbacks])
        ]
        for number in range(1, steps):
            components.append((f"c{number}", [gen_event_handler("x", proceed)]))
        chains = build_chains(components)
        DispatchState(chains, clock=self.clock)  # gives the steps their orders
        self.chain: Chain = chains["x"]
        self.runner = BatchRunner("c", DAEMON, self.sink, self.clock)

    def batch(
        self, *items: Any, ticket: int = 0, last: bool = True, control: bool = False
    ) -> Batch:
        tickets = tuple([ticket] * len(self.chain.steps))
        return Batch(
            self.chain, 0, tickets, list(items), len(items), last=last, on_control_lane=control
        )

    def run(self, *items: Any) -> Batch:
        self.runner.arrive(self.batch(*items))
        self.work()
        return self.sink.reported[-1]

    def work(self) -> None:
        while self.runner.has_work():
            self.runner.work()


def proceed(daemon: Any, args: Any) -> None:
    return None


# --- what callbacks answer --------------------------------------------------------------------


def test_a_callback_gets_the_daemon_and_the_very_args() -> None:
    got: list[tuple[Any, Any]] = []
    bench = Bench(lambda daemon, args: got.append((daemon, args)))
    args = {"a": 1}
    batch = bench.run(args)

    assert got[0][0] is DAEMON
    assert got[0][1] is args
    assert batch.items[0] is args


def test_none_continues_with_the_same_args_and_a_pair_with_new_ones() -> None:
    assert Bench(lambda d, a: None).run(1, 2).items == [1, 2]
    assert Bench(lambda d, a: (FLAG_CONTINUE, a + 10)).run(1, 2).items == [11, 12]
    assert Bench(lambda d, a: (1, None)).run(1).items == [None]
    assert Bench(lambda d, a: [True, a]).run(1).items == [1]


def test_flag_stop_ends_an_event_and_counts_it() -> None:
    batch = Bench(lambda d, a: (FLAG_STOP if a % 2 else FLAG_CONTINUE, a)).run(1, 2, 3, 4)
    assert (batch.items, batch.stopped, batch.dead, batch.size) == ([2, 4], 2, 0, 4)
    assert Bench(lambda d, a: (0, a)).run(1).stopped == 1


@pytest.mark.parametrize("answer", [5, (1,), (1, 2, 3), 1.5, object(), ()])
def test_an_answer_that_is_no_pair_is_a_dead_letter_that_shows_it(answer: Any) -> None:
    def odd(daemon: Any, args: Any) -> Any:
        return answer if args == 2 else None

    bench = Bench(odd)
    batch = bench.run(1, 2, 3)

    assert (batch.items, batch.dead, batch.stopped) == ([1, 3], 1, 0)
    (letter,) = bench.sink.letters
    assert isinstance(letter.cause, ZenDaemonComponentException)
    assert repr(answer) in str(letter.cause)
    assert "odd" in str(letter.cause)
    assert (letter.event, letter.args, letter.component, letter.callback) == ("x", 2, "c", "odd")


def test_an_exception_kills_its_event_only() -> None:
    def fragile(daemon: Any, args: Any) -> Any:
        if args == 2:
            raise LookupError("two")
        return FLAG_CONTINUE, args

    bench = Bench(fragile)
    batch = bench.run(1, 2, 3)

    assert (batch.items, batch.dead, batch.stopped, batch.size) == ([1, 3], 1, 0, 3)
    (letter,) = bench.sink.letters
    assert isinstance(letter.cause, LookupError)
    assert letter.cause.__traceback__ is not None


def test_a_type_error_in_a_callback_is_not_taken_for_a_wrong_answer() -> None:
    def wrong(daemon: Any, args: Any) -> Any:
        return 1 + "1"  # type: ignore[operator]

    bench = Bench(wrong)
    bench.run(1)
    assert isinstance(bench.sink.letters[0].cause, TypeError)


def test_a_callback_that_cannot_be_called_so_is_not_blamed_on_the_last_answer() -> None:
    answers: list[Any] = []

    class Fickle:
        def __call__(self, daemon: Any, *args: Any) -> Any:
            answers.append(args)
            return FLAG_CONTINUE, args[0]

    bench = Bench(int)  # a builtin: raises without a frame of its own
    batch = bench.run("1", "2")
    assert batch.dead == 2
    assert all(isinstance(letter.cause, TypeError) for letter in bench.sink.letters)
    assert Bench(Fickle()).run(1).items == [1]


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (SystemExit(3), 3),
        (SystemExit(), 0),
        (SystemExit("text"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_exit_kills_its_event_and_asks_for_a_stop(cause: BaseException, status: int) -> None:
    def leave(daemon: Any, args: Any) -> Any:
        if args == 1:
            raise cause

    bench = Bench(leave)
    batch = bench.run(1, 2)
    assert (batch.items, batch.dead, batch.size) == ([], 1, 1)
    assert bench.sink.stops == [(status, cause)]
    assert exit_status(cause) == status


def test_a_stop_request_stops_its_event_and_is_no_dead_letter() -> None:
    def stop(daemon: Any, args: Any) -> Any:
        raise ZenDaemonStopException

    bench = Bench(stop)
    batch = bench.run(1)
    assert (batch.stopped, batch.dead, bench.sink.letters) == (1, 0, [])
    assert bench.sink.stops[0][0] == 0


def test_even_a_generator_exit_is_contained() -> None:
    def leave(daemon: Any, args: Any) -> Any:
        raise GeneratorExit

    assert Bench(leave).run(1).dead == 1


# --- several callbacks of one component -----------------------------------------------------


def test_several_callbacks_run_event_by_event() -> None:
    calls: list[Any] = []

    def first(daemon: Any, args: Any) -> Any:
        calls.append(("first", args))
        return FLAG_CONTINUE, args + 1

    def second(daemon: Any, args: Any) -> Any:
        calls.append(("second", args))

    batch = Bench(first, second).run(10, 20)
    assert calls == [("first", 10), ("second", 11), ("first", 20), ("second", 21)]
    assert batch.items == [11, 21]


def test_each_of_several_callbacks_may_end_its_event() -> None:
    def first(daemon: Any, args: Any) -> Any:
        if args == "raise":
            raise LookupError
        return (FLAG_STOP if args == "stop" else FLAG_CONTINUE), args

    def second(daemon: Any, args: Any) -> Any:
        return 5 if args == "wrong" else (args != "stop later", args)

    bench = Bench(first, second)
    batch = bench.run("raise", "stop", "wrong", "stop later", "fine")
    assert (batch.items, batch.stopped, batch.dead) == (["fine"], 2, 2)
    assert [letter.callback for letter in bench.sink.letters] == ["first", "second"]
    assert [letter.args for letter in bench.sink.letters] == ["raise", "wrong"]


# --- the way on -------------------------------------------------------------------------------


def test_survivors_go_to_the_next_step_and_the_rest_is_remembered() -> None:
    bench = Bench(lambda d, a: (a > 1, a), steps=2)
    bench.runner.arrive(bench.batch(1, 2, 3))
    bench.work()

    ((component, batch),) = bench.sink.forwarded
    assert (component, batch.step, batch.items, batch.stopped, batch.size, batch.last) == (
        1,
        1,
        [2, 3],
        1,
        3,
        True,
    )
    assert bench.sink.reported == []


def test_a_batch_whose_events_are_all_gone_travels_on_empty() -> None:
    bench = Bench(lambda d, a: (FLAG_STOP, a), steps=3)
    bench.runner.arrive(bench.batch(1, 2))
    bench.work()

    batch = bench.sink.forwarded[0][1]
    assert (batch.items, batch.size, batch.stopped, batch.last) == ([], 2, 2, True)


def test_children_go_to_the_dispatcher_before_the_batch_goes_on() -> None:
    sent: list[str] = []
    bench = Bench(lambda d, a: bench.runner.children.append(child), steps=2)
    child = Scheduled(None, QueuePosition.BACK, "x", None)  # type: ignore[arg-type]
    bench.sink.schedule = lambda children: sent.append(f"{len(children)} children")  # type: ignore[method-assign]
    bench.sink.forward = lambda component, batch: sent.append("part")  # type: ignore[method-assign]
    bench.runner.arrive(bench.batch(1, 2))
    bench.work()

    assert sent == ["2 children", "part"]
    assert bench.runner.children == []


def test_children_of_the_last_step_travel_with_the_report() -> None:
    bench = Bench(lambda d, a: bench.runner.children.append(child))
    child = Scheduled(None, QueuePosition.BACK, "x", None)  # type: ignore[arg-type]
    batch = bench.run(1, 2)

    assert batch.children == [child, child]
    assert bench.sink.scheduled == []
    bench.runner.arrive(bench.batch(ticket=1))
    bench.work()
    assert bench.sink.reported[-1].children is None


def test_a_part_of_the_control_lane_runs_between_two_strides() -> None:
    calls: list[Any] = []

    def slow(daemon: Any, args: Any) -> None:
        calls.append(args)
        bench.clock.advance(0.000_6)

    bench = Bench(slow)
    bench.runner.arrive(bench.batch(1, 2, 3))
    bench.runner.work()
    bench.runner.run_control(bench.batch("control", control=True))
    bench.work()

    assert calls == [1, "control", 2, 3]
    control = bench.sink.reported[0]
    assert (control.items, control.on_control_lane, control.size) == (["control"], True, 1)
    assert sum(batch.size for batch in bench.sink.reported) == 4


# --- strides and parts ------------------------------------------------------------------------


def test_strides_double_while_callbacks_are_quick() -> None:
    seen: list[int] = []
    bench = Bench(lambda _daemon, args: seen.append(args))
    strides = []
    bench.runner.arrive(bench.batch(*range(500)))
    while bench.runner.has_work():
        before = len(seen)
        bench.runner.work()
        strides.append(len(seen) - before)

    assert strides[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert max(strides) == MAX_STRIDE
    assert sum(strides) == 500


def test_a_stride_is_cut_when_callbacks_turn_slow_and_never_below_one() -> None:
    pace = 0.0
    bench = Bench(lambda d, a: bench.clock.advance(pace))
    bench.run(*range(500))
    step = bench.chain.steps[0]
    assert step.stride == MAX_STRIDE

    pace = 0.000_05
    bench.runner.arrive(bench.batch(*range(64), ticket=1))
    bench.work()
    assert 4 <= step.stride <= 5  # as many as fit into a quarter of a millisecond
    pace = 0.5
    bench.runner.arrive(bench.batch(*range(8), ticket=2))
    bench.work()
    assert step.stride == 1


def test_what_is_done_after_a_millisecond_is_sent_on_as_a_part() -> None:
    bench = Bench(lambda d, a: bench.clock.advance(0.000_4), steps=2)
    bench.runner.arrive(bench.batch(*range(10)))
    bench.work()

    batches = [batch for _, batch in bench.sink.forwarded]
    assert [item for batch in batches for item in batch.items] == list(range(10))
    assert [batch.items for batch in batches][:3] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert {batch.tickets for batch in batches} == {(0, 0)}
    assert sum(batch.size for batch in batches) == 10


def test_a_quick_batch_is_not_parted() -> None:
    bench = Bench(proceed, steps=2)
    bench.runner.arrive(bench.batch(*range(1000)))
    bench.work()
    assert [batch.size for _, batch in bench.sink.forwarded] == [1000]


def test_parts_add_up_with_the_gone_and_the_dead_among_them() -> None:
    def mixed(daemon: Any, args: int) -> Any:
        bench.clock.advance(SPLIT_AFTER)
        if args % 3 == 0:
            raise LookupError
        return (args % 3 == 1), args

    bench = Bench(mixed, steps=2)
    whole = bench.batch(*range(30))
    # Four events of the batch were lost before: they are carried along and not forgotten.
    whole.size, whole.stopped, whole.dead = 34, 3, 1
    bench.runner.arrive(whole)
    bench.work()

    batches = [batch for _, batch in bench.sink.forwarded]
    assert len(batches) == 30
    assert sum(len(batch.items) for batch in batches) == 10
    assert sum(batch.stopped for batch in batches) == 10 + 3
    assert sum(batch.dead for batch in batches) == 10 + 1
    assert sum(batch.size for batch in batches) == 34
    for batch in batches:
        assert batch.size == len(batch.items) + batch.stopped + batch.dead


def test_a_part_can_be_parted_again() -> None:
    bench = Bench(lambda d, a: bench.clock.advance(SPLIT_AFTER), steps=2)
    bench.runner.arrive(bench.batch(1, 2, last=False))
    bench.work()
    assert [batch.last for _, batch in bench.sink.forwarded] == [False, False]
    bench.runner.arrive(bench.batch(3, 4))
    bench.work()
    assert [batch.last for _, batch in bench.sink.forwarded] == [False, False, False, True]


# --- tickets ----------------------------------------------------------------------------------


def order_of(bench: Bench) -> list[Any]:
    bench.work()
    return [item for batch in bench.sink.reported for item in batch.items]


def test_early_tickets_are_put_aside_until_their_turn() -> None:
    bench = Bench(proceed)
    for ticket in (2, 1, 3):
        bench.runner.arrive(bench.batch(ticket, ticket=ticket))
    assert not bench.runner.has_work()

    bench.runner.arrive(bench.batch(0, ticket=0))
    assert order_of(bench) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_batches_run_in_ticket_order_however_they_arrive(seed: int) -> None:
    rng = random.Random(seed)
    bench = Bench(proceed)
    tickets = list(range(50))
    rng.shuffle(tickets)
    for ticket in tickets:
        bench.runner.arrive(bench.batch(ticket, ticket=ticket))
        if rng.random() < 0.3:
            bench.work()
    assert order_of(bench) == list(range(50))


def test_only_the_last_part_advances_the_order() -> None:
    bench = Bench(proceed)
    bench.runner.arrive(bench.batch("early", ticket=1))
    bench.runner.arrive(bench.batch("a", last=False))
    bench.runner.arrive(bench.batch("b", last=False))
    assert order_of(bench) == ["a", "b"]
    bench.runner.arrive(bench.batch("c"))
    assert order_of(bench) == ["a", "b", "c", "early"]


def test_early_parts_wait_together_and_later_ones_follow_directly() -> None:
    bench = Bench(proceed)
    bench.runner.arrive(bench.batch("b1", ticket=1, last=False))
    bench.runner.arrive(bench.batch("b2", ticket=1, last=False))
    bench.runner.arrive(bench.batch("c", ticket=2))
    bench.runner.arrive(bench.batch("a"))
    assert order_of(bench) == ["a", "b1", "b2"]
    bench.runner.arrive(bench.batch("b3", ticket=1))
    assert order_of(bench) == ["a", "b1", "b2", "b3", "c"]


def test_an_empty_batch_advances_the_order_too() -> None:
    bench = Bench(proceed)
    bench.runner.arrive(bench.batch("b", ticket=1))
    bench.runner.arrive(bench.batch(ticket=0))
    assert order_of(bench) == ["b"]
    assert len(bench.sink.reported) == 2


@pytest.mark.parametrize("cause", [SystemExit(74), ZenDaemonStopException("enough")])
@pytest.mark.parametrize("callbacks", [1, 2])
def test_after_a_stop_request_nothing_more_of_the_batch_is_run(
    cause: BaseException, callbacks: int
) -> None:
    seen: list[int] = []

    def write(_: Any, args: int) -> None:
        seen.append(args)
        if args == 2:
            raise cause

    bench = Bench(*[proceed] * (callbacks - 1), write)
    bench.chain.steps[0].stride = MAX_STRIDE

    bench.runner.arrive(bench.batch(*range(10)))
    bench.runner.arrive(bench.batch(10, ticket=1))
    bench.work()

    assert seen == [0, 1, 2]
    assert not bench.runner.has_work()
    (done,) = bench.sink.reported
    assert (done.items, done.size, done.last) == ([0, 1], 3, False)
    assert done.dead + done.stopped == 1


def test_an_answer_that_cannot_be_shown_is_a_dead_letter_like_any_other() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    bench = Bench(lambda _daemon, _args: Mute())
    batch = bench.run(1)

    assert batch.dead == 1
    assert "<Mute whose repr raises RuntimeError>" in str(bench.sink.letters[0].cause)
