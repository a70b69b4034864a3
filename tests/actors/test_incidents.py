"""Whatever objects, log sinks and other code do, it costs an event, not the engine."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pykka
import pytest
from loguru import logger

from tests.actors.fakes import DEADLINE, Fake, Gate, raising
from zenactors import Dispatcher, ZenDaemonComponent, ZenDaemonStopException, handles
from zenactors.core.phase import Phase
from zenactors.errors import EXIT_OK, EXIT_SOFTWARE
from zenactors.process.children import Children


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise LookupError("repr")

    def __str__(self) -> str:
        raise LookupError("str")

    def __bool__(self) -> bool:
        raise LookupError("bool")

    def __eq__(self, other: object) -> bool:
        raise LookupError("eq")

    __hash__ = object.__hash__


class HostileError(Exception):
    """An exception that cannot be shown."""

    def __repr__(self) -> str:
        raise LookupError("repr")

    def __str__(self) -> str:
        raise LookupError("str")


class HostileCallback:
    """A callback whose name cannot be asked for, and which fails."""

    def __call__(self, daemon: Any, args: Any) -> Any:
        raise HostileError

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __repr__(self) -> str:
        raise LookupError("repr")


@pytest.fixture
def broken_log() -> Iterator[None]:
    def fail(_message: Any) -> None:
        raise OSError("no space left")

    sink = logger.add(fail, level=0, catch=False)
    yield
    logger.remove(sink)


HOSTILE = [
    pytest.param(raising(HostileError()), id="its exception"),
    pytest.param(lambda *_: Hostile(), id="its answer"),
    pytest.param(lambda *_: (Hostile(), 1), id="its flag"),
    pytest.param(HostileCallback(), id="itself"),
    pytest.param(lambda *_: (1, Hostile()), id="its args, which is fine"),
]


@pytest.mark.parametrize("callback", HOSTILE)
def test_what_a_callback_brings_costs_its_event_only(callback: Any) -> None:
    with Dispatcher([Fake({"x": callback, "y": None})]) as dispatcher:
        for _ in range(3):
            dispatcher.queue.schedule("x", Hostile())
        dispatcher.queue.schedule("y")
        assert dispatcher.drain(DEADLINE)
        counts = dispatcher.counts()
        assert counts["x"].dead + counts["x"].completed == 3
        assert counts["y"].completed == 1
        assert dispatcher.chains()
    assert dispatcher.status == 0


def test_an_event_name_that_cannot_be_shown_costs_its_event_only() -> None:
    class Name(str):
        __slots__ = ()

        def __repr__(self) -> str:
            raise LookupError("repr")

    with Dispatcher([Fake({Name("x"): raising(ValueError()), "y": None})]) as dispatcher:
        dispatcher.queue.schedule(Name("x"))
        dispatcher.queue.schedule("y")
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.counts()["y"].completed == 1
    assert (dispatcher.status, dispatcher.dead_letter_count()) == (0, 1)


@pytest.mark.usefixtures("broken_log")
def test_a_dead_letter_survives_a_log_that_raises() -> None:
    with Dispatcher([Fake({"x": raising(ValueError()), "y": None})]) as dispatcher:
        for _ in range(3):
            dispatcher.queue.schedule("x")
        dispatcher.queue.schedule("y")
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.counts()["y"].completed == 1
    assert (dispatcher.status, dispatcher.dead_letter_count()) == (0, 3)


@pytest.mark.usefixtures("broken_log")
@pytest.mark.parametrize("cause", [ZenDaemonStopException(), SystemExit(7)])
def test_a_request_to_stop_survives_a_log_that_raises(cause: BaseException) -> None:
    with Dispatcher([Fake({"x": raising(cause)})]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.wait(DEADLINE)
        assert dispatcher.halted
    assert dispatcher.status == (7 if isinstance(cause, SystemExit) else 0)


def test_other_code_that_stops_all_actors_does_not_reach_ours() -> None:
    component = Fake({"x": None})
    with Dispatcher([component]) as dispatcher:
        pykka.ActorRegistry.stop_all()
        dispatcher.queue.schedule("x", "after")
        assert dispatcher.drain(DEADLINE)
    assert component.seen == ["after"]
    assert dispatcher.status == 0


@pytest.mark.parametrize("which", ["component", "dispatcher"])
def test_an_actor_that_ends_without_being_asked_to_ends_the_daemon_with_a_status(
    which: str,
) -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    dispatcher.start()
    engine = dispatcher._engine
    actor = engine.refs[0] if which == "component" else engine._dispatcher
    assert actor is not None
    actor.stop(block=False)
    assert dispatcher.wait(1.0)
    assert dispatcher.halted
    dispatcher.stop()
    assert dispatcher.status == EXIT_SOFTWARE


class Scheduler(ZenDaemonComponent):
    """Schedules in the hooks that belong to no event."""

    def __init__(self) -> None:
        super().__init__(name="scheduler")
        self.daemon: Any = None
        self.seen: list[str] = []

    def setup(self, daemon: Any) -> None:
        self.daemon = daemon

    def get_state(self) -> dict[str, Any]:
        self.daemon.queue.schedule("x", "state")
        return {}

    def get_statistics(self, reader: Any = "") -> dict[str, Any]:
        self.daemon.queue.schedule("x", "statistics")
        return {}

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: str) -> None:
        self.seen.append(args)


def test_events_that_a_component_schedules_outside_of_events_are_accepted_at_once() -> None:
    component = Scheduler()
    with Dispatcher([component]) as dispatcher:
        dispatcher.get_state()
        assert dispatcher.drain(DEADLINE)
        assert component.seen == ["state"]
        dispatcher.get_statistics()
        assert dispatcher.drain(DEADLINE)
        assert component.seen == ["state", "statistics"]
        report = dispatcher.stop()
    assert report.drained


class Lasting(Children):
    """One program that no signal ends."""

    def stop(self, grace: float) -> list[Any]:
        return [*super().stop(grace), SimpleNamespace(args=["x"], pid=4711)]


def stop_with_a_program_that_lasts() -> Dispatcher:
    dispatcher = Dispatcher([Fake()])
    dispatcher._shutdown._children = Lasting(dispatcher.clock.monotonic)
    dispatcher.start()
    assert dispatcher.stop().stuck == ()
    return dispatcher


def test_a_program_that_does_not_end_is_named(logged: list[tuple[str, str, Any]]) -> None:
    stop_with_a_program_that_lasts()
    assert ("ERROR", "Program ['x'] does not end: PID 4711") in [line[:2] for line in logged]


@pytest.mark.usefixtures("broken_log")
def test_a_program_that_does_not_end_and_a_broken_log_do_not_break_a_stop() -> None:
    dispatcher = stop_with_a_program_that_lasts()
    assert dispatcher._engine.lifecycle.phase is Phase.DOWN


@pytest.mark.usefixtures("broken_log")
def test_a_question_that_nobody_answers_does_not_break_a_stop() -> None:
    gate = Gate()
    other = Fake({"y": None}, name="other")
    dispatcher = Dispatcher([Fake({"x": gate}, name="blocked"), other], stop_timeout=0.2)
    dispatcher.start()
    dispatcher.queue.schedule("x")
    gate.await_entered()
    report = dispatcher.stop()
    gate.open()
    assert report.stuck == ("blocked",)


def test_a_clean_end_stores_nothing_over_what_an_unclean_one_stores_meanwhile() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        engine = dispatcher._engine
        engine.ends_cleanly = of_another_thread = object()  # type: ignore[assignment]
        engine._end(EXIT_OK, cleanly=True)
        assert engine.ends_cleanly is of_another_thread
        engine._end(EXIT_SOFTWARE)
        assert engine.ends_cleanly is False
