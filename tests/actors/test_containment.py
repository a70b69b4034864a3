from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.actors.fakes import (
    DEADLINE,
    Fake,
    Gate,
    assert_conserved,
    raising,
)
from tests.policies import OTHER, STOPS
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import FLAG_CONTINUE
from zenactors.errors import ZenDaemonComponentException, ZenDaemonStopException

Logged = list[tuple[str, str, dict[str, Any]]]


class OddError(BaseException):
    """Not an `Exception`: it would end pykka's loop, and every actor of the process."""


@pytest.mark.parametrize("cause", [ValueError("three"), OddError("three")])
def test_an_exception_in_a_callback_costs_one_event_and_nothing_else(cause: BaseException) -> None:
    def cbk(_daemon: Any, args: Any) -> None:
        if args == 3:
            raise cause

    first, second = Fake({"x": cbk}, name="first"), Fake({"x": None}, name="second")
    with Dispatcher([first, second]) as dispatcher:
        for number in range(10):
            dispatcher.queue.schedule("x", number)
        assert dispatcher.drain(DEADLINE)
        assert not dispatcher.halted
        letter = dispatcher.dead_letters()[0]
        assert (letter.event, letter.args, letter.component) == ("x", 3, "first")
        assert letter.cause is cause
        assert letter.cause.__traceback__ is None  # its frames keep the engine
        assert "in cbk" in letter.traceback
        assert "zenactors/core" not in letter.traceback
        counts = dispatcher.counts()["x"]
        assert (counts.completed, counts.dead) == (9, 1)
    assert first.seen == list(range(10))
    assert second.seen == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert dispatcher.status == 0
    assert dispatcher.stop().dead_letters == 1


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (SystemExit(3), 3),
        (SystemExit(), 0),
        (SystemExit("message"), 1),
        (KeyboardInterrupt(), 130),
        (ZenDaemonStopException(), 0),
    ],
)
def test_a_callback_can_end_its_daemon_and_no_other(cause: BaseException, status: int) -> None:
    other_component = Fake({"x": None})
    with Dispatcher([other_component]) as other:
        with Dispatcher([Fake({"x": raising(cause)})]) as dispatcher:
            dispatcher.queue.schedule("x")
            assert dispatcher.wait(DEADLINE)
            assert dispatcher.halted
            assert not other.halted
            assert not other.is_done()
        assert dispatcher.status == status
        assert_conserved(dispatcher)
        other.queue.schedule("x", "survived")
        assert other.drain(DEADLINE)
    assert other_component.seen == ["survived"]


@pytest.mark.parametrize("where", ["timer", "teardown"])
def test_a_callback_of_no_event_can_end_the_daemon_too(where: str, logged: Logged) -> None:
    def setup(daemon: Any) -> None:
        if where == "timer":
            daemon.io.call_later(0.0, raising(SystemExit(4)))

    component = Fake(setup=setup, teardown=raising(SystemExit(4)) if where == "teardown" else None)
    with Dispatcher([component]) as dispatcher:
        if where == "timer":
            assert dispatcher.wait(DEADLINE)
            assert dispatcher.halted
    assert dispatcher.status == 4
    assert dispatcher.stop().stuck == ()
    assert any("SystemExit(4)" in message for _, message, _ in logged)


@pytest.mark.parametrize("result", [7, (1,), (1, 2, 3), "no", ("host", 514), {"a": 1, "b": 2}])
def test_a_wrong_return_value_is_dead_lettered_with_a_clear_message(result: Any) -> None:
    second = Fake({"x": None}, name="second")
    with Dispatcher([Fake({"x": lambda *_: result}), second]) as dispatcher:
        dispatcher.queue.schedule("x", "a")
        dispatcher.queue.schedule("x", "b")
        assert dispatcher.drain(DEADLINE)
    causes = [letter.cause for letter in dispatcher.dead_letters()]
    assert [type(cause) for cause in causes] == [ZenDaemonComponentException] * 2
    assert f"returned {result!r}; expected (flag, args)" in str(causes[0])
    assert second.seen == []


def test_the_last_thousand_dead_letters_are_kept_and_all_are_counted() -> None:
    with Dispatcher([Fake({"x": raising(ValueError())})]) as dispatcher:
        for number in range(1_200):
            dispatcher.queue.schedule("x", number)
        assert dispatcher.drain(DEADLINE)
    assert [letter.args for letter in dispatcher.dead_letters()] == list(range(200, 1_200))
    assert dispatcher.stop().dead_letters == 1_200


def test_ten_dead_letters_of_each_component_are_logged(logged: Logged) -> None:
    first = Fake({"x": raising(ValueError("no"))}, name="first")
    second = Fake({"y": raising(ValueError("no"))}, name="second")
    with Dispatcher([first, second]) as dispatcher:
        for _ in range(30):
            dispatcher.queue.schedule("x")
            dispatcher.queue.schedule("y")
    for name in ("first", "second"):
        messages = [m for _, m, extra in logged if extra.get("component") == name and "dead" in m]
        assert len(messages) == 10
        assert "further ones are summed up" not in messages[8]
        assert "further ones are summed up" in messages[9]


def test_an_exception_in_get_statistics_leaves_out_that_component_only() -> None:
    class Bad(Fake):
        def get_statistics(self, reader: Any = None) -> Any:
            raise ValueError(reader)

    good = Fake(name="good")
    with Dispatcher([Bad(name="bad"), good]) as dispatcher:
        assert set(dispatcher.get_statistics()) == {"good"}
        assert set(dispatcher.get_state()) == {"bad", "good"}


@pytest.mark.parametrize("cause", [SystemExit(3), KeyboardInterrupt(), OddError()])
def test_a_system_exit_in_an_answer_stops_no_actor(cause: BaseException) -> None:
    class Bad(Fake):
        def get_state(self) -> Any:
            raise cause

    bad = Bad({"x": None}, name="bad")
    with Dispatcher([Fake({"x": None})]) as other, Dispatcher([bad]) as dispatcher:
        assert dispatcher.get_state() == {}
        dispatcher.queue.schedule("x", 1)
        assert dispatcher.drain(DEADLINE)
        other.queue.schedule("x")
        assert other.drain(DEADLINE)
    assert bad.seen == [1]


def test_an_event_that_stops_everything_while_others_run_is_conserved() -> None:
    gate = Gate()

    def cbk(_daemon: Any, args: Any) -> None:
        if args == 500:
            raise ZenDaemonStopException

    first, second = Fake({"x": cbk}, name="first"), Fake({"x": gate}, name="second")
    with Dispatcher([first, second]) as dispatcher:
        for number in range(5_000):
            dispatcher.queue.schedule("x", number)
        gate.open()
        assert dispatcher.wait(DEADLINE)
    assert_conserved(dispatcher)
    report = dispatcher.stop()
    counts = dispatcher.counts()["x"]
    assert report.left == counts.waiting + counts.in_flight
    assert report.left > 0


@pytest.mark.parametrize(
    "callback", [raising(ValueError()), lambda *_: 7], ids=["exception", "bad return"]
)
def test_with_another_policy_a_failing_callback_ends_the_daemon_with_1(callback: Any) -> None:
    component = Fake({"x": callback})
    dispatcher = Dispatcher([component], ordering="global", policy=OTHER, supervision=STOPS)
    for number in range(5):
        dispatcher.queue.schedule("x", number)
    with dispatcher:
        assert dispatcher.wait(DEADLINE)
        assert dispatcher.halted
    assert dispatcher.status == 1
    assert component.seen == [0]
    assert dispatcher.stop().left == 4
    assert_conserved(dispatcher)


def test_with_another_policy_an_unknown_event_ends_the_daemon_with_1(logged: Logged) -> None:
    component = Fake({"x": lambda _daemon, args: (FLAG_CONTINUE, args)})
    with Dispatcher([component], ordering="global", policy=OTHER) as dispatcher:
        dispatcher.queue.schedule("x", 1)
        assert dispatcher.drain(DEADLINE)
        dispatcher.queue.schedule("y")
        assert dispatcher.wait(DEADLINE)
        assert dispatcher.halted
    assert dispatcher.status == 1
    assert component.seen == [1]
    assert any(level == "ERROR" and "'y'" in message for level, message, _ in logged)


def test_with_another_policy_none_is_no_answer() -> None:
    with Dispatcher(
        [Fake({"x": None})], ordering="global", policy=OTHER, supervision=STOPS
    ) as dispatcher:
        dispatcher.queue.schedule("x", 1)
        assert dispatcher.wait(DEADLINE)
    assert dispatcher.status == 1
    assert "returned None" in str(dispatcher.dead_letters()[0].cause)


def test_with_another_policy_an_unknown_event_for_later_is_counted_as_for_later() -> None:
    with Dispatcher([Fake({"x": None})], ordering="global", policy=OTHER) as dispatcher:
        dispatcher.queue.schedule_after(600.0, "y")
    report = dispatcher.stop()
    assert (report.drained, report.left, report.later) == (True, 0, 1)


def test_with_another_policy_a_requested_stop_ends_with_0() -> None:
    with Dispatcher(
        [Fake({"x": raising(ZenDaemonStopException())})],
        ordering="global",
        policy=OTHER,
        supervision=STOPS,
    ) as one:
        one.queue.schedule("x")
        assert one.wait(DEADLINE)
    assert one.status == 0


def test_a_failing_teardown_is_logged_and_the_others_are_torn_down(logged: Logged) -> None:
    torn = threading.Event()
    first = Fake(name="first", teardown=lambda _: torn.set())
    with Dispatcher([first, Fake(name="last", teardown=raising(ValueError("oops")))]) as it:
        assert not torn.is_set()
    assert torn.is_set()
    assert it.stop().stuck == ()
    assert any("oops" in message for _, message, _ in logged)


def test_after_a_timer_has_stopped_everything_its_component_runs_nothing_more() -> None:
    seen: list[Any] = []

    def tick(daemon: Any) -> None:
        raise SystemExit(74)

    def cbk(daemon: Any, args: Any) -> None:
        if not seen:
            daemon.io.call_later(0.0, tick)  # due when this returns, before the next stride
        seen.append(args)

    dispatcher = Dispatcher([Fake({"x": cbk})])
    for number in range(1000):
        dispatcher.queue.schedule("x", number)
    with dispatcher:
        assert dispatcher.wait(DEADLINE)
    assert seen == [0]
    assert dispatcher.status == 74
    assert dispatcher.halted_with == 74


def test_an_exception_whose_repr_raises_is_a_dead_letter_like_any_other() -> None:
    class Mute(Exception):  # noqa: N818
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with Dispatcher([Fake({"x": raising(Mute())})]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
        assert not dispatcher.halted
        assert len(dispatcher.dead_letters()) == 1
