"""Word problems in one line: the cause of an error, and the name that was probably meant.

Pure functions; any thread.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

from zenactors.errors import did_you_mean

_PACKAGE = Path(__file__).parents[1]


def one_line(text: object) -> str:
    """Return a text with each run of white space replaced by one space."""
    return " ".join(str(text).split())


def because(cause: BaseException) -> str:
    """Describe an exception that the user's code raised, and its place, in one line."""
    frames = _frames_of(cause)
    # Of an exception that zenactors raises, the message helps the user, not the place.
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if _is_theirs(frames) else ""
    if isinstance(cause, SyntaxError):
        place = f" ({cause.filename}:{cause.lineno})"
        return f"{type(cause).__name__}: {one_line(cause.msg)}{place}"
    return f"{type(cause).__name__}: {one_line(cause)}{place}"


def constructor_failure(cause: BaseException) -> str:
    """Describe why a component cannot be constructed, in one line.

    A stock component explains a wrong option in its message, so that is enough.
    """
    if isinstance(cause, ValueError) and not _is_theirs(_frames_of(cause)):
        return one_line(cause)
    return f"its constructor raises {because(cause)}"


def _frames_of(cause: BaseException) -> list[traceback.FrameSummary]:
    return [
        frame
        for frame in traceback.extract_tb(cause.__traceback__)
        if not frame.filename.startswith("<frozen ")
    ]


def _is_theirs(frames: list[traceback.FrameSummary]) -> bool:
    """Return True if code outside of zenactors has raised."""
    return bool(frames) and not Path(frames[-1].filename).is_relative_to(_PACKAGE)


def nearest(name: object, known: Iterable[object]) -> str:
    """Return a hint: the known name that was probably meant or, if none is near, all names."""
    names = sorted(map(str, known))
    return did_you_mean(name, names) or f"; known: {', '.join(names) or '(none)'}"
