"""Events that could not be handled: all counted, the last ones kept."""

from __future__ import annotations

import threading
from collections import Counter, deque

from zenactors.core.messages import DeadLetter

KEPT = 1000


class DeadLetters:
    """Count every dead letter, and keep the last 1,000. Thread: any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[DeadLetter] = deque(maxlen=KEPT)
        self._by_component: Counter[str] = Counter()

    def add(self, letter: DeadLetter) -> int:
        """Keep a letter. Return how many its component has now."""
        with self._lock:
            self._kept.append(letter)
            self._by_component[letter.component] += 1
            return self._by_component[letter.component]

    def kept(self) -> list[DeadLetter]:
        """Return the last letters, oldest first."""
        with self._lock:
            return list(self._kept)

    def total(self) -> int:
        """Return how many there were in all."""
        with self._lock:
            return self._by_component.total()


def letters_after(last: DeadLetter | None, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Return the letters that came after one of them; all, if that is not among them."""
    for position in range(len(letters), 0, -1):
        if letters[position - 1] is last:
            return letters[position:]
    return letters
