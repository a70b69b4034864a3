"""Runlogs: what became of one run, as JSON; the last ones are kept.

A run has one file, which each saving replaces, so that a run that is killed leaves one too. Its
name tells when the run began (UTC) and, for several processes may share the folder, which it was:
`20261124T101500Z-0a1b2.runlog`. Nothing here reads a clock: times are given.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zenactors._version import __version__
from zenactors.config.redaction import plain
from zenactors.daemon.json_file import save_json
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_CONFIG,
    EXIT_FAILURE,
    EXIT_FORCED_STOP,
    EXIT_OK,
    EXIT_OS_ERROR,
    EXIT_SOFTWARE,
    EXIT_START_FAILED,
    ZenDaemonException,
)

FORMAT = 1
FOLDER_MODE = 0o750
FILE_MODE = 0o640
SUFFIX = ".runlog"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{5}\.runlog", re.ASCII)
_STAMP = "%Y%m%dT%H%M%SZ"
_SHAPE: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "pid": int,
    "start": (int, float),
    "end": (int, float),
}

_RESULTS = {
    None: "running",
    EXIT_OK: "stopped in order",
    EXIT_FAILURE: "failed",
    EXIT_START_FAILED: "did not start",
    EXIT_SOFTWARE: "ended by an error",
    EXIT_OS_ERROR: "refused by the system",
    EXIT_ALREADY_RUNNING: "was running already",
    EXIT_FORCED_STOP: "stopped by force",
    EXIT_CONFIG: "wrongly configured",
}


class RunlogError(ZenDaemonException):
    """A file is no runlog, or none that can be understood. The message is for the user."""


@dataclass(frozen=True, kw_only=True)
class RunlogEntry:
    """A file in the folder of the runlogs.

    Attributes:
        path: The file.
        start: When the run began, in Unix time; None if not even that is known.
        runlog: What the file holds; None if there is a problem.
        problem: Why it cannot be read; empty if it can.
    """

    path: Path
    start: float | None
    runlog: dict[str, Any] | None = None
    problem: str = ""


class RunlogStore:
    """The runlogs of one daemon; other daemons' in the same folder are left alone.

    Args:
        folder: Where they are. Made when it is needed (0750), if its parent is there.
        name: The daemon's.
        keep: How many are kept, at least 1. Those of processes that still run do not count.

    Thread: any; several processes may use one folder.
    """

    def __init__(self, folder: Path, name: str, keep: int = 10) -> None:
        self._folder = folder
        self._name = name
        self._keep = max(1, keep)

    def save(self, runlog: dict[str, Any]) -> Path:
        """Write what `make_runlog` made, whole or not at all, and remove what is too old.

        Returns:
            The file: the same one for each saving of one run.

        Raises:
            OSError: If it cannot be written; its `filename` says where.
        """
        self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        path = self._folder / _file_name(runlog)
        save_json(path, runlog, FILE_MODE)
        with contextlib.suppress(OSError):  # it is saved; the next saving tidies up
            self._prune(path)
        return path

    def list(self) -> list[RunlogEntry]:
        """Return this daemon's runlogs, the newest first, and then what cannot be read.

        No folder is no error: then there are none.

        Raises:
            OSError: If the folder cannot be read.
        """
        try:
            paths = sorted(each for each in self._folder.iterdir() if each.suffix == SUFFIX)
        except FileNotFoundError:
            return []
        entries = [entry for path in paths if (entry := self._entry(path)) is not None]
        found = [entry for entry in entries if not entry.problem]
        problems = [entry for entry in entries if entry.problem]
        return [*sorted(found, key=lambda each: each.start or 0.0, reverse=True), *problems]

    def load(self, path: Path) -> dict[str, Any]:
        """Return the runlog in a file.

        Raises:
            OSError: If the file cannot be read.
            RunlogError: If it is no runlog of this format.
        """
        runlog = _read(path)
        if runlog.get("format") != FORMAT:
            raise RunlogError(
                f"{path} has format {runlog.get('format')!r}, and this is zenactors {__version__},"
                f" which reads format {FORMAT}. Look at it with the version that wrote it"
                f" ({runlog.get('version', 'unknown')})."
            )
        wrong = [key for key, kind in _SHAPE.items() if not isinstance(runlog.get(key), kind)]
        wrong += [
            key for key in ("start", "end") if key not in wrong and not math.isfinite(runlog[key])
        ]
        if wrong:
            raise RunlogError(f"{path} is no whole runlog: {', '.join(wrong)} missing or wrong.")
        return runlog

    def _entry(self, path: Path) -> RunlogEntry | None:
        start = _start_of(path)
        if start is None:
            return RunlogEntry(path=path, start=None, problem="its name is none of a runlog")
        try:
            runlog = self.load(path)
        except FileNotFoundError:  # another process has just removed it
            return None
        except OSError as cause:
            return RunlogEntry(path=path, start=start, problem=cause.strerror or str(cause))
        except RunlogError as cause:
            return RunlogEntry(path=path, start=start, problem=str(cause))
        if runlog["name"] != self._name:
            return None
        return RunlogEntry(path=path, start=runlog["start"], runlog=runlog)

    def _prune(self, own: Path) -> None:
        kept = 1
        for path in sorted(self._folder.iterdir(), reverse=True):
            if path == own or not _NAME.fullmatch(path.name):
                continue
            try:
                runlog = _read(path)
            except (OSError, RunlogError):  # who knows whose it is; `list` names it
                continue
            if runlog.get("name") != self._name or _runs(runlog):
                continue
            kept += 1
            if kept > self._keep:
                path.unlink(missing_ok=True)


def make_runlog(
    *,
    name: str,
    pid: int,
    start: float,
    end: float,
    status: int | None = None,
    result: str | None = None,
    statistics: Mapping[Any, Any] | None = None,
    events: Mapping[Any, Any] | None = None,
    dead_letters: int = 0,
    left: Any = None,
    argv: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the summary of a run as plain data, with secrets redacted.

    Args:
        name: The daemon's.
        pid: The process's number.
        start: When the run began, in Unix time.
        end: When it ended or, while it runs, the time of this summary.
        status: The exit status; None while it runs.
        result: What became of it. Default: what the status means.
        statistics: What has been counted, as `get_statistics` returns it.
        events: Of each event, how many were accepted, completed and so on.
        dead_letters: How many events ended as such.
        left: What the stop left behind, if anything.
        argv: The command line.
    """
    runlog = {
        "format": FORMAT,
        "version": __version__,
        "name": name,
        "pid": pid,
        "start": start,
        "start_text": _time_text(start),
        "end": end,
        "end_text": _time_text(end),
        "duration": max(0.0, end - start),
        "status": status,
        "result": result or _RESULTS.get(status, f"ended with status {status}"),
        "argv": list(argv),
        "events": dict(events or {}),
        "dead_letter_count": dead_letters,
        "left": left,
        "statistics": dict(statistics or {}),
    }
    redacted: dict[str, Any] = plain(runlog)
    return redacted


def runlog_text(runlog: Mapping[str, Any]) -> str:
    """Return a runlog as text for people."""
    status = runlog.get("status")
    rows = {
        "daemon": runlog["name"],
        "process": str(runlog["pid"]),
        "zenactors": runlog.get("version", "unknown"),
        "command": " ".join(map(str, runlog.get("argv") or ())) or "unknown",
        "started": _for_people(runlog["start"]),
        "ended" if status is not None else "saved": _for_people(runlog["end"]),
        "duration": _duration(runlog["end"] - runlog["start"]),
        "result": runlog.get("result") or "unknown",
        "exit status": "none yet" if status is None else str(status),
        "dead letters": runlog.get("dead_letter_count", 0),
        **{f"left: {' '.join(path)}": value for path, value in _leaves(runlog.get("left"))},
    }
    width = max(map(len, rows))
    lines = [f"{key:<{width}}  {_cell(value)}" for key, value in rows.items()]
    for title in ("events", "statistics"):
        lines += _table(title, runlog.get(title))
    return "\n".join(map(_printable, lines)) + "\n"


def runlogs_text(entries: Iterable[RunlogEntry]) -> str:
    """Return a list of runlogs as text for people."""
    rows = [("STARTED", "DURATION", "STATUS", "RESULT", "FILE")]
    problems = []
    for entry in entries:
        runlog = entry.runlog
        if runlog is None:
            problems.append(f"{entry.path}: {entry.problem}")
            continue
        status = runlog.get("status")
        rows.append(
            (
                _for_people(runlog["start"]),
                _duration(runlog["end"] - runlog["start"]),
                "-" if status is None else str(status),
                str(runlog.get("result", "unknown")),
                str(entry.path),
            )
        )
    lines = _aligned(rows) if len(rows) > 1 else ["There are no runlogs."]
    if problems:
        lines += ["", "Not to be read:", *problems]
    return "\n".join(map(_printable, lines)) + "\n"


def _file_name(runlog: Mapping[str, Any]) -> str:
    # The number of a process is not enough: in containers it is 1, in all of them.
    serial = zlib.crc32(
        f"{runlog['name']} {runlog['pid']} {runlog['start']!r}".encode("utf-8", "replace")
    )
    began = datetime.fromtimestamp(runlog["start"], UTC)
    return f"{began:{_STAMP}}-{serial & 0xFFFFF:05x}{SUFFIX}"


def _start_of(path: Path) -> float | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:  # digits, but no date
        return None


def _read(path: Path) -> dict[str, Any]:
    with open(path, "rb", opener=_open_unblocked) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise RunlogError(f"{path} is no regular file.")
        try:
            found = json.loads(file.read())
        except (ValueError, RecursionError) as cause:
            raise RunlogError(f"{path} is no runlog: {cause}.") from cause
    if not isinstance(found, dict):
        raise RunlogError(f"{path} is no runlog: it holds a {type(found).__name__}.")
    return found


def _open_unblocked(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a named pipe would wait for who writes it


def _runs(runlog: Mapping[str, Any]) -> bool:
    """Return True if it may be of a process that still runs, and writes it again."""
    pid = runlog.get("pid")
    if runlog.get("status") is not None or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is there, but somebody else's
        return True
    except (OSError, OverflowError):
        return False
    return True


def _time_text(tstamp: float) -> str:
    return datetime.fromtimestamp(tstamp, UTC).isoformat(timespec="milliseconds")


def _for_people(tstamp: float) -> str:
    try:
        return f"{datetime.fromtimestamp(tstamp, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # a number, but no time
        return str(tstamp)


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours:02}:{minutes:02}:{seconds:02}"


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield whatever is not empty, with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, (*path, str(key)))
    elif value not in (None, [], ""):
        yield path, value


def _table(title: str, data: Any) -> list[str]:
    """Return a row for each innermost dict, with its keys as columns."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for path, value in _leaves(data):
        rows.setdefault(path[:-1], {})[path[-1] if path else ""] = value
    if not rows:
        return ["", f"{title}: none"]
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = [(title, *columns)]
    cells += [
        (" ".join(path), *(_cell(row.get(column, "")) for column in columns))
        for path, row in rows.items()
    ]
    return ["", *_aligned(cells, right=True)]


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | list):
        return str(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Return lines with columns; `right` aligns all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if right and index else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _printable(line: str) -> str:
    # A name may hold anything, and what a terminal obeys is not to reach one.
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
    )
