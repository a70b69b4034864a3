"""Text for messages and terminals, from values that may hold anything."""

from __future__ import annotations

from typing import Any

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
