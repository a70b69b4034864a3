"""Route records of the standard library's `logging` into loguru."""

from __future__ import annotations

import logging
import threading

from loguru import logger

from zenactors.core.text import short_repr
from zenactors.logs.levels import level_name


class Route:
    """The way of one standard logger's records into loguru, which can be opened and closed.

    Args:
        source: The standard logger; the root logger for all records.

    Thread: one at a time; records come from any.
    """

    def __init__(self, source: logging.Logger) -> None:
        self._source = source
        self._handler: _ToLoguru | None = None
        self._before = (logging.NOTSET, True)

    def open(self, level: int) -> None:
        """Route records of this level and above. Repeated, it changes the level.

        Does nothing if another route of the same logger is open: no record comes twice.
        """
        if self._handler is None:
            if any(isinstance(each, _ToLoguru) for each in self._source.handlers):
                return
            self._before = (self._source.level, self._source.propagate)
            self._handler = _ToLoguru()
            self._source.addHandler(self._handler)
            self._source.propagate = False
        self._handler.setLevel(level)
        if self._source.parent is None:  # loggers without a level of their own use the root's
            self._source.setLevel(level)

    def close(self) -> None:
        """Restore the logger as it was. Harmless if the route is not open."""
        if self._handler is not None:
            self._source.removeHandler(self._handler)
            level, self._source.propagate = self._before
            self._source.setLevel(level)
            self._handler = None


class _ToLoguru(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        # Other code may route loguru's lines into logging, which would be an endless loop. Lines
        # that come through a `logging.Handler` as loguru's sink have an attribute `extra`.
        if getattr(self._inside, "flag", False) or hasattr(record, "extra"):
            return
        self._inside.flag = True
        try:
            # The message begins with the name already; as a field, JSON can be filtered by it.
            logger.bind(logger=record.name).opt(
                exception=record.exc_info if record.exc_info and record.exc_info[0] else None,
                capture=False,
            ).log(level_name(record.levelno), "{}: {}", record.name, _message_of(record))
        finally:
            self._inside.flag = False


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as cause:  # the arguments do not fit: the code that logs must not fail
        return f"{record.msg} {short_repr(record.args)} ({type(cause).__name__})"
