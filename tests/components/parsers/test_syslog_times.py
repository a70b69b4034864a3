"""Syslog's times without a year: which year it was, by the clock, and in which zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.components.fakes import FakeDaemon
from zenactors.components import SyslogParser
from zenactors.components.parsers.syslog import syslog_format
from zenactors.core.clock import VirtualClock
from zenactors.testing import Harness, Probe

DAEMON: Any = FakeDaemon()


def time_of(text: str, *, zone: str = "UTC", now: str) -> str:
    """Return the time of a line that is parsed at a certain time, of UTC."""
    clock = VirtualClock(datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp())
    parser = SyslogParser(zone=zone)
    probe = Probe("lines")
    with Harness([parser, probe], clock=clock) as harness:
        harness.queue.schedule("lines", [f"{text} host app: x"])
        (record,) = probe.expect("lines")
    time: str = record["time"]
    return time


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("Oct  3 22:14:15", "2026-10-03T22:14:16", "2026-10-03T22:14:15+00:00"),
        ("Dec 31 23:59:59", "2026-01-01T00:00:01", "2025-12-31T23:59:59+00:00"),
        ("Jan  1 00:00:01", "2025-12-31T23:59:59", "2026-01-01T00:00:01+00:00"),
        ("Oct  4 22:14:15", "2026-10-03T22:14:15", "2026-10-04T22:14:15+00:00"),
        ("Oct  4 22:14:16", "2026-10-03T22:14:15", "2025-10-04T22:14:16+00:00"),
        ("Feb 29 12:00:00", "2026-03-01T00:00:00", "2024-02-29T12:00:00+00:00"),
        ("Feb 29 12:00:00", "1903-03-01T00:00:00", "1896-02-29T12:00:00+00:00"),
        ("Dec 31 23:59:60", "2017-01-01T00:00:01", "2016-12-31T23:59:60+00:00"),
    ],
)
def test_the_year_is_the_latest_that_is_not_more_than_a_day_ahead(text, now, expected):
    assert time_of(text, now=now) == expected


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("Jul  3 22:14:15", "Europe/Berlin", "2026-07-03T22:14:15+02:00"),
        ("Jan  3 22:14:15", "Europe/Berlin", "2026-01-03T22:14:15+01:00"),
        ("Oct 26 02:30:00", "Europe/Berlin", "2025-10-26T02:30:00+02:00"),  # the first of two
        ("Jul  3 22:14:15", "Asia/Kolkata", "2026-07-03T22:14:15+05:30"),
    ],
)
def test_the_offset_is_that_of_the_zone(text, zone, expected):
    assert time_of(text, zone=zone, now="2026-07-04T00:00:00") == expected


def test_the_zone_decides_when_a_year_ends():
    """It is the second last day of the year; in Kiribati, 14 hours ahead, it is the last one."""
    now = "2025-12-30T23:00:00"
    assert time_of("Jan  1 13:00:00", zone="Pacific/Kiritimati", now=now)[:4] == "2026"
    assert time_of("Jan  1 13:00:01", zone="Pacific/Kiritimati", now=now)[:4] == "2025"
    assert time_of("Jan  1 00:00:00", zone="UTC", now=now)[:4] == "2025"


def test_local_is_the_zone_of_the_machine():
    text = time_of("Jul  3 22:14:15", zone="local", now="2026-07-04T00:00:00")

    assert datetime.fromisoformat(text) == datetime(2026, 7, 3, 22, 14, 15).astimezone()


def test_a_time_that_is_complete_stays_as_it_is():
    parser = SyslogParser(zone="Europe/Berlin")
    lines = ["<1>1 2003-10-11T22:14:15.003Z - - - - - x", "<1>1 - - - - - - x"]
    _, records = parser.cbk_event_lines(DAEMON, lines)

    assert [record["time"] for record in records] == ["2003-10-11T22:14:15.003Z", None]


def test_without_a_zone_the_time_stays_a_text():
    _, (record,) = SyslogParser().cbk_event_lines(DAEMON, ["Oct  3 22:14:15 h a: x"])

    assert record["time"] == "Oct  3 22:14:15"


def test_each_line_of_an_event_has_its_own_time():
    clock = VirtualClock(datetime(2026, 10, 5, tzinfo=UTC).timestamp())
    probe = Probe("lines")
    times = ["Oct  3 22:14:15", "Oct  3 22:14:15", "Oct  3 22:14:16", "Nov  1 00:00:00"]
    with Harness([SyslogParser(zone="UTC"), probe], clock=clock) as harness:
        harness.queue.schedule("lines", [f"{time} h a: x" for time in times])
        records = probe.expect("lines")

    assert [record["time"][:19] for record in records] == [
        "2026-10-03T22:14:15",
        "2026-10-03T22:14:15",
        "2026-10-03T22:14:16",
        "2025-11-01T00:00:00",
    ]


@given(
    time=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - given UTC below
        lambda found: found.replace(microsecond=0, tzinfo=UTC)
    ),
    age=st.integers(-86_400, 364 * 86_400 - 1).map(lambda seconds: timedelta(seconds=seconds)),
)
def test_a_time_less_than_364_days_ago_is_found_again(time, age):
    parse = syslog_format("UTC", (time + age).timestamp).parse
    record = parse(f"{time:%b} {time.day:2} {time:%H:%M:%S} host app: x")

    assert record is not None
    assert record["time"] == time.isoformat()


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../etc/passwd", "Europe", "a\0b", "\ud800", 7])
def test_an_unknown_zone_is_refused_in_one_line(zone):
    with pytest.raises(ValueError, match="but a time zone is expected") as caught:
        SyslogParser(zone=zone)
    assert "\n" not in str(caught.value)
    assert repr(zone) in str(caught.value)
