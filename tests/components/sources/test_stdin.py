"""`Stdin`: pipes, files, terminals, and none at all."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.components.forks import output_of
from tests.components.programs import Collector, Keeper
from tests.forked import ForkServer
from tests.running import LIMIT, ROOT
from zenactors.components.sources.stdin import Stdin
from zenactors.testing import Harness

PROGRAM = """
import sys
from zenactors import Dispatcher
from zenactors.components import RawWriter
from zenactors.components.sources.stdin import Stdin

with Dispatcher([Stdin(), RawWriter()]) as dispatcher:
    assert dispatcher.wait_for_end(60.0)
sys.exit(dispatcher.status)
"""


Run = Callable[[IO[bytes]], tuple[int, bytes]]


class Input:
    """Standard input of this process, as a pipe."""

    def __init__(self) -> None:
        self._saved = os.dup(0)
        reader, self.writer = os.pipe()
        os.dup2(reader, 0)
        os.close(reader)

    def write(self, data: bytes) -> None:
        os.write(self.writer, data)

    def end(self) -> None:
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)

    def restore(self) -> None:
        self.end()
        os.dup2(self._saved, 0)
        os.close(self._saved)


@pytest.fixture
def standard_input() -> Iterator[Input]:
    found = Input()
    yield found
    found.restore()


@pytest.fixture
def run(stock_forks: ForkServer, tmp_path: Path) -> Run:
    """Return a function that runs the program, and returns its status and output."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return lambda stdin: output_of(stock_forks, program, stdin=stdin)


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ValueError, match=r"^max_line_bytes is 0, but a whole number"):
        Stdin(max_line_bytes=0)


def test_the_daemon_ends_by_itself_at_the_end_of_standard_input(standard_input: Input) -> None:
    collector = Collector()
    with Harness([Stdin(), collector]) as harness:
        standard_input.write(b"one\ntw")
        harness.advance(3600.0)
        assert collector.values == ["one"]
        assert not harness.daemon.is_idle()
        standard_input.write(b"o\nthree")
        standard_input.end()
        harness.run(1.0)
        assert harness.daemon.is_idle()
    assert collector.values == ["one", "two", "three"]
    assert [args.path for args in collector.args] == ["-"] * 3


def test_a_stop_hands_over_what_was_read_of_a_line(standard_input: Input) -> None:
    collector = Collector()
    with Harness([Stdin(), collector]) as harness:
        standard_input.write(b"half")
        harness.run_until_idle()
        assert collector.values == []
        harness.stop()
    assert collector.values == ["half"]


def test_nothing_is_read_while_too_many_events_are_unfinished(standard_input: Input) -> None:
    keeper, source = Keeper(), Stdin()
    source.max_unfinished = 1
    with Harness([source, keeper]) as harness:
        for line in (b"one\n", b"two\n"):
            standard_input.write(line)
            harness.advance(60.0)
        assert keeper.values == ["one"]
        harness.queue.schedule("release")
        harness.run_until_idle()
        assert keeper.values == ["one", "two"]


@pytest.mark.parametrize("data", [b"", b"one\n", b"".join(b"%d\n" % n for n in range(100_000))])
def test_standard_input_may_be_a_file(run: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as file:
        assert run(file) == (0, data)


def test_standard_input_may_be_the_null_device(run: Run) -> None:
    with Path(os.devnull).open("rb") as null:
        assert run(null) == (0, b"")


def test_standard_input_may_be_a_terminal(run: Run) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "wb", buffering=0) as keys, os.fdopen(terminal, "rb") as stdin:
        keys.write(b"one\ntwo\n\x04")  # Ctrl-D
        assert run(stdin) == (0, b"one\ntwo\n")


def test_standard_input_that_is_closed_is_reported_in_one_line() -> None:
    program = f"import os; os.close(0)\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 66
    assert b"Cannot read standard input: " in done.stderr
    assert b"Traceback" not in done.stderr
