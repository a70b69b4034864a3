"""The time that a field of a record has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_MOST_TEXTS = 10_000  # that are remembered
_LAST = 253_370_764_800  # Unix time of the year 9999, with which calendars end


class RecordTimes:
    """Read times: ISO 8601, in UTC if they have no offset, or Unix times in seconds.

    Args:
        max_ahead: Seconds that a time may be ahead of the clock; None: any number.
    """

    def __init__(self, max_ahead: float | None) -> None:
        self._max_ahead = max_ahead
        self._texts: dict[str, float | None] = {}

    def read(self, value: Any, now: float) -> float | None:
        """Return the Unix time that a field of a record has; None if it is no valid one."""
        if isinstance(value, str):
            value = self._read(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:
            return None
        if self._max_ahead is not None and value > now + self._max_ahead:
            return None
        return value

    def _read(self, text: str) -> float | None:
        # A busy source writes many records in one second.
        if text not in self._texts:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts.clear()
            try:
                time = datetime.fromisoformat(text)
                self._texts[text] = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                self._texts[text] = None
        return self._texts[text]
