"""Count what happens again and again, and choose which times are worth a line in the log."""

from __future__ import annotations

from collections.abc import Hashable

LOGGED = 10
"""How many times something is logged in full. After that, it is summed up."""


class Repetitions:
    """Counts repetitions by key. Atomic operations of a dict; no lock. Thread: any."""

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}

    def add(self, key: Hashable) -> int:
        """Count one more; return how many there are."""
        self._counts[key] = count = self._counts.get(key, 0) + 1
        return count

    @staticmethod
    def is_worth_a_line(count: int) -> bool:
        """Return True for the first ten, and then for each power of ten: 100, 1,000 and so on."""
        return count <= LOGGED or 10 ** (len(str(count)) - 1) == count
