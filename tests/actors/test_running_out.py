"""Out of memory, and actors that end by an exception: noticed, named, and never in silence."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pykka import messages

from tests.actors.fakes import DEADLINE, Fake, raising
from tests.policies import OTHER, STOPS
from zenactors import Dispatcher, EventPolicy, Supervision
from zenactors.core.clock import Clock, SystemClock, VirtualClock
from zenactors.errors import EXIT_SOFTWARE

Logged = list[tuple[str, str, dict[str, Any]]]


class ScarceClock:
    """A clock whose readings need memory, of which one thread has none at one of its readings."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.time = self._clock.time
        self._thread = ""
        self._left = 0

    def run_out(self, thread: str, *, after: int = 0) -> None:
        """Let the thread of this name have no memory, once, after so many readings."""
        self._left = after
        self._thread = thread

    def monotonic(self) -> float:
        if self._thread and threading.current_thread().name == self._thread:
            self._left -= 1
            if self._left < 0:
                self._thread = ""
                raise MemoryError
        return self._clock.monotonic()


def critical(logged: Logged) -> list[str]:
    return [message for level, message, _ in logged if level == "CRITICAL"]


def test_a_callback_without_memory_costs_its_event() -> None:
    component = Fake({"x": raising(MemoryError()), "y": None})
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x")
        dispatcher.queue.schedule("y")
        assert dispatcher.drain(DEADLINE)
        (letter,) = dispatcher.dead_letters()
        assert type(letter.cause) is MemoryError
        assert dispatcher.counts()["y"].completed == 1
    assert dispatcher.status == 0


class Scarce:
    """An answer that cannot be read for want of memory."""

    def __iter__(self) -> Any:
        raise MemoryError


@pytest.mark.parametrize(("callbacks", "policy"), [(1, None), (1, OTHER), (2, OTHER)])
def test_an_answer_for_which_there_is_no_memory_is_not_called_a_wrong_one(
    callbacks: int, policy: EventPolicy | None
) -> None:
    handlers: list[Any] = [lambda *_: Scarce(), lambda _, args: (1, args)][:callbacks]

    class Several(Fake):
        def get_events(self) -> list[Any]:
            return [self.gen_event_handler("x", each) for each in handlers]

    supervision = STOPS if policy else Supervision()
    with Dispatcher([Several()], policy=policy, supervision=supervision) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.wait(DEADLINE) if policy else dispatcher.drain(DEADLINE)
        (letter,) = dispatcher.dead_letters()
    assert type(letter.cause) is MemoryError


def test_a_batch_without_memory_ends_the_daemon_with_a_clear_text(logged: Logged) -> None:
    torn_down = threading.Event()
    clock = ScarceClock()
    component = Fake({"x": None}, teardown=lambda _: torn_down.set())
    with Dispatcher([component], clock=clock) as dispatcher:
        clock.run_out("zenactors:fake")
        dispatcher.queue.schedule_many("x", (1, 2))  # one alone would need no clock
        assert dispatcher.wait(DEADLINE)
    assert torn_down.is_set()
    assert dispatcher.status == EXIT_SOFTWARE
    (message,) = critical(logged)
    assert message.startswith("Out of memory in component 'fake'; stopping.")


def test_a_timer_without_memory_ends_the_daemon_with_a_clear_text(logged: Logged) -> None:
    torn_down = threading.Event()
    virtual = VirtualClock()
    clock = ScarceClock(virtual)
    called = threading.Event()

    def call_back(_daemon: Any) -> None:
        if not called.is_set():
            called.set()
            virtual.advance(1.0)  # it is due again: read by `timeout`, `due` and `take_due`
            clock.run_out("zenactors:fake", after=2)

    component = Fake(
        setup=lambda daemon: daemon.io.call_every(1.0, call_back),
        teardown=lambda _: torn_down.set(),
    )
    with Dispatcher([component], clock=clock) as dispatcher:
        virtual.advance(1.0)
        dispatcher._engine.tell(0, None)  # wakes it
        assert dispatcher.wait(DEADLINE)
    assert called.is_set()
    assert torn_down.is_set()
    assert dispatcher.status == EXIT_SOFTWARE
    (message,) = critical(logged)
    assert message.startswith("Out of memory in component 'fake'; stopping.")


def test_a_wait_without_memory_ends_the_daemon_and_names_the_component(logged: Logged) -> None:
    """The inbox raises outside of everything that pykka contains."""
    clock = ScarceClock()
    waiting = Fake(name="waiting", setup=lambda daemon: daemon.io.call_later(600.0, print))
    dispatcher = Dispatcher([waiting, Fake(name="other")], clock=clock)
    dispatcher.start()
    clock.run_out("zenactors:waiting")
    dispatcher._engine.tell(0, None)
    assert dispatcher.wait(DEADLINE)
    assert set(dispatcher.get_state()) == {"other"}  # at once, without a time-out
    dispatcher.stop()
    assert dispatcher.status == EXIT_SOFTWARE
    assert critical(logged) == ["The actor of component 'waiting' ended by MemoryError(); stopping"]


def test_an_actor_that_pykka_gives_up_ends_the_daemon_and_names_the_component(
    logged: Logged,
) -> None:
    with Dispatcher([Fake()]) as dispatcher:
        dispatcher._engine.refs[0].tell(messages.ProxyGetAttr(attr_path=("nothing",)))
        assert dispatcher.wait(DEADLINE)
    assert dispatcher.status == EXIT_SOFTWARE
    (message,) = critical(logged)
    assert message.startswith("The actor of component 'fake' ended by AttributeError(")
