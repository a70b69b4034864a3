"""Text for messages, from values whose `repr` may be long or raise."""

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
