"""What a program may choose for its engine, and how it drives one in steps."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake
from tests.policies import STOPS
from zenactors import (
    EventPolicy,
    NotRunningError,
    Supervision,
    SystemClock,
    ZenDaemonComponent,
    handles,
)
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.runtime import Runtime
from zenactors.daemon.main_loop import MainLoop
from zenactors.daemon.signal_events import SignalAnswers
from zenactors.errors import ZenDaemonComponentException, ZenDaemonStopException

SCHEDULED = EventPolicy(start_and_stop="scheduled")
PROGRAM = EventPolicy(hooks="program")


def fail(cause: BaseException) -> Any:
    def callback(*_: Any) -> None:
        raise cause

    return callback


@pytest.mark.parametrize("policy", [None, SCHEDULED])
def test_start_and_stop_are_sent_unless_only_the_program_schedules_them(
    policy: EventPolicy | None,
) -> None:
    component = Fake({"start": None, "stop": None})
    with Dispatcher([component], policy=policy):
        pass
    assert len(component.seen) == (0 if policy else 2)


def test_a_scheduled_start_is_an_event_like_any_other() -> None:
    component = Fake({"start": None, "x": None})
    with Dispatcher([component], policy=SCHEDULED) as dispatcher:
        dispatcher.queue.schedule("x", 1)
        dispatcher.queue.schedule("start", 2)
        assert dispatcher.drain(DEADLINE)
    assert component.seen == [1, 2]


def test_hooks_are_left_to_the_program() -> None:
    called: list[str] = []
    component = Fake(
        {"x": None},
        setup=lambda _: called.append(threading.current_thread().name),
        teardown=lambda _: called.append("teardown"),
    )
    with Dispatcher([component], policy=PROGRAM) as dispatcher:
        assert called == []
        dispatcher.call(component, component.setup)
    assert called == ["zenactors:fake"]


def test_a_restart_calls_the_hooks_even_if_the_program_calls_the_first_and_the_last() -> None:
    life: list[str] = []

    class Fragile(ZenDaemonComponent):
        supervision = Supervision(on_error="restart", delay=0.0)

        def setup(self, daemon: Any) -> None:
            life.append(f"setup {self.incarnation}")

        def teardown(self, daemon: Any) -> None:
            life.append(f"teardown {self.incarnation}")

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            life.append(f"{args} in {self.incarnation}")
            if args == "bad":
                raise ValueError(args)

    component = Fragile()
    with Dispatcher([component], policy=PROGRAM) as dispatcher:
        dispatcher.call(component, component.setup)
        for args in ("bad", "good"):
            dispatcher.queue.schedule("x", args)
        assert dispatcher.drain(DEADLINE)
    assert life == ["setup 1", "bad in 1", "teardown 1", "setup 2", "good in 2"]


def test_a_call_returns_or_raises_what_the_function_does() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        assert dispatcher.call(component, lambda daemon: daemon is dispatcher)
        for cause in (LookupError("no"), SystemExit(3), KeyboardInterrupt()):
            with pytest.raises(type(cause)) as raised:
                dispatcher.call(component, fail(cause))
            assert raised.value is cause
        dispatcher.queue.schedule("x", 1)  # the component's thread goes on
        assert dispatcher.drain(DEADLINE)
    assert component.seen == [1]


def test_events_that_a_call_schedules_are_handled() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        dispatcher.call(component, lambda daemon: daemon.queue.schedule("x", 1))
    assert component.seen == [1]


def test_a_dispatcher_starts_in_two_steps() -> None:
    up: list[bool] = []
    component = Fake({"x": None}, setup=lambda _: up.append(True))
    dispatcher = Dispatcher([component])
    dispatcher.set_up()
    assert (up, dispatcher.is_open) == ([True], False)
    dispatcher.queue.schedule("x", 1)
    with pytest.raises(NotRunningError, match="once"):
        dispatcher.set_up()
    with dispatcher:
        assert dispatcher.drain(DEADLINE)
        with pytest.raises(NotRunningError, match="once"):
            dispatcher.start()
    assert (up, component.seen) == ([True], [1])


def test_after_a_setup_that_failed_nothing_starts() -> None:
    dispatcher = Dispatcher([Fake({"x": None}, setup=fail(ValueError("no")))])
    with pytest.raises(ZenDaemonComponentException, match="failed in setup"):
        dispatcher.set_up()
    with pytest.raises(NotRunningError, match="once"):
        dispatcher.start()


def test_given_chains_replace_those_of_the_components() -> None:
    heard: list[tuple[str, str]] = []

    class Method:
        def __init__(self, name: str) -> None:
            self.name = name

        def get_events(self) -> list[Any]:
            return []

        def hear(self, _daemon: Any, args: Any) -> None:
            heard.append((self.name, threading.current_thread().name))

    first, second = Method("first"), Method("second")

    def function(_daemon: Any, _args: Any) -> None:
        heard.append(("function", threading.current_thread().name))

    chains = {"x": [second.hear, function, first.hear, second.hear]}
    with Dispatcher([first, second], chains=chains) as dispatcher:
        dispatcher.queue.schedule("x")
    assert heard == [
        ("second", "zenactors:second"),
        ("function", "zenactors:first"),
        ("first", "zenactors:first"),
        ("second", "zenactors:second"),
    ]


@pytest.mark.parametrize("cause", [ValueError("no"), ZenDaemonStopException("enough")])
def test_the_exception_that_ended_everything_is_kept(cause: BaseException) -> None:
    with Dispatcher([Fake({"x": fail(cause)})], supervision=STOPS) as dispatcher:
        assert dispatcher.ended_by is None
        dispatcher.queue.schedule("x")
        assert dispatcher.wait(DEADLINE)
    assert dispatcher.ended_by is cause
    assert dispatcher.status == (1 if isinstance(cause, ValueError) else 0)


def test_sigint_asks_for_the_end_before_it_schedules_stop() -> None:
    done: list[bool] = []

    class Watching(SignalAnswers):
        def received(self, event: Any) -> None:
            done.append(dispatcher.is_done())
            super().received(event)

    def keep_it_busy() -> None:
        dispatcher.queue.schedule_after(3600.0, "x")

    component = Fake({"stop": None, "x": None})
    loop = MainLoop(SystemClock(), runtime=Runtime(), answers=Watching())
    dispatcher = Dispatcher([component], policy=SCHEDULED, notifier=loop)
    status = loop.serve(
        dispatcher,
        keep_it_busy,
        None,
        signals={},
        sigterm="terminate",
        on_ready=lambda: signal.raise_signal(signal.SIGINT),
        hung_up=lambda: False,
    )
    assert (status, done, len(component.seen)) == (0, [True], 1)
