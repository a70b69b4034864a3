"""The base of sinks: batches, retries, and what becomes of events that cannot be written."""

from __future__ import annotations

import functools
import operator
import threading
from typing import Any

import pytest
from loguru import logger

from tests.running import LIMIT
from zenactors import (
    Dispatcher,
    RestartComponent,
    Supervision,
    TokenOutcome,
    ZenDaemonComponent,
    handles,
)
from zenactors.components import BatchingSink, Lines
from zenactors.testing import Crash, Harness

OVER_EACH = 0.2  # virtual seconds
DONE, FAILED, LEFT = TokenOutcome.DONE, TokenOutcome.FAILED, TokenOutcome.LEFT


class Source(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Any] = []

    @handles("go")
    def cbk_event_go(self, daemon: Any, *events: Any) -> None:
        for records in events:
            daemon.queue.schedule("lines", records, on_done=functools.partial(self.ended, records))

    @handles("all")
    def cbk_event_all(self, daemon: Any, events: Any) -> None:
        self.cbk_event_go(daemon, *events)

    def ended(self, records: Any, outcome: TokenOutcome) -> None:
        self.outcomes.append((records, outcome))


class Sink(BatchingSink):
    temporary = (OSError,)
    supervision = Supervision(delay=0.0)

    def __init__(self, failures: dict[int, BaseException] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.calls = 0
        self.failures = failures or {}
        self.poison: Any = None
        self.written: list[list[Any]] = []

    def write_batch(self, daemon: Any, records: list[Any]) -> None:
        self.calls += 1
        if self.calls in self.failures:
            raise self.failures[self.calls]
        if self.poison in records:
            raise ValueError("poison")
        self.written.append(records)


def run(sink: Sink, *events: Any, tracked: bool = True, seconds: float = 5.0) -> Any:
    source = Source()
    with Harness([source, sink]) as harness:
        if tracked:
            harness.queue.schedule("all", events)
        else:
            for records in events:
                harness.queue.schedule("lines", records)
        harness.advance(seconds)
        return source.outcomes, harness.dead_letters()


def test_a_batch_is_written_when_it_has_enough_records():
    sink = Sink(batch_count=4)
    outcomes, _ = run(sink, [1, 2], [3], [4, 5], [6])

    assert sink.written == [[1, 2, 3, 4, 5], [6]]
    assert outcomes == [([1, 2], DONE), ([3], DONE), ([4, 5], DONE), ([6], DONE)]


def test_a_batch_is_written_when_it_has_enough_bytes():
    sink = Sink(batch_bytes=1_000)
    run(sink, [{"a": "x" * 500}], [{"a": "x" * 500}], [{"a": ""}])

    assert [len(records) for records in sink.written] == [2, 1]


def test_lines_are_records_and_count_with_their_bytes():
    lines = Lines("a.log", 0, b"one\ntwo\n", count=2)
    sink = Sink()
    run(sink, lines, tracked=False)

    assert sink.written == [
        [
            {"file": "a.log", "offset": 0, "line": "one"},
            {"file": "a.log", "offset": 4, "line": "two"},
        ]
    ]


def test_a_lone_event_is_written_at_once():
    with Harness([source := Source(), sink := Sink()]) as harness:
        harness.queue.schedule("go", [1])
        harness.run_until_idle()
        assert source.outcomes == [([1], DONE)]
        assert sink._waits == []


def test_what_comes_while_a_batch_is_written_is_the_next_one():
    entered, goes_on = threading.Event(), threading.Event()

    class Slow(Sink):
        def write_batch(self, daemon: Any, records: list[Any]) -> None:
            super().write_batch(daemon, records)
            entered.set()
            assert goes_on.wait(LIMIT)

    sink = Slow()
    with Dispatcher([sink]) as dispatcher:
        dispatcher.queue.schedule("lines", [0])
        assert entered.wait(LIMIT)
        for number in range(1, 11):
            dispatcher.queue.schedule("lines", [number])
        goes_on.set()
        dispatcher.drain()
    assert functools.reduce(operator.iadd, sink.written, []) == list(range(11))
    assert sink.written[0] == [0]
    assert len(sink.written) <= 3  # what was dispatched before, and the rest


def test_while_events_come_all_the_time_a_batch_is_written_after_its_time():
    class Busy(Sink):
        """Takes a while over each event, and is not idle before the last one."""

        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            super().cbk_event_lines(daemon, args)
            daemon.wait(OVER_EACH)

    sink = Busy(batch_time=0.5)
    run(sink, *[[number] for number in range(10)])

    assert functools.reduce(operator.iadd, sink.written, []) == list(range(10))
    assert [len(records) for records in sink.written][:3] == [3, 3, 3]


def test_an_empty_event_is_done_at_once():
    outcomes, _ = run(sink := Sink(), [])
    assert outcomes == [([], DONE)]
    assert sink.calls == 0


def test_a_temporary_failure_is_tried_again_with_longer_and_longer_waits():
    sink = Sink(failures={1: OSError("gone"), 2: OSError("gone")})
    with Harness([source := Source(), sink]) as harness:
        harness.queue.schedule("go", [1])
        harness.advance(0.2 + 0.4 - 0.01)
        assert source.outcomes == []
        harness.advance(0.02)
        assert source.outcomes == [([1], DONE)]
        assert sink.statistics_cur == {"retries": 2, "batches": 1, "records": 1}
        assert sum("tried again" in each.message for each in harness.logs) == 1


def test_after_the_last_attempt_its_events_are_dead_letters():
    sink = Sink(failures={n: OSError("gone") for n in range(1, 4)}, attempts=3)
    outcomes, letters = run(sink, [1], [2])

    assert outcomes == [([1], FAILED), ([2], FAILED)]
    assert [(letter.args, letter.callback) for letter in letters] == [
        ([1], "cbk_event_lines"),
        ([2], "cbk_event_lines"),
    ]
    assert sink.calls == 3
    assert sink.statistics_cur["failed"] == 2


def test_the_log_of_a_temporary_failure_has_no_traceback():
    refused = OSError("refused")
    refused.__cause__ = OSError("of the system")
    lines: list[str] = []
    handler = logger.add(lines.append, format="{message}")
    try:
        _, (letter,) = run(Sink({1: refused}, attempts=1), [1])
    finally:
        logger.remove(handler)
    (logged,) = [line for line in lines if "dead letter no. 1" in line]
    assert "OSError('refused')" in logged
    assert "Traceback" not in logged
    assert "of the system" not in logged
    assert "refused" in letter.cause_text


def test_one_bad_event_does_not_take_the_others_with_it():
    sink = Sink()
    sink.poison = "bad"
    outcomes, letters = run(sink, [1], ["bad", 2], [3])

    assert sink.written == [[1], [3]]
    assert {str(records): end for records, end in outcomes} == {
        "[1]": DONE,
        "['bad', 2]": FAILED,
        "[3]": DONE,
    }
    assert [letter.args for letter in letters] == [["bad", 2]]


def test_a_failure_is_a_dead_letter_even_if_no_source_waits_for_it():
    sink = Sink()
    sink.poison = "bad"
    _, letters = run(sink, ["bad"], tracked=False)

    assert [letter.args for letter in letters] == [["bad"]]


def test_the_replay_of_a_dead_letter_begins_at_the_sink():
    class Step(ZenDaemonComponent):
        calls = 0

        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> tuple[int, Any]:
            self.calls += 1
            return 1, [*args, "parsed"]

    step, sink = Step(), Sink()
    sink.poison = "parsed"
    with Harness([Source(), step, sink]) as harness:
        harness.queue.schedule("go", ["a"])
        harness.advance(1)
        sink.poison = None
        (letter,) = harness.dead_letters.replay()
        harness.advance(1)
        assert harness.dead_letters() == []
    assert letter.args == ["a", "parsed"]
    assert sink.written == [["a", "parsed"]]
    assert step.calls == 1


def test_a_replay_that_fails_again_is_still_one_letter():
    sink = Sink()
    sink.poison = "bad"
    with Harness([Source(), sink]) as harness:
        harness.queue.schedule("go", ["bad"])
        harness.advance(1)
        harness.dead_letters.replay()
        harness.advance(1)
        (letter,) = harness.dead_letters()
    assert letter.deliveries == 2


def test_a_restart_leaves_tracked_events_to_their_source_and_buries_the_others():
    source = Source()
    sink = Sink(failures={1: RestartComponent("connection lost")})
    with Harness([source, sink]) as harness:
        harness.queue.schedule("go", [1])
        harness.queue.schedule("lines", [2])
        harness.advance(1)
        assert source.outcomes == [([1], LEFT)]
        assert [letter.args for letter in harness.dead_letters()] == [[2]]


def test_a_restart_between_events_does_not_write_those_that_come_again():
    written: list[Any] = []

    class Keeping(Sink):
        def write_batch(self, daemon: Any, records: list[Any]) -> None:
            written.extend(records)

    source = Source()
    faults = [Crash(point="timer", component="Keeping", nth=1, error=RestartComponent("lost"))]
    with Harness([source, Keeping(batch_time=60.0)], faults=faults) as harness:
        harness.queue.schedule("go", [1])
        harness.queue.schedule("lines", [2])
        harness.advance(1)
        assert source.outcomes == [([1], LEFT)]
        assert written == [2]  # no source sends this one again
        harness.queue.schedule("go", [1])
        harness.advance(1)
    assert written == [2, 1]
    assert source.outcomes == [([1], LEFT), ([1], DONE)]


def test_a_restart_in_the_callback_of_an_event_makes_one_dead_letter_of_it():
    sink = Sink(failures={1: RestartComponent("connection lost")}, batch_count=1)
    with Harness([Source(), sink]) as harness:
        harness.queue.schedule("lines", [1])
        harness.advance(1)
        assert [letter.args for letter in harness.dead_letters()] == [[1]]


def test_a_restart_while_events_are_tried_one_by_one_loses_none():
    sink = Sink(failures={1: ValueError("one is bad"), 3: RestartComponent("connection lost")})
    with Harness([Source(), sink]) as harness:
        for number in (1, 2, 3):
            harness.queue.schedule("lines", [number])
        harness.advance(1)
        letters = [letter.args for letter in harness.dead_letters()]
    assert sorted(letters) == [[2], [3]]
    assert sink.statistics_cur == {"batches": 1, "records": 1, "failed": 2}


@pytest.mark.parametrize("calls", [1, 2])
def test_a_sink_that_ends_the_daemon_leaves_a_letter_of_each_event_that_no_source_sends(calls):
    sink = Sink({1: ValueError("one of them"), calls: SystemExit(74)}, batch_count=3)
    _, letters = run(sink, [1], [2], [3], tracked=False)

    assert {letter.args[0] for letter in letters} == {1, 2, 3}


def test_a_stop_writes_what_waits():
    sink = Sink(batch_time=60.0)
    source = Source()
    with Harness([source, sink]) as harness:
        harness.queue.schedule("go", [1])
        harness.run_until_idle()
        harness.stop()
    assert sink.written == [[1]]
    assert source.outcomes == [([1], DONE)]


def test_a_stop_ends_the_retries_and_the_source_has_the_event_again():
    sink = Sink(failures={n: OSError("gone") for n in range(1, 99)}, attempts=50)
    source = Source()
    with Harness([source, sink]) as harness:
        harness.queue.schedule("go", [1])
        harness.advance(1)
        harness.stop()
        assert harness.dead_letters() == []
    assert source.outcomes == [([1], LEFT)]


@pytest.mark.parametrize(
    ("option", "value"),
    [("batch_count", 0), ("batch_bytes", 1.5), ("batch_time", 0), ("attempts", "8")],
)
def test_a_wrong_option_is_one_line(option: str, value: Any):
    with pytest.raises(ValueError, match=rf"^{option} is {value!r}, but"):
        Sink(**{option: value})


def test_something_else_than_records_is_a_dead_letter():
    _, letters = run(Sink(), "text")
    assert "A list or Lines is expected, but got str" in letters[0].cause_text
