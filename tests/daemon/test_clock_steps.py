"""A machine without a clock of its own: it starts in 1970, and its clock jumps when it is set."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.core.clock import VirtualClock
from zenactors.testing import Harness, VirtualFiles

NOW = 1_795_515_300.0  # 2026-11-24 10:15:00 UTC
STARTS = [5.0, -5.0]  # seconds after 1970


class Alarm(ZenDaemonComponent):
    """Counts its timers, and notes the events that it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.ticks = 0

    def setup(self, daemon: Any) -> None:
        daemon.io.call_every(10.0, self.tick)
        daemon.queue.schedule_after(30.0, "ring", "after 30 s")
        daemon.queue.schedule_at(NOW, "ring", "at the time")

    def tick(self, daemon: Any) -> None:
        self.ticks += 1
        self.inc_statistic("ticks")

    @handles("ring")
    def cbk_event_ring(self, daemon: Any, args: Any) -> None:
        self.heard.append(args)


@pytest.fixture(params=STARTS)
def clock(request: pytest.FixtureRequest) -> VirtualClock:
    return VirtualClock(request.param)


def saved(harness: Harness, files: VirtualFiles) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return state and runlog as they are now."""
    harness.signal(signal.SIGUSR1)
    harness.signal(signal.SIGUSR2)
    harness.advance(0.5)
    return json.loads(files.content("/d.state")), json.loads(files.content("/runlogs/d.runlog"))


def test_delays_intervals_and_ages_are_measured_whatever_the_clock_shows(
    clock: VirtualClock,
) -> None:
    alarm, files = Alarm(), VirtualFiles()
    daemon = ZenDaemon(
        name="d",
        components=[alarm],
        state_file="/d.state",
        default_runlog_dir="/runlogs",
        stats_interval=10.0,
        default_runlog_interval=10.0,
    )
    with Harness(daemon, files=files, clock=clock) as harness:
        harness.advance(19.5)
        state, runlog = saved(harness, files)
        assert state["time"].startswith("1970-01-01T00:00:")
        assert (state["uptime"], runlog["duration"]) == (
            pytest.approx(19.5, abs=1.0),
            pytest.approx(19.5, abs=1.0),
        )
        assert runlog["start_text"].startswith("1970-01-01T00:00:0")

        clock.step(NOW - 1 - clock.time())
        assert alarm.heard == []
        harness.advance(5.0)
        assert alarm.heard == ["at the time"]

        clock.step(-NOW)  # back again
        harness.advance(4.5)
        assert alarm.heard == ["at the time"]
        harness.advance(1.0)
        assert alarm.heard == ["at the time", "after 30 s"]
        assert alarm.ticks == 3

        clock.step(NOW)
        harness.advance(9.0)
        state, runlog = saved(harness, files)
        assert (state["uptime"], runlog["duration"]) == (
            pytest.approx(39.5, abs=1.0),
            pytest.approx(39.5, abs=1.0),
        )
        assert runlog["start"] == pytest.approx(runlog["end"] - runlog["duration"])
        assert runlog["start_text"].startswith("2026-11-24T10:14:")
        rates = [each["spd"] for each in daemon.get_statistics("d")["Alarm"].values()]
        assert rates == [pytest.approx(4 / 40, rel=0.1)]
