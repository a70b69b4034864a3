"""The console: standard error as a sink that neither fails nor blocks the threads that log."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Any

from zenactors.logs.formats import console_line
from zenactors.logs.patience import Patience

if TYPE_CHECKING:
    from loguru import Message


class Console:
    """A sink for loguru that writes to a stream. Lines that it does not take are discarded.

    Attributes:
        level: The number of the lowest level that is written.

    Args:
        stream: Standard error, or an object in memory, which has no descriptor.

    Thread: any.
    """

    def __init__(self, stream: Any) -> None:
        self.level = 0
        self._stream = stream
        self._lock = threading.RLock()  # several threads cannot safely share a stream
        self._patience: Patience | None = None
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it has no descriptor
            self._patience = Patience(stream.fileno())

    def write(self, message: Message) -> None:
        """Write a line, if its level is high enough."""
        if message.record["level"].no >= self.level:
            text = console_line(message, coloured=self.isatty())  # users' code: without the lock
            with self._lock, contextlib.suppress(OSError, ValueError):
                while text:
                    # As many characters as fit in any case: each has at most four bytes.
                    piece = text[: select.PIPE_BUF // 4] if self._patience else text
                    if self._patience:
                        self._patience.wait(b"")
                    self._stream.write(piece)
                    self._stream.flush()
                    text = text[len(piece) :]

    def isatty(self) -> bool:
        """Return True if lines are coloured: on a terminal, unless there is `NO_COLOR`."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            return bool(self._stream.isatty()) and not os.environ.get("NO_COLOR")
        return False


class CurrentStderr:
    """The standard error of the moment of each line, as a program may replace or close it."""

    def write(self, text: str) -> None:
        """Write; nothing happens if there is no standard error."""
        if sys.stderr is not None:
            sys.stderr.write(text)

    def flush(self) -> None:
        """Flush it."""
        if sys.stderr is not None:
            sys.stderr.flush()

    def isatty(self) -> bool:
        """Return True if it is a terminal."""
        return sys.stderr is not None and sys.stderr.isatty()
