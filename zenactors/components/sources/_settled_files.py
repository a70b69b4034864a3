"""Which files are new and complete? Pure decisions, about the statuses of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Status(NamedTuple):
    """How a file is at one moment.

    Attributes:
        inode: Its number.
        size: In bytes.
        mtime: When it was written last, in nanoseconds.
    """

    inode: int
    size: int
    mtime: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Status:
        """Return what counts of a status."""
        return cls(stat.st_ino, stat.st_size, stat.st_mtime_ns)


@dataclass(slots=True)
class _Candidate:
    status: Status
    since: float


class SettledFiles:
    """The files that were reported, and those that are not complete yet.

    Args:
        settle: Seconds that a file must stay the same to be complete.
        changed: A reported file that has changed is new.
        most: How many files are known at most. While there are as many, others have to wait.
        stored: What `to_store` has returned.

    Attributes:
        reported: The status of each path that was reported.
        is_full: There were more files at the last look than may be known.

    Thread: one.
    """

    def __init__(self, *, settle: float, changed: bool, most: int, stored: Any = None) -> None:
        self._settle = settle
        self._changed = changed
        self._most = most
        self._candidates: dict[str, _Candidate] = {}
        self.reported: dict[str, Status] = _statuses_in(stored)
        self.is_full = False

    def look(
        self,
        found: Mapping[str, Status],
        now: float,
        *,
        completed: Iterable[str] = (),
        under_way: Mapping[str, Status],
    ) -> list[tuple[str, Status]]:
        """Return the files that are new and complete, by path.

        Args:
            found: The status of each file.
            now: The time, in seconds.
            completed: Paths of files that are known to be complete.
            under_way: Files that are being reported.
        """
        waiting = self._candidates
        self._candidates = {}
        self.is_full = False
        ready = []
        closed = set(completed)
        known = len(self.reported)
        for path, status in found.items():
            if not self._is_new(under_way.get(path) or self.reported.get(path), status):
                continue
            if known + len(self._candidates) >= self._most and path not in self.reported:
                self.is_full = True
                continue
            before = waiting.get(path)
            if before is None or before.status != status:
                before = _Candidate(status, now)
            self._candidates[path] = before
            is_complete = path in closed or now - before.since >= self._settle
            if is_complete and path not in under_way:
                ready.append((path, status))
        return sorted(ready)

    def _is_new(self, before: Status | None, status: Status) -> bool:
        if before is None or before.inode != status.inode:
            return True
        return self._changed and before != status

    @property
    def waits(self) -> bool:
        """True if there are files that are not complete yet, or not reported."""
        return bool(self._candidates)

    def report(self, path: str, status: Status) -> None:
        """Note that a file was reported, or that it is not to be."""
        self.reported[path] = status
        candidate = self._candidates.get(path)
        if candidate is not None and not self._is_new(status, candidate.status):
            del self._candidates[path]

    def forget(self, gone: Iterable[str]) -> bool:
        """Forget files that are gone. Return True if one of them was reported."""
        before = len(self.reported)
        for path in gone:
            self.reported.pop(path, None)
        return len(self.reported) < before

    def to_store(self) -> dict[str, Any]:
        """Return what the next run needs to know, as a JSON value."""
        return {"files": {path: list(status) for path, status in self.reported.items()}}


def _statuses_in(stored: Any) -> dict[str, Status]:
    try:
        return {str(path): Status(*map(int, status)) for path, status in stored["files"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
