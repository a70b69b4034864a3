"""Problems with the files of a tailer: each is reported once, until it is over."""

from __future__ import annotations

import os
import stat as stat_bits
from collections.abc import Iterable
from pathlib import Path

from zenactors.advice import advice_for, reason
from zenactors.components.tail.discovery import Discovery
from zenactors.core.component import ZenDaemonComponent

# Over as soon as the path can be opened.
_UNTIL_OPENED = ("missing", "directory", "special", "open", "moved")


class Problems:
    """The problems that were reported and are not over yet.

    Args:
        component: The tailer; its log gets the reports, its statistics count the errors.
    """

    def __init__(self, component: ZenDaemonComponent) -> None:
        self._component = component
        self._reported: set[tuple[str, str]] = set()  # path and problem
        self._seen: set[str] = set()  # paths that could be opened at least once

    def is_new(self, path: str, problem: str) -> bool:
        """Return True the first time; the problem counts as reported from now on."""
        if (path, problem) in self._reported:
            return False
        self._reported.add((path, problem))
        return True

    def end(self, path: str, problem: str) -> None:
        """Let the problem be reported again if it comes back."""
        self._reported.discard((path, problem))

    def opened(self, path: str) -> None:
        """Note that a file at `path` could be opened."""
        self._seen.add(path)
        if self._reported:
            for problem in _UNTIL_OPENED:
                self._reported.discard((path, problem))

    def renamed(self, path: str) -> None:
        """Note that a followed file has the name `path` now."""
        self._seen.add(path)

    def input_is_missing(self) -> bool:
        """Return True if a pattern has no file, or a file could not be read."""
        return any(
            problem in ("open", "read", "search")
            or (problem in ("missing", "directory", "special") and path not in self._seen)
            for path, problem in self._reported
        )

    def report(self, path: str, problem: str, reason: str, advice: str) -> None:
        """Log a warning: the path is not read."""
        if self.is_new(path, problem):
            self._component.log.warning(
                "Not reading {path}: {reason}. {advice}", path=path, reason=reason, advice=advice
            )

    def report_error(self, path: str, problem: str, cause: OSError) -> None:
        """Log an error: what failed ("open", "read" or "search") will be tried again."""
        if self.is_new(path, problem):
            self._component.inc_statistic("errors")
            self._component.log.error(
                "Cannot {problem} {path}: {reason}. {advice}; it is tried again at every poll",
                problem=problem,
                path=path,
                reason=reason(cause),
                advice=advice_for(cause, path, "read"),
            )

    def report_false_size(self, path: str) -> None:
        """Log a warning: a file's size says that it is empty, and it is not."""
        reason = "its size is 0 although it has content, as in /proc, so it cannot be followed"
        self.report(path, "special", reason, "Leave it out")

    def report_compressed(self, path: str) -> None:
        """Log once that a file is compressed: it is no text, and was read before if it rotated."""
        if self.is_new(path, "compressed"):
            self._component.inc_statistic("compressed")
            self._component.log.info("Not reading {path}: it is compressed", path=path)

    def report_irregular(self, path: str, stat: os.stat_result) -> None:
        """Log a warning: a named path is a directory or a special file that is not read."""
        if stat_bits.S_ISDIR(stat.st_mode):
            advice = f"Name the files in it, as {os.path.join(path, '*')}"  # noqa: PTH118 - the pattern's spelling
            self.report(path, "directory", "it is a directory", advice)
        elif not stat_bits.S_ISFIFO(stat.st_mode):  # a named pipe is read as a stream
            self.report(path, "special", "it is not a regular file", "Leave it out")

    def report_missing(
        self, patterns: Iterable[str], found: Discovery, *, exit_when_idle: bool
    ) -> None:
        """Log a warning for each pattern without a file, unless it had one before."""
        for pattern in found.unmatched:
            if pattern not in self._seen:
                advice = (
                    "Correct the pattern, or the permissions of the directory"
                    if exit_when_idle
                    else "Files are read as soon as they appear"
                )
                self.report(pattern, "missing", f"it matches no file{_where(pattern)}", advice)
        self._seen.update(set(patterns) - found.named - set(found.unmatched))
        for path, cause in found.errors.items():
            if not isinstance(cause, FileNotFoundError | NotADirectoryError):
                self.report_error(path, "open", cause)
            elif path in self._seen:
                pass  # the file that had this path is still followed, and reports its own fate
            else:
                advice = (
                    "Correct the path" if exit_when_idle else "It is read as soon as it appears"
                )
                self.report(path, "missing", f"there is no such file{_where(path)}", advice)

    def report_unreadable(self, found: Discovery) -> None:
        """Log an error for each directory that cannot be searched; its files are not read."""
        for path, problem in [each for each in self._reported if each[1] == "search"]:
            if path not in found.unreadable:
                self.end(path, problem)
        for path, cause in found.unreadable.items():
            self.report_error(path, "search", cause)

    def report_long(self, path: str, count: int, limit: int, what: str) -> None:
        """Count lines that were too long; log a warning for the file's first.

        Args:
            path: The file.
            count: How many there were.
            limit: The most bytes of a line.
            what: "truncated", "split" or "skipped".
        """
        self._component.inc_statistic(f"lines_{what}", count)
        if self.is_new(path, "long"):
            self._component.log.warning(
                "{path} has a line of more than {limit} bytes; it is {what}. If lines of that"
                " length are expected, raise max_line_bytes",
                path=path,
                limit=limit,
                what=what,
            )


def _where(path: str) -> str:
    """Return the directory that a relative path begins in: in the background it is often `/`."""
    if path.startswith("/"):
        return ""
    try:
        return f" in {Path.cwd()}"
    except OSError:
        return ""
