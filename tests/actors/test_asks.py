from __future__ import annotations

import threading
import time
from typing import Any

import pykka
import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, in_threads, switch_interval
from zenactors.actors.component_messages import ReadState
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.notifier import ThreadNotifier


def races(count: int, components: int) -> list[pykka.Future[Any]]:
    """Ask components and stop them at the same time; return the unanswered futures."""
    unresolved: list[pykka.Future[Any]] = []
    with switch_interval(0.000_01):
        for _ in range(count // components):
            dispatcher = Dispatcher([Fake(name=str(n)) for n in range(components)])
            dispatcher.start()
            futures = ask_until_all_are_dead(dispatcher)
            deadline = time.monotonic() + 1.0
            for future in futures:
                try:
                    future.get(timeout=max(0.0, deadline - time.monotonic()))
                except pykka.ActorDeadError:
                    pass
                except pykka.Timeout:
                    unresolved.append(future)
    return unresolved


def ask_until_all_are_dead(dispatcher: Dispatcher) -> list[pykka.Future[Any]]:
    refs = list(dispatcher._engine.refs)
    futures: list[pykka.Future[Any]] = []

    def ask() -> None:
        living = refs
        while living:
            futures.extend(ref.ask(ReadState(), block=False) for ref in living)
            living = [ref for ref in living if ref.is_alive()]

    asking = threading.Thread(target=ask)
    asking.start()
    dispatcher.stop(drain=False)
    asking.join(DEADLINE)
    assert not asking.is_alive()
    return futures


def test_no_ask_that_races_a_stop_is_left_without_an_answer() -> None:
    assert races(100, components=20) == []


@pytest.mark.slow
def test_none_of_ten_thousand_asks_that_race_a_stop_is_left_without_an_answer() -> None:
    assert races(10_000, components=20) == []


def test_statistics_are_returned_or_left_out_while_everything_stops() -> None:
    dispatcher = Dispatcher([Fake(name=str(n)) for n in range(4)])
    dispatcher.start()

    def work(number: int) -> Any:
        return dispatcher.get_statistics() if number else dispatcher.stop()

    begin = time.monotonic()
    answers = in_threads(4, work)
    assert time.monotonic() - begin < 4.0  # no thread waits for the time-out of an ask
    assert all(isinstance(answer, dict) for answer in answers[1:])


def test_after_the_stop_a_component_that_was_left_behind_is_not_waited_for() -> None:
    gate = Gate()
    dispatcher = Dispatcher([Fake({"x": gate}, name="busy"), Fake(name="free")])
    dispatcher.start()
    dispatcher.queue.schedule("x")
    gate.await_entered()
    assert dispatcher.stop(drain=False).stuck == ("busy",)
    dispatcher._engine.notifier = Unusable()
    assert dispatcher.get_state() == {}
    gate.open()


class Unusable(ThreadNotifier):
    """Cannot be waited for, as the main loop of a daemon cannot when it has ended."""

    def subscribed(self) -> Any:
        raise RuntimeError("not now")


def test_a_component_that_does_not_answer_is_left_out() -> None:
    gate = Gate()
    with Dispatcher([Fake({"x": gate}, name="busy"), Fake(name="free")]) as dispatcher:
        dispatcher.queue.schedule("x")
        gate.await_entered()
        assert set(dispatcher._engine.ask_all(ReadState(), timeout=0.1)) == {"free"}
        gate.open()
        assert set(dispatcher.get_state()) == {"busy", "free"}
