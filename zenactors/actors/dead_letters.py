"""Events that could not be handled: all counted, the first ones logged, the last ones kept."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.actors.tracebacks import log_failure
from zenactors.core.dead_letters import DeadLetter, let_go_of_frames
from zenactors.core.repetition import LOGGED, Summaries
from zenactors.core.text import short_repr

if TYPE_CHECKING:
    from zenactors.core.clock import Clock

KEPT = 1000
GIVEN_UP = "Event {event} was given up: {cause}"
FAILED = "{callback} failed on event {event}: {cause}"


class DeadLetters:
    """Count every dead letter, log the first of each component, and keep the last 1,000.

    Args:
        clock: The source of time.
        lock: A lock. Held for a moment: nobody waits while holding it.

    Thread: any.
    """

    def __init__(self, clock: Clock, lock: contextlib.AbstractContextManager[Any]) -> None:
        self._clock = clock
        self._lock = lock
        self._kept: dict[str, DeadLetter] = {}
        self._total = 0
        self._summaries = Summaries()

    def add(self, letter: DeadLetter) -> DeadLetter:
        """Count and keep a letter. Return it as it is kept, but still with its cause's frames."""
        now = self._clock.time()
        with self._lock:
            self._total += 1
            letter = letter.kept(self._total, now)
            self._kept[letter.id] = letter
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return letter

    def log(self, letter: DeadLetter) -> None:
        """Log a letter: the first ten of its component, and then one line every five minutes."""
        count, about = self._summaries.add(letter.component, self._clock.monotonic())
        log = logger.bind(component=letter.component)
        what = FAILED if letter.callback else GIVEN_UP
        if isinstance(letter.cause, SystemExit):
            # A callback that calls sys.exit() has said why; the stop's report counts the event.
            log.debug("{cause!r}", cause=letter.cause)
        elif about == 1:
            more = "; further ones are summed up every 5 minutes" if count == LOGGED else ""
            log_failure(
                log,
                "ERROR",
                what + "; dead letter no. {count}{more}",
                letter.cause,
                callback=letter.callback,
                event=short_repr(letter.event),
                cause=short_repr(letter.cause),
                count=count,
                more=more,
            )
        elif about:
            log.error(
                "{about:,} more dead letters, {count:,} by now. The last: " + what,
                about=about,
                count=count,
                callback=letter.callback,
                event=short_repr(letter.event),
                cause=short_repr(letter.cause),
            )

    @staticmethod
    def let_go(letter: DeadLetter) -> None:
        """Take the frames off a letter's cause: they keep the engine, and the user's variables."""
        let_go_of_frames(letter.cause)

    def kept(self) -> list[DeadLetter]:
        """Return the last letters, those that failed first before the others."""
        with self._lock:
            return list(self._kept.values())

    def total(self) -> int:
        """Return how many failures there were in all."""
        return self._total


def letters_after(number: int, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Return the letters that failed, or failed again, after the failure with a number."""
    return [letter for letter in letters if letter.number > number]
