"""`Parse`: each format as its own class, options of other formats, and a field of records."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.components.fakes import FakeDaemon
from zenactors.components import (
    AccessLogParser,
    CsvParser,
    JsonParser,
    Lines,
    LogfmtParser,
    Parse,
    RegexParser,
    SyslogParser,
)
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP
from zenactors.core.clock import VirtualClock
from zenactors.errors import EXIT_DATA_ERROR
from zenactors.testing import Harness, Probe

DAEMON: Any = FakeDaemon()
ACCESS = '::1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 1 "-" "x" 0.5 -'
SYSLOG = "<13>Oct  1 22:14:15 host app[1]: text"
PATTERN = "(?P<key>[a-z]+)=(?P<value>.*)"
SAME: list[tuple[type[Any], str, dict[str, Any], str]] = [
    (AccessLogParser, "access", {}, ACCESS),
    (AccessLogParser, "access", {"extra": ["t"]}, ACCESS),
    (CsvParser, "csv", {}, "a,b\n1,2"),
    (CsvParser, "csv", {"columns": ["a", "b"], "separator": ";", "header": True}, "x;y\n1;2"),
    (JsonParser, "json", {}, '{"a": 1}'),
    (LogfmtParser, "logfmt", {}, "a=1"),
    (RegexParser, "regex", {"pattern": PATTERN}, "a=1"),
    (SyslogParser, "syslog", {}, SYSLOG),
    (SyslogParser, "syslog", {"zone": "UTC"}, SYSLOG),
]


@pytest.mark.parametrize(("cls", "name", "options", "text"), SAME)
def test_each_format_is_that_of_its_class(cls, name, options, text):
    own, parse = cls(**options), Parse(format=name, **options)
    lines = Lines("f", 0, f"{text}\n\x01\n".encode())

    result = own.cbk_event_lines(DAEMON, lines)
    assert result[0] == FLAG_CONTINUE
    assert parse.cbk_event_lines(DAEMON, lines) == result
    assert parse.statistics_cur == own.statistics_cur
    assert parse.get_state()["unmatched"] == own.get_state()["unmatched"] == ["\x01"]


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"format": "jsn"},
            "format is 'jsn', but one of 'access', 'csv', 'json', 'logfmt', 'regex', 'syslog' is"
            " expected; did you mean 'json'?",
        ),
        ({"format": ["json"]}, "format is ['json'], but one of 'access'"),
        (
            {"format": "json", "pattern": "x"},
            "pattern is 'x', but format 'json' does not take it, only 'regex' does: leave it out.",
        ),
        ({"format": "regex", "columns": ["a"]}, "columns is ['a'], but format 'regex' does not"),
        ({"format": "logfmt", "separator": ";"}, "separator is ';', but format 'logfmt' does not"),
        ({"format": "access", "header": False}, "header is False, but format 'access' does not"),
        ({"format": "csv", "extra": ["a"]}, "extra is ['a'], but format 'csv' does not"),
        ({"format": "access", "zone": "UTC"}, "zone is 'UTC', but format 'access' does not"),
        ({"format": "regex"}, "pattern is None, but a regular expression with named groups is"),
        ({"format": "csv", "separator": "ab"}, "separator is 'ab', but one character"),
        ({"format": "syslog", "zone": "Mars"}, "zone is 'Mars', but a time zone is expected"),
        ({"format": "json", "field": ""}, "field is '', but a key of records is expected"),
        ({"format": "json", "field": 7}, "field is 7, but a key of records is expected"),
        ({"format": "json", "keep_unmatched": True}, "there is no field: give one"),
        (
            {"format": "json", "field": "a", "keep_unmatched": 1},
            "keep_unmatched is 1, but true or false",
        ),
        (
            {"format": "json", "field": "a", "add_source": True},
            "add_source is for lines, but field is given",
        ),
        ({"format": "csv", "field": "a"}, "field is 'a', and a field has no first line"),
        (
            {"format": "csv", "field": "a", "columns": ["a"], "header": True},
            "give columns, and no header",
        ),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message follows
        Parse(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# -- a field of records ------------------------------------------------------------------------


def passed_on(parser: Parse, *records: Any) -> tuple[int, list[dict[str, Any]]]:
    """Return what follows gets; check that what came stays as it was."""
    before = copy.deepcopy(list(records))
    result = parser.cbk_event_lines(DAEMON, list(records))
    assert list(records) == before
    return result


def test_what_a_field_has_is_added_to_a_copy_of_the_record():
    parser = Parse(format="logfmt", field="message")

    assert passed_on(parser, {"host": "h", "message": "a=1 b=2"}, {"message": "c=3"}) == (
        FLAG_CONTINUE,
        [{"host": "h", "message": "a=1 b=2", "a": "1", "b": "2"}, {"message": "c=3", "c": "3"}],
    )
    assert parser.statistics_cur == {"lines": 2, "records": 2}


def test_a_text_cannot_forge_what_the_record_has():
    parser = Parse(format="json", field="message")
    message = '{"host": "forged", "file": "forged", "message": "inner", "pid": 7}'
    record = {"host": "h", "file": "f", "message": message, "pid": None}

    assert passed_on(parser, record)[1] == [
        {"host": "h", "file": "f", "message": "inner", "pid": None}
    ]


@pytest.mark.parametrize(
    "record", [{}, {"m": None}, {"m": 7}, {"m": ["a=1"]}, {"m": ""}, {"m": "plain"}, {"n": "a=1"}]
)
def test_a_record_without_a_text_that_matches_is_left_out(record):
    parser = Parse(format="logfmt", field="m")

    assert passed_on(parser, record) == (FLAG_STOP, [])
    assert passed_on(parser, {"m": "a=1"}, record)[1] == [{"m": "a=1", "a": "1"}]
    assert parser.statistics_cur == {"lines": 3, "records": 1, "unmatched": 2}
    shown = record.get("m") if isinstance(record.get("m"), str) else "(none)"
    assert parser.get_state()["unmatched"] == [shown] * 2


def test_a_missing_text_is_not_an_empty_one():
    parser = Parse(format="regex", pattern="^(?P<all>.*)$", field="m")

    assert passed_on(parser, {"m": ""}, {}, {"m": None})[1] == [{"m": "", "all": ""}]


def test_records_that_do_not_match_can_be_passed_on_in_their_place(logged):
    parser = Parse(format="logfmt", field="m", keep_unmatched=True)
    records = [{"m": "plain"}, {"m": "a=1"}, {"n": 1}]

    assert passed_on(parser, *records) == (
        FLAG_CONTINUE,
        [{"m": "plain"}, {"m": "a=1", "a": "1"}, {"n": 1}],
    )
    assert passed_on(parser, {"m": "plain"}) == (FLAG_CONTINUE, [{"m": "plain"}])
    assert parser.statistics_cur == {"lines": 4, "records": 1, "unmatched": 3}
    (warning,) = logged.of("WARNING")
    assert "is not in logfmt and is passed on as it is: 'plain'" in warning


@pytest.mark.parametrize(("keep", "statuses"), [(False, [EXIT_DATA_ERROR]), (True, [])])
def test_only_records_that_are_left_out_are_a_failure(keep, statuses, logged):
    daemon: Any = FakeDaemon(exit_when_idle=True)
    parser = Parse(format="logfmt", field="m", keep_unmatched=keep)
    parser.cbk_event_lines(daemon, [{"m": "plain"}])
    parser.teardown(daemon)

    assert daemon.status == statuses
    assert len(logged.of("ERROR")) == len(statuses)


def test_a_field_may_be_bytes():
    parser = Parse(format="logfmt", field="m")

    assert passed_on(parser, {"m": b"a=\xff"}, {"m": "b=\ud800"})[1] == [
        {"m": b"a=\xff", "a": "\ufffd"},
        {"m": "b=\ud800", "b": "\ufffd"},
    ]
    assert parser.statistics_cur["bad_utf8"] == 2


def test_lines_are_records_with_a_field_too():
    parser = Parse(format="logfmt", field="line")
    lines = Lines("f", 5, b"a=1\nbad\nb=\xff\n", file_id="i")

    assert parser.cbk_event_lines(DAEMON, lines)[1] == [
        {"file": "f", "id": "i", "generation": 0, "offset": 5, "line": "a=1", "a": "1"},
        {"file": "f", "id": "i", "generation": 0, "offset": 13, "line": "b=\ufffd", "b": "\ufffd"},
    ]
    assert parser.statistics_cur == {"lines": 3, "records": 2, "unmatched": 1, "bad_utf8": 1}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([b"a=1"], "a list of records .dicts. is expected, but got one of bytes: put a parser"),
        (["a=1"], "but got one of str"),
        ({"m": "a=1"}, "A list or Lines is expected, but got dict"),
    ],
)
def test_what_are_no_records_is_a_clear_error(args, message):
    with pytest.raises(TypeError, match=message):
        Parse(format="logfmt", field="m").cbk_event_lines(DAEMON, args)


def test_rejects_of_a_field_are_the_whole_records(tmp_path):
    cycle: dict[str, Any] = {"m": "plain"}
    cycle["self"] = cycle
    deep: dict[str, Any] = {"m": "deep"}
    for _ in range(100_000):
        deep = {"m": "deep", "inner": deep}
    parser = Parse(format="logfmt", field="m", rejects=str(tmp_path / "rejects"))
    parser.setup(DAEMON)
    parser.cbk_event_lines(
        DAEMON,
        [
            {"host": "h", "m": "two\nlines"},
            {"m": "a=1"},
            {"at": Path("/x"), "m": "\ud800"},
            {("a", 1): 2, "m": b"\xff"},
            cycle,
            deep,
        ],
    )
    parser.teardown(DAEMON)

    assert [json.loads(line) for line in (tmp_path / "rejects").read_text().splitlines()] == [
        {"host": "h", "m": "two\nlines"},
        {"at": "/x", "m": "\ud800"},
        {"text": "\ufffd"},
        {"text": "plain"},
        {"text": "deep"},
    ]


VALUES = st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["a=1", "m=2 b=3", "a"])


@given(
    records=st.lists(st.dictionaries(st.sampled_from("abm"), VALUES), max_size=5),
    keep=st.booleans(),
)
def test_each_record_is_counted_once_and_keeps_what_it_has(records, keep):
    parser = Parse(format="logfmt", field="m", keep_unmatched=keep)
    _, found = passed_on(parser, *records)

    counts = parser.statistics_cur
    assert counts["lines"] == len(records) == counts["records"] + counts.get("unmatched", 0)
    assert len(found) == (len(records) if keep else counts["records"])
    if keep:
        for before, after in zip(records, found, strict=True):
            assert before.items() - {("m", before.get("m"))} <= after.items()


# -- chains ------------------------------------------------------------------------------------


def test_the_message_of_syslog_is_parsed_again():
    clock = VirtualClock(1_760_000_000.0)  # the 9th of October 2025
    probe = Probe("lines")
    components = [
        Parse(format="syslog", zone="UTC", name="syslog"),
        Parse(format="logfmt", field="message", name="message"),
        probe,
    ]
    with Harness(components, clock=clock) as harness:
        harness.queue.schedule("lines", ["Oct  1 22:14:15 web app[7]: level=info user=ann", "x"])
        (record,) = probe.expect("lines")

    expected = {"time": "2025-10-01T22:14:15+00:00", "host": "web", "level": "info", "user": "ann"}
    assert record.items() >= expected.items()


def test_records_without_a_field_are_dead_letters_that_say_what_to_do():
    with Harness([Parse(format="json"), Probe("lines")]) as harness:
        harness.queue.schedule("lines", [{"message": "{}"}])
        harness.run_until_idle()
        (letter,) = harness.dead_letters()

    assert "use Parse with the option field" in str(letter.cause)


SPEC = """\
name = "app"

[[component]]
use = "zenactors.components:FileTailer"
options.patterns = ["app.log"]
options.start = "beginning"

[[component]]
use = "zenactors.components:Parse"
name = "syslog"
options.format = "syslog"

[[component]]
use = "zenactors.components:Parse"
name = "message"
options.format = "regex"
options.pattern = "user (?P<user>[a-z]+)"
options.field = "message"
options.rejects = "rejects"

[[component]]
use = "zenactors.components:JsonLinesWriter"
options.path = "out"
"""


def test_a_spec_parses_a_real_file_in_two_steps(stock_forks, tmp_path: Path):
    (tmp_path / "app.log").write_text(
        "Oct  1 22:14:15 web app: user ann\nOct  1 22:14:16 web app: nobody\nnonsense\n"
    )
    (tmp_path / "spec.toml").write_text(SPEC)
    done = stock_forks.run("-m", "zenactors", "run", "spec.toml", "--exit-when-idle", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert (record["host"], record["user"]) == ("web", "ann")
    (reject,) = map(json.loads, (tmp_path / "rejects").read_text().splitlines())
    assert (reject["app"], reject["message"]) == ("app", "nobody")


def test_a_spec_with_an_option_of_another_format_is_refused(stock_forks, tmp_path: Path):
    (tmp_path / "spec.toml").write_text(
        SPEC.replace('"syslog"\n\n', '"syslog"\noptions.pattern = "x"\n\n')
    )
    done = stock_forks.run("-m", "zenactors", "check", "spec.toml", cwd=tmp_path)

    assert done.returncode != 0
    assert "pattern is 'x', but format 'syslog' does not take it" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
