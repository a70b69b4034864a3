"""What a format is: how the text of one line becomes a record. Without input or output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenactors.core.component import ZenDaemonComponent
    from zenactors.core.daemon_api import Daemon

ParseText = Callable[[str], dict[str, Any] | None]

BEFORE = "\ufeff\0"
"""A byte order mark, and what a writer leaves behind that goes on in a truncated file."""


class Format:
    """How the text of one line becomes a record.

    Args:
        expected: Completes the sentence "A line of FILE is not ...".
        parse: Returns the record that a text is, a new dict; None if it is none. Never raises. A
            text without lone surrogates gives a record without them.
    """

    def __init__(self, expected: str, parse: ParseText) -> None:
        self.expected = expected
        self.parse = parse

    def setup(self, component: ZenDaemonComponent, daemon: Daemon) -> None:
        """Acquire what the format needs; called in the `setup` of its component."""

    def begin(self, args: Any, texts: Sequence[str | None]) -> tuple[ParseText, int]:
        """Return how to parse the texts of an event, and how many of the first are headers."""
        return self.parse, 0


def is_unicode(text: str) -> bool:
    """Return True if a text has no lone surrogates, so that every sink can encode it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
