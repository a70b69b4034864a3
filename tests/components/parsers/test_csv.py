"""Comma-separated values: quotes, separators, and where the names of the columns come from."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.components.fakes import FakeDaemon
from zenactors.components import CsvParser, FileTailer, Lines
from zenactors.components.parsers import csv_headers
from zenactors.core.callbacks import FLAG_STOP
from zenactors.testing import Crash, Harness, Probe, VirtualFiles

DAEMON: Any = FakeDaemon()


def parsed(parser: CsvParser, *texts: str) -> list[dict[str, Any]]:
    return parser.cbk_event_lines(DAEMON, list(texts))[1]


def of_file(parser: CsvParser, data: bytes, offset: int = 0, **more: Any) -> list[dict[str, Any]]:
    return parser.cbk_event_lines(DAEMON, Lines("f.csv", offset, data, **more))[1]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2", ["1", "2"]),
        (",", ["", ""]),
        ('"",', ["", ""]),
        (" a , b ", [" a ", " b "]),
        ('"a,b","c ""d"""', ["a,b", 'c "d"']),
        ('"a\nb",c', ["a\nb", "c"]),
        ('"""",""""""', ['"', '""']),
        ("a,b\r", ["a", "b"]),
        ('a,"b"\r', ["a", "b"]),
        ("\ufeffa,b", ["a", "b"]),
        ('\ufeff"a",b', ["a", "b"]),
        ("\xe9;,\\", ["\xe9;", "\\"]),
    ],
)
def test_a_value_for_each_column_is_a_record(text, values):
    parser = CsvParser(columns=["x", "y"])

    assert parsed(parser, text) == [dict(zip(("x", "y"), values, strict=True))]


@pytest.mark.parametrize(
    "text",
    ["", "a", "a,b,c", '"a,b', 'a"b,c', '"a"b,c', 'a,"b" ', '"a","b","c"', "a\nb,c", "a\rb,c", '"'],
)
def test_any_other_line_is_no_record(text):
    parser = CsvParser(columns=["x", "y"])

    assert parsed(parser, text) == []
    assert parser.statistics_cur["unmatched"] == 1


@pytest.mark.parametrize("separator", [";", "\t", "|", " ", "^", "]", "-", "\\", "."])
def test_the_separator_is_any_character(separator):
    parser = CsvParser(columns=["x", "y"], separator=separator)
    quoted = f'"a{separator}b"{separator}c'

    assert parsed(parser, f"1{separator}2", quoted, "1,2") == [
        {"x": "1", "y": "2"},
        {"x": f"a{separator}b", "y": "c"},
    ]


@given(
    rows=st.lists(
        st.lists(st.text(st.sampled_from('a",; \xe9')), min_size=3, max_size=3), max_size=5
    ),
    separator=st.sampled_from(",;"),
)
def test_it_reads_what_the_csv_module_writes(rows, separator):
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    parser = CsvParser(columns=["x", "y", "z"], separator=separator)

    records = of_file(parser, text.getvalue().encode())

    assert [list(record.values()) for record in records] == rows


# -- the first line of a file ------------------------------------------------------------------


def test_the_first_line_of_each_file_names_its_columns():
    parser = CsvParser()

    assert of_file(parser, b'\xef\xbb\xbfa,"b ""c"""\r\n1,2\r\n') == [{"a": "1", 'b "c"': "2"}]
    assert of_file(parser, b"x\n7\n", file_id="other") == [{"x": "7"}]
    assert of_file(parser, b"3,4\n", offset=20) == [{"a": "3", 'b "c"': "4"}]
    assert parser.statistics_cur == {"lines": 5, "headers": 2, "records": 3}


def test_a_header_is_no_failure(logged):
    daemon: Any = FakeDaemon(exit_when_idle=True)
    parser = CsvParser()

    assert parser.cbk_event_lines(daemon, Lines("f", 0, b"a,b\n")) == (FLAG_STOP, [])
    parser.teardown(daemon)
    assert daemon.status == []
    assert logged.of("ERROR") == []


def test_columns_take_the_place_of_the_first_line():
    parser = CsvParser(columns=["x", "y"], header=True)

    assert of_file(parser, b"Client IP,User\n1,2\n") == [{"x": "1", "y": "2"}]
    assert of_file(parser, b"3,4\n", offset=20) == [{"x": "3", "y": "4"}]
    assert parser.statistics_cur == {"lines": 3, "headers": 1, "records": 2}


def test_a_truncated_file_names_its_columns_anew():
    parser = CsvParser()
    of_file(parser, b"a,b\n1,2\n", file_id="i")

    assert of_file(parser, b"c\n3\n", file_id="i", generation=1) == [{"c": "3"}]
    assert of_file(parser, b"4\n", offset=4, file_id="i", generation=1) == [{"c": "4"}]
    assert of_file(parser, b"5,6\n", offset=8, file_id="i") == [{"a": "5", "b": "6"}]


@pytest.mark.parametrize("header", ["a,a", "a,", "", 'a"b', '"a', "x," * 1000])
def test_a_first_line_that_names_no_columns_is_kept_aside(header, tmp_path, logged):
    parser = CsvParser(rejects=str(tmp_path / "rejects"))
    with Harness([parser]) as harness:
        for offset in (0, 50):
            data = f"{header}\n1,2\n" if not offset else "3,4\n"
            harness.queue.schedule("lines", Lines("f.csv", offset, data.encode()))
        harness.run_until_idle()

    assert parser.statistics_cur == {"lines": 3, "records": 0, "unmatched": 3}
    assert (tmp_path / "rejects").read_text() == f"{header}\n1,2\n3,4\n"
    errors = [text for text in logged.of("ERROR") if "columns of f.csv are not known" in text]
    assert len(errors) == 1
    assert errors[0].endswith("Give the option columns")


def test_the_source_is_that_of_the_line_behind_the_header():
    parser = CsvParser(add_source=True)
    (record,) = of_file(parser, b"a,b\nbad\n1,2\n")

    assert (record["a"], record["offset"]) == ("1", 8)


def test_a_list_of_lines_needs_columns():
    with pytest.raises(TypeError, match="give columns and header = false"):
        CsvParser().cbk_event_lines(DAEMON, [b"a,b", b"1,2"])


def test_the_columns_of_the_files_that_were_read_last_are_remembered(monkeypatch):
    monkeypatch.setattr(csv_headers, "_MOST_FILES", 2)
    parser = CsvParser()
    for file in ("one", "two"):
        of_file(parser, b"a\n", file_id=file)
    assert of_file(parser, b"1\n", offset=2, file_id="one") == [{"a": "1"}]
    of_file(parser, b"a\n", file_id="three")

    known = [file for file in ("one", "two", "three") if of_file(parser, b"1\n", 2, file_id=file)]
    assert known == ["one", "three"]


# -- several runs ------------------------------------------------------------------------------


def follow(files: VirtualFiles, got: list[Any], **options: Any) -> Harness:
    tailer = FileTailer(patterns=["/in/*.csv"], start="beginning", poll_interval=0.5)
    probe = Probe("lines")
    harness = Harness([tailer, CsvParser(**options), probe], files=files, state_dir="/state")
    with harness:
        harness.advance(5)
        got += [record for one in probe.received for record in one.args]
    return harness


def test_a_next_run_knows_the_columns_of_a_file_that_it_reads_on_in(logged):
    files = VirtualFiles()
    files.put("/in/a.csv", "user,count\nann,1\n")
    got: list[Any] = []
    follow(files, got)
    files.append("/in/a.csv", "bob,2\n")
    follow(files, got)

    assert got == [{"user": "ann", "count": "1"}, {"user": "bob", "count": "2"}]
    assert logged.of("ERROR") == []


def test_a_restart_in_the_middle_of_a_file_knows_its_columns():
    tailer = FileTailer(patterns=["/in/*.csv"], start="beginning", poll_interval=0.5)
    files = VirtualFiles()
    files.put("/in/a.csv", "user\nann\n")
    probe = Probe("lines")
    crash = Crash(point="callback", component="CsvParser", event="lines", nth=2)
    config = {"components": {"CsvParser": {"supervision": {"on_error": "restart"}}}}
    components = [tailer, CsvParser(), probe]
    with Harness(
        components, files=files, state_dir="/state", faults=[crash], config=config
    ) as harness:
        for text in ("bob\n", "cid\n", "dan\n"):
            harness.advance(30)
            files.append("/in/a.csv", text)
        harness.advance(30)
        got = [record["user"] for one in probe.received for record in one.args]
        harness.dead_letters()

    assert got[0] == "ann"
    assert got[-2:] == ["cid", "dan"]


def test_a_full_disk_costs_only_the_memory_of_the_next_run(logged):
    files = VirtualFiles()
    files.put("/in/a.csv", "user\nann\n")
    error = OSError(28, "No space left on device")
    parser = CsvParser()
    probe = Probe("lines")
    faults = [Crash(point="file", component="CsvParser", event="rename", nth=1, error=error)]
    with Harness([parser, probe], files=files, state_dir="/state", faults=faults) as harness:
        harness.queue.schedule("lines", Lines("/in/a.csv", 0, b"user\nann\n"))
        harness.run_until_idle()

        assert probe.expect("lines") == [{"user": "ann"}]
    (warning,) = [text for text in logged.of("WARNING") if "not kept for the next run" in text]
    assert "No space left" in warning


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ""}, "separator is '', but one character is expected"),
        ({"separator": ",,"}, "separator is ',,', but one"),
        ({"separator": '"'}, "neither a quote nor a line end"),
        ({"separator": "\n"}, "neither a quote nor a line end"),
        ({"columns": "a"}, r"columns is 'a', but a list of names is expected: write \['a'\]"),
        ({"columns": [""]}, "columns is .* but a list of names is expected"),
        ({"columns": []}, "columns has 0 names, but 1 to 1000 are expected"),
        ({"columns": ["a", "b", "a"]}, "columns has 'a' twice"),
        ({"header": "yes", "columns": ["a"]}, "header is 'yes', but true or false"),
        ({"header": False}, "header is False, but nothing else names the columns: give columns"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        CsvParser(**options)
    assert "\n" not in str(caught.value)


# -- a real file -------------------------------------------------------------------------------

SPEC = """\
name = "csv"

[[component]]
use = "zenactors.components:FileTailer"
options.patterns = ["*.csv"]
options.start = "beginning"

[[component]]
use = "zenactors.components:CsvParser"
options.separator = ";"
options.rejects = "rejects"

[[component]]
use = "zenactors.components:JsonLinesWriter"
options.path = "out"
"""


def test_a_spec_makes_records_of_a_real_file(stock_forks, tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b'a;b\r\n1;"2;3"\r\nbad\r\n4;5\r\n')
    (tmp_path / "spec.toml").write_text(SPEC)
    done = stock_forks.run("-m", "zenactors", "run", "spec.toml", "--exit-when-idle", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()] == [
        {"a": "1", "b": "2;3"},
        {"a": "4", "b": "5"},
    ]
    assert (tmp_path / "rejects").read_bytes() == b"bad\r\n"
