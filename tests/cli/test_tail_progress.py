"""The progress of a backlog on a terminal, beside log lines."""

from __future__ import annotations

import io
import os
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import LIMIT, ROOT
from zenactors.cli.status_line import StatusLine
from zenactors.cli.tail_progress import TailProgress, status_line
from zenactors.testing import Harness, Probe

ERASE = "\r\x1b[2K"


class Terminal:
    """A terminal, `stream` to write to it, and what it was sent."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST  # a newline stays a newline
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.stream = os.fdopen(slave, "w")
        termios.tcsetwinsize(slave, (24, 80))

    def take(self) -> str:
        """Return what was sent since the last call."""
        taken = b""
        while select.select([self.master], [], [], 0)[0]:
            taken += os.read(self.master, 65_536)
        return taken.decode()

    def fill(self) -> None:
        """Send as much as it takes while nothing reads, as if it was stopped by Ctrl-S."""
        os.set_blocking(self.stream.fileno(), False)
        try:
            while os.write(self.stream.fileno(), b"x" * 100):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(self.stream.fileno(), True)

    def close(self) -> None:
        self.stream.close()
        os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def plain(text: str) -> str:
    """Return a text without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_the_line_changes_in_its_place(terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)
    line.show("one")
    line.show("two")
    line.leave()
    line.leave()

    assert terminal.take() == f"{ERASE}one{ERASE}two\n"


def test_a_log_line_is_written_above_it(terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)
    line.write("before\n")
    line.show("status")
    line.write("")
    line.write("log\n")
    line.flush()

    assert terminal.take() == f"before\n{ERASE}status{ERASE}log\n{ERASE}status"


def test_a_part_of_a_log_line_has_its_row_alone(terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)
    line.show("status")
    line.write("a long ")
    line.write("line\n")
    line.flush()
    line.leave()

    assert terminal.take() == f"{ERASE}status{ERASE}a long line\n"


def test_it_is_a_stream_as_the_one_below(terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)

    assert line.isatty()
    assert line.fileno() == terminal.stream.fileno()
    assert line.columns == 80


def test_a_stopped_terminal_stops_nothing(terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)
    line.show("seen")
    terminal.fill()
    line.show("not seen")
    line.leave()

    assert "not seen" not in terminal.take()


@pytest.mark.parametrize(
    ("wanted", "data_on_stdout", "stdout", "there_is_one"),
    [
        (True, False, "terminal", True),
        (True, True, "pipe", True),
        (True, True, "terminal", False),
        (False, False, "pipe", False),
    ],
)
def test_there_is_a_line_only_if_it_disturbs_nothing(
    wanted: bool,  # noqa: FBT001
    data_on_stdout: bool,  # noqa: FBT001
    stdout: str,
    there_is_one: bool,  # noqa: FBT001
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    monkeypatch.setattr(sys, "stdout", terminal.stream if stdout == "terminal" else io.StringIO())

    with status_line(wanted=wanted, data_on_stdout=data_on_stdout) as line:
        assert (line is not None) == there_is_one
        assert (sys.stderr is line) == there_is_one
    assert sys.stderr is terminal.stream


@pytest.mark.parametrize("stderr", [None, io.StringIO()])
def test_without_a_terminal_there_is_no_line(
    stderr: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)

    with status_line(wanted=True, data_on_stdout=False) as line:
        assert line is None
        assert sys.stderr is stderr


class Backlog:
    """The figures of a tailer."""

    def __init__(self, *, read: int, known: int) -> None:
        self.read, self.known = read, known

    def __call__(self) -> tuple[int, int]:
        return self.read, self.known


def test_the_progress_of_a_backlog(terminal: Terminal) -> None:
    backlog = Backlog(read=0, known=10_000_000)
    probe = Probe("lines")
    progress = TailProgress(backlog, StatusLine(terminal.stream))
    with Harness([progress, probe]) as harness:
        harness.queue.schedule("lines", "first")
        harness.run_until_idle()
        assert terminal.take() == ""
        harness.advance(0.5)
        assert "0/10.0 MB" in plain(terminal.take())

        for read in (1_000_000, 2_000_000):
            backlog.read = read
            harness.queue.schedule("lines", read)
            harness.queue.schedule("lines", read)
            harness.advance(0.5)
        shown = plain(terminal.take())
        assert shown.count(ERASE) == 2
        assert "20% 2.0/10.0 MB 2.0 MB/s 0:00:04" in shown

        backlog.read = backlog.known
        harness.queue.schedule("lines", "last")
        harness.advance(0.5)
        shown = plain(terminal.take())
        assert "100% 10.0/10.0 MB" in shown
        assert shown.endswith("\n")

        harness.queue.schedule("lines", "live")
        harness.advance(5.0)
        assert terminal.take() == ""
        assert [each.args for each in probe.received][-1] == "live"
    assert terminal.take() == ""


def test_the_last_figures_stay_when_it_is_stopped(terminal: Terminal) -> None:
    backlog = Backlog(read=5, known=10)
    probe = Probe("lines")
    progress = TailProgress(backlog, StatusLine(terminal.stream))
    with Harness([progress, probe]) as harness:
        harness.queue.schedule("lines", "first")
        harness.run_until_idle()

    shown = plain(terminal.take())
    assert "50% 5/10 bytes" in shown
    assert shown.endswith("\n")
    assert len(shown.removeprefix(ERASE)) <= 80


@pytest.mark.parametrize("columns", [10, 30, 50])
def test_the_line_fits_on_a_narrow_terminal(columns: int, terminal: Terminal) -> None:
    termios.tcsetwinsize(terminal.stream, (24, columns))
    probe = Probe("lines")
    progress = TailProgress(Backlog(read=5, known=10), StatusLine(terminal.stream))
    with Harness([progress, probe]) as harness:
        harness.queue.schedule("lines", "first")
        harness.run_until_idle()

    shown = plain(terminal.take()).removeprefix(ERASE)
    assert 0 < len(shown.removesuffix("\n")) < columns, shown


def on_terminal(
    terminal: Terminal, *argv: str | Path, until: str = "", stdout: int = subprocess.DEVNULL
) -> tuple[int, str]:
    """Run `zenactors tail` with standard error on a terminal. Return its status and what it shows.

    Args:
        terminal: The terminal.
        argv: Its arguments.
        until: Interrupt it when it has shown this.
        stdout: Its standard output.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "zenactors", "tail", *map(str, argv)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=terminal.stream,
    )
    end = os.pidfd_open(process.pid)
    shown = ""
    with process:
        try:
            while end not in (ready := select.select([terminal.master, end], [], [], LIMIT)[0]):
                assert ready, f"it goes on and on: {shown!r}"
                shown += os.read(terminal.master, 65_536).decode()
                if until and until in plain(shown):
                    process.send_signal(signal.SIGINT)
                    until = ""
        finally:
            process.kill()
            os.close(end)
    return process.returncode, plain(shown + terminal.take())


def test_a_real_terminal_shows_the_progress_below_the_log(
    terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_bytes(b"line\n" * 1000)
    argv = (tmp_path / "*.log", "--output", tmp_path / "out", "--from", "beginning")
    log = ("--log-level", "INFO", "--progress")
    status, shown = on_terminal(terminal, *argv, *log, "--exit-when-idle")

    assert status == 0, shown
    rows = [row.removeprefix(ERASE) for row in shown.split("\n")]
    assert sum("5.0/5.0 kB" in row for row in rows) == 1, shown
    assert all(row[:4].isdigit() for row in rows if row and "5.0 kB" not in row), shown
    assert (tmp_path / "out").stat().st_size == 5000


def test_an_interrupt_leaves_a_whole_line(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"line\n" * 1000)
    argv = (tmp_path / "a.log", "--from", "beginning", "--progress", "--output", tmp_path / "out")
    status, shown = on_terminal(terminal, *argv, until="5.0/5.0 kB")

    assert status == 0, shown
    assert shown.endswith("\n")


def test_without_a_terminal_progress_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"line\n")
    argv = ["tail", str(tmp_path / "a.log"), "--from", "beginning", "--progress"]
    done = subprocess.run(
        [sys.executable, "-m", "zenactors", *argv, "--exit-when-idle"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"line\n", b"")
