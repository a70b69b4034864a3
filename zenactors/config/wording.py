"""Word problems in one line: the cause of an error, and the name that was probably meant.

Pure functions; any thread.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

from zenactors.errors import did_you_mean

_PACKAGE = Path(__file__).parents[2]


def one_line(text: object) -> str:
    """Return a text with each run of white space replaced by one space."""
    return " ".join(str(text).split())


def because(cause: BaseException) -> str:
    """Describe an exception that the user's code raised, and its place, in one line."""
    frames = [
        frame
        for frame in traceback.extract_tb(cause.__traceback__)
        if not frame.filename.startswith("<frozen ")
    ]
    # Of an exception that zenactors raises, the message helps the user, not the place.
    theirs = bool(frames) and not Path(frames[-1].filename).is_relative_to(_PACKAGE)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if theirs else ""
    if isinstance(cause, SyntaxError):
        place = f" ({cause.filename}:{cause.lineno})"
        return f"{type(cause).__name__}: {one_line(cause.msg)}{place}"
    return f"{type(cause).__name__}: {one_line(cause)}{place}"


def nearest(name: object, known: Iterable[object]) -> str:
    """Return a hint: the known name that was probably meant or, if none is near, all names."""
    names = sorted(map(str, known))
    return did_you_mean(name, names) or f"; known: {', '.join(names) or '(none)'}"
