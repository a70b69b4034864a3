"""What is kept of an event that could not be handled. Pure: no thread, file, log or clock."""

from __future__ import annotations

import contextlib
import dataclasses
import traceback
from types import TracebackType
from typing import Any

from zenactors.core.text import format_error, harmless

_OWN = ("zenactors", "pykka", "threading")  # the frames between a thread's start and a callback


class Traceback:
    """A traceback without frames, and so without the objects in their variables.

    It begins where zenactors has called other code. Its lines of source are read when its text is
    first wanted.

    Args:
        cause: The exception, with its frames. It does not keep it.
    """

    __slots__ = ("_summary",)

    def __init__(self, cause: BaseException) -> None:
        self._summary: traceback.TracebackException | str
        try:
            self._summary = traceback.TracebackException(
                type(cause), cause, users_part(cause.__traceback__), lookup_lines=False
            )
        except Exception as problem:  # of the exception's own code
            self._summary = f"{type(cause).__name__}: its text raises {type(problem).__name__}\n"

    def __str__(self) -> str:
        if isinstance(self._summary, str):
            return self._summary
        try:
            return harmless("".join(self._summary.format()))
        except Exception as problem:  # of its notes, say
            return f"The traceback cannot be shown: {type(problem).__name__}\n"


def users_part(found: TracebackType | None) -> TracebackType | None:
    """Return a traceback from where zenactors has called other code; all of it, if it has not."""
    first = found
    while first is not None and is_own(first.tb_frame.f_globals.get("__name__")):
        first = first.tb_next
    return first or found


def is_own(module: object) -> bool:
    """Return True for the name of a module between a thread's start and a callback."""
    return str(module).partition(".")[0] in _OWN


def let_go_of_frames(cause: BaseException) -> None:
    """Take the traceback off an exception, and off those that it came from.

    A traceback keeps every variable of every frame, and these keep the engine. So does the object
    that an `AttributeError` is about.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [cause]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        # A subclass may forbid any of it.
        with contextlib.suppress(Exception):
            each.__traceback__ = None
            if isinstance(each, AttributeError):
                each.obj = None
        with contextlib.suppress(Exception):
            left += [each.__cause__, each.__context__]
        with contextlib.suppress(Exception):
            if isinstance(each, BaseExceptionGroup):
                left += each.exceptions


@dataclasses.dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be handled.

    Attributes:
        event: The event's name.
        args: The args of the callback that failed.
        component: The component's name.
        callback: The callback's name; empty if the component has given the event up itself, with
            `daemon.dead_letter()`, and named no callback.
        cause: The exception, without its frames.
        incarnation: How many objects the component had been, from 1.
        attempts: How often a callback was called for the event, in all deliveries.
        deliveries: How often the event was delivered: once, and once for each replay.
        first: When it first failed, as Unix time in seconds.
        last: When it last failed, as Unix time in seconds.
        position: Where its source has read it, if the source has said so; None otherwise.
        trace: The traceback, without frames; see `traceback`.
        id: Identifies the letter, in files too.
        number: Which failure of the run the last one was, from 1.
    """

    event: Any
    args: Any
    component: str
    callback: str
    cause: BaseException
    incarnation: int = 1
    attempts: int = 1
    deliveries: int = 1
    first: float = 0.0
    last: float = 0.0
    position: Any = None
    trace: Traceback | str = ""
    id: str = ""
    number: int = 0

    @property
    def traceback(self) -> str:
        """The traceback as text, from where zenactors has called other code."""
        return str(self.trace)

    @property
    def cause_text(self) -> str:
        """The exception's class and text."""
        try:
            return format_error(self.cause)
        except Exception as problem:
            return f"{type(self.cause).__name__}: its text raises {type(problem).__name__}"

    def failed_again(self, failed: DeadLetter, *, is_own: bool) -> DeadLetter:
        """Return this letter after a replay of it has failed.

        Args:
            failed: The letter of the event that failed in the replay.
            is_own: True: that was this letter's event, and it goes on where it failed now. False:
                it was another one that came of it, so that the next replay begins as this one did.
        """
        place = failed if is_own else self
        return dataclasses.replace(
            failed,
            event=self.event,
            args=place.args,
            component=place.component,
            callback=place.callback,
            attempts=self.attempts + failed.attempts,
            deliveries=self.deliveries + 1,
            first=self.first,
            position=self.position,
            id=self.id,
        )

    def kept(self, number: int, now: float) -> DeadLetter:
        """Return the letter as it is kept: numbered, dated, and without frames in its cause.

        Args:
            number: Which failure of the run it is.
            now: The Unix time.
        """
        return dataclasses.replace(
            self,
            trace=self.trace or Traceback(self.cause),
            id=self.id or f"{int(now * 1000):x}-{number:x}",
            number=number,
            first=self.first or now,
            last=now,
        )
