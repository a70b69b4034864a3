"""The log file: it can be replaced while threads log, and a failed write never reaches them."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zenactors.advice import advice_for, reason
from zenactors.logs.formats import file_line, warning_line
from zenactors.logs.patience import Patience
from zenactors.logs.safe_open import open_log_file

if TYPE_CHECKING:
    from datetime import datetime

    from loguru import Message


@dataclass(frozen=True, eq=False)
class _Target:
    """The open file, its lowest level and its form: they are replaced together."""

    fd: int
    path: Path
    level: int
    json: bool
    patience: Patience


def _open_target(path: Path, level: int, *, json: bool) -> _Target:
    fd = open_log_file(path)
    return _Target(fd, path, level, json, Patience(fd))


class LogFile:
    """A sink for loguru that writes to a file, and can be switched to another one.

    A line that cannot be written, because the disk is full, say, is lost and counted. Standard
    error reports the first loss; the first line that is written afterwards is preceded by the
    count. The thread that logs sees no error.

    Args:
        path: An absolute path; opened at once, by `open_log_file`.
        level: The number of the lowest level that is written.
        json: Write JSON objects, one per line, instead of text.

    Raises:
        OSError: The file cannot be opened.

    Thread: any.
    """

    def __init__(self, path: Path, level: int, *, json: bool) -> None:
        # Held while a line is written and while targets are exchanged, so no line is lost between.
        # Reentrant: a finalizer that logs may run at any point.
        self._lock = threading.RLock()
        self._target: _Target | None = _open_target(path, level, json=json)
        self._lost = 0
        self._reason = ""
        self._is_torn = False  # the last line was cut off

    def replace(self, path: Path, level: int, *, json: bool) -> None:
        """Write to another file from now on, and close the old one. The path may be the same.

        Raises:
            OSError: The file cannot be opened. The old one stays in use.
        """
        target = _open_target(path, level, json=json)
        with self._lock:
            before, self._target = self._target, target
            self._is_torn = False
            if before is not None:
                os.close(before.fd)

    def stop(self) -> None:
        """Close the file; later lines are discarded. loguru calls it."""
        with self._lock:
            before, self._target = self._target, None
            if before is not None:
                os.close(before.fd)

    def isatty(self) -> bool:
        """Return False: for a terminal loguru would colour the lines."""
        return False

    def write(self, message: Message) -> None:
        """Write a line. If the system refuses, count it as lost.

        Args:
            message: Its record is the line.
        """
        while (target := self._target) and message.record["level"].no >= target.level:
            # Outside the lock: it runs users' code, which may log or wait.
            data = file_line(message, as_json=target.json)
            with self._lock:
                if target is not self._target:
                    continue
                failure = self._put(target, data, message.record["time"])
            if failure:
                is_slow = failure.errno == errno.EAGAIN
                otherwise = "Restart the reader" if is_slow else "Check the file"
                step = advice_for(failure, target.path, "write", otherwise)
                _warn(
                    f"Log file {str(target.path)!r} cannot be written: {reason(failure)}."
                    f" {step}; lines are lost until then."
                )
            return

    def _put(self, target: _Target, data: bytes, time: datetime) -> OSError | None:
        """Write a whole line. Return the error if it is the first since a line was written."""
        if self._lost:
            text = f"{self._lost} lines before this one are lost: {self._reason}"
            data = warning_line(time, text, as_json=target.json) + data
        if self._is_torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                piece = target.patience.wait(data[written:])
                written += os.write(target.fd, piece)
        except OSError as cause:
            if written:
                self._is_torn = data[written - 1 : written] != b"\n"
            is_first = not self._lost
            self._lost += 1
            self._reason = reason(cause)
            return cause if is_first else None
        self._lost = 0
        self._is_torn = False
        return None


def _warn(text: str) -> None:
    # Standard error may be None, closed, broken or without a reader. The warning is then lost.
    fd = None
    with contextlib.suppress(ValueError, AttributeError):  # an object in memory has no descriptor
        fd = sys.stderr.fileno()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if fd is not None:
            Patience(fd).wait(b"")
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
