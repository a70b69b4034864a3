"""Count what happens again and again, and choose which times are worth a line in the log."""

from __future__ import annotations

import itertools
from collections.abc import Hashable

LOGGED = 10
"""How many times something is logged in full. After that, it is summed up."""


class Repetitions:
    """Counts repetitions by key, without a lock. Thread: any.

    Atomic operations relied on: `dict.setdefault`, and `next` of an `itertools.count`.
    """

    def __init__(self) -> None:
        self._counts: dict[Hashable, itertools.count[int]] = {}

    def add(self, key: Hashable) -> int:
        """Count one more; return how many there are."""
        return next(self._counts.setdefault(key, itertools.count(1)))

    @staticmethod
    def is_worth_a_line(count: int) -> bool:
        """Return True for the first ten, and then for each power of ten: 100, 1,000 and so on."""
        return count <= LOGGED or 10 ** (len(str(count)) - 1) == count


SUMMARY_INTERVAL = 300.0
"""Seconds between two lines that sum up."""


class Summaries:
    """Counts repetitions by key: ten are logged each, and then one line sums up five minutes.

    A line is due with a repetition: nothing wakes up for it. Thread: any; for one key, one at a
    time.
    """

    def __init__(self) -> None:
        self._by_key: dict[Hashable, tuple[int, int, float]] = {}  # count, logged, and when

    def add(self, key: Hashable, now: float) -> tuple[int, int]:
        """Count one more.

        Args:
            key: What repeats.
            now: Seconds on the monotonic clock.

        Returns:
            How many there are, and how many the line that is due now is about, this one included;
            0 if none is due.
        """
        count, logged, last = self._by_key.get(key, (0, 0, now))
        count += 1
        is_due = count <= LOGGED or now - last >= SUMMARY_INTERVAL
        self._by_key[key] = (count, count if is_due else logged, now if is_due else last)
        return count, count - logged if is_due else 0
