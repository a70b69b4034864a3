"""Texts for messages, made of values that may do anything."""

from __future__ import annotations

from typing import Any

MAX_SHOWN = 200  # characters of a value in a message


def short_repr(value: Any) -> str:
    """Return a value's `repr`, cut to 200 characters; one that raises is no reason to fail."""
    try:
        text = repr(value)
    except Exception as cause:
        return f"<{type(value).__name__} whose repr raises {type(cause).__name__}>"
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def format_error(cause: BaseException) -> str:
    """Return an exception's class and text on one line of a message."""
    return f"{type(cause).__name__}: {cause}"
