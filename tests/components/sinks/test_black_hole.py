"""`BlackHole`: counts what it takes."""

from __future__ import annotations

from typing import Any

import pytest

from zenactors import Dispatcher
from zenactors.components import BlackHole, Lines
from zenactors.testing import Crash, Probe


@pytest.mark.parametrize(
    ("args", "records", "size"),
    [
        (Lines("in", 0, b"one\ntwo\n"), 2, 8),
        ([{"a": "four", "b": 5}, {"c": b"six"}], 2, 7),
        ([b"one", "two", 3], 3, 6),
        ([], 0, 0),
    ],
)
def test_records_and_bytes_are_counted_and_passed_on(zen_harness, args, records, size):
    harness = zen_harness([BlackHole(), probe := Probe("lines")])
    harness.queue.schedule("lines", args)
    harness.run_until_idle()
    assert harness.component("BlackHole").statistics_cur == {
        "events": 1,
        "records": records,
        "bytes": size,
    }
    assert probe.received == [("lines", args)]


def test_a_batch_of_another_sink_is_counted():
    daemon: Any = None
    hole = BlackHole()
    hole.write_batch(daemon, [{"a": "xyz"}])
    assert hole.statistics_cur == {"events": 1, "records": 1, "bytes": 3}


def test_what_fails_before_it_is_not_counted(zen_harness):
    faults = [Crash(component="BlackHole", event="lines", nth=1)]
    harness = zen_harness([BlackHole()], faults=faults)
    for _ in range(2):
        harness.queue.schedule("lines", [b"x"])
    harness.run_until_idle()
    assert len(harness.dead_letters()) == 1
    assert harness.component("BlackHole").statistics_cur["records"] == 1


def test_on_real_threads():
    with Dispatcher([hole := BlackHole()]) as dispatcher:
        for _ in range(1_000):
            dispatcher.queue.schedule("lines", [b"x"] * 10)
        assert dispatcher.drain(30)
    assert hole.statistics_cur == {"events": 1_000, "records": 10_000, "bytes": 10_000}
