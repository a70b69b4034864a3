"""Events that could not be handled: all counted, the first ones logged, the last ones kept."""

from __future__ import annotations

from collections import deque

from loguru import logger

from zenactors.actors.tracebacks import log_failure
from zenactors.core.messages import DeadLetter
from zenactors.core.text import short_repr

KEPT = 1000
LOGGED = 10  # of one component; further ones are only counted


class DeadLetters:
    """Count every dead letter, log the first of each component, and keep the last 1,000.

    Thread: any, but `add` only the component's own. It has no lock that an exception could leave
    held. Atomic operations relied on: `deque.append` and `copy`, storing, listing and copying
    items of a dict.
    """

    def __init__(self) -> None:
        self._kept: deque[DeadLetter] = deque(maxlen=KEPT)
        self._by_component: dict[str, int] = {}

    def add(self, letter: DeadLetter) -> int:
        """Count and keep a letter. Return how many its component has."""
        count = self._by_component.get(letter.component, 0) + 1
        self._by_component[letter.component] = count
        self._kept.append(letter)
        return count

    @staticmethod
    def log(letter: DeadLetter, count: int) -> None:
        """Log a letter, if it is one of the first of its component."""
        if isinstance(letter.cause, SystemExit):
            # A callback that calls sys.exit() has said why; the stop's report counts the event.
            logger.bind(component=letter.component).debug("{cause!r}", cause=letter.cause)
        elif count <= LOGGED:
            more = "; further ones are only counted" if count == LOGGED else ""
            log_failure(
                logger.bind(component=letter.component),
                "ERROR",
                "{callback} failed on event {event}: {cause}; dead letter no. {count}{more}",
                letter.cause,
                callback=letter.callback,
                event=short_repr(letter.event),
                cause=short_repr(letter.cause),
                count=count,
                more=more,
            )

    def kept(self) -> list[DeadLetter]:
        """Return the last letters, oldest first."""
        return list(self._kept.copy())

    def by_component(self) -> dict[str, int]:
        """Return how many letters each component has."""
        return self._by_component.copy()

    def total(self) -> int:
        """Return how many letters there were in all."""
        return sum(list(self._by_component.values()))


def letters_after(last: DeadLetter | None, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Return the letters that came after `last`; all, if `last` is not among them."""
    for position in range(len(letters), 0, -1):
        if letters[position - 1] is last:
            return letters[position:]
    return letters
