from __future__ import annotations

import itertools
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from zenactors import ZenDaemonComponent, handles
from zenactors.components.sources.ticker import Ticker
from zenactors.core.clock import VirtualClock
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness, Kill, Probe, ProcessCrashed
from zenactors.testing.files import VirtualFiles

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
NIGHT = 6 * HOUR  # in which clocks are changed, from midnight in Berlin or an hour before
BERLIN = "Europe/Berlin"


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> VirtualClock:
    """Return a clock that shows a time of UTC."""
    return VirtualClock(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp())


def times(probe: Probe) -> list[str]:
    return [args[0]["time"] for _, args in probe.received]


def ticks(clock: VirtualClock, seconds: float, **options: Any) -> list[str]:
    probe = Probe("tick")
    with Harness([Ticker(**options), probe], clock=clock) as harness:
        harness.advance(seconds)
    return times(probe)


class LongRun(ZenDaemonComponent):
    """Holds each tick for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self.begun: list[float] = []
        self.missed: list[int] = []

    @handles("tick")
    def cbk_event_tick(self, daemon: Any, args: Any) -> None:
        self.begun.append(self.clock.monotonic() % 1e6)
        self.missed.append(args[0]["missed"])
        hold = daemon.hold()
        daemon.io.call_later(self._seconds, lambda _daemon: hold.release())


# --- intervals ------------------------------------------------------------------------------------


def test_it_ticks_once_each_interval_from_one_interval_on():
    assert ticks(at(2026, 3, 1), 3.5, interval=1.0) == [
        "2026-03-01T00:00:01+00:00",
        "2026-03-01T00:00:02+00:00",
        "2026-03-01T00:00:03+00:00",
    ]


def test_ticks_do_not_drift():
    ticker = Ticker(interval=0.1)
    with Harness([ticker, Probe("tick")]) as harness:
        harness.advance(100.05)
        assert ticker.statistics_cur == {"ticks": 1_000}


def test_an_interval_goes_on_if_the_clock_is_set():
    with Harness([Ticker(interval=60), probe := Probe("tick")]) as harness:
        harness.advance(30)
        harness.clock.step(-DAY)
        harness.advance(31)
        assert len(probe.received) == 1
        harness.clock.step(10 * DAY)
        harness.advance(60)
        assert len(probe.received) == 2


def test_the_count_ends_it():
    with Harness([Ticker(interval=5, count=3), Probe("tick")], exit_when_idle=True) as harness:
        harness.run()
        assert harness.now == 15
        assert harness.completed("tick") == 3


def test_args_are_those_of_each_tick_and_no_callback_can_change_the_next():
    seen: list[Any] = []

    class Spoils(ZenDaemonComponent):
        @handles("tick")
        def cbk_event_tick(self, daemon: Any, args: Any) -> None:
            seen.append(dict(args))
            args["paths"].append("/spoiled")

    with Harness([Ticker(interval=1, args={"paths": ["/a"]}), Spoils()]) as harness:
        harness.advance(2.5)
        # The list inside is the event's own, too, so each shows its own change only.
        assert seen == [{"paths": ["/a", "/spoiled"]}] * 2


def test_the_event_can_have_another_name():
    ticker = Ticker(interval=1, event_map={"tick": "lines"})
    with Harness([ticker, probe := Probe("lines")]) as harness:
        harness.advance(1)
        assert probe.expect("lines")[0]["number"] == 1


# --- cron -----------------------------------------------------------------------------------------


def test_cron_ticks_at_the_times_of_its_zone():
    assert ticks(at(2026, 1, 1), DAY, cron="30 7,19 * * *", timezone=BERLIN) == [
        "2026-01-01T07:30:00+01:00",
        "2026-01-01T19:30:00+01:00",
    ]


def test_cron_with_seconds():
    assert ticks(at(2026, 1, 1), 31, cron="*/15 * * * * *") == [
        "2026-01-01T00:00:15+00:00",
        "2026-01-01T00:00:30+00:00",
    ]


def test_a_tick_in_the_hour_that_there_is_not_comes_right_after_it():
    got = ticks(at(2026, 3, 28, 22), NIGHT, cron="30 2 * * *", timezone=BERLIN)
    assert got == ["2026-03-29T03:00:00+02:00"]
    got = ticks(at(2026, 3, 28, 22), NIGHT, cron="30 2,3 * * *", timezone=BERLIN)
    assert got == ["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]


def test_two_ticks_that_fall_together_after_that_hour_are_one():
    got = ticks(at(2026, 3, 28, 22), NIGHT, cron="0,30 2 * * *", timezone=BERLIN)
    assert got == ["2026-03-29T03:00:00+02:00"]


def test_in_the_hour_that_comes_twice_a_fixed_time_ticks_once():
    got = ticks(at(2026, 10, 24, 22), NIGHT, cron="30 2 * * *", timezone=BERLIN)
    assert got == ["2026-10-25T02:30:00+02:00"]


def test_a_daemon_that_starts_in_the_second_of_the_two_hours_ticks_on_the_next_day():
    got = ticks(at(2026, 10, 25, 1, 10), DAY + HOUR, cron="30 2 * * *", timezone=BERLIN)
    assert got == ["2026-10-26T02:30:00+01:00"]


@pytest.mark.parametrize(("month", "day"), [(3, 28), (10, 24)])
def test_every_half_hour_is_half_an_hour_whatever_the_clocks_do(month, day):
    got = ticks(at(2026, month, day, 22), NIGHT, cron="*/30 * * * *", timezone=BERLIN)
    moments = [datetime.fromisoformat(each).timestamp() for each in got]
    assert len(moments) == 12
    assert {after - before for before, after in itertools.pairwise(moments)} == {1800}


def test_a_clock_that_is_set_forward_ticks_within_a_minute():
    with Harness([Ticker(cron="0 12 * * *"), probe := Probe("tick")], clock=at(2026, 1, 1)) as it:
        it.advance(HOUR)
        it.clock.step(11 * HOUR + 30)
        it.advance(60)
        assert times(probe) == ["2026-01-01T12:00:00+00:00"]


def test_a_clock_that_is_set_back_a_little_repeats_no_tick():
    clock = at(2026, 1, 1, 11, 59)
    with Harness([Ticker(cron="*/10 * * * *"), probe := Probe("tick")], clock=clock) as harness:
        harness.advance(2 * MINUTE)
        harness.clock.step(-30 * MINUTE)
        harness.advance(HOUR)
        assert times(probe)[:2] == ["2026-01-01T12:00:00+00:00", "2026-01-01T12:10:00+00:00"]
        assert len(times(probe)) == len(set(times(probe)))


def test_a_clock_that_was_wrong_by_years_begins_anew():
    clock = at(2036, 1, 1)
    with Harness([Ticker(cron="0 * * * *"), probe := Probe("tick")], clock=clock) as harness:
        harness.advance(10 * MINUTE)
        harness.clock.step(-10 * 365 * DAY)
        harness.advance(HOUR)
        assert len(probe.received) == 1
        assert [each.message for each in harness.logs if each.level == "WARNING"] == [
            "The clock was set back: the ticks begin anew"
        ]


# --- missed ticks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "came", "missed"), [("one", 1, 4), ("all", 5, 0), ("none", 0, 5)]
)
def test_after_a_suspend_missed_ticks_are_caught_up_with(catch_up, came, missed):
    ticker = Ticker(cron="0 * * * *", catch_up=catch_up)
    with Harness([ticker, probe := Probe("tick")], clock=at(2026, 1, 1, 0, 30)) as harness:
        harness.clock.step(5 * HOUR)  # to 05:30; time that the machine sleeps is not measured
        harness.advance(60)
        assert len(probe.received) == came
        assert ticker.statistics_cur.get("missed", 0) == missed
        harness.advance(HOUR)
        assert times(probe)[-1] == "2026-01-01T06:00:00+00:00"
        assert sum(args[0]["missed"] for _, args in probe.received) == missed


@pytest.mark.parametrize(
    ("catch_up", "begun", "missed"),
    [
        ("one", [10, 35, 60, 85], [0, 1, 2, 1]),
        ("all", [10, 35, 60, 85], [0, 0, 0, 0]),
        ("none", [10, 40, 70, 100], [0, 2, 2, 2]),
    ],
)
def test_while_the_last_tick_is_not_done_none_comes(catch_up, begun, missed):
    runs = LongRun(25)
    with Harness([Ticker(interval=10, catch_up=catch_up), runs]) as harness:
        harness.advance(100)
        assert runs.begun == begun
        assert runs.missed == missed


@pytest.mark.parametrize("seed", range(8))
def test_no_two_ticks_are_under_way_whatever_the_threads_do(seed):
    runs = LongRun(25)
    ticker = Ticker(interval=10, catch_up="all")
    with Harness([ticker, runs], seed=seed) as harness:
        harness.advance(500)
        assert len(runs.begun) >= 15
        between = [after - before for before, after in itertools.pairwise(runs.begun)]
        assert min(between) >= 25
        assert ticker.statistics_cur == {"ticks": len(runs.begun)}


def test_with_overlap_ticks_come_although_the_last_is_not_done():
    runs = LongRun(25)
    with Harness([Ticker(interval=10, overlap=True), runs]) as harness:
        harness.advance(50)
        assert runs.begun == [10, 20, 30, 40, 50]


def test_what_is_under_way_and_what_waits_is_bounded():
    ticker = Ticker(interval=1, overlap=True, catch_up="all")
    with Harness([ticker, LongRun(10_000)]) as harness:
        harness.advance(5_000)
        assert ticker.get_state()["unfinished"] == 256
        harness.advance(5_256)
        assert ticker.get_state()["waiting"] <= 1_000
        assert any("More than 1000 ticks were missed" in each.message for each in harness.logs)


# --- restarts and faults --------------------------------------------------------------------------


def run(files: VirtualFiles, clock: VirtualClock, seconds: float, **options: Any) -> list[str]:
    probe = Probe("tick")
    components = [Ticker(**options), probe]
    with Harness(components, clock=clock, files=files, state_dir="state") as harness:
        harness.advance(seconds)
    return times(probe)


@pytest.mark.parametrize(
    ("catch_up", "came"),
    [
        ("one", ["2026-01-01T05:00:00+00:00"]),
        ("all", [f"2026-01-01T0{hour}:00:00+00:00" for hour in range(2, 6)]),
        ("none", []),
    ],
)
def test_the_next_run_knows_which_ticks_were_missed(catch_up, came):
    files, clock = VirtualFiles(), at(2026, 1, 1, 0, 30)
    options = {"cron": "0 * * * *", "catch_up": catch_up}
    assert run(files, clock, HOUR, **options) == ["2026-01-01T01:00:00+00:00"]
    clock.advance(4 * HOUR)
    assert run(files, clock, MINUTE, **options) == came
    assert run(files, clock, MINUTE, **options) == []


def test_a_tick_that_was_missed_before_there_was_any_is_known_too():
    files, clock = VirtualFiles(), at(2026, 1, 1, 0, 30)
    assert run(files, clock, MINUTE, cron="0 3 * * *") == []
    clock.advance(4 * HOUR)
    assert run(files, clock, MINUTE, cron="0 3 * * *") == ["2026-01-01T03:00:00+00:00"]


def test_an_interval_goes_on_from_the_last_tick_of_the_last_run():
    files, clock = VirtualFiles(), at(2026, 1, 1)
    assert run(files, clock, 90, interval=60) == ["2026-01-01T00:01:00+00:00"]
    assert run(files, clock, 31, interval=60) == ["2026-01-01T00:02:00+00:00"]


def test_a_state_of_the_future_is_not_believed():
    files, clock = VirtualFiles(), at(2036, 1, 1)
    run(files, clock, HOUR, cron="0 * * * *")
    clock.step(-10 * 365 * DAY)
    assert len(run(files, clock, HOUR, cron="0 * * * *")) == 1


def test_a_tick_of_which_the_process_dies_comes_again():
    def build() -> list[Any]:
        return [Ticker(cron="0 * * * *"), Probe("tick")]

    first, second = build(), build()
    clock = at(2026, 1, 1, 0, 30)
    kill = Kill(component="probe", event="tick", nth=2)
    harness = Harness(first, clock=clock, files=VirtualFiles(), state_dir="state", faults=[kill])
    with pytest.raises(ProcessCrashed), harness:
        harness.advance(2 * HOUR)
    assert times(first[1]) == ["2026-01-01T01:00:00+00:00"]
    with harness.next_life(second) as after:
        after.advance(MINUTE)
    assert times(second[1]) == ["2026-01-01T02:00:00+00:00"]


def test_a_tick_that_fails_does_not_end_the_ticks():
    crash = Crash(component="probe", event="tick", nth=1)
    with Harness([Ticker(interval=1), probe := Probe("tick")], faults=[crash]) as harness:
        harness.advance(3)
        assert len(probe.received) == 2
        assert len(harness.dead_letters()) == 1


def test_on_real_threads_it_ticks(zen_daemon):
    probe = Probe("tick")
    zen_daemon([Ticker(interval=0.01, count=5), probe])
    assert [args[0]["number"] for _, args in probe.receive_n(5, within=30)] == [1, 2, 3, 4, 5]


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "interval is None and cron is None, but exactly one"),
        ({"interval": 1, "cron": "* * * * *"}, "exactly one"),
        ({"interval": 0}, "interval is 0"),
        ({"cron": "* * *"}, r"cron is '\* \* \*', but.*Wrong number of fields"),
        ({"cron": "61 * * * *"}, "Bad minute"),
        ({"cron": "0 0 30 2 *"}, "Bad day-of-month"),
        ({"interval": 1, "timezone": "Mars/Olympus"}, "timezone is 'Mars/Olympus'"),
        ({"interval": 1, "timezone": "../etc/passwd"}, "timezone is"),
        ({"interval": 1, "catch_up": "some"}, "catch_up is 'some'"),
        ({"interval": 1, "overlap": 1}, "overlap is 1"),
        ({"interval": 1, "count": -1}, "count is -1"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Ticker(**options)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cronsim", None)
    ticker = Ticker(cron="0 * * * *")
    harness = Harness([ticker, Probe("tick")])
    with pytest.raises(ComponentStartError, match=r"pip install 'zenactors\[cron\]'"), harness:
        pass
