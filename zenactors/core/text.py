"""Text for messages and terminals, from values that may hold anything."""

from __future__ import annotations

import re
from typing import Any

_STEERS = re.compile(
    # Controls except tab and newline; separators of lines; marks that reverse the direction.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_LIKE_A_RECORD = re.compile(r"\n(?=\d{4}-\d\d-\d\d)")

MAX_REPR = 200  # characters of a value in a message


def short_repr(value: Any) -> str:
    """Return a value's `repr`, cut to 200 characters, or a note if it raises."""
    try:
        text = repr(value)
    except Exception as cause:
        return f"<{type(value).__name__} whose repr raises {type(cause).__name__}>"
    return text if len(text) <= MAX_REPR else text[:MAX_REPR] + "…"


def format_error(cause: BaseException) -> str:
    """Return an exception's class and text on one line of a message."""
    return f"{type(cause).__name__}: {cause}"


def printable(text: str) -> str:
    """Return text with control characters escaped, newlines too: terminals obey them."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def harmless(text: str, escape: str | None = None) -> str:
    """Return text with the characters that steer a terminal escaped; it may have several lines.

    Args:
        text: The text.
        escape: The format of an escaped character's number. Default: as in Python's literals.
    """
    if escape is None:
        return _STEERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return _STEERS.sub(lambda found: escape.format(ord(found[0])), text)


def one_record(text: str) -> str:
    """Return harmless text in which no further line begins as a line of a log does: with a date."""
    return _LIKE_A_RECORD.sub("\n    ", harmless(text))
