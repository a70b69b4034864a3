"""The main loop in virtual time: each exit from it, in each phase of a daemon."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.daemon.main_loop import MAX_STOP_ATTEMPTS, TERMINATE_TIMEOUT
from zenactors.errors import EXIT_FORCED_STOP, EXIT_OK
from zenactors.testing import Harness, VirtualFiles

HANG = 100.0  # seconds; longer than any time-out of a stop


def hang(daemon: Any) -> None:
    """Block, as a callback does that does not look whether the daemon stops."""
    daemon._runtime.event().wait(HANG)


class Subject(ZenDaemonComponent):
    """Stays until it is stopped; hangs where it should."""

    def __init__(self, where: str = "", *signals: int) -> None:
        super().__init__(name="subject")
        self.where = where
        self.signals = signals
        self.harness: Harness
        self.done: list[str] = []
        self.daemon: Any = None

    def setup(self, daemon: Any) -> None:
        self.daemon = daemon
        daemon.io.keep_alive()
        self.visit("setup", daemon)

    def teardown(self, daemon: Any) -> None:
        self.visit("teardown", daemon)

    def get_statistics(self, reader: Any = "") -> dict[str, Any]:
        if self.where == "statistics":
            self.visit("statistics", self.daemon)
        return {}

    @handles("work")
    def cbk_event_work(self, daemon: Any, args: Any) -> None:
        self.visit("work", daemon)

    @handles("signal_usr1")
    def cbk_event_signal_usr1(self, daemon: Any, args: Any) -> None:
        self.done.append("usr1")

    def visit(self, where: str, daemon: Any) -> None:
        if where == self.where:
            for number in self.signals:
                self.harness.signal(number)
            hang(daemon)
        self.done.append(where)


def harness_of(subject: Subject, **options: Any) -> Harness:
    daemon = ZenDaemon(name="d", components=[subject], **options)
    subject.harness = Harness(daemon, files=VirtualFiles())
    return subject.harness


def leaving(harness: Harness) -> list[str]:
    messages = [record.message for record in harness.logs]
    return [each for each in messages if each.startswith("Leaving at once")]


def test_sigterm_ends_a_free_daemon_by_its_event() -> None:
    with harness_of(Subject()) as harness:
        harness.signal(signal.SIGTERM)
        assert harness.run(60.0) == EXIT_OK
        assert harness.completed("terminate") == 0  # its callback raised: that is how it stops
        assert leaving(harness) == []
        assert harness.now < TERMINATE_TIMEOUT


def test_sigterm_ends_a_daemon_whose_events_cannot_begin_after_its_time() -> None:
    # One event after the other: the `terminate` event waits behind the one that hangs.
    with harness_of(Subject("work"), ordering="global", schedule=[("work",)]) as harness:
        harness.advance(1.0)
        begun = harness.now
        harness.signal(signal.SIGTERM)
        assert harness.run(60.0) == EXIT_OK
        assert leaving(harness) == ["Leaving at once: SIGTERM"]
        assert TERMINATE_TIMEOUT <= harness.now - begun < 5.0


def test_a_second_sigterm_does_not_put_the_end_off() -> None:
    with harness_of(Subject("work"), ordering="global", schedule=[("work",)]) as harness:
        harness.advance(1.0)
        begun = harness.now
        for _ in range(4):
            harness.signal(signal.SIGTERM)
            harness.advance(TERMINATE_TIMEOUT * 0.3)
        assert leaving(harness) == ["Leaving at once: SIGTERM"]
        assert harness.run(60.0) == EXIT_OK
        assert harness.now - begun < 5.0


def test_the_time_of_sigterm_counts_in_a_stop_that_begins_meanwhile() -> None:
    with harness_of(Subject("work"), ordering="global", schedule=[("work",)]) as harness:
        harness.advance(1.0)
        begun = harness.now
        harness.signal(signal.SIGTERM)
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == EXIT_OK
        assert leaving(harness) == ["Leaving at once: SIGTERM"]
        assert harness.now - begun < 5.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_start_does_not_wait_for_it(number: signal.Signals) -> None:
    with harness_of(Subject("setup", number)) as harness:
        assert harness.run(60.0) == EXIT_OK
        assert len(leaving(harness)) == 1
        assert harness.now < 5.0


def test_sigterm_ends_a_graceful_stop_that_hangs() -> None:
    with harness_of(Subject("teardown", signal.SIGTERM)) as harness:
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == EXIT_OK
        assert leaving(harness) == ["Leaving at once: SIGTERM"]
        assert harness.now < 5.0


def test_the_third_sigint_ends_a_graceful_stop_that_hangs() -> None:
    subject = Subject("teardown", *[signal.SIGINT] * (MAX_STOP_ATTEMPTS - 1))
    with harness_of(subject) as harness:
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == EXIT_FORCED_STOP
        assert leaving(harness) == ["Leaving at once: asked to stop three times"]
        assert harness.now < 5.0


@pytest.mark.parametrize(
    ("signals", "status", "reason"),
    [
        ([signal.SIGTERM], EXIT_OK, "SIGTERM"),
        ([signal.SIGINT] * 2, EXIT_FORCED_STOP, "asked to stop three times"),
    ],
)
def test_a_signal_ends_a_question_to_a_component_that_hangs(
    signals: list[int], status: int, reason: str
) -> None:
    subject = Subject("statistics", *signals)
    with harness_of(subject) as harness:
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == status
        assert leaving(harness) == [f"Leaving at once: {reason}"]
        assert harness.now < 0.3
    begun = "0.000000 daemon: log WARNING Leaving at once"  # no time has passed since the signal
    assert any(line.startswith(begun) for line in harness.trace.text().splitlines())


def test_of_two_reasons_to_leave_the_first_counts() -> None:
    with harness_of(Subject("work"), schedule=[("work",)]) as harness:
        harness.advance(1.0)
        for number in (*[signal.SIGINT] * MAX_STOP_ATTEMPTS, signal.SIGTERM):
            harness.signal(number)
        assert harness.run(60.0) == EXIT_FORCED_STOP
        assert leaving(harness) == ["Leaving at once: asked to stop three times"]


def test_signals_that_come_together_are_all_handled() -> None:
    subject = Subject()
    with harness_of(subject) as harness:
        harness.signal(signal.SIGALRM)
        harness.signal(signal.SIGUSR1)
        harness.signal(signal.SIGQUIT)
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == EXIT_OK
        received = [each.message for each in harness.logs if each.message.startswith("Received")]

    assert received == [
        "Received SIGALRM",
        "Received SIGUSR1",
        "Received SIGQUIT",
        "Received SIGINT",
    ]
    assert subject.done == ["setup", "usr1", "teardown"]
