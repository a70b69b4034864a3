"""Standard input and named pipes as sources."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.components.forks import output_of
from tests.running import LIMIT, ROOT
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.components import FileTailer

from .tailing import Tail, open_handles

PROGRAM = """
import sys
import threading
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.components import FileTailer, RawWriter

tailer = FileTailer(patterns=sys.argv[1:], start="beginning", long_lines="split")
with Dispatcher([tailer, RawWriter()], exit_when_idle=True) as dispatcher:
    dispatcher.wait_for_end(60.0)
"""


class Collector(ZenDaemonComponent):
    """Collects texts, and ends after so many."""

    def __init__(self, *, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.most = most
        self.texts: list[str] = []

    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        self.texts += args.texts()
        if len(self.texts) >= self.most:
            daemon.set_done()


@pytest.fixture
def run(stock_forks, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run_with(stdin, *patterns: str) -> bytes:
        status, output = output_of(stock_forks, program, *patterns, stdin=stdin)
        assert status == 0
        return output

    return run_with


def test_standard_input_that_is_a_pipe_is_read_to_its_end():
    data = b"".join(b"line %d\n" % number for number in range(20_000)) + b"no end"
    read, write = os.pipe()
    with os.fdopen(write, "wb") as writer, os.fdopen(read, "rb") as reader:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "-"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=reader,
            stdout=subprocess.PIPE,
        )
        writer.write(data)
    out, _ = process.communicate(timeout=LIMIT)

    assert out == data


@pytest.mark.parametrize("size", [0, 3, 500_000])
def test_standard_input_that_is_a_file_is_read_to_its_end(run, tmp_path, size):
    data = b"".join(b"%07d\n" % number for number in range(size // 8)) + b"x" * (size % 8)
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as file:
        assert run(file, "-") == data


def test_standard_input_and_files_are_read_together(run, tmp_path):
    (tmp_path / "a.log").write_bytes(b"file\n")
    (tmp_path / "in").write_bytes(b"input\n")
    with (tmp_path / "in").open("rb") as file:
        out = run(file, "-", str(tmp_path / "a.log"))

    assert sorted(out.splitlines()) == [b"file", b"input"]


def test_a_named_pipe_goes_on_when_one_writer_leaves_and_another_comes(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    collector = Collector(most=3)
    tailer = FileTailer(patterns=[str(pipe)])
    with Dispatcher([tailer, collector]) as dispatcher:
        for text in ("one\n", "two\nth", "ree\n"):
            with pipe.open("w") as writer:
                writer.write(text)
        dispatcher.wait_for_end(LIMIT)

    assert collector.texts == ["one", "two", "three"]


def test_the_lines_of_a_stream_have_no_identity(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen = []

    class Seeing(Collector):
        @handles("lines")
        def cbk_event_lines(self, daemon, args):
            seen.append((args.path, args.file_id, args.generation, args.offset))
            daemon.set_done()

    with Dispatcher([FileTailer(patterns=[str(pipe)]), Seeing(most=1)]) as dispatcher:
        with pipe.open("w") as writer:
            writer.write("one\n")
        dispatcher.wait_for_end(LIMIT)

    assert seen == [(str(pipe), "", 0, 0)]


def test_a_pipe_that_is_named_no_more_is_closed(tmp_path):
    pipe, file = tmp_path / "pipe", tmp_path / "a.log"
    os.mkfifo(pipe)
    file.touch()
    one = Tail(pipe, file)
    before = open_handles()
    with pipe.open("wb", buffering=0) as writer:
        writer.write(b"lost\n")
        one.tailer.reconfigure(one.daemon, {"patterns": [str(file)], "start": "beginning"})
    assert open_handles() == before - 1
    one.tailer.reconfigure(one.daemon, {"patterns": [str(pipe), str(file)], "start": "beginning"})
    one.poll(3)
    assert open_handles() == before
    one.tailer.teardown(one.daemon)


def test_a_stop_hands_on_all_that_was_read_of_a_pipe_whatever_the_rate_limit(tmp_path):
    pipe, state = tmp_path / "pipe", tmp_path / "state"
    os.mkfifo(pipe)
    state.mkdir()
    collector = Collector(most=1)
    tailer = FileTailer(patterns=[str(pipe)], rate_limit=1)
    with (
        Dispatcher([tailer, collector], state_dir=str(state)) as dispatcher,
        pipe.open("wb", buffering=0) as writer,
    ):
        writer.write(b"one\ntwo\nthree\n")
        dispatcher.wait_for_end(LIMIT)

    assert collector.texts == ["one", "two", "three"]


def test_a_pipe_is_read_on_while_a_file_is_read_under_a_rate_limit(tmp_path):
    pipe, file = tmp_path / "pipe", tmp_path / "a.log"
    os.mkfifo(pipe)
    file.touch()
    os.truncate(file, 64 << 20)  # without a line, so that nothing of it is handed on
    came = threading.Event()

    class Telling(Collector):
        @handles("lines")
        def cbk_event_lines(self, daemon, args):
            super().cbk_event_lines(daemon, args)
            if self.texts[-1] == "5":
                came.set()

    collector = Telling(most=7)
    options: Any = {
        "start": "beginning",
        "rate_limit": 40,
        "long_lines": "skip",
        "max_line_bytes": 10,
    }
    tailer = FileTailer(patterns=[str(pipe), str(file)], **options)
    with os.fdopen(os.open(pipe, os.O_RDWR | os.O_NONBLOCK), "wb", buffering=0) as writer:
        writer.write(b"1\n2\n3\n4\n5\n")
        with Dispatcher([tailer, collector]) as dispatcher:
            assert came.wait(LIMIT)
            writer.write(b"6\n7\n")
            dispatcher.wait_for_end(LIMIT)

    assert collector.texts == [str(number) for number in range(1, 8)]


def test_a_named_pipe_is_no_problem(tmp_path, logged):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    one = Tail(pipe)
    one.poll(2)
    one.tailer.teardown(one.daemon)
    assert logged.of("WARNING") == []
