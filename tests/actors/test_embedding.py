from __future__ import annotations

import signal
import threading
import time

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, await_fact, in_threads
from zenactors import ZenDaemon
from zenactors.actors.dispatcher import Dispatcher
from zenactors.errors import ConfigurationError, NotRunningError, UnknownEventError, UnknownKeyError


def run_a_few(count: int = 100) -> list[int]:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        for number in range(count):
            dispatcher.queue.schedule("x", number)
    return component.seen


def test_events_scheduled_in_the_body_are_handled_before_it_is_left() -> None:
    assert run_a_few() == list(range(100))


def test_a_dispatcher_runs_in_any_thread_and_many_share_nothing() -> None:
    assert in_threads(8, lambda _: run_a_few()) == [list(range(100))] * 8


def test_one_dispatcher_may_run_inside_a_callback_of_another() -> None:
    inner: list[int] = []
    outer = Fake({"x": lambda *_: inner.extend(run_a_few(3))})
    with Dispatcher([outer]) as dispatcher:
        dispatcher.queue.schedule("x")
    assert inner == [0, 1, 2]
    assert dispatcher.dead_letters() == []


def test_the_stop_of_one_dispatcher_leaves_another_one_running() -> None:
    survivor = Fake({"x": None})
    with Dispatcher([survivor]) as one:
        with Dispatcher([Fake({"x": None})]) as other:
            other.queue.schedule("x")
        one.queue.schedule("x", "still here")
        assert one.drain(DEADLINE)
        assert not one.halted
    assert survivor.seen == ["still here"]


def test_a_dispatcher_touches_no_signal_handler_and_no_wake_up_descriptor() -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with Dispatcher([Fake({"x": None})]):
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
        descriptor = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(descriptor)
        assert descriptor == -1


def test_an_idle_dispatcher_stops_within_a_second() -> None:
    dispatcher = Dispatcher([Fake({"x": None}, name=str(n)) for n in range(10)])
    dispatcher.start()
    begin = time.monotonic()
    report = dispatcher.stop()
    assert time.monotonic() - begin < 1.0
    assert report.drained
    assert report.stuck == ()


def test_events_scheduled_before_the_start_are_run() -> None:
    component = Fake({"x": None})
    dispatcher = Dispatcher([component])
    dispatcher.queue.schedule("x", 1)
    dispatcher.queue.schedule_next("x", 0)
    dispatcher.queue.schedule_after(0.0, "x", 2)
    assert dispatcher.queue.count() == 3
    with dispatcher:
        assert dispatcher.drain(DEADLINE)
    assert sorted(component.seen) == [0, 1, 2]
    assert component.seen.index(0) < component.seen.index(1)


@pytest.mark.parametrize(
    "method", ["schedule", "schedule_next", "schedule_at", "schedule_after", "schedule_priority"]
)
def test_an_unknown_event_raises_in_the_caller_and_names_the_known_ones(method: str) -> None:
    with Dispatcher([Fake({"line": None, "batch": None})]) as dispatcher:
        schedule = getattr(dispatcher.queue, method)
        when = (1.0,) if method in ("schedule_at", "schedule_after") else ()
        with pytest.raises(UnknownEventError, match=r"'lime'.*did you mean 'line'.*batch, line"):
            schedule(*when, "lime")
        assert dispatcher.queue.count() == 0


def test_an_unknown_event_scheduled_by_a_callback_fails_that_callback_only() -> None:
    component = Fake({"x": lambda daemon, args: daemon.queue.schedule("y") and None})
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
        assert not dispatcher.halted
    assert [type(letter.cause) for letter in dispatcher.dead_letters()] == [UnknownEventError]


def test_a_dispatcher_can_be_started_once_only() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    with dispatcher, pytest.raises(NotRunningError, match="once"):
        dispatcher.start()
    with pytest.raises(NotRunningError, match="once"):
        dispatcher.start()


def test_of_concurrent_starts_one_wins() -> None:
    setups: list[int] = []
    component = Fake(setup=lambda _: setups.append(1))
    dispatcher = Dispatcher([component])
    results = in_threads(8, lambda _: dispatcher.start())
    dispatcher.stop()
    assert [type(result) for result in results].count(NotRunningError) == 7
    assert results.count(None) == 1
    assert setups == [1]


def test_a_stop_before_the_start_refuses_a_later_start_and_counts_queued_events() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    dispatcher.queue.schedule("x")
    report = dispatcher.stop()
    assert (report.drained, report.timed_out, report.left) == (False, False, 1)
    with pytest.raises(NotRunningError):
        dispatcher.start()
    assert not [t for t in threading.enumerate() if t.name.startswith("zenactors:")]


def test_a_dispatcher_without_components_starts_and_stops() -> None:
    with Dispatcher([]) as dispatcher:
        assert dispatcher.is_idle()
    assert dispatcher.stop().drained


def test_an_exception_in_the_body_stops_without_handling_queued_events() -> None:
    gate = Gate()
    component = Fake({"x": gate})
    dispatcher = Dispatcher([component])

    def open_when_halted() -> None:
        await_fact(dispatcher, lambda: dispatcher.halted)
        gate.open()

    opening = threading.Thread(target=open_when_halted)

    def body() -> None:
        with dispatcher:
            for _ in range(10_000):
                dispatcher.queue.schedule("x")
            gate.await_entered()
            opening.start()
            raise KeyError("from the body")

    with pytest.raises(KeyError, match="from the body"):
        body()
    opening.join(DEADLINE)
    report = dispatcher.stop()
    assert not report.drained
    assert not report.timed_out
    assert report.left > 8_000
    assert len(component.seen) + report.left == 10_000


def test_one_component_cannot_be_given_twice() -> None:
    component = Fake()
    with pytest.raises(ConfigurationError, match="listed twice"):
        Dispatcher([component, component])


def test_chains_and_configuration_can_be_looked_at() -> None:
    dispatcher = Dispatcher(
        [Fake({"x": None}, name="a"), Fake({"x": None}, name="a")], config={"k": 1}
    )
    assert dispatcher.chains() == {"x": [("a", "cbk"), ("a-2", "cbk")]}
    assert (dispatcher.c("k"), dispatcher.c("none", 2)) == (1, 2)
    assert dispatcher.stop().drained


def test_a_key_that_is_not_there_is_an_error() -> None:
    dispatcher = Dispatcher([], config={"greeting": 1, "__core__": {"twice": 2}})
    assert dispatcher.c("greting", None) is None
    assert dispatcher.cc("twice") == 2
    with pytest.raises(UnknownKeyError, match=r"no .* key 'greting'; did you mean 'greeting'"):
        dispatcher.c("greting")
    with pytest.raises(UnknownKeyError, match=r"no .* key 'x'; keys: twice"):
        dispatcher.cc("x")
    assert dispatcher.stop().drained


def test_so_it_is_in_a_daemon() -> None:
    with pytest.raises(UnknownKeyError, match="did you mean 'stop_timeout'"):
        ZenDaemon(name="x").c("stop_timout")
