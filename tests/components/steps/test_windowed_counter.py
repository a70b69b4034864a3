"""`WindowedCounter`: counts in windows, reports, alarms, and what survives the process."""

from __future__ import annotations

import errno
import json
from collections import Counter
from random import Random
from typing import Any

import pytest

from tests.sweeps import seeds
from zenactors import RestartComponent, TokenOutcome, ZenDaemonComponent, handles
from zenactors.components import (
    AccessLogParser,
    FileTailer,
    JsonLinesWriter,
    OutputCheckpoint,
    WindowedCounter,
)
from zenactors.core.tokens import Origin
from zenactors.testing import Harness, Probe
from zenactors.testing.files import VirtualFiles

DONE = TokenOutcome.DONE
START = 1_000_020  # a multiple of 60, just behind the begin of virtual time
LINE = '1.2.3.4 - - [01/Jan/2024:{}:{:02}:{:02} +0000] "GET / HTTP/1.0" {} 10\n'


class Source(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[TokenOutcome] = []

    @handles("go")
    def cbk_event_go(self, daemon: Any, args: Any) -> None:
        records, begin, end = args
        origin = Origin("lines", "source", "k", [begin], [end], [0], end)
        daemon.queue.schedule("lines", records, on_done=self.outcomes.append, position=origin)


class Sink(ZenDaemonComponent):
    """Keeps the rows of each window as a table with a key does."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[list[Any]] = []
        self.alarms: list[Any] = []
        self.table: dict[Any, int] = {}
        self.fails: BaseException | None = None

    @handles("counts")
    def cbk_event_counts(self, daemon: Any, rows: Any) -> None:
        if self.fails is not None:
            fails, self.fails = self.fails, None
            raise fails
        self.events.append(rows)
        self.table |= {(row["begin"], row.get("status")): row["count"] for row in rows}

    @handles("alarm")
    def cbk_event_alarm(self, daemon: Any, rows: Any) -> None:
        self.alarms += rows


class FullDisk(VirtualFiles):
    """Refuses to write `failures` times."""

    failures = 0

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(fd, data)


def records(*statuses: Any, at: float = START) -> list[dict[str, Any]]:
    return [{"status": status, "at": at} for status in statuses]


def counter(**options: Any) -> WindowedCounter:
    options = {"by": ["status"], "size": 60.0, "time": "at", "lateness": 0.0, **options}
    return WindowedCounter(**options)


# --- windows --------------------------------------------------------------------------------------


def test_a_closed_window_is_reported_with_its_counts():
    with Harness([counter(), sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200, 404, 200))
        harness.queue.schedule("lines", records(200, at=START + 60))
        harness.run_until_idle()
    assert sink.events[0] == [
        {
            "begin": "1970-01-12T13:47:00+00:00",
            "end": "1970-01-12T13:48:00+00:00",
            "status": "200",
            "count": 2,
        },
        {
            "begin": "1970-01-12T13:47:00+00:00",
            "end": "1970-01-12T13:48:00+00:00",
            "status": "404",
            "count": 1,
        },
    ]


def test_records_pass_unchanged():
    given = records(200)
    with Harness([counter(), Sink(), probe := Probe("lines")]) as harness:
        harness.queue.schedule("lines", given)
        probe.expect("lines", records(200))
    assert given == records(200)


def test_a_window_is_closed_when_its_time_is_over_although_nothing_comes():
    made = counter(lateness=5.0)
    with Harness([made, sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200, at=START + 50))
        harness.advance(14)
        assert sink.events == []
        harness.advance(3)
        assert len(sink.events) == 1
        harness.advance(600)
        assert len(sink.events) == 1
        assert made.statistics_cur == {"records": 1, "windows": 1}


def test_without_a_time_field_the_clock_counts():
    with Harness([counter(time=None), sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200, at=5))
        harness.advance(130)
    assert [row["begin"] for rows in sink.events for row in rows] == ["1970-01-12T13:46:00+00:00"]


def test_records_that_come_late_are_counted_as_such():
    made = counter()
    with Harness([made, sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200, at=START + 70))
        harness.queue.schedule("lines", records(200, 404, at=START))
        harness.run_until_idle()
        assert made.statistics_cur["late"] == 2
    assert sum(row["count"] for rows in sink.events for row in rows) == 1


@pytest.mark.parametrize(
    "time", [None, "", "yesterday", "2024-13-01", True, float("nan"), float("inf"), -1, 1e300, []]
)
def test_records_without_a_valid_time_are_counted_as_such(time):
    made = counter()
    with Harness([made, Sink()]) as harness:
        harness.queue.schedule("lines", records(200, at=time))
        harness.run_until_idle()
        assert made.statistics_cur == {"records": 1, "bad_times": 1}


@pytest.mark.parametrize(
    ("time", "begin"),
    [
        ("2024-06-18T04:25:36+02:00", "2024-06-18T02:25:00+00:00"),
        ("2024-06-18 04:25:36", "2024-06-18T04:25:00+00:00"),
        (1718684736, "2024-06-18T04:25:00+00:00"),
        (1718684736.9, "2024-06-18T04:25:00+00:00"),
    ],
)
def test_times_are_texts_or_numbers(time, begin):
    with Harness([counter(), sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200, at=time))
        harness.queue.schedule("close_windows")
        harness.run_until_idle()
    assert [row["begin"] for rows in sink.events for row in rows] == [begin]


def test_a_time_far_ahead_of_the_clock_may_be_refused():
    made = counter(max_ahead=3600.0)
    with Harness([made, Sink()]) as harness:
        harness.queue.schedule("lines", records(200, at=START + 7200))
        harness.queue.schedule("lines", records(200, at=START))
        harness.run_until_idle()
        assert made.statistics_cur == {"records": 2, "bad_times": 1}


def test_several_fields_and_values_that_are_missing_or_long():
    made = WindowedCounter(by=["a", "b"], size=60.0)
    with Harness([made, sink := Sink()]) as harness:
        harness.queue.schedule("lines", [{"a": 1}, {"a": "x" * 500, "b": [2]}, {}])
        harness.queue.schedule("close_windows")
        harness.run_until_idle()
    (rows,) = sink.events
    assert [(row["a"], row["b"]) for row in rows] == [
        ("(none)", "(none)"),
        ("1", "(none)"),
        ("x" * 200, "[2]"),
    ]


def test_without_fields_all_records_count_together():
    with Harness([WindowedCounter(by=[], size=60.0), sink := Sink()]) as harness:
        harness.queue.schedule("lines", [{}, {}, {"a": 1}])
        harness.queue.schedule("close_windows")
        harness.run_until_idle()
    (((row,)),) = sink.events
    assert row["count"] == 3


def test_only_the_most_frequent_are_reported_if_so_wished():
    with Harness([counter(top=1), sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200, 404, 404))
        harness.queue.schedule("close_windows")
        harness.run_until_idle()
    assert [row["status"] for row in sink.events[0]] == ["404"]


def test_open_windows_are_reported_again_and_again_as_they_change():
    with Harness([counter(updates=10.0), sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200))
        harness.advance(9)
        assert sink.events == []
        harness.advance(2)
        harness.queue.schedule("lines", records(200, 404))
        harness.advance(11)
        harness.advance(11)  # nothing has changed
        assert [[row["count"] for row in rows] for rows in sink.events] == [[1], [2, 1]]


# --- alarms ---------------------------------------------------------------------------------------


def alarms(*times: float, **options: Any) -> list[Any]:
    made = counter(size=60.0, slide=10.0, threshold=3, lateness=600.0, **options)
    with Harness([made, sink := Sink()]) as harness:
        for time in times:
            harness.queue.schedule("lines", records("a", at=START + time))
        harness.run_until_idle()
        assert made.statistics_cur.get("alarms", 0) == len(sink.alarms)
    return sink.alarms


def test_an_alarm_is_raised_at_the_threshold_and_not_above_it():
    assert alarms(0, 1) == []
    (alarm,) = alarms(0, 15, 31, 32, 33)
    assert alarm["count"] == 3
    assert alarm["end"] == "1970-01-12T13:47:40+00:00"


def test_an_alarm_is_raised_again_after_the_count_was_below():
    assert len(alarms(0, 1, 2, 100, 101, 102)) == 2
    assert len(alarms(0, 1, 2, 55, 56)) == 1


def test_with_alarms_alone_nothing_else_is_reported():
    made = counter(threshold=2, report=False)
    assert made.emits == ("alarm",)
    with Harness([made, sink := Sink()]) as harness:
        harness.queue.schedule("lines", records("a", "a", at=START))
        harness.queue.schedule("close_windows")
        harness.run_until_idle()
    assert len(sink.alarms) == 1
    assert sink.events == []


def test_an_alarm_comes_at_once_and_before_the_source_hears_of_the_end():
    source, sink = Source(), Sink()
    with Harness([source, counter(threshold=1), sink]) as harness:
        harness.queue.schedule("go", (records("a"), 0, 1))
        harness.run_until_idle()
        assert len(sink.alarms) == 1
        assert source.outcomes == [DONE]


# --- the end --------------------------------------------------------------------------------------


def test_without_a_state_dir_a_stop_reports_what_is_open():
    with Harness([counter(), sink := Sink()]) as harness:
        harness.queue.schedule("lines", records(200))
        harness.run_until_idle()
        harness.stop()
    assert [row["count"] for rows in sink.events for row in rows] == [1]


def test_with_a_state_dir_open_windows_go_on_in_the_next_run():
    files = VirtualFiles()
    with Harness([counter(), sink := Sink()], state_dir="/state", files=files) as harness:
        harness.queue.schedule("lines", records(200, 404))
        harness.run_until_idle()
        harness.stop()
    assert sink.events == []
    with Harness([counter(), sink := Sink()], state_dir="/state", files=files) as harness:
        harness.queue.schedule("lines", records(200))
        harness.queue.schedule("close_windows")
        harness.run_until_idle()
    assert [row["count"] for rows in sink.events for row in rows] == [2, 1]


def test_with_a_state_dir_a_stop_reports_the_updates_that_are_due():
    made = counter(updates=100.0)
    with Harness([made, sink := Sink()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("lines", records(200))
        harness.run_until_idle()
        harness.stop()
    assert [row["count"] for rows in sink.events for row in rows] == [1]


@pytest.mark.parametrize("options", [{"by": ["host"]}, {"size": 120.0}, {"slide": 30.0}])
def test_other_windows_begin_anew_with_a_warning(options):
    files = VirtualFiles()
    with Harness([counter(), Sink()], state_dir="/state", files=files) as harness:
        harness.queue.schedule("lines", records(200))
        harness.advance(1)
    with Harness([counter(**options), Sink()], state_dir="/state", files=files) as harness:
        harness.queue.schedule("lines", records(200))
        harness.advance(1)
        text = "The state store holds other counts (other fields or windows): counting begins anew"
        assert text in [each.message for each in harness.logs]


# --- nothing lost, nothing twice ------------------------------------------------------------------


def test_an_event_is_done_when_its_counts_are_saved():
    source = Source()
    with Harness([source, counter(), Sink()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("go", (records(200), 0, 1))
        harness.wait_until(lambda: source.outcomes == [DONE])
        assert b'"200",1' in harness.files.content("/state/WindowedCounter.store")


def test_without_a_state_dir_it_is_done_at_once():
    source = Source()
    with Harness([source, counter(), Sink()]) as harness:
        harness.queue.schedule("go", (records(200), 0, 1))
        harness.run_until_idle()
        assert source.outcomes == [DONE]


def test_while_nothing_can_be_saved_nothing_is_done():
    source, made = Source(), counter()
    files = FullDisk()
    with Harness([source, made, Sink()], state_dir="/state", files=files) as harness:
        files.failures = 3
        harness.queue.schedule("go", (records(200), 0, 1))
        harness.advance(1.5)
        assert source.outcomes == []
        assert made.get_state()["unsaved"] == 1
        harness.advance(5)
        assert source.outcomes == [DONE]
        assert sum("Trying again" in each.message for each in harness.logs) == 1


def test_what_is_counted_is_left_out_when_it_comes_again():
    made = counter()
    with Harness([Source(), made, sink := Sink()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("go", (records(200, 200), 0, 2))
        harness.queue.schedule("go", (records(200), 1, 2))
        harness.queue.schedule("go", (records(200), 2, 3))
        harness.run_until_idle()
        harness.queue.schedule("close_windows")
        harness.advance(1)
        assert made.statistics_cur["left_out"] == 1
    assert [row["count"] for rows in sink.events for row in rows] == [3]


class NoText:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = object.__repr__


@pytest.mark.parametrize("bad", [{"status": NoText()}, b"no record"])
def test_an_event_with_a_record_that_cannot_be_counted_fails_and_counts_nothing(bad):
    source, step = Source(), counter()
    with Harness([source, step], state_dir="/state", files=VirtualFiles()) as harness:
        harness.queue.schedule("go", ([*records(200), bad], 0, 2))
        harness.advance(1)
        assert len(harness.dead_letters()) == 1
        harness.queue.schedule("go", (records(404), 2, 3))
        harness.advance(1)
        assert source.outcomes == [TokenOutcome.FAILED, DONE]
    assert step.statistics_cur["records"] == 1


def test_a_window_that_has_not_arrived_is_reported_again_in_the_next_run():
    class Slow(Sink):
        @handles("counts")
        def cbk_event_counts(self, daemon: Any, rows: Any) -> None:
            daemon.hold()

    with Harness([counter(), Slow()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("lines", records(200))
        harness.queue.schedule("close_windows")
        harness.advance(1)
        harness.kill()
        with harness.next_life([counter(), sink := Sink()]) as again:
            again.advance(1)
            again.kill()
            with again.next_life([counter(), third := Sink()]) as last:
                last.advance(1)
    assert [row["count"] for rows in sink.events for row in rows] == [1]
    assert third.events == []


def test_a_window_whose_report_fails_is_in_its_dead_letter():
    sink = Sink()
    with Harness([counter(), sink], state_dir="/state", files={}) as harness:
        sink.fails = ValueError("as asked")
        harness.queue.schedule("lines", records(200))
        harness.queue.schedule("close_windows")
        harness.advance(1)
        (letter,) = harness.dead_letters()
        assert letter.event == "counts"
        harness.dead_letters.replay()
        harness.advance(1)
    assert [row["count"] for rows in sink.events for row in rows] == [1]


def test_an_alarm_that_has_not_arrived_comes_in_the_next_run():
    class Slow(Sink):
        @handles("alarm")
        def cbk_event_alarm(self, daemon: Any, rows: Any) -> None:
            daemon.hold()

    with Harness([counter(threshold=1), Slow()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("lines", records("a"))
        harness.advance(1)
        harness.kill()
        with harness.next_life([counter(threshold=1), sink := Sink()]) as again:
            again.queue.schedule("lines", records("a"))
            again.advance(1)
    assert [alarm["count"] for alarm in sink.alarms] == [1]  # the second one was above it


def test_what_has_not_arrived_comes_when_a_source_says_that_nothing_is_cut_back():
    class Slow(Sink):
        @handles("alarm")
        def cbk_event_alarm(self, daemon: Any, rows: Any) -> None:
            daemon.hold()

    with Harness([counter(threshold=1), Slow()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("checkpoint", OutputCheckpoint(source="source"))
        harness.queue.schedule("lines", records("a"))
        harness.advance(1)
        harness.kill()
        with harness.next_life([counter(threshold=1), sink := Sink()]) as again:
            again.advance(1)
            assert sink.alarms == []  # a file of them may be cut back first
            again.queue.schedule("checkpoint", OutputCheckpoint(source="source"))
            again.advance(1)
            assert [alarm["count"] for alarm in sink.alarms] == [1]


def test_it_answers_which_ranges_it_has_counted():
    answers: list[OutputCheckpoint] = []

    class Asker(ZenDaemonComponent):
        @handles("ask")
        def cbk_event_ask(self, daemon: Any, keys: Any) -> None:
            question = OutputCheckpoint(source="source", keys=keys)
            daemon.queue.schedule(
                "checkpoint", question, on_done=lambda _: answers.append(question)
            )

    parts: list[Any] = [Source(), Asker(), counter(), Sink()]
    with Harness(parts, state_dir="/state", files={}) as harness:
        harness.queue.schedule("go", (records(200), 0, 2))
        harness.queue.schedule("ask", frozenset("k"))
        harness.queue.schedule("ask", frozenset())
        harness.advance(1)
    assert [each.applied for each in answers] == [
        {"WindowedCounter": {"k": [([0], [2], 2)]}},
        {"WindowedCounter": {}},
    ]


class Keeper(ZenDaemonComponent):
    """Holds alarms until it is made anew. Has an output that is cut back."""

    alarms = 0

    @handles("alarm")
    def cbk_event_alarm(self, daemon: Any, rows: Any) -> None:
        type(self).alarms += 1
        daemon.hold()

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon: Any, args: Any) -> None:
        args.taken[self.name] = 1

    @handles("fail")
    def cbk_event_fail(self, daemon: Any, args: Any) -> None:
        raise RestartComponent("on purpose")


@pytest.mark.parametrize("fails", ["Keeper", "both"])
def test_an_alarm_that_is_left_undone_comes_again_only_with_its_line(monkeypatch, fails):
    class Fragile(WindowedCounter):
        @handles("fail")
        def cbk_event_fail(self, daemon: Any, args: Any) -> None:
            if fails == "both":
                raise RestartComponent("on purpose")

    monkeypatch.setattr(Keeper, "alarms", 0)
    made = [
        source := Source(),
        Keeper(),
        Fragile(by=["status"], size=60.0, threshold=1, name="counter"),
    ]
    with Harness([*made, Sink()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("checkpoint", OutputCheckpoint(source="source"))
        harness.advance(1)
        harness.queue.schedule("go", (records(200), 0, 1))
        harness.advance(1)
        harness.queue.schedule("fail")
        harness.advance(60)
        harness.dead_letters()
        assert source.outcomes == [TokenOutcome.LEFT]
        assert Keeper.alarms == 1
        harness.queue.schedule("checkpoint", OutputCheckpoint({"counter": 1}, source="source"))
        harness.queue.schedule("go", (records(200), 0, 1))
        harness.advance(60)
        assert Keeper.alarms == 2


def test_without_a_state_dir_it_cannot_take_part():
    question = OutputCheckpoint(source="source")
    with Harness([counter(), Sink()]) as harness:
        harness.queue.schedule("checkpoint", question)
        harness.run_until_idle()
    assert "no state_dir" in question.refused["WindowedCounter"]


@seeds(4, soak=40)
def test_each_line_of_a_tailer_counts_once_after_crashes_at_random_moments(seed):
    def components() -> list[Any]:
        return [
            FileTailer(patterns=["/log/a.log"], start="beginning", exactly_once=True),
            AccessLogParser(),
            counter(time="time", lateness=3600.0, updates=0.5),
            Sink(),
        ]

    random = Random(seed)
    files = VirtualFiles()
    files.put("/log/a.log", b"")
    harness = Harness(components(), files=files, state_dir="/state", seed=seed)
    harness.__enter__()
    wanted: Counter[Any] = Counter()
    table: dict[Any, int] = {}

    def append(count: int) -> None:
        for _ in range(count):
            minute, status = random.randrange(3), random.choice([200, 404])
            wanted[f"2024-01-01T10:{minute:02}:00+00:00", str(status)] += 1
            line = LINE.format(10, minute, random.randrange(60), status)
            harness.files.append("/log/a.log", line.encode())

    for _ in range(2):
        for _ in range(random.randrange(4)):
            append(random.randrange(1, 20))
            harness.advance(random.choice([0.001, 0.01, 0.3]))
        for _ in range(random.randrange(60)):
            harness.step()
        table |= harness.component("Sink").table
        harness.kill()
        harness = harness.next_life(components())
        harness.__enter__()
    append(1)
    harness.advance(5)
    harness.stop()
    table |= harness.component("Sink").table
    harness.close()
    assert table == wanted


@seeds(4, soak=40)
def test_alarms_in_a_file_are_there_once_after_crashes_at_random_moments(seed):
    def components() -> list[Any]:
        return [
            FileTailer(patterns=["/log/a.log"], start="beginning", exactly_once=True),
            AccessLogParser(),
            counter(time="time", lateness=3600.0, threshold=3),
            JsonLinesWriter(path="/out/alarms", event_map={"lines": "alarm"}),
            Sink(),
        ]

    random = Random(seed)
    files = VirtualFiles()
    files.put("/log/a.log", b"")
    files.mkdir("/out")
    harness = Harness(components(), files=files, state_dir="/state", seed=seed)
    harness.__enter__()
    counts: Counter[Any] = Counter()

    def append(count: int) -> None:
        for _ in range(count):
            minute, status = random.randrange(3), random.choice([200, 404])
            counts[minute, status] += 1
            line = LINE.format(10, minute, random.randrange(60), status)
            harness.files.append("/log/a.log", line.encode())

    for _ in range(2):
        for _ in range(random.randrange(5)):
            append(random.randrange(1, 4))
            harness.advance(random.choice([0.001, 0.01, 0.3, 1.5]))
        for _ in range(random.randrange(60)):
            harness.step()
        harness.kill()
        harness = harness.next_life(components())
        harness.__enter__()
    append(1)
    harness.advance(30)
    harness.stop()
    written = [json.loads(line) for line in harness.files.content("/out/alarms").splitlines()]
    harness.close()
    found = Counter((int(alarm["begin"][14:16]), int(alarm["status"])) for alarm in written)
    assert found == Counter({key for key, count in counts.items() if count >= 3})


def test_a_checkpoint_that_is_not_known_leaves_the_counts_with_a_warning():
    with Harness([made := counter(), Sink()], state_dir="/state", files={}) as harness:
        harness.queue.schedule("lines", records(200))
        harness.run_until_idle()
        harness.queue.schedule("checkpoint", OutputCheckpoint({"WindowedCounter": 7}))
        harness.advance(1)
        text = "Checkpoint 7 of the source is not known: the counts stay as they are"
        assert text in [each.message for each in harness.logs]
        assert not made._windows.is_empty


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"by": "status"}, r"by is 'status', but a list"),
        ({"by": ["count"]}, r"by has 'count', which is a field of each row"),
        ({"size": 0}, r"size is 0"),
        ({"slide": -1.0}, r"slide is -1"),
        ({"slide": 45.0}, r"slide is 45.0, but size \(60.0\) must be a whole number of slides"),
        ({"lateness": -1}, r"lateness is -1"),
        ({"max_ahead": 0}, r"max_ahead is 0"),
        ({"updates": 0}, r"updates is 0"),
        ({"top": 0}, r"top is 0"),
        ({"threshold": 1.5}, r"threshold is 1.5"),
        ({"max_keys": 0}, r"max_keys is 0"),
        ({"report": 1, "threshold": 1}, r"report is 1"),
        ({"report": False}, r"report is false: set threshold"),
        ({"report": False, "threshold": 1, "updates": 1.0}, r"report is false"),
    ],
)
def test_a_wrong_option_is_one_line(options, problem):
    with pytest.raises(ValueError, match=problem):
        counter(**options)
