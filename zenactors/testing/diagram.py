"""A trace as a picture of text: a column for each who takes part, time from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence

from zenactors.testing.journal import Entry


def draw(entries: Sequence[Entry]) -> str:
    """Return a text sequence diagram of the entries."""
    return "\n".join(entry.line() for entry in entries)
