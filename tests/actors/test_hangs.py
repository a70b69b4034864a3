"""Callbacks that do not return: noticed, reported once with their stack, and named as not ready."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from loguru import logger

from tests.actors.fakes import DEADLINE, Fake, Gate
from zenactors.actors import hang_guard
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.callbacks import handles
from zenactors.core.clock import VirtualClock
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.supervision import Supervision
from zenactors.testing.harness import Harness


class Patient(ZenDaemonComponent):
    """Waits for a minute in each callback."""

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        daemon.wait(60)


def messages(harness: Harness, part: str) -> list[str]:
    return [record.message for record in harness.logs if part in record.message]


def test_a_callback_over_its_budget_is_reported_once_and_again_when_it_returns() -> None:
    with Harness([Patient(), other := Fake({"y": None})]) as harness:
        harness.queue.schedule("x")
        harness.advance(9)
        assert harness.daemon.readiness() == []
        harness.advance(5)
        assert harness.daemon.readiness() == [
            "component 'Patient' does not return from its callback"
        ]
        assert len(messages(harness, "has not returned from its callback for 1")) == 1
        harness.queue.schedule("y", "others go on")
        harness.advance(30)
        assert other.seen == ["others go on"]
        assert len(messages(harness, "has not returned")) == 1

        harness.advance(20)
        assert harness.daemon.readiness() == []
        assert len(messages(harness, "has returned from its callback after 5")) == 1


def test_many_callbacks_in_a_row_are_no_hang() -> None:
    class Quick(Patient):
        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            daemon.wait(1)

    with Harness([Quick()]) as harness:
        for _ in range(100):
            harness.queue.schedule("x")
        harness.advance(99)
        assert messages(harness, "has not returned") == []


def test_a_timer_and_its_own_budget() -> None:
    class Timer(ZenDaemonComponent):
        supervision = Supervision(budget=30.0)

        def setup(self, daemon: Any) -> None:
            daemon.io.call_later(1, lambda daemon: daemon.wait(60))

    with Harness([Timer()]) as harness:
        harness.advance(30)
        assert harness.daemon.readiness() == []
        harness.advance(10)
        assert harness.daemon.readiness() == ["component 'Timer' does not return from its callback"]


def test_the_report_shows_where_the_thread_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hang_guard, "LOOK_INTERVAL", 0.02)
    reported, lines = threading.Event(), []

    def sink(message: Any) -> None:
        if "has not returned" in message:
            lines.append(message)
            reported.set()

    class Stuck(Fake):
        supervision = Supervision(budget=0.05)

    gate = Gate()
    number = logger.add(sink, level="WARNING")
    try:
        with Dispatcher([Stuck({"x": gate})]) as dispatcher, Dispatcher([Fake({"x": None})]):
            dispatcher.queue.schedule("x")
            assert reported.wait(DEADLINE)
            assert dispatcher.readiness() == ["component 'fake' does not return from its callback"]
            gate.open()
            assert dispatcher.drain(DEADLINE)
    finally:
        logger.remove(number)
    first = next(line for line in lines[0].splitlines() if line.startswith("  File"))
    assert "tests/actors/fakes.py" in first  # nothing of what leads there
    assert lines[0].count("zenactors:fake") == 1  # not that of the other dispatcher


def test_a_dispatcher_that_wakes_up_between_two_looks_asks_no_component(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, looks = VirtualClock(), []  # it does not advance
    place = BatchRunner.place

    def counted(runner: BatchRunner) -> Any:
        looks.append(clock.monotonic())
        return place(runner)

    with Dispatcher([Fake({"x": None})], clock=clock) as dispatcher:
        monkeypatch.setattr(BatchRunner, "place", counted)
        for _ in range(50):
            dispatcher.queue.schedule("x")
            assert dispatcher.drain(DEADLINE)
    assert len(looks) <= 1
