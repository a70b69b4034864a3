"""A line at the bottom of a terminal that changes, while log lines are written above it."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import Any, TextIO

_ERASE = "\r\x1b[2K"
_COLUMNS = 80  # of a terminal that does not say


class StatusLine:
    """A stream in place of standard error: a terminal, the last line of which may change.

    Other text is written above that line. A text that does not end with a newline is taken for the
    first part of a line.

    Args:
        stream: Standard error.

    Thread: any.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()  # a signal's callback may write while its thread does
        self._shown = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def columns(self) -> int:
        """The width of the terminal."""
        with contextlib.suppress(OSError, ValueError):
            return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS
        return _COLUMNS

    def write(self, text: str) -> int:
        """Write a text above the status line."""
        with self._lock:
            if not text:
                return 0
            again = self._shown if text.endswith("\n") else ""
            if self._shown:
                self._stream.write(_ERASE)
                self._shown = ""
            self._stream.write(text)
            if again:
                self._draw(again)
            return len(text)

    def show(self, text: str) -> None:
        """Change the line to `text`, which must be narrower than the terminal. Never blocks.

        A terminal that is stopped (Ctrl-S) or has gone keeps what it has.
        """
        with self._lock, contextlib.suppress(OSError, ValueError):
            if select.select([], [self._stream], [], 0)[1]:
                self._draw(text)

    def leave(self) -> None:
        """Keep the line as it is now: text that follows is written below it. Never blocks."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._shown and select.select([], [self._stream], [], 0)[1]:
                self._shown = ""
                self._stream.write("\n")
                self._stream.flush()

    def _draw(self, text: str) -> None:
        self._stream.write(_ERASE + text)
        self._stream.flush()
        self._shown = text
