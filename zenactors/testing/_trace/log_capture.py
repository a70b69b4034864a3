"""Log lines of a run: collected for the test, and noted in the trace."""

from __future__ import annotations

from typing import Any, NamedTuple

from loguru import logger

from zenactors.testing._trace.describe import without_addresses
from zenactors.testing._trace.trace import Trace


class LogRecord(NamedTuple):
    """One line that was logged.

    Attributes:
        level: Its level's name, such as `"INFO"`.
        component: The name of the component that logged it, or an empty string.
        message: The text.
    """

    level: str
    component: str
    message: str


class LogCapture:
    """Collect the log lines between `open` and `close`.

    Attributes:
        records: The lines, in order.
        is_open: True while lines are collected.
    """

    def __init__(self, trace: Trace) -> None:
        self.records: list[LogRecord] = []
        self.is_open = False
        self._trace = trace
        self._sink = 0

    def open(self) -> None:
        """Begin to collect."""
        self._sink = logger.add(
            self._add,
            level="TRACE",
            format="{message}",
            backtrace=False,
            diagnose=False,
            catch=False,
        )
        self.is_open = True

    def close(self) -> None:
        """Collect no more. The second of two calls does nothing."""
        if self.is_open:
            self.is_open = False
            logger.remove(self._sink)

    def _add(self, message: Any) -> None:
        record = message.record
        if "phase" in record["extra"]:  # the engine's own; no component logged it
            return
        component = str(record["extra"].get("component", ""))
        self.records.append(LogRecord(record["level"].name, component, record["message"]))
        text = without_addresses(f"{record['level'].name} {record['message']}")
        self._trace.note(component or "daemon", "log", text=text)
