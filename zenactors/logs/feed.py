"""loguru's handlers for one sink, whose level can change without losing a line.

A handler of loguru has one level for life. Replacing it would lose or duplicate the lines that
other threads write at that moment. So the first handler stays, and each further one adds only the
levels below those before it. The sink itself refuses records below its own level.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record


class Sink(Protocol):
    """An object that loguru can write to."""

    def write(self, message: Message) -> None:
        """Write a line; see its record's level."""
        ...


class _Unstoppable:
    """The sink for a further handler: without `stop`, which loguru calls with the handler's end."""

    def __init__(self, sink: Sink) -> None:
        self.write = sink.write


class Feed:
    """Brings records to a sink, from a level upwards that may change.

    Args:
        sink: Stopped when the feed is closed.
        form: loguru's format for a record.

    Thread: one at a time; records come from any.
    """

    def __init__(self, sink: Sink, form: Callable[[Record], str]) -> None:
        self._sink = sink
        self._form = form
        self._handlers: list[tuple[int, int]] = []  # its number, and the lowest level it brings

    def set_level(self, level: int) -> None:
        """Bring records of this level and above, and perhaps some of lower levels."""
        while len(self._handlers) > 1 and self._handlers[-2][1] <= level:
            self._remove_last()
        if not self._handlers or level < self._handlers[-1][1]:
            above = self._handlers[-1][1] if self._handlers else None
            number = logger.add(
                self._sink if above is None else _Unstoppable(self._sink),
                level=level,
                format=self._form,
                filter=None if above is None else lambda record: record["level"].no < above,
                backtrace=False,
                colorize=False,  # the sinks do it
                diagnose=False,
                catch=True,
            )
            self._handlers.append((number, level))

    def close(self) -> None:
        """Bring no more records, and stop the sink."""
        while self._handlers:
            self._remove_last()

    def _remove_last(self) -> None:
        number, _ = self._handlers.pop()
        with contextlib.suppress(ValueError):  # other code has removed all of loguru's handlers
            logger.remove(number)
