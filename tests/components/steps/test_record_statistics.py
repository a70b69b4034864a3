from __future__ import annotations

import json
from typing import Any

import pytest

from tests.components.fakes import FakeDaemon
from zenactors.components import Lines, Statistics
from zenactors.core.clock import VirtualClock

DAEMON: Any = FakeDaemon()


def count(statistics, *records) -> None:
    assert statistics.cbk_event_lines(DAEMON, list(records)) is None


def test_records_are_counted_by_each_key():
    statistics = Statistics(by=["status", "path"])
    count(statistics, {"status": 200, "path": "/"}, {"status": 404, "path": "/x"})
    count(statistics, {"status": 200, "path": "/"}, {"status": None})

    assert statistics.statistics_cur == {
        "records": 4,
        "by": {
            "status": {"200": 2, "404": 1, "(none)": 1},
            "path": {"/": 2, "/x": 1, "(none)": 1},
        },
    }


def test_the_summary_has_the_most_frequent_values_in_a_certain_order():
    statistics = Statistics(by=["x"], top=3)
    count(statistics, *({"x": value} for value in "dabbcac"))

    assert statistics.summary() == [("x", [("a", 2), ("b", 2), ("c", 2)])]
    assert statistics.get_state()["summary"] == statistics.summary()
    json.dumps(statistics.get_state())


def test_values_beyond_the_limit_are_counted_as_other():
    statistics = Statistics(by=["x"], max_values=2)
    count(statistics, *({"x": value} for value in "abcadb"))

    assert statistics.statistics_cur["by"]["x"] == {"a": 2, "b": 2, "(other)": 2}


def test_long_and_unhashable_values_are_counted_as_short_text():
    statistics = Statistics(by=["x"])
    count(statistics, {"x": "y" * 1000}, {"x": [1]})

    assert statistics.statistics_cur["by"]["x"] == {"y" * 200: 1, "[1]": 1}


def test_the_log_has_total_rate_and_top_values_in_one_line(logged):
    statistics = Statistics(by=["status"], top=1)
    statistics._clock = clock = VirtualClock()
    statistics._created = clock.monotonic()
    count(statistics, {"status": 200}, {"status": 200}, {"status": 404})
    clock.advance(2.0)
    assert statistics.cbk_event_log_statistics(DAEMON, None) is None
    count(statistics, {"status": 200})
    clock.advance(10.0)
    statistics.get_statistics()  # another reader does not disturb
    statistics.cbk_event_log_statistics(DAEMON, None)

    assert logged.of("INFO") == [
        "3 records (1.5/s); status: 200 2",
        "4 records (0.1/s); status: 200 3",
    ]


def test_it_logs_at_its_interval(logged):
    daemon: Any = FakeDaemon()
    statistics = Statistics(by=[], interval=5)
    statistics.setup(daemon)
    assert [timer.every for timer in daemon.io.active] == [5.0]
    daemon.fire(5.0)
    statistics.teardown(daemon)

    assert len(logged.of("INFO")) == 1
    assert daemon.io.active == []


def test_its_timer_does_not_keep_a_daemon_alive_that_is_to_exit_when_idle():
    daemon: Any = FakeDaemon(exit_when_idle=True)
    Statistics(by=[], interval=5).setup(daemon)

    assert daemon.io.active == []


def test_lines_that_were_not_parsed_are_refused():
    with pytest.raises(TypeError, match="put a parser"):
        Statistics(by=["x"]).cbk_event_lines(DAEMON, Lines("f", 0, b"x\n"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "status"}, r"by is 'status'.*write \['status'\]"),
        ({"by": [1]}, r"by is \[1\]"),
        ({"by": [], "top": 0}, "top is 0"),
        ({"by": [], "interval": -1}, "interval is -1"),
        ({"by": [], "max_values": True}, "max_values is True"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Statistics(**options)
