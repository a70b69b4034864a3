"""Runlogs: the summary of each run, as a JSON file. The newest are kept.

A run has one file, which each saving replaces: so a run that is killed leaves one, too. The
file is named after the start of the run (UTC) and, because several processes may share the
directory, after the process: `20261124T101500Z-0a1b2.runlog`. Nothing here reads a clock.

A machine without a clock of its own starts in 1970, and its clock is set later. So the duration of
a run is measured, and its start follows from that and the end; only the file's name keeps the start
as it seemed to be. Which runlogs are the newest is decided by their starts, not by their names.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Mapping, Sequence
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
    EXIT_DATA_ERROR,
    EXIT_FAILURE,
    EXIT_FORCED_STOP,
    EXIT_OK,
    EXIT_OS_ERROR,
    EXIT_SOFTWARE,
    EXIT_START_FAILED,
    ZenDaemonException,
)
from zenactors.process.procfs import may_run

FORMAT = 1
DIRECTORY_MODE = 0o750
FILE_MODE = 0o640
SUFFIX = ".runlog"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{5}\.runlog", re.ASCII)
_STAMP = "%Y%m%dT%H%M%SZ"
_LAST_DATE = 253_402_300_799.0  # the end of the year 9999
_STEP = 1.0  # seconds; what is less is no step of the clock, but its correction bit by bit
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
    EXIT_DATA_ERROR: "stopped in order, but not all data could be handled",
    EXIT_START_FAILED: "did not start",
    EXIT_SOFTWARE: "ended by an error",
    EXIT_OS_ERROR: "refused by the system",
    EXIT_ALREADY_RUNNING: "was running already",
    EXIT_FORCED_STOP: "stopped by force",
    EXIT_CONFIG: "wrongly configured",
}
UNITS = {
    "start": "seconds since 1970 (Unix time)",
    "start_by_clock": "as start, before the clock was set",
    "end": "seconds since 1970 (Unix time)",
    "duration": "seconds",
    "oldest_token": "seconds",
    "process_start": "clock ticks since the boot boot_id",
    "cnt": "since the start of the run",
    "inc": "since the last saving of the runlog",
    "spd": "per second, since the last saving of the runlog",
    "pct": "inc in percent of cnt",
}
"""The units of a runlog's numbers."""

KILLED = "killed"
"""The result of a run whose process is gone, and has not written its end."""


class RunlogError(ZenDaemonException):
    """A file is no runlog, or has an unknown format. The message is for the user."""


@dataclass(frozen=True, kw_only=True)
class RunlogEntry:
    """A file in the directory of the runlogs.

    Attributes:
        path: The file.
        start: The start of the run, in Unix time; None if the name does not say.
        runlog: The content of the file; None if there is a problem.
        problem: The reason why it cannot be read; empty if it can.
    """

    path: Path
    start: float | None
    runlog: dict[str, Any] | None = None
    problem: str = ""


class RunlogStore:
    """The runlogs of one daemon. Those of other daemons in the same directory are left alone.

    Args:
        directory: Made by the first saving (0750), if its parent exists.
        name: The daemon's name.
        keep: The number of runlogs that are kept, at least 1. Those of processes that still run
            do not count.

    Attributes:
        directory: The directory.

    Thread: any; several processes may use one directory.
    """

    def __init__(self, directory: Path, name: str, keep: int = 10) -> None:
        self.directory = directory
        self._name = name
        self._keep = max(1, keep)

    def save(self, runlog: dict[str, Any]) -> Path:
        """Write a runlog made by `make_runlog`, whole or not at all, and remove the oldest ones.

        Returns:
            The file: the same one for each saving of one run.

        Raises:
            OSError: The file cannot be written; `filename` is its path.
        """
        self.directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        path = self.directory / _file_name(runlog)
        save_json(path, runlog, FILE_MODE)
        with contextlib.suppress(OSError):  # it is saved; the next saving tidies up
            self._prune(path)
        return path

    def list(self) -> list[RunlogEntry]:
        """Return this daemon's runlogs, the newest first, and then the files that are unreadable.

        A missing directory is not an error: then there are none.

        Raises:
            OSError: The directory cannot be read.
        """
        try:
            paths = sorted(each for each in self.directory.iterdir() if each.suffix == SUFFIX)
        except FileNotFoundError:
            return []
        entries = [entry for path in paths if (entry := self._entry(path)) is not None]
        found = [entry for entry in entries if not entry.problem]
        problems = [entry for entry in entries if entry.problem]
        return [*sorted(found, key=lambda each: each.start or 0.0, reverse=True), *problems]

    def written_by(self, pid: int | None) -> Sequence[Path]:
        """Return the files that a process has written; None: all.

        A directory that cannot be read has none.
        """
        found = []
        with contextlib.suppress(OSError):
            for path in self.directory.iterdir():
                if _NAME.fullmatch(path.name):
                    with contextlib.suppress(OSError, RunlogError):
                        if pid is None or _read(path).get("pid") == pid:
                            found.append(path)
        return found

    def load(self, path: Path) -> dict[str, Any]:
        """Return the runlog in a file.

        Raises:
            OSError: The file cannot be read.
            RunlogError: It is no runlog of this format.
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
            return RunlogEntry(path=path, start=None, problem="its name is not that of a runlog")
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
        if runlog.get("status") is None and not _runs(runlog):
            runlog["result"] = KILLED
        return RunlogEntry(path=path, start=runlog["start"], runlog=runlog)

    def _prune(self, own: Path) -> None:
        ended = []
        for path in self.directory.iterdir():
            if path == own or not _NAME.fullmatch(path.name):
                continue
            with contextlib.suppress(OSError, RunlogError):  # `list` names it
                runlog = self.load(path)
                if runlog["name"] == self._name and not _runs(runlog):
                    ended.append((runlog["start"], path))
        for _, path in sorted(ended, reverse=True)[self._keep - 1 :]:
            path.unlink(missing_ok=True)


def make_runlog(
    *,
    name: str,
    pid: int,
    start: float,
    end: float,
    duration: float | None = None,
    identity: tuple[int, str] | None = None,
    status: int | None = None,
    statistics: Mapping[Any, Any] | None = None,
    events: Mapping[Any, Any] | None = None,
    accounting: Mapping[str, Any] | None = None,
    dead_letters: int = 0,
    left: Any = None,
    argv: Sequence[str] = (),
    python: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the summary of a run as plain data, with secrets redacted.

    Args:
        name: The daemon's name.
        pid: The process's PID.
        start: The start of the run, in Unix time, as the clock had it then.
        end: The end of the run or, while it runs, the time of this summary.
        duration: The seconds between the two. None: as the clock has it.
        identity: The start time of the process, in clock ticks since boot, and the boot's
            identifier: another process may get the PID later. None: unknown.
        status: The exit status; None while it runs.
        statistics: The counters, as `get_statistics` returns them.
        events: For each event, the numbers of those accepted, completed and so on.
        accounting: The sum of these, the open tokens, and what each component has done.
        dead_letters: The number of dead letters.
        left: The report of the stop, if it left anything undone.
        argv: The command line.
        python: The interpreter, as `describe_interpreter` returns it.
    """
    spent = max(0.0, end - start) if duration is None else duration
    stepped = abs(end - spent - start) > _STEP
    began = end - spent if stepped else start
    runlog = {
        "format": FORMAT,
        "version": __version__,
        "python": dict(python or {}),
        "name": name,
        "pid": pid,
        "process_start": None if identity is None else identity[0],
        "boot_id": None if identity is None else identity[1],
        "start": began,
        "start_text": time_text(began),
        "start_by_clock": start,
        "end": end,
        "end_text": time_text(end),
        "duration": spent,
        "status": status,
        "result": _RESULTS.get(status, f"ended with status {status}"),
        "argv": list(argv),
        "events": dict(events or {}),
        "accounting": dict(accounting or {}),
        "dead_letter_count": dead_letters,
        "units": dict(UNITS),
        "left": left,
        "statistics": dict(statistics or {}),
    }
    redacted: dict[str, Any] = plain(runlog)
    return redacted


def _file_name(runlog: Mapping[str, Any]) -> str:
    # The PID is not enough: in every container it is 1.
    start = runlog.get("start_by_clock", runlog["start"])
    serial = zlib.crc32(f"{runlog['name']} {runlog['pid']} {start!r}".encode("utf-8", "replace"))
    began = _datetime(start)
    return f"{began:{_STAMP}}-{serial & 0xFFFFF:05x}{SUFFIX}"


def _start_of(path: Path) -> float | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:  # digits, but not a date
        return None


def _read(path: Path) -> dict[str, Any]:
    with open(path, "rb", opener=_open_unblocked) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise RunlogError(f"{path} is not a regular file.")
        try:
            found = json.loads(file.read())
        except (ValueError, RecursionError) as cause:
            raise RunlogError(f"{path} is no runlog: {cause}.") from cause
    if not isinstance(found, dict):
        raise RunlogError(f"{path} is no runlog: it holds a {type(found).__name__}.")
    return found


def _open_unblocked(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # or a named pipe would wait for its writer


def _runs(runlog: Mapping[str, Any]) -> bool:
    """Return True if its process may still run, and write it again."""
    pid = runlog.get("pid")
    if runlog.get("status") is not None or not isinstance(pid, int) or pid <= 0:
        return False
    began, boot = runlog.get("process_start"), runlog.get("boot_id")
    if isinstance(began, int) and isinstance(boot, str):
        return may_run(pid, (began, boot))
    return may_run(pid, None)


def time_text(tstamp: float) -> str:
    """Return a Unix time as ISO 8601, in UTC."""
    return _datetime(tstamp).isoformat(timespec="milliseconds")


def _datetime(tstamp: float) -> datetime:
    """Return a time, or the nearest that has a date: a clock that is not set may show anything."""
    return datetime.fromtimestamp(min(max(0.0, tstamp), _LAST_DATE), UTC)
