"""Events that could not be handled: all counted, the first ones logged, the last ones kept.

If there is a file, each is in it before its event counts as done: `add` writes it, and is called
before the event is reported.

Atomic operations relied on: the copy of a dict, and storing one item of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.actors.tracebacks import log_failure
from zenactors.advice import advice_for, reason
from zenactors.components._record_file import RecordFile
from zenactors.core.dead_letters import DeadLetter, let_go_of_frames
from zenactors.core.letter_records import NotReplayable, gone_line, letter_line
from zenactors.core.repetition import LOGGED, SUMMARY_INTERVAL, Summaries
from zenactors.core.text import short_repr
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from zenactors.components._files import Files
    from zenactors.core.clock import Clock

    MakeLock = Callable[[], contextlib.AbstractContextManager[Any]]

KEPT = 1000
GIVEN_UP = "Event {event} was given up: {cause}"
FAILED = "{callback} failed on event {event}: {cause}"
_UNKNOWN = NotReplayable("<its args cannot be written>")


class DeadLetters:
    """Count every dead letter, log the first of each component, and keep the last 1,000.

    Args:
        clock: The source of time.
        make_lock: Makes a lock. What happens while one is held is short; a write to the file is
            as long as the system takes.

    Attributes:
        file: The file in which letters are recorded, if there is one.
        when_replayed: Called when no replay is under way any more. Thread: any.

    Thread: any.
    """

    def __init__(self, clock: Clock, make_lock: MakeLock) -> None:
        self._clock = clock
        self._lock = make_lock()
        self._kept: dict[str, DeadLetter] = {}
        self._replays: dict[str, bool] = {}  # those under way; True: it has failed again
        self._total = 0
        self._by_component: dict[str, int] = {}
        self._unresolved = 0
        self._taken: set[str] = set()  # the letters of earlier runs
        self._summaries = Summaries()
        self.file = LetterFile(clock, make_lock())
        self.when_replayed: Callable[[], Any] | None = None

    def add(self, letter: DeadLetter) -> DeadLetter:
        """Count, keep and record a letter.

        Returns:
            The letter as it is kept, but still with its cause's frames.
        """
        now = self._clock.time()
        with self._lock:
            self._total += 1
            count = self._by_component.get(letter.component, 0)
            self._by_component[letter.component] = count + 1
            letter = letter.kept(self._total, now)
            if letter.id in self._replays:
                self._replays[letter.id] = True
            else:
                self._unresolved += 1
            self._keep(letter)
        self.file.add(letter)
        return letter

    def take(self, letters: list[DeadLetter]) -> None:
        """Keep letters of an earlier run; they count and are recorded already."""
        with self._lock:
            self._kept.update((letter.id, letter) for letter in letters)  # even more than 1,000
            self._taken.update(letter.id for letter in letters)

    def _keep(self, letter: DeadLetter) -> None:
        self._kept[letter.id] = letter
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

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

    def by_component(self) -> dict[str, int]:
        """Return how many letters each component has had, by its name."""
        return self._by_component.copy()  # without the lock: a stop that is interrupted asks again

    def unresolved(self) -> int:
        """Return how many events of this run died and were not replayed well since."""
        return self._unresolved

    def total(self) -> int:
        """Return how many failures there were in all."""
        return self._total

    def purge(self, letters: list[DeadLetter]) -> list[DeadLetter]:
        """Forget letters. Return those that were kept."""
        with self._lock:
            gone = [letter for letter in letters if self._kept.pop(letter.id, None) is not None]
        for letter in gone:
            self.file.remove("purged", letter)
        return gone

    def begin_replay(self, letter: DeadLetter) -> bool:
        """Note that a letter is replayed. False: it is gone, or its replay is under way."""
        with self._lock:
            if self._kept.get(letter.id) is not letter or letter.id in self._replays:
                return False
            self._replays[letter.id] = False
            return True

    def forget_replay(self, letter: DeadLetter) -> None:
        """Note that a letter is not replayed after all."""
        with self._lock:
            self._replays.pop(letter.id, None)

    def end_replay(self, letter: DeadLetter, outcome: TokenOutcome) -> None:
        """Note that a replay has ended: the letter is gone if nothing of it has failed."""
        with self._lock:
            failed = self._replays.pop(letter.id, True) or outcome is not TokenOutcome.DONE
            if not failed:
                self._kept.pop(letter.id, None)
                self._unresolved -= letter.id not in self._taken
            is_last = not self._replays
        if not failed:
            self.file.remove("replayed", letter)
        if is_last and self.when_replayed is not None:
            self.when_replayed()


class LetterFile:
    """The file in which letters are recorded, if there is one.

    A line that cannot be written, because the disk is full, say, is lost and counted. The first
    loss is logged, and then one line sums up five minutes. Nothing else comes of it.

    Args:
        clock: The source of time.
        lock: A lock, held while a line is written.

    Attributes:
        lost: How many lines could not be written.

    Thread: any.
    """

    def __init__(self, clock: Clock, lock: contextlib.AbstractContextManager[Any]) -> None:
        self.lost = 0
        self._clock = clock
        self._lock = lock
        self._file: RecordFile | None = None
        self._unreported = 0
        self._reported: float | None = None  # when a loss was logged; None: all is well

    def open(self, path: str, files: Files | None) -> None:
        """Open and lock the file.

        Raises:
            ConfigurationError: It cannot be opened, or another program has it.
        """
        try:
            self._file = RecordFile(path, files)
        except BlockingIOError as cause:
            raise ConfigurationError(
                f"dead_letter_file {path!r} is in use by another program, perhaps by another"
                " instance of this daemon. Stop that, or choose another file."
            ) from cause
        except OSError as cause:
            raise ConfigurationError(
                f"dead_letter_file {path!r} cannot be opened: {reason(cause)}."
                f" {advice_for(cause, path, 'write')}, or choose another file."
            ) from cause

    def close(self) -> None:
        """Close the file; nothing more is recorded."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def sync(self) -> None:
        """Bring what was recorded to the disk: a checkpoint may be about to pass its event. Blocks.

        Raises:
            OSError: It did not work.
        """
        with self._lock:
            if self._file is not None:
                self._file.sync()

    def add(self, letter: DeadLetter) -> None:
        """Record a letter."""
        if self._file is None:
            return
        self._append(_line(letter))

    def remove(self, how: Literal["replayed", "purged"], letter: DeadLetter) -> None:
        """Record that a letter is gone."""
        if self._file is not None:
            self._append(gone_line(how, letter.id, self._clock.time()))

    def _append(self, line: bytes) -> None:
        with self._lock:
            file = self._file
            if file is None:
                return
            try:
                file.append(line)
            except OSError as cause:
                self._lose(file.path, cause)
                return
            was_reported, self._reported = self._reported, None
        if was_reported is not None:
            with contextlib.suppress(Exception):  # of the program's log
                logger.info(
                    "Dead letters are written to {path} again; {lost:,} lines are missing",
                    path=file.path,
                    lost=self.lost,
                )

    def _lose(self, path: str, cause: OSError) -> None:
        self.lost += 1
        self._unreported += 1
        now = self._clock.monotonic()
        if self._reported is not None and now - self._reported < SUMMARY_INTERVAL:
            return
        self._reported, lines, self._unreported = now, self._unreported, 0
        with contextlib.suppress(Exception):  # of the program's log
            logger.error(
                "Dead letters cannot be written to {path}: {reason}; lines lost: {lines:,}."
                " {advice}. The last {kept:,} letters are kept in memory.",
                path=path,
                reason=reason(cause),
                lines=lines,
                advice=advice_for(cause, path, "write"),
                kept=KEPT,
            )


def _line(letter: DeadLetter) -> bytes:
    for each in (letter, dataclasses.replace(letter, args=_UNKNOWN)):
        try:
            return letter_line(each)
        except BaseException:  # noqa: S112 - of a `repr` of the user's
            continue
    return letter_line(_bare(letter))


def _bare(letter: DeadLetter) -> DeadLetter:
    return DeadLetter(
        "<unknown>",
        _UNKNOWN,
        letter.component,
        letter.callback,
        RuntimeError(f"{type(letter.cause).__name__}"),
        first=letter.first,
        last=letter.last,
        id=letter.id,
    )


def letters_after(number: int, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Return the letters that failed, or failed again, after the failure with a number."""
    return [letter for letter in letters if letter.number > number]
