"""`zenactors tail`: options, parsers, and what is remembered from one run to the next."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forked import ForkServer
from zenactors.cli.tail import USAGE, _tailer_options
from zenactors.daemon.command_line import parse

FROM_THE_BEGINNING = ("--from", "beginning", "--exit-when-idle")
ACCESS = '::1 - - [10/Oct/2025:13:55:36 +0200] "GET /a HTTP/1.1" 200 5'


Tail = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def tail(forks: ForkServer, tmp_path: Path) -> Tail:
    return functools.partial(forks.run_bytes, "-m", "zenactors", "tail", cwd=tmp_path)


def options(*words: str) -> dict[str, Any]:
    return _tailer_options(USAGE, parse(USAGE, ["tail", *words]))


def test_without_options_the_tailer_keeps_its_own_defaults() -> None:
    assert options("a", "*.log", "-") == {
        "patterns": ["a", "*.log", "-"],
        "start": "end",
        "poll_interval": 0.25,
        "exclude": ["-"],
        "exactly_once": False,
    }


def test_each_option_reaches_the_tailer() -> None:
    words = "--from beginning --poll 2 --exclude x --exclude y* --encoding latin-1 --multiline ^\\d"
    limits = "--max-line-bytes 10 --rate-limit 0.5 --output out --state-dir state"

    assert options(*words.split(), *limits.split(), "a") == {
        "patterns": ["a"],
        "start": "beginning",
        "poll_interval": 2.0,
        "exclude": ["out", "x", "y*"],
        "exactly_once": True,
        "encoding": "latin-1",
        "multiline": "^\\d",
        "max_line_bytes": 10,
        "rate_limit": 0.5,
    }


def test_the_output_is_not_read_although_its_name_looks_like_a_glob(
    tmp_path: Path, tail: Tail
) -> None:
    for name in ("a1.log", "a[1].log"):
        (tmp_path / name).write_text("line\n")
    done = tail(tmp_path / "*.log", *FROM_THE_BEGINNING, "--output", tmp_path / "a[1].log")

    assert done.returncode == 0
    assert (tmp_path / "a[1].log").read_bytes() == b"line\n" * 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", False),
        ("--state-dir state", False),
        ("--output new", False),
        ("--state-dir state --output new", True),
        ("--state-dir state --output file", True),
        ("--state-dir state --output pipe", False),
        ("--state-dir state --output /dev/null", False),
        ("--state-dir state --output -", False),
        ("--state-dir state --output missing/new", True),
    ],
)
def test_an_output_is_written_exactly_once_if_it_can_be_cut_back(
    words: str,
    expected: bool,  # noqa: FBT001
) -> None:
    Path("file").touch()
    os.mkfifo("pipe")

    assert options(*words.split(), "a")["exactly_once"] == expected


@pytest.mark.parametrize(
    ("kind", "line", "record"),
    [
        ("access", ACCESS, {"path": "/a", "status": 200}),
        ("json", '{"b": 1, "a": [true]}', {"b": 1, "a": [True]}),
        ("logfmt", 'a=1 b="x y" c', {"a": "1", "b": "x y", "c": True}),
        ("syslog", "<34>Oct 11 22:14:15 h su[9]: x", {"facility": "auth", "pid": "9"}),
        ("regex:(?P<a>[a-z]+)=(?P<b>\\d+)", "x=12", {"a": "x", "b": "12"}),
    ],
)
def test_lines_are_parsed_into_records(
    kind: str, line: str, record: dict[str, Any], tmp_path: Path, tail: Tail
) -> None:
    log = tmp_path / "x.log"
    log.write_text(f"{line}\n" * 2)
    done = tail(log, *FROM_THE_BEGINNING, "--parse", kind)

    assert (done.returncode, done.stderr) == (0, b"")
    records = [json.loads(each) for each in done.stdout.splitlines()]
    assert [record | each for each in records] == records
    assert len(records) == 2


@pytest.mark.parametrize("kind", ["access", "json", "logfmt", "syslog", "regex:(?P<a>x)"])
def test_a_file_of_another_format_ends_with_its_status_and_name(
    kind: str, tmp_path: Path, tail: Tail
) -> None:
    log = tmp_path / "a.log"
    log.write_text("...\n")
    done = tail(log, *FROM_THE_BEGINNING, "--parse", kind)

    assert (done.returncode, done.stdout) == (65, b"")
    assert f"Not one line of {log} is ".encode() in done.stderr


@pytest.mark.parametrize("output", [True, False])
def test_a_second_run_goes_on_where_the_first_one_was(
    output: bool,  # noqa: FBT001
    tmp_path: Path,
    tail: Tail,
) -> None:
    log, out = tmp_path / "a.log", tmp_path / "out"
    argv = (log, *FROM_THE_BEGINNING, "--state-dir", tmp_path / "state")
    to_output = ("--output", str(out)) if output else ()
    written: list[bytes] = []
    for text in (b"one\ntwo\n", b"three\n", b""):
        with log.open("ab") as stream:
            stream.write(text)
        done = tail(*argv, *to_output)
        assert (done.returncode, done.stderr) == (0, b"")
        written.append(out.read_bytes() if output else b"".join([*written[-1:], done.stdout]))

    assert written == [b"one\ntwo\n", b"one\ntwo\nthree\n", b"one\ntwo\nthree\n"]


def test_what_the_checkpoint_does_not_have_is_cut_off_its_output(
    tmp_path: Path, tail: Tail
) -> None:
    log, out = tmp_path / "a.log", tmp_path / "out"
    argv = (log, *FROM_THE_BEGINNING, "--state-dir", tmp_path / "state", "--output", out)
    log.write_bytes(b"one\n")
    tail(*argv)
    with out.open("ab") as stream:
        stream.write(b"tw")  # as by a run that was killed
    with log.open("ab") as stream:
        stream.write(b"two\n")
    tail(*argv)

    assert out.read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("kind", ["raw", "json"])
def test_a_long_line_is_whole_only_in_raw_data(kind: str, tmp_path: Path, tail: Tail) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 1000 + b"\n")
    limit = ("--max-line-bytes", "100", "--format", kind)
    done = tail(log, *FROM_THE_BEGINNING, *limit)

    assert done.returncode == 0
    if kind == "raw":
        assert done.stdout == log.read_bytes()
    else:
        (record,) = map(json.loads, done.stdout.splitlines())
        assert record["line"] == "x" * 100


def test_excluded_files_are_not_read(tmp_path: Path, tail: Tail) -> None:
    for name in ("a.log", "b.log", "c.log"):
        (tmp_path / name).write_text(f"{name}\n")
    exclude = ("--exclude", tmp_path / "a*", "--exclude", tmp_path / "b.log")
    done = tail(tmp_path / "*.log", *FROM_THE_BEGINNING, *exclude)

    assert done.stdout == b"c.log\n"


def test_records_of_several_lines_and_another_encoding(tmp_path: Path, tail: Tail) -> None:
    log = tmp_path / "a.log"
    log.write_bytes("1 \xe9\n more\n2\n".encode("latin-1"))
    more = ("--encoding", "latin-1", "--multiline", r"\d", "--format", "json")
    done = tail(log, *FROM_THE_BEGINNING, *more)

    assert [json.loads(each)["line"] for each in done.stdout.splitlines()] == ["1 \xe9\n more", "2"]


def test_standard_input_is_a_source(tmp_path: Path, tail: Tail) -> None:
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    with (tmp_path / "in").open("rb") as stream:
        done = tail("-", stdin=stream)

    assert (done.returncode, done.stdout) == (0, b"one\ntwo\n")
