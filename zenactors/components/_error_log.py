"""What a program writes to its standard error, in the log of its component."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from zenactors.components.tail.cutter import LineCutter
from zenactors.components.tail.cutter_rules import rules_for
from zenactors.core.clock import Clock

if TYPE_CHECKING:
    from loguru import Logger

    from zenactors.components.tail.piece import Piece

_BLOCK = 65_536
_LOGGED_BYTES = 1_000  # of a line
_LOGGED_LINES = 50  # in so many seconds:
_LOG_INTERVAL = 10.0


class ErrorLog:
    """Log what a program writes to its standard error, but not more than 50 lines in 10 s.

    Args:
        program: Its name.
        log: The component's logger.
        clock: The component's clock.
        count: Adds to the component's counters `stderr_lines` and `stderr_unlogged`.
    """

    def __init__(
        self, program: str, log: Logger, clock: Clock, count: Callable[[str, float], object]
    ) -> None:
        self._program = program
        self._log = log
        self._clock = clock
        self._count = count
        self._since = clock.monotonic()
        self._logged = 0
        self._unlogged = 0
        self._cutter = self._new_cutter()
        self.last = ""
        """The last line."""

    def read(self, fd: int) -> bool:
        """Log what can be read now. Returns False at the end, or if there is an error."""
        try:
            block = os.read(fd, _BLOCK)
        except BlockingIOError:
            return True
        except OSError:
            block = b""
        if block:
            self._log_pieces(self._cutter.feed(block))
        else:
            self.flush()
        return bool(block)

    def flush(self) -> None:
        """Log a last line without its end, because the program has ended."""
        self._log_pieces(self._cutter.flush())
        self._cutter = self._new_cutter()

    def close(self) -> None:
        """Say what was left out."""
        self._tell_of_unlogged()

    def _log_pieces(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            for line in piece.to_lines(self._cutter.rules, path="").texts():
                self._log_line(line)

    def _log_line(self, line: str) -> None:
        self.last = line
        self._count("stderr_lines", 1)
        now = self._clock.monotonic()
        if now - self._since >= _LOG_INTERVAL:
            self._tell_of_unlogged()
            self._since, self._logged = now, 0
        if self._logged < _LOGGED_LINES:
            self._logged += 1
            self._log.info("{program}: {line}", program=self._program, line=line)
        else:
            self._unlogged += 1
            self._count("stderr_unlogged", 1)

    def _tell_of_unlogged(self) -> None:
        unlogged, self._unlogged = self._unlogged, 0
        if unlogged:
            self._log.warning(
                "{program} has written {lines} more lines to its standard error; they are not"
                " logged, because they are too many",
                program=self._program,
                lines=unlogged,
            )

    @staticmethod
    def _new_cutter() -> LineCutter:
        return LineCutter(rules_for(max_line_bytes=_LOGGED_BYTES))
