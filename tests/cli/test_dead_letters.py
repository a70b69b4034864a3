"""`zenactors dead-letters`: on files of this process, and on those that real daemons have left."""

from __future__ import annotations

import io
import json
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from tests.running import run_python
from zenactors import DeadLetter
from zenactors.cli import main
from zenactors.components._record_file import RecordFile
from zenactors.core.letter_records import NotReplayable, gone_line, letter_line, read_records
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_DATA_ERROR,
    EXIT_FAILURE,
    EXIT_NO_INPUT,
    EXIT_OK,
    EXIT_USAGE,
)

Capture = pytest.CaptureFixture[str]

PROGRAM = """
import os, signal
from zenactors import ZenDaemon, ZenDaemonComponent, handles

class Source(ZenDaemonComponent):
    def setup(self, daemon):
        print("source", flush=True)
        for n in range(4):
            daemon.queue.schedule("line", {"n": n, "raw": b"\\xff"})
        if "KILL" in os.environ:
            daemon.queue.schedule("kill")

class Parser(ZenDaemonComponent):
    @handles("line")
    def cbk_event_line(self, daemon, args):
        return daemon.FLAG_CONTINUE, {**args, "parsed": args.get("parsed", 0) + 1}

class Sink(ZenDaemonComponent):
    @handles("line")
    def cbk_event_line(self, daemon, args):
        if args["n"] % 2 and "MENDED" not in os.environ:
            raise ValueError("odd")
        print(args["n"], args["raw"], args["parsed"], flush=True)

    @handles("kill")
    def cbk_event_kill(self, daemon, args):
        os.kill(os.getpid(), signal.SIGKILL)

def make():
    return ZenDaemon(
        name="x", components=[Source(), Parser(), Sink()], exit_when_idle=True,
        default_dead_letter_file="own.letters",
    )
"""

SPEC = """
name = "x"
dead_letter_file = "own.letters"

[[component]]
use = "app:Source"

[[component]]
use = "app:Parser"

[[component]]
use = "app:Sink"
"""


def letter(number: int, **changes: Any) -> DeadLetter:
    values: dict[str, Any] = {
        "event": "line", "args": {"n": number}, "component": "sink", "callback": "cbk",
        "cause": LookupError("gone \x1b[2J"),
    }  # fmt: skip
    return DeadLetter(**(values | changes)).kept(number, 1_000.0)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Return a file with the letters 1, 2 and 4, and a torn line."""
    path = tmp_path / "some.letters"
    lines = [
        letter_line(letter(1)),
        letter_line(letter(2, component="other")),
        letter_line(letter(3)),
        b'{"record": "let\n',
        gone_line("replayed", letter(3).id, 5.0),
        letter_line(letter(4, event="row")),
    ]
    path.write_bytes(b"".join(lines))
    path.chmod(0o640)
    return path


def ids(path: Path) -> list[str]:
    return list(read_records(path.read_bytes().splitlines()).letters)


def test_letters_are_listed_one_a_line(letters: Path, capsys: Capture) -> None:
    assert main(["dead-letters", str(letters)]) == EXIT_OK
    shown = capsys.readouterr()
    rows = [line for line in shown.out.splitlines() if "f4240-" in line]
    assert [row.split()[1] for row in rows] == ["f4240-1", "f4240-2", "f4240-4"]
    assert "1970-01-01T00:16:40" in rows[0]
    assert "LookupError: gone \\x1b[2J" in rows[0]
    assert "no records, perhaps torn by a crash; they are left out: 4" in shown.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["list"], [1, 2, 4]),
        (["--event", "row"], [4]),
        (["--component", "other"], [2]),
        (["--where", "n=1"], [1]),
        (["--where", "cause=LookupError", "--where", "event=line"], [1, 2]),
        (["list", "f4240-2", "f4240-4"], [2, 4]),
        (["--where", "n=9"], []),
    ],
)
def test_letters_are_chosen(
    letters: Path, capsys: Capture, options: list[str], expected: list[int]
) -> None:
    assert main(["dead-letters", "--json", str(letters), *options]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["args"]["n"] for line in lines] == expected


def test_a_letter_is_shown_with_everything_that_is_recorded(letters: Path, capsys: Capture) -> None:
    assert main(["dead-letters", str(letters), "show", "f4240-4"]) == EXIT_OK
    shown = capsys.readouterr().out
    for line in (
        "id: f4240-4",
        "event: row",
        'args: {"n": 4}',
        "component: sink",
        "cause: LookupError: gone \\x1b[2J",
        "deliveries: 1",
        "  LookupError: gone",
    ):
        assert line in shown


def test_purged_letters_and_all_that_has_become_of_others_are_gone(
    letters: Path, capsys: Capture
) -> None:
    before = letters.read_bytes().splitlines(keepends=True)
    assert main(["dead-letters", str(letters), "purge", "--where", "n=2"]) == EXIT_OK
    assert capsys.readouterr().out == "purged: 1; left: 2\n"
    assert letters.read_bytes().splitlines(keepends=True) == [before[0], before[5]]
    assert stat.S_IMODE(letters.stat().st_mode) == 0o640
    assert [each.name for each in letters.parent.iterdir()] == [letters.name]
    assert main(["dead-letters", str(letters), "purge", "--all"]) == EXIT_OK
    assert letters.read_bytes() == b""


def test_purging_some_letters_keeps_what_a_newer_version_has_written(
    letters: Path, capsys: Capture
) -> None:
    newer = letter_line(letter(5, args=b"x")).replace(b"$bytes", b"$later")
    letters.write_bytes(letters.read_bytes() + newer)
    assert main(["dead-letters", str(letters), "purge", "--where", "n=2"]) == EXIT_OK
    assert letters.read_bytes().splitlines(keepends=True)[-1] == newer
    assert "by a newer version" in capsys.readouterr().err
    assert main(["dead-letters", str(letters), "purge", "--all"]) == EXIT_OK
    assert letters.read_bytes() == b""


@pytest.mark.parametrize("how", ["list", "show"])
def test_text_that_the_output_cannot_hold_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = tmp_path / "some.letters"
    path.write_bytes(letter_line(letter(1, event="\ud83d", args="half \ud83d é")))
    out = io.TextIOWrapper(
        io.BytesIO(), encoding="utf-8", errors="surrogateescape"
    )  # as in C.UTF-8
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["dead-letters", str(path), how]) == EXIT_OK
    shown = out.buffer.getvalue().decode()
    assert "\\ud83d" in shown
    assert how == "list" or "half \\ud83d é" in shown


@pytest.mark.parametrize(
    ("line", "status", "expected"),
    [
        ("{} show f-1", EXIT_FAILURE, "has no letter 'f-1'"),
        ("{} list --where n", EXIT_USAGE, "--where must be KEY=VALUE, not 'n'"),
        ("{} purge", EXIT_USAGE, "purge needs an ID, a condition or --all"),
        ("{} replay", EXIT_USAGE, "--spec"),
        ("{} list --into x", EXIT_USAGE, "--into is only for replay"),
        ("missing", EXIT_NO_INPUT, "'missing' cannot be read: No such file or directory"),
        (".", EXIT_NO_INPUT, "'.' cannot be read: Is a directory"),
    ],
)
def test_wrong_usage_is_one_line(
    letters: Path, capsys: Capture, line: str, status: int, expected: str
) -> None:
    assert main(["dead-letters", *line.format(letters).split()]) == status
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("command", [["purge", "--all"], ["replay", "--spec", "app:make"]])
def test_a_file_that_a_daemon_has_open_is_left_alone(
    letters: Path, capsys: Capture, command: list[str]
) -> None:
    before = letters.read_bytes()
    file = RecordFile(str(letters))
    assert main(["dead-letters", str(letters), *command]) == EXIT_ALREADY_RUNNING
    assert "is open in a running daemon: stop that first" in capsys.readouterr().err
    assert letters.read_bytes() == before
    assert main(["dead-letters", str(letters)]) == EXIT_OK  # reading disturbs nobody
    file.close()


# --- real daemons -----------------------------------------------------------------------------


def zenactors(cwd: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "zenactors", *argv, cwd=cwd, **environment)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    write(tmp_path / "app.py", PROGRAM)
    write(tmp_path / "x.toml", SPEC)
    return tmp_path


def test_letters_of_a_daemon_that_was_killed_are_in_the_file_and_come_back(app: Path) -> None:
    done = zenactors(app, "run", "app:make", KILL="1")
    assert done.returncode == -signal.SIGKILL
    path = app / "own.letters"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = ids(path)

    # As the code is, they fail again, and there is no second letter.
    moved = path.rename(app / "moved.letters")
    failed = zenactors(app, "dead-letters", "moved.letters", "replay", "--spec", "x.toml")
    assert (failed.returncode, failed.stdout) == (EXIT_FAILURE, "replayed: 0; left: 2\n")
    assert not path.exists()
    records = read_records(moved.read_bytes().splitlines())
    assert [(each.id, each.deliveries) for each in records.letters.values()] == [
        (first, 2),
        (second, 2),
    ]

    # Mended, they go on at the sink: neither the source nor the parser runs again.
    argv = ("dead-letters", "moved.letters", "replay", "--spec", "x.toml", "--where", "n=3")
    mended = zenactors(app, *argv, MENDED="1")
    assert (mended.returncode, mended.stderr) == (EXIT_OK, "")
    assert mended.stdout == "3 b'\\xff' 1\nreplayed: 1; left: 0\n"
    assert ids(moved) == [first]


def test_a_replay_with_sources_and_into_another_event(app: Path) -> None:
    path = app / "some.letters"
    path.write_bytes(letter_line(letter(1, event="old", args={"n": 6, "raw": b"x"})))
    argv = ("dead-letters", "some.letters", "replay", "--spec", "app:make")
    unknown = zenactors(app, *argv)
    assert unknown.returncode == EXIT_DATA_ERROR
    assert "Event 'old' was scheduled, but no component handles it" in unknown.stderr
    assert len(ids(path)) == 1
    done = zenactors(app, *argv, "--into", "line", "--with-sources", MENDED="1")
    assert done.returncode == EXIT_OK
    assert "source" in done.stdout
    assert "6 b'x' 1\n" in done.stdout
    assert ids(path) == []


def test_args_that_the_file_does_not_hold_are_not_replayed(app: Path) -> None:
    path = app / "some.letters"
    odd = letter(2, component="Sink", callback="cbk_event_line", args=NotReplayable("<socket>"))
    path.write_bytes(letter_line(odd))
    done = zenactors(app, "dead-letters", "some.letters", "replay", "--spec", "x.toml")
    assert done.returncode == EXIT_DATA_ERROR
    assert "its args hold objects that its file could not" in done.stderr
    assert ids(path) == [odd.id]


def test_a_second_daemon_with_the_same_file_does_not_start(app: Path) -> None:
    file = RecordFile(str(app / "own.letters"))
    done = zenactors(app, "run", "--no-summary", "x.toml")
    file.close()
    assert done.returncode == 78
    assert "own.letters' is in use by another program" in done.stderr
    assert "Traceback" not in done.stderr
