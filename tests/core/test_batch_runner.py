from __future__ import annotations

import dataclasses
import random
import sys
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.core.supervised import supervised, unsupervised
from tests.policies import OTHER
from zenactors import EventPolicy
from zenactors.core.batch_runner import MAX_STRIDE, SPLIT_AFTER, BatchRunner
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, gen_event_handler
from zenactors.core.chain import Chain, build_chains
from zenactors.core.clock import VirtualClock
from zenactors.core.dead_letters import DeadLetter
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.failure_handler import TryAgain, exit_status
from zenactors.core.messages import Batch, QueuePosition, Scheduled
from zenactors.core.supervision import Retry, Supervision, Supervisor
from zenactors.core.text import short_repr
from zenactors.errors import (
    RestartComponent,
    RetryInterruptedError,
    ZenDaemonComponentException,
    ZenDaemonStopException,
)

Callback = Callable[[Any, Any], Any]
DAEMON = object()


class RecordingSink:
    """Keeps the results and incidents of a runner."""

    def __init__(self) -> None:
        self.forwarded: list[tuple[int, Batch]] = []
        self.reported: list[Batch] = []
        self.scheduled: list[list[Scheduled]] = []
        self.letters: list[DeadLetter] = []
        self.stops: list[tuple[int, BaseException]] = []
        self.given_up: list[tuple[int, BaseException]] = []

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

    def gave_up(self, component: int, cause: BaseException) -> None:
        self.given_up.append((component, cause))


class RunnerDriver:
    """One runner with a chain of its own: `callbacks` on component 0, then one on component 1."""

    def __init__(
        self,
        *callbacks: Callback,
        steps: int = 1,
        supervisor: Supervisor | None = None,
        try_again: TryAgain | None = None,
        policy: EventPolicy | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.sink = RecordingSink()
        components: list[tuple[str, list[Any]]] = [
            ("c", [gen_event_handler("x", callback) for callback in callbacks])
        ]
        for number in range(1, steps):
            components.append((f"c{number}", [gen_event_handler("x", proceed)]))
        chains = build_chains(components)
        DispatchState(chains, clock=self.clock)  # gives the steps their orders
        self.chain: Chain = chains["x"]
        self.runner = BatchRunner(
            0,
            "c",
            DAEMON,
            self.sink,
            self.sink,
            self.clock,
            supervisor=supervisor or unsupervised(),
            try_again=try_again,
            policy=policy,
        )

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
        while self.runner.work():
            pass


def proceed(daemon: Any, args: Any) -> None:
    return None


# --- return values of callbacks ---------------------------------------------------------------


def test_a_callback_gets_the_daemon_and_the_args_themselves() -> None:
    got: list[tuple[Any, Any]] = []
    driver = RunnerDriver(lambda daemon, args: got.append((daemon, args)))
    args = {"a": 1}
    batch = driver.run(args)

    assert got[0][0] is DAEMON
    assert got[0][1] is args
    assert batch.items[0] is args


def test_none_continues_with_the_same_args_and_a_pair_with_new_ones() -> None:
    assert RunnerDriver(lambda d, a: None).run(1, 2).items == [1, 2]
    assert RunnerDriver(lambda d, a: (FLAG_CONTINUE, a + 10)).run(1, 2).items == [11, 12]
    assert RunnerDriver(lambda d, a: (1, None)).run(1).items == [None]


def test_flag_stop_ends_an_event_and_counts_it() -> None:
    batch = RunnerDriver(lambda d, a: (FLAG_STOP if a % 2 else FLAG_CONTINUE, a)).run(1, 2, 3, 4)
    assert (batch.items, batch.stopped, batch.dead, batch.size) == ([2, 4], 2, 0, 4)
    assert RunnerDriver(lambda d, a: (0, a)).run(1).stopped == 1


class Pair(NamedTuple):
    flag: int
    args: Any


class HostilePair(tuple[Any, ...]):
    """A tuple of another size than it says."""

    __slots__ = ()

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Any:
        raise LookupError("iter")


class Odd:
    """Raises whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise LookupError("eq")

    def __bool__(self) -> bool:
        raise LookupError("bool")

    def __hash__(self) -> int:
        raise LookupError("hash")

    def __iter__(self) -> Any:
        raise LookupError("iter")

    def __len__(self) -> int:
        raise LookupError("len")


WRONG_ANSWERS = [
    *(5, 1.5, object(), False, ""),
    *((), (1,), (1, 2, 3)),
    # Two elements, and no answer all the same.
    *(("host", 514), "no", {"a": 1, "b": 2}, [1, "args"], {1: 0, 2: 0}.items()),
    *((True, "args"), (1.0, "args"), (2, "args"), (-1, "args"), (None, "args")),
    *(
        Pair(flag=True, args="args"),
        Pair(2, "args"),
        HostilePair((1, "args", 3)),
        Odd(),
        (Odd(), "args"),
    ),
]


@pytest.mark.parametrize("callbacks", [1, 2])
@pytest.mark.parametrize(
    ("answer", "items"),
    [
        (Pair(FLAG_CONTINUE, "new"), ["new"]),
        (Pair(1, "new"), ["new"]),
        (Pair(FLAG_STOP, "new"), []),
        (Pair(0, "new"), []),
    ],
)
def test_a_named_tuple_is_an_answer_like_a_plain_one(
    answer: Any, items: list[str], callbacks: int
) -> None:
    driver = RunnerDriver(*[lambda _daemon, _args: answer, proceed][:callbacks])
    batch = driver.run(1)

    assert (batch.items, batch.dead) == (items, 0)


@pytest.mark.parametrize("callbacks", [1, 2])
@pytest.mark.parametrize("answer", WRONG_ANSWERS)
def test_a_wrong_answer_is_a_dead_letter_that_quotes_it(answer: Any, callbacks: int) -> None:
    def odd(daemon: Any, args: Any) -> Any:
        return answer if args == 2 else None

    driver = RunnerDriver(*[odd, proceed][:callbacks])
    batch = driver.run(1, 2, 3)

    assert (batch.items, batch.dead, batch.stopped) == ([1, 3], 1, 0)
    (letter,) = driver.sink.letters
    assert isinstance(letter.cause, ZenDaemonComponentException)
    assert short_repr(answer) in str(letter.cause)
    assert "odd" in str(letter.cause)
    assert (letter.event, letter.args, letter.component, letter.callback) == ("x", 2, "c", "odd")


def test_an_exception_kills_its_event_only() -> None:
    def fragile(daemon: Any, args: Any) -> Any:
        if args == 2:
            raise LookupError("two")
        return FLAG_CONTINUE, args

    driver = RunnerDriver(fragile)
    batch = driver.run(1, 2, 3)

    assert (batch.items, batch.dead, batch.stopped, batch.size) == ([1, 3], 1, 0, 3)
    (letter,) = driver.sink.letters
    assert isinstance(letter.cause, LookupError)
    assert letter.cause.__traceback__ is not None


def test_a_type_error_in_a_callback_is_not_taken_for_a_wrong_answer() -> None:
    def wrong(daemon: Any, args: Any) -> Any:
        return 1 + "1"  # type: ignore[operator]

    driver = RunnerDriver(wrong)
    driver.run(1)
    assert isinstance(driver.sink.letters[0].cause, TypeError)


def test_a_call_that_fails_is_not_blamed_on_the_previous_answer() -> None:
    answers: list[Any] = []

    class Fickle:
        def __call__(self, daemon: Any, *args: Any) -> Any:
            answers.append(args)
            return FLAG_CONTINUE, args[0]

    driver = RunnerDriver(int)  # a builtin: raises without a frame of its own
    batch = driver.run("1", "2")
    assert batch.dead == 2
    assert all(isinstance(letter.cause, TypeError) for letter in driver.sink.letters)
    assert RunnerDriver(Fickle()).run(1).items == [1]


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

    driver = RunnerDriver(leave)
    batch = driver.run(1, 2)
    assert (batch.items, batch.dead, batch.size) == ([], 1, 1)
    assert driver.sink.stops == [(status, cause)]
    assert exit_status(cause) == status


def test_a_stop_request_stops_its_event_and_is_no_dead_letter() -> None:
    def stop(daemon: Any, args: Any) -> Any:
        raise ZenDaemonStopException

    driver = RunnerDriver(stop)
    batch = driver.run(1)
    assert (batch.stopped, batch.dead, driver.sink.letters) == (1, 0, [])
    assert driver.sink.stops[0][0] == 0


def test_even_a_generator_exit_is_contained() -> None:
    def leave(daemon: Any, args: Any) -> Any:
        raise GeneratorExit

    assert RunnerDriver(leave).run(1).dead == 1


# --- several callbacks of one component -----------------------------------------------------


def test_several_callbacks_run_event_by_event() -> None:
    calls: list[Any] = []

    def first(daemon: Any, args: Any) -> Any:
        calls.append(("first", args))
        return FLAG_CONTINUE, args + 1

    def second(daemon: Any, args: Any) -> Any:
        calls.append(("second", args))

    batch = RunnerDriver(first, second).run(10, 20)
    assert calls == [("first", 10), ("second", 11), ("first", 20), ("second", 21)]
    assert batch.items == [11, 21]


def test_each_of_several_callbacks_may_end_its_event() -> None:
    def first(daemon: Any, args: Any) -> Any:
        if args == "raise":
            raise LookupError
        return (FLAG_STOP if args == "stop" else FLAG_CONTINUE), args

    def second(daemon: Any, args: Any) -> Any:
        return 5 if args == "wrong" else (int(args != "stop later"), args)

    driver = RunnerDriver(first, second)
    batch = driver.run("raise", "stop", "wrong", "stop later", "fine")
    assert (batch.items, batch.stopped, batch.dead) == (["fine"], 2, 2)
    assert [letter.callback for letter in driver.sink.letters] == ["first", "second"]
    assert [letter.args for letter in driver.sink.letters] == ["raise", "wrong"]


# --- sending on -------------------------------------------------------------------------------


def test_survivors_go_to_the_next_step_and_the_others_are_counted() -> None:
    driver = RunnerDriver(lambda d, a: (int(a > 1), a), steps=2)
    driver.runner.arrive(driver.batch(1, 2, 3))
    driver.work()

    ((component, batch),) = driver.sink.forwarded
    assert (component, batch.step, batch.items, batch.stopped, batch.size, batch.last) == (
        1,
        1,
        [2, 3],
        1,
        3,
        True,
    )
    assert driver.sink.reported == []


def test_a_batch_whose_events_have_all_ended_travels_on_empty() -> None:
    driver = RunnerDriver(lambda d, a: (FLAG_STOP, a), steps=3)
    driver.runner.arrive(driver.batch(1, 2))
    driver.work()

    batch = driver.sink.forwarded[0][1]
    assert (batch.items, batch.size, batch.stopped, batch.last) == ([], 2, 2, True)


def test_children_go_to_the_dispatcher_before_the_batch_goes_on() -> None:
    sent: list[str] = []
    driver = RunnerDriver(lambda d, a: driver.runner.children.append(child), steps=2)
    child = Scheduled(None, QueuePosition.BACK, "x", None)  # type: ignore[arg-type]
    driver.sink.schedule = lambda children: sent.append(f"{len(children)} children")  # type: ignore[method-assign]
    driver.sink.forward = lambda component, batch: sent.append("batch")  # type: ignore[method-assign]
    driver.runner.arrive(driver.batch(1, 2))
    driver.work()

    assert sent == ["2 children", "batch"]
    assert driver.runner.children == []


def test_children_of_the_last_step_travel_with_the_report() -> None:
    driver = RunnerDriver(lambda d, a: driver.runner.children.append(child))
    child = Scheduled(None, QueuePosition.BACK, "x", None)  # type: ignore[arg-type]
    batch = driver.run(1, 2)

    assert batch.children == [child, child]
    assert driver.sink.scheduled == []
    driver.runner.arrive(driver.batch(ticket=1))
    driver.work()
    assert driver.sink.reported[-1].children is None


def test_a_batch_of_the_control_lane_runs_between_two_strides() -> None:
    calls: list[Any] = []

    def slow(daemon: Any, args: Any) -> None:
        calls.append(args)
        driver.clock.advance(0.000_6)

    driver = RunnerDriver(slow)
    driver.runner.arrive(driver.batch(1, 2, 3))
    driver.runner.work()
    driver.runner.run_control(driver.batch("control", control=True))
    driver.work()

    assert calls == [1, "control", 2, 3]
    control = driver.sink.reported[0]
    assert (control.items, control.on_control_lane, control.size) == (["control"], True, 1)
    assert sum(batch.size for batch in driver.sink.reported) == 4


@pytest.mark.parametrize("callbacks", [1, 2])
def test_in_a_forked_child_the_callback_that_forked_is_the_last_that_runs(callbacks: int) -> None:
    seen = []

    def fork(_daemon: Any, args: Any) -> None:
        seen.append(args)
        if args == 40:
            driver.runner.disown()

    driver = RunnerDriver(fork, *[proceed] * (callbacks - 1))
    driver.chain.steps[0].stride = MAX_STRIDE
    driver.runner.arrive(driver.batch(*range(64)))
    driver.runner.arrive(driver.batch("next", ticket=1))
    driver.work()
    assert seen == list(range(41))


# --- strides and pieces -----------------------------------------------------------------------


def test_strides_double_while_callbacks_are_quick() -> None:
    seen: list[int] = []
    driver = RunnerDriver(lambda _daemon, args: seen.append(args))
    strides = []
    driver.runner.arrive(driver.batch(*range(500)))
    more = True
    while more:
        before = len(seen)
        more = driver.runner.work()
        strides.append(len(seen) - before)

    assert strides[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert max(strides) == MAX_STRIDE
    assert sum(strides) == 500


def test_a_stride_is_cut_when_callbacks_become_slow_and_never_below_one() -> None:
    pace = 0.0
    driver = RunnerDriver(lambda d, a: driver.clock.advance(pace))
    driver.run(*range(500))
    step = driver.chain.steps[0]
    assert step.stride == MAX_STRIDE

    pace = 0.000_05
    driver.runner.arrive(driver.batch(*range(64), ticket=1))
    driver.work()
    assert 4 <= step.stride <= 5  # as many as fit into a quarter of a millisecond
    pace = 0.5
    driver.runner.arrive(driver.batch(*range(8), ticket=2))
    driver.work()
    assert step.stride == 1


@pytest.mark.parametrize(("pace", "stride"), [(0.000_4, MAX_STRIDE), (0.000_6, 1)])
def test_a_batch_of_one_event_cuts_a_stride_if_its_callback_is_slow(
    pace: float, stride: int
) -> None:
    driver = RunnerDriver(lambda d, a: driver.clock.advance(pace))
    step = driver.chain.steps[0]
    step.stride = MAX_STRIDE
    driver.run("alone")
    assert step.stride == stride


def test_a_batch_of_one_event_lets_go_of_it_when_it_has_ended() -> None:
    driver = RunnerDriver(lambda _daemon, args: (FLAG_STOP, args))
    batch = driver.batch("alone")
    items = batch.items
    driver.runner.arrive(batch)
    assert not driver.runner.work()
    assert items == []
    assert (batch.stopped, driver.runner.handled, driver.runner.has_work()) == (1, 1, False)


def test_a_batch_of_one_event_that_goes_on_is_not_kept() -> None:
    driver = RunnerDriver(proceed)
    args = {"of an event"}
    reference = weakref.ref(args)
    batch = driver.run(args)
    assert batch.items == [args]
    del args
    batch.items = []
    assert reference() is None


def test_after_a_millisecond_the_finished_events_are_sent_on_as_a_piece() -> None:
    driver = RunnerDriver(lambda d, a: driver.clock.advance(0.000_4), steps=2)
    driver.runner.arrive(driver.batch(*range(10)))
    driver.work()

    batches = [batch for _, batch in driver.sink.forwarded]
    assert [item for batch in batches for item in batch.items] == list(range(10))
    assert [batch.items for batch in batches][:3] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert {batch.tickets for batch in batches} == {(0, 0)}
    assert sum(batch.size for batch in batches) == 10


def test_a_quick_batch_is_not_split() -> None:
    driver = RunnerDriver(proceed, steps=2)
    driver.runner.arrive(driver.batch(*range(1000)))
    driver.work()
    assert [batch.size for _, batch in driver.sink.forwarded] == [1000]


def test_pieces_add_up_with_the_stopped_and_the_dead_among_them() -> None:
    def mixed(daemon: Any, args: int) -> Any:
        driver.clock.advance(SPLIT_AFTER)
        if args % 3 == 0:
            raise LookupError
        return int(args % 3 == 1), args

    driver = RunnerDriver(mixed, steps=2)
    whole = driver.batch(*range(30))
    # Four events of the batch ended before: the batch still accounts for them.
    whole.size, whole.stopped, whole.dead = 34, 3, 1
    driver.runner.arrive(whole)
    driver.work()

    batches = [batch for _, batch in driver.sink.forwarded]
    assert len(batches) == 30
    assert sum(len(batch.items) for batch in batches) == 10
    assert sum(batch.stopped for batch in batches) == 10 + 3
    assert sum(batch.dead for batch in batches) == 10 + 1
    assert sum(batch.size for batch in batches) == 34
    for batch in batches:
        assert batch.size == len(batch.items) + batch.stopped + batch.dead


def test_a_piece_can_be_split_again() -> None:
    driver = RunnerDriver(lambda d, a: driver.clock.advance(SPLIT_AFTER), steps=2)
    driver.runner.arrive(driver.batch(1, 2, last=False))
    driver.work()
    assert [batch.last for _, batch in driver.sink.forwarded] == [False, False]
    driver.runner.arrive(driver.batch(3, 4))
    driver.work()
    assert [batch.last for _, batch in driver.sink.forwarded] == [False, False, False, True]


# --- tickets ----------------------------------------------------------------------------------


def order_of(driver: RunnerDriver) -> list[Any]:
    driver.work()
    return [item for batch in driver.sink.reported for item in batch.items]


def test_batches_with_later_tickets_wait_for_the_earlier_ones() -> None:
    driver = RunnerDriver(proceed)
    for ticket in (2, 1, 3):
        driver.runner.arrive(driver.batch(ticket, ticket=ticket))
    assert not driver.runner.work()
    assert driver.sink.reported == []

    driver.runner.arrive(driver.batch(0, ticket=0))
    assert order_of(driver) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_batches_run_in_ticket_order_however_they_arrive(seed: int) -> None:
    rng = random.Random(seed)
    driver = RunnerDriver(proceed)
    tickets = list(range(50))
    rng.shuffle(tickets)
    for ticket in tickets:
        driver.runner.arrive(driver.batch(ticket, ticket=ticket))
        if rng.random() < 0.3:
            driver.work()
    assert order_of(driver) == list(range(50))


def test_only_the_last_piece_advances_the_order() -> None:
    driver = RunnerDriver(proceed)
    driver.runner.arrive(driver.batch("early", ticket=1))
    driver.runner.arrive(driver.batch("a", last=False))
    driver.runner.arrive(driver.batch("b", last=False))
    assert order_of(driver) == ["a", "b"]
    driver.runner.arrive(driver.batch("c"))
    assert order_of(driver) == ["a", "b", "c", "early"]


def test_early_pieces_wait_together_and_later_ones_follow_directly() -> None:
    driver = RunnerDriver(proceed)
    driver.runner.arrive(driver.batch("b1", ticket=1, last=False))
    driver.runner.arrive(driver.batch("b2", ticket=1, last=False))
    driver.runner.arrive(driver.batch("c", ticket=2))
    driver.runner.arrive(driver.batch("a"))
    assert order_of(driver) == ["a", "b1", "b2"]
    driver.runner.arrive(driver.batch("b3", ticket=1))
    assert order_of(driver) == ["a", "b1", "b2", "b3", "c"]


def test_an_empty_batch_advances_the_order_too() -> None:
    driver = RunnerDriver(proceed)
    driver.runner.arrive(driver.batch("b", ticket=1))
    driver.runner.arrive(driver.batch(ticket=0))
    assert order_of(driver) == ["b"]
    assert len(driver.sink.reported) == 2


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

    driver = RunnerDriver(*[proceed] * (callbacks - 1), write)
    driver.chain.steps[0].stride = MAX_STRIDE

    driver.runner.arrive(driver.batch(*range(10)))
    driver.runner.arrive(driver.batch(10, ticket=1))
    driver.work()

    assert seen == [0, 1, 2]
    assert not driver.runner.work()
    (done,) = driver.sink.reported
    assert (done.items, done.size, done.last) == ([0, 1], 3, False)
    assert done.dead + done.stopped == 1


def test_an_answer_whose_repr_raises_is_a_dead_letter_like_any_other() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    driver = RunnerDriver(lambda _daemon, _args: Mute())
    batch = driver.run(1)

    assert batch.dead == 1
    assert "<Mute whose repr raises RuntimeError>" in str(driver.sink.letters[0].cause)


def test_what_an_answer_raises_while_it_is_read_is_the_cause_of_the_dead_letter() -> None:
    def odd(daemon: Any, args: Any) -> Any:
        yield 1
        raise LookupError("in the answer")

    driver = RunnerDriver(odd)
    assert driver.run(1).dead == 1
    (letter,) = driver.sink.letters
    assert isinstance(letter.cause, ZenDaemonComponentException)
    assert isinstance(letter.cause.__cause__, LookupError)


@pytest.mark.parametrize("cause", [ValueError("in the answer"), TypeError("in the answer")])
def test_with_another_policy_what_an_answer_raises_while_it_is_read_is_the_cause_too(
    cause: Exception,
) -> None:
    def odd(daemon: Any, args: Any) -> Any:
        yield 1
        raise cause

    driver = RunnerDriver(odd, policy=OTHER)
    assert driver.run(1).dead == 1
    (letter,) = driver.sink.letters
    assert isinstance(letter.cause, ZenDaemonComponentException)
    assert "expected (flag, args)" in str(letter.cause)
    assert letter.cause.__cause__ is cause


def test_an_answer_that_exits_while_it_is_read_stops_like_its_callback() -> None:
    def odd(daemon: Any, args: Any) -> Any:
        yield 1
        sys.exit(3)

    driver = RunnerDriver(odd)
    assert driver.run(1, 2).dead == 1
    assert driver.runner.stopped


# --- supervision: retries, restarts, the end ----------------------------------------------------


RESTARTS = Supervision(on_error="restart")


def again_at_once(call: Callable[[], Any], cause: BaseException, attempts: int) -> Any:
    """Call again, without waiting, until three attempts are made."""
    last = cause
    for _ in range(attempts, 3):
        try:
            return call()
        except Exception as failure:
            last = failure
    raise last


def fails_on(*bad: Any, by: BaseException | None = None) -> tuple[Callback, list[Any]]:
    """Return a callback that raises for some args, and the list of all calls."""
    calls: list[Any] = []

    def callback(_daemon: Any, args: Any) -> None:
        calls.append(args)
        if args in bad:
            raise by or ValueError(args)

    return callback, calls


def test_a_failure_with_the_default_policy_goes_on() -> None:
    callback, calls = fails_on(2)
    driver = RunnerDriver(callback)
    batch = driver.run(1, 2, 3)

    assert (calls, batch.items, batch.dead) == ([1, 2, 3], [1, 3], 1)
    assert driver.runner.failure is None


@pytest.mark.parametrize("extra", [[], [proceed]])
def test_a_component_that_restarts_runs_nothing_more_until_it_is_back(
    extra: list[Callback],
) -> None:
    callback, calls = fails_on(2)
    driver = RunnerDriver(callback, *extra, supervisor=supervised(RESTARTS))
    driver.runner.arrive(driver.batch(1, 2, 3, 4))
    driver.runner.arrive(driver.batch(5, ticket=1))
    driver.work()

    assert calls == [1, 2]
    assert [letter.args for letter in driver.sink.letters] == [2]
    assert isinstance(driver.runner.failure, ValueError)
    (done,) = driver.sink.reported
    assert (done.items, done.dead, done.size, done.last) == ([1], 1, 2, False)

    driver.runner.failure = None
    driver.work()
    assert calls == [1, 2, 3, 4, 5]
    assert [batch.items for batch in driver.sink.reported[1:]] == [[3, 4], [5]]
    assert [batch.last for batch in driver.sink.reported[1:]] == [True, True]


def test_a_component_that_is_down_leaves_control_events_unchanged() -> None:
    callback, calls = fails_on("bad")
    driver = RunnerDriver(callback, supervisor=supervised(RESTARTS))
    driver.run("bad")
    driver.runner.arrive(driver.batch("signal", control=True))

    assert calls == ["bad"]
    assert (driver.sink.reported[-1].items, driver.sink.reported[-1].dead) == (["signal"], 0)


def test_a_restart_comes_between_two_callbacks_of_a_control_event() -> None:
    first, calls = fails_on("signal")
    after: list[Any] = []
    driver = RunnerDriver(
        first, lambda _, args: after.append(args), supervisor=supervised(RESTARTS)
    )
    driver.chain = dataclasses.replace(driver.chain, is_control_event=True)
    driver.runner.arrive(driver.batch("signal", control=True))
    assert (calls, after, driver.sink.reported) == (["signal"], [], [])
    assert driver.runner.has_work()

    driver.runner.arrive(driver.batch(1))
    driver.runner.failure = None  # it was made anew
    driver.work()
    assert (calls, after) == (["signal", 1], ["signal", 1])
    batch, _ = driver.sink.reported
    assert (batch.items, batch.dead, batch.stopped, batch.left) == (["signal"], 0, 0, 0)
    assert not driver.runner.has_work()


def test_a_control_event_may_need_several_restarts() -> None:
    first, calls = fails_on("signal")
    driver = RunnerDriver(first, first, first, proceed, supervisor=supervised(RESTARTS))
    driver.chain = dataclasses.replace(driver.chain, is_control_event=True)
    driver.runner.arrive(driver.batch("signal", control=True))
    for number in (1, 2, 3):
        assert (len(calls), driver.sink.reported) == (number, [])
        driver.runner.failure = None
        driver.work()
    assert [batch.items for batch in driver.sink.reported] == [["signal"]]


def test_a_control_event_that_waits_for_a_restart_goes_on_if_none_comes() -> None:
    first, calls = fails_on("signal")
    driver = RunnerDriver(first, first, supervisor=supervised(RESTARTS))
    driver.chain = dataclasses.replace(driver.chain, is_control_event=True)
    driver.runner.arrive(driver.batch("signal", control=True))
    driver.runner.leaves = True
    driver.work()
    (batch,) = driver.sink.reported
    assert (calls, batch.items, batch.left, batch.dead) == (["signal"], ["signal"], 0, 0)


def test_a_stop_by_policy_runs_nothing_more() -> None:
    callback, calls = fails_on(2)
    driver = RunnerDriver(callback, supervisor=supervised(Supervision(on_error="stop")))
    driver.runner.arrive(driver.batch(1, 2, 3))
    driver.work()

    assert calls == [1, 2]
    assert [(index, str(cause)) for index, cause in driver.sink.given_up] == [(0, "2")]


@pytest.mark.parametrize("extra", [[], [proceed]])
def test_a_retry_that_helps_is_as_if_nothing_had_happened(extra: list[Callback]) -> None:
    failures = [ValueError("once"), ValueError("twice")]
    calls: list[Any] = []

    def callback(_daemon: Any, args: Any) -> Any:
        calls.append(args)
        if args == 2 and failures:
            raise failures.pop()
        return FLAG_CONTINUE, args * 10

    policy = supervised(Supervision(retry=Retry(attempts=3)))
    driver = RunnerDriver(callback, *extra, supervisor=policy, try_again=again_at_once)
    batch = driver.run(1, 2, 3)

    assert calls == [1, 2, 2, 2, 3]
    assert (batch.items, batch.dead) == ([10, 20, 30], 0)
    assert driver.sink.letters == []


def test_a_retry_may_end_the_event_with_flag_stop() -> None:
    failures = [ValueError()]

    def callback(_daemon: Any, args: Any) -> Any:
        if failures:
            raise failures.pop()
        return FLAG_STOP, args

    driver = RunnerDriver(
        callback, supervisor=supervised(Supervision(retry=Retry())), try_again=again_at_once
    )
    assert driver.run(1).stopped == 1


def test_retries_that_do_not_help_end_in_one_dead_letter_with_the_last_exception() -> None:
    numbers = iter(range(10))

    def callback(_daemon: Any, args: Any) -> None:
        if args == 2:
            raise ValueError(next(numbers))

    driver = RunnerDriver(
        callback, supervisor=supervised(Supervision(retry=Retry())), try_again=again_at_once
    )
    batch = driver.run(1, 2, 3)

    (letter,) = driver.sink.letters
    assert (str(letter.cause), batch.items, batch.dead) == ("2", [1, 3], 1)


@pytest.mark.parametrize("answer", ["nonsense", (1, 2, 3)])
def test_a_wrong_answer_is_not_tried_again(answer: Any) -> None:
    calls: list[Any] = []

    def callback(_daemon: Any, args: Any) -> Any:
        calls.append(args)
        return answer

    driver = RunnerDriver(
        callback, supervisor=supervised(Supervision(retry=Retry())), try_again=again_at_once
    )
    assert driver.run(1).dead == 1
    assert calls == [1]


def test_only_the_exceptions_that_the_policy_names_are_tried_again() -> None:
    callback, calls = fails_on(1)
    policy = supervised(Supervision(retry=Retry(on=(OSError,))))
    assert RunnerDriver(callback, supervisor=policy, try_again=again_at_once).run(1).dead == 1
    assert calls == [1]


def test_an_event_whose_retry_a_stop_interrupts_is_left_and_is_no_dead_letter() -> None:
    def interrupted(call: Callable[[], Any], cause: BaseException, attempts: int) -> Any:
        raise RetryInterruptedError("The daemon stops.")

    callback, calls = fails_on(2)
    policy = supervised(Supervision(retry=Retry(), on_error="restart"))
    driver = RunnerDriver(callback, supervisor=policy, try_again=interrupted)
    batch = driver.run(1, 2, 3)

    assert calls == [1, 2, 3]
    assert (batch.items, batch.left, batch.dead, batch.stopped) == ([1, 3], 1, 0, 0)
    assert driver.sink.letters == []
    assert driver.runner.failure is None


@pytest.mark.parametrize("failure", [None, OSError()])
def test_a_control_event_does_not_take_over_what_the_current_batch_has_left(
    failure: BaseException | None,
) -> None:
    callback, _ = fails_on(1, by=RetryInterruptedError("The daemon stops."))
    driver = RunnerDriver(callback)
    driver.runner.arrive(driver.batch(1, 2))
    assert driver.runner.work()
    driver.runner.failure = failure
    driver.runner.arrive(driver.batch("stop", control=True))
    driver.runner.failure = None
    driver.work()

    left = [(batch.items, batch.left, batch.stopped) for batch in driver.sink.reported]
    assert left == [(["stop"], 0, 0), ([2], 1, 0)]


@pytest.mark.parametrize("extra", [[], [proceed]])
def test_an_event_that_asks_for_a_restart_is_tried_again_after_it(extra: list[Callback]) -> None:
    callback, calls = fails_on(2, by=RestartComponent("the connection is gone"))
    policy = supervised(Supervision(retry=Retry(attempts=3)))
    driver = RunnerDriver(callback, *extra, supervisor=policy, try_again=again_at_once)
    driver.runner.arrive(driver.batch(1, 2, 3))
    for expected in ([1, 2], [1, 2, 2], [1, 2, 2, 2]):
        driver.work()
        assert calls == expected
        assert isinstance(driver.runner.failure, RestartComponent)
        driver.runner.failure = None
    assert [letter.args for letter in driver.sink.letters] == [2]

    driver.work()
    assert calls == [1, 2, 2, 2, 3]
    assert sum(batch.size for batch in driver.sink.reported) == 3
    assert sum(batch.dead for batch in driver.sink.reported) == 1


def test_after_a_restart_a_step_goes_on_with_the_callback_that_failed() -> None:
    first: list[Any] = []
    failures = [RestartComponent("once")]

    def begins(_daemon: Any, args: Any) -> Any:
        first.append(args)
        return FLAG_CONTINUE, args + 10

    def fails_once(_daemon: Any, args: Any) -> Any:
        if failures:
            raise failures.pop()
        return FLAG_CONTINUE, args + 100

    policy = supervised(Supervision(retry=Retry()))
    driver = RunnerDriver(begins, fails_once, supervisor=policy, try_again=again_at_once)
    driver.runner.arrive(driver.batch(1, 2))
    driver.work()
    driver.runner.failure = None
    driver.work()

    assert first == [1, 2]
    assert driver.sink.reported[-1].items == [111, 112]


def test_without_a_retry_an_event_that_asks_for_a_restart_is_dead() -> None:
    callback, _ = fails_on(1, by=RestartComponent("gone"))
    driver = RunnerDriver(callback)
    assert driver.run(1).dead == 1
    assert isinstance(driver.runner.failure, RestartComponent)


def test_a_component_that_stays_down_gives_everything_back() -> None:
    callback, _ = fails_on(2)
    driver = RunnerDriver(callback, supervisor=supervised(RESTARTS))
    driver.runner.arrive(driver.batch(1, 2, 3, 4))
    driver.work()
    driver.runner.leaves = True
    driver.runner.arrive(driver.batch(6, 7, ticket=2))  # before those with an earlier ticket
    driver.runner.arrive(driver.batch(5, ticket=1))
    assert not driver.runner.work()

    left = [(batch.size, batch.left, batch.last) for batch in driver.sink.reported[1:]]
    assert left == [(2, 2, True), (1, 1, True), (2, 2, True)]
    assert not driver.runner.has_work()


def test_a_control_event_between_two_attempts_does_not_count_as_one_of_them() -> None:
    first: list[Any] = []

    def begins(_daemon: Any, args: Any) -> None:
        first.append(args)

    callback, calls = fails_on(1, "signal", by=RestartComponent("gone"))
    policy = supervised(Supervision(retry=Retry(attempts=2)))
    driver = RunnerDriver(begins, callback, supervisor=policy, try_again=again_at_once)
    driver.runner.arrive(driver.batch(1))
    driver.work()
    driver.runner.failure = None
    driver.runner.arrive(driver.batch("signal", control=True))
    assert (first, calls) == ([1, "signal"], [1, "signal"])

    driver.runner.failure = None
    driver.work()
    assert (first, calls) == ([1, "signal"], [1, "signal", 1])
    assert [letter.args for letter in driver.sink.letters] == ["signal", 1]


def test_the_attempts_for_one_event_are_not_those_of_the_next() -> None:
    tried: list[Any] = []

    def fails_once(_daemon: Any, args: Any) -> None:
        tried.append(args)
        if tried.count(args) == 1:
            raise RestartComponent("once for each")

    policy = supervised(Supervision(retry=Retry(attempts=2)))
    driver = RunnerDriver(fails_once, supervisor=policy, try_again=again_at_once)
    driver.runner.arrive(driver.batch(1, 2))
    driver.runner.arrive(driver.batch(3, ticket=1))
    for _ in range(4):
        driver.work()
        driver.runner.failure = None

    assert tried == [1, 1, 2, 2, 3, 3]
    assert driver.sink.letters == []


@pytest.mark.parametrize("extra", [[], [proceed]])
def test_a_control_event_goes_on_although_a_stop_leaves_no_time_to_try_again(
    extra: list[Callback],
) -> None:
    def interrupted(call: Callable[[], Any], cause: BaseException, attempts: int) -> Any:
        raise RetryInterruptedError("The daemon stops.")

    callback, _ = fails_on("stop")
    policy = supervised(Supervision(retry=Retry()))
    driver = RunnerDriver(callback, *extra, supervisor=policy, try_again=interrupted)
    driver.chain = dataclasses.replace(driver.chain, is_control_event=True)
    driver.runner.arrive(driver.batch("stop", control=True))

    batch = driver.sink.reported[-1]
    assert (batch.items, batch.left, batch.dead, batch.stopped) == (["stop"], 0, 0, 0)
    assert [type(letter.cause) for letter in driver.sink.letters] == [ValueError]


@pytest.mark.parametrize("extra", [[], [proceed]])
def test_a_control_event_goes_on_although_its_callback_was_interrupted(
    extra: list[Callback],
) -> None:
    callback, _ = fails_on("stop", by=RetryInterruptedError("The daemon stops."))
    driver = RunnerDriver(callback, *extra)
    driver.chain = dataclasses.replace(driver.chain, is_control_event=True)
    driver.runner.arrive(driver.batch("stop", control=True))

    batch = driver.sink.reported[-1]
    assert (batch.items, batch.left, batch.dead, batch.stopped) == (["stop"], 0, 0, 0)
    assert driver.sink.letters == []


@pytest.mark.parametrize("attempts", [None, 3])
def test_a_failure_is_known_before_its_event_is_reported(attempts: int | None) -> None:
    callback, _ = fails_on(1, by=RestartComponent("gone"))
    retry = Retry(attempts=attempts) if attempts else None
    driver = RunnerDriver(
        callback, supervisor=supervised(Supervision(retry=retry)), try_again=again_at_once
    )
    reported: list[int] = []
    driver.runner.on_failure = lambda: reported.append(len(driver.sink.reported))
    driver.runner.arrive(driver.batch(1))
    driver.work()
    assert reported == [0]
