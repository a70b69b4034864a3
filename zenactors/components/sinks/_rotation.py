"""When an output is rotated, and the name that it gets."""

# ruff: noqa: PTH119 - paths are strings here, and keep their spelling

from __future__ import annotations

import math
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zenactors.components._files import Files

STAMP = r"\d{8}T\d{6}\.\d{6}Z"
COMPRESSED = ".gz"
_FORMAT = "%Y%m%dT%H%M%S.%fZ"
_LEAST = timedelta(microseconds=1)


class Rotation:
    """When the file is full or its time is over, and how it is renamed then.

    The name of an old file ends with the time at which it was rotated, in UTC, and never changes.
    Names are in the order of the files, even if the clock is set back.

    Args:
        path: The file, without links.
        files: The file system.
        most_bytes: The size above which it is rotated; None: it may have any size.
        interval: Seconds from one rotation to the next, counted from 1970; None: no matter when.

    Thread: own.
    """

    def __init__(
        self, path: str, files: Files, *, most_bytes: int | None, interval: float | None
    ) -> None:
        self._path = path
        self._files = files
        self._most_bytes = most_bytes
        self._interval = interval
        self._period = 0
        self._last: datetime | None = None

    def begin(self, fd: int, now: float) -> None:
        """Note that a file was opened, which may be of an earlier time."""
        try:
            status = self._files.fstat(fd)
        except OSError:  # a disk that fails: the next write will say so
            self._period = self._period_of(now)
        else:
            self._period = self._period_of(status.st_mtime if status.st_size else now)

    def _period_of(self, time: float) -> int:
        return 0 if self._interval is None else math.floor(time / self._interval)

    def is_due(self, size: int, more: int, now: float) -> bool:
        """Return True if the file is to be rotated before more is written to it.

        Args:
            size: How many bytes it has. An empty file is never rotated.
            more: How many are to be written.
            now: The Unix time.
        """
        if not size:
            self._period = self._period_of(now)
            return False
        if self._most_bytes is not None and size + more > self._most_bytes:
            return True
        return self._period_of(now) != self._period

    def seconds_left(self, now: float) -> float | None:
        """Return how long it takes until the file's time is over; None if that does not matter."""
        if self._interval is None:
            return None
        return max(0.0, (self._period_of(now) + 1) * self._interval - now)

    def rename(self, now: float) -> str:
        """Rename the file; return its new name.

        Raises:
            OSError: It has its old name still.
        """
        stamp = datetime.fromtimestamp(now, UTC)
        last = self._last or self._newest()
        if last is not None and stamp <= last:
            stamp = last + _LEAST
        path = f"{self._path}.{stamp:{_FORMAT}}"
        self._files.rename(self._path, path)
        self._last = stamp
        return os.path.basename(path)

    def _newest(self) -> datetime | None:
        """Return the time in the name of the newest old file."""
        directory, name = os.path.split(self._path)
        pattern = re.compile(rf"{re.escape(name)}\.({STAMP})(?:{re.escape(COMPRESSED)})?")
        entries = map(pattern.fullmatch, self._files.entries(directory))
        newest = max((match[1] for match in entries if match), default=None)
        return None if newest is None else _time_in(newest)


def _time_in(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, _FORMAT).replace(tzinfo=UTC)
    except ValueError:  # somebody else's name
        return None
