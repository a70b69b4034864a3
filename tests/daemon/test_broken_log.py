"""A log that raises, at one level after the other: the daemon does what it does without it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.daemon.main_loop import MAX_STOP_ATTEMPTS
from zenactors.errors import (
    EXIT_CONFIG,
    EXIT_DATA_ERROR,
    EXIT_FORCED_STOP,
    EXIT_OK,
    EXIT_START_FAILED,
)
from zenactors.testing import Harness, VirtualFiles


@pytest.fixture(params=["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def broken_log(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Raise at each line of one level; return the lines."""
    lines: list[str] = []

    def fail(message: Any) -> None:
        lines.append(message.record["message"])
        raise OSError("no space left")

    def at_level(record: Any) -> bool:
        return bool(record["level"].name == request.param)

    sink = logger.add(fail, level=0, filter=at_level, catch=False)
    yield lines
    logger.remove(sink)


class Subject(ZenDaemonComponent):
    """Fails and hangs where it is told to."""

    def __init__(self, *fails: str) -> None:
        super().__init__(name="subject")
        self.fails = fails
        self.heard: list[str] = []

    def setup(self, daemon: Any) -> None:
        if "setup" in self.fails:
            raise ValueError("no")
        daemon.io.keep_alive()

    def teardown(self, daemon: Any) -> None:
        self.heard.append("teardown")
        if "teardown" in self.fails:
            daemon._runtime.event().wait(100.0)

    @handles("work")
    def cbk_event_work(self, daemon: Any, args: Any) -> None:
        raise ValueError("no")

    @handles("signal_hup")
    @handles("signal_usr1")
    @handles("signal_usr2")
    def cbk_event_signal(self, daemon: Any, args: Any) -> None:
        self.heard.append("signal")


def harness_of(subject: Subject, **options: Any) -> Harness:
    return Harness(ZenDaemon(name="d", components=[subject], **options), files=VirtualFiles())


def test_signals_are_handled_and_the_status_is_the_same(broken_log: list[str]) -> None:
    subject = Subject()
    with harness_of(subject, schedule=[("work",)], schedule_after=[(600.0, "work")]) as harness:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGQUIT):
            harness.signal(number)
            harness.advance(1.0)
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == EXIT_DATA_ERROR
        assert len(harness.dead_letters()) == 1
    assert subject.heard == ["signal", "signal", "signal", "teardown"]
    assert harness.report is not None
    assert harness.report.stuck == ()


def test_a_forced_stop_has_its_status(broken_log: list[str]) -> None:
    with harness_of(Subject("teardown")) as harness:
        for _ in range(MAX_STOP_ATTEMPTS):
            harness.signal(signal.SIGINT)
            harness.advance(0.1)
        assert harness.run(60.0) == EXIT_FORCED_STOP
        assert harness.report is not None
        assert harness.report.stuck == ("subject",)


def test_sigterm_has_its_status(broken_log: list[str]) -> None:
    with harness_of(Subject()) as harness:
        harness.signal(signal.SIGTERM)
        assert harness.run(60.0) == EXIT_OK


def test_a_start_that_fails_has_its_status(broken_log: list[str]) -> None:
    with harness_of(Subject("setup")) as harness:
        assert harness.run(60.0) == EXIT_START_FAILED


def test_a_wrong_configuration_has_its_status(broken_log: list[str]) -> None:
    with harness_of(Subject(), schedule=[("unknown",)]) as harness:
        assert harness.run(60.0) == EXIT_CONFIG
    daemon = ZenDaemon(name="d", components=[Subject()], default_signals={"SIGINT": "work"})
    assert daemon.serve() == EXIT_CONFIG


def test_a_reload_that_fails_leaves_everything_as_it_was(broken_log: list[str]) -> None:
    class Refusing(ZenDaemon):
        def read_layers(self) -> Any:
            if "dispatcher" in vars(self):
                raise LookupError("a bug")
            return super().read_layers()

    with Harness(Refusing(name="d", components=[Subject()]), files=VirtualFiles()) as harness:
        harness.signal(signal.SIGHUP)
        harness.advance(1.0)
        assert harness.dead_letters() == []
        assert not harness.daemon.get_state()["reload"]["done"]
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == EXIT_OK
