"""Cut a file that is complete into the args of events: lines, or records from JSON lines."""

from __future__ import annotations

import json
import os
from collections import deque
from stat import S_ISREG
from typing import Any, Literal

from zenactors.components._files import Files
from zenactors.components.tail.cutter import LineCutter, rules_for
from zenactors.components.tail.lines import Lines

Content = Literal["lines", "records", "path"]
CONTENTS = ("lines", "records", "path")
BLOCK = 256 << 10  # bytes that are read at a time: about the size of an event
_TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PATH_BYTES = 1_000  # of memory


class ContentError(Exception):
    """A file has a content that cannot be handed on; the text says why, without a full stop."""


class FileEvents:
    """The events of one file, one after the other.

    Args:
        path: Where the file is.
        shown: The path that `Lines` get.
        name: The file's name, for `content="path"`.
        content: What the events have.
        max_line_bytes: The limit of a line. A longer one comes in pieces.
        files: The file system.

    Raises:
        OSError: The file cannot be read. From `next`, too.
        ContentError: It is not a regular file.

    Thread: one.
    """

    def __init__(
        self,
        path: str,
        *,
        shown: str,
        name: str,
        content: Content,
        max_line_bytes: int,
        files: Files,
    ) -> None:
        self._files = files
        self._shown = shown
        self._content = content
        self._cutter = LineCutter(
            rules_for("utf-8", None, b"", max_line_bytes=max_line_bytes, long_lines="split")
        )
        self._ready: deque[Lines] = deque()
        self._line = 0  # lines of the events so far
        self._last = b"\n"
        self._is_read = False
        self._fd: int | None = files.open(path, _TO_READ)
        try:
            status = files.fstat(self._fd)
            if not S_ISREG(status.st_mode):
                raise ContentError("it is not a regular file")
        except BaseException:
            self.close()
            raise
        self._record = {"path": path, "name": name, "size": status.st_size}

    def next(self) -> tuple[Any, int] | None:
        """Return the args of the next event, and how many bytes they take; None at the end.

        Raises:
            ContentError: There is a line that is no record.
        """
        if self._content == "path":
            is_first, self._is_read = not self._is_read, True
            return ([self._record], _PATH_BYTES) if is_first else None
        while not self._ready and not self._is_read:
            self._read()
        if not self._ready:
            return None
        lines = self._ready.popleft()
        args = lines if self._content == "lines" else self._records_of(lines)
        self._line += len(lines)
        return args, len(lines.data)

    def _read(self) -> None:
        assert self._fd is not None
        block = self._files.read(self._fd, BLOCK)
        if block:
            self._last = block[-1:]
            pieces = self._cutter.feed(block)
        else:
            self._is_read = True
            pieces = [] if self._last == b"\n" else self._cutter.feed(b"\n")
        self._ready.extend(piece.to_lines(self._cutter.rules, path=self._shown) for piece in pieces)

    def _records_of(self, lines: Lines) -> list[dict[str, Any]]:
        if not lines.complete:
            raise ContentError(f"line {self._line + 1} is longer than max_line_bytes")
        records = []
        for number, line in enumerate(lines.lines(), self._line + 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as cause:
                raise ContentError(f"line {number} is no JSON: {cause}") from cause
            if not isinstance(record, dict):
                raise ContentError(f"line {number} is JSON, but no object")
            records.append(record)
        return records

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._files.close(fd)
