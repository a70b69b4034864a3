"""A whole daemon under the harness: signals, statuses, files and configuration."""

from __future__ import annotations

import signal

import pytest

from tests.testing.test_harness import LATER, SEEDS, Hang, daemon_of
from zenactors import (
    Daemon,
    NotRunningError,
    ZenDaemon,
    ZenDaemonComponent,
)
from zenactors.core.callbacks import Handler
from zenactors.errors import (
    EXIT_FORCED_STOP,
    EXIT_OK,
    EXIT_START_FAILED,
    ComponentStartError,
)
from zenactors.testing import (
    Harness,
    Probe,
)


@pytest.mark.parametrize("seed", SEEDS)
def test_sigint_lets_what_is_queued_be_handled(seed: int | None) -> None:
    probe = Probe("x")
    with Harness(daemon_of(probe, schedule_after=LATER), seed=seed) as harness:
        for number in range(20):
            harness.queue.schedule("x", number)
        harness.signal(signal.SIGINT)
        assert harness.run() == EXIT_OK
    assert len(probe.received) == 20
    assert harness.report is not None
    assert harness.report.later == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_sigterm_ends_it_within_a_second(seed: int | None) -> None:
    with Harness(daemon_of(Hang(), schedule_after=LATER), seed=seed) as harness:
        for _ in range(20):
            harness.queue.schedule("x")
        harness.run_until_idle()
        harness.signal(signal.SIGTERM)
        assert harness.run() == EXIT_OK
        assert harness.now <= 2.0
        assert harness.report is not None
        assert harness.report.stuck == ("Hang",)


def test_a_daemon_that_hangs_ends_with_a_status_of_its_own() -> None:
    with Harness(daemon_of(Hang(), schedule_after=LATER)) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        harness.signal(signal.SIGINT)
        assert harness.run(20.0) is None
        assert harness.run() == EXIT_FORCED_STOP
        assert 29.0 <= harness.now <= 31.0
        assert "Did not stop and were left behind: Hang" in [each.message for each in harness.logs]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_third_sigint_leaves_at_once(seed: int | None) -> None:
    with Harness(daemon_of(Hang(), schedule_after=LATER), seed=seed) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        for _ in range(2):
            harness.signal(signal.SIGINT)
            harness.advance(1.0)
            assert harness.status is None
        harness.signal(signal.SIGINT)
        harness.advance(2.0)
        assert harness.status == EXIT_FORCED_STOP


def test_a_signal_without_a_handler_is_only_logged() -> None:
    class Deaf(ZenDaemon):
        def get_events(self) -> list[Handler]:
            return [each for each in super().get_events() if each["event"] != "signal_usr1"]

    daemon = Deaf(name="d", components=[Probe("x")], schedule_after=LATER)
    with Harness(daemon) as harness:
        harness.signal(signal.SIGUSR1)
        harness.advance(1.0)
        assert harness.status is None
        levels = {record.level for record in harness.logs if "SIGUSR1 is ignored" in record.message}
        assert levels == {"WARNING"}


def test_a_signal_with_a_handler_is_an_event() -> None:
    probe = Probe("signal_hup")
    with Harness(daemon_of(probe, Probe("x"), schedule_after=LATER)) as harness:
        harness.signal(signal.SIGHUP)
        probe.expect("signal_hup", None)


def test_only_signals_that_are_trapped_can_be_sent() -> None:
    with Harness(daemon_of(Probe("x"), schedule_after=LATER)) as harness:
        with pytest.raises(ValueError, match=str(int(signal.SIGWINCH))):
            harness.signal(signal.SIGWINCH)
        harness.signal(signal.SIGINT)
        harness.run()
        with pytest.raises(NotRunningError):
            harness.signal(signal.SIGINT)
    with Harness([Probe("x")]) as harness, pytest.raises(NotRunningError):
        harness.signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_ends_it(number: int) -> None:
    class Impatient(ZenDaemonComponent):
        def setup(self, daemon: Daemon) -> None:
            harness.signal(number)
            daemon.wait(1.0)

    probe = Probe("x")
    harness = Harness(daemon_of(Impatient(), probe, schedule=[("x",)]))
    with harness:
        assert harness.status == EXIT_OK
        assert harness.now <= 2.0
    assert probe.received == []


def test_a_failing_setup_ends_the_daemon() -> None:
    class Broken(ZenDaemonComponent):
        def setup(self, daemon: Daemon) -> None:
            raise OSError("no such device")

    with Harness(daemon_of(Probe("x"), Broken())) as harness:
        assert harness.status == EXIT_START_FAILED == 69
        assert "no such device" in next(r.message for r in harness.logs if r.level == "ERROR")


def test_a_failing_setup_of_components_is_raised() -> None:
    class Broken(ZenDaemonComponent):
        def setup(self, daemon: Daemon) -> None:
            raise OSError("no such device")

    harness = Harness([Probe("x"), Broken()])
    with pytest.raises(ComponentStartError, match="no such device"):
        harness.start()
    harness.close()


def test_a_daemon_ends_by_itself_when_it_is_idle() -> None:
    probe = Probe("x")
    daemon = daemon_of(probe, schedule=[("x", 1)], schedule_after=[(60.0, "x", 2)])
    with Harness(daemon) as harness:
        assert harness.run() == EXIT_OK
        assert harness.now == 60.0
    assert [args for _, args in probe.received] == [1, 2]


def test_a_daemon_in_use_is_refused() -> None:
    daemon = daemon_of(Probe("x"))
    daemon.queue.schedule("x")
    with pytest.raises(RuntimeError, match="in use"):
        Harness(daemon)
