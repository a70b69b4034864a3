"""The answer of a component to a question, for a thread that waits by the engine's notifier."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenactors.actors.notifier import Notifier


class Answer:
    """What pykka's loop sets in reply to a question. In contrast to pykka's future, it notifies.

    So a wait for it ends by a signal too, on the main thread of a daemon.

    Args:
        notifier: Notified when the answer is there.

    Attributes:
        is_set: True once it is there.
        value: What the component answered.
        cause: The exception that it raised instead, or None.

    Atomic operations relied on: storing an attribute. `is_set` is stored last, so a thread that
    sees it sees the answer.

    Thread: the component's, until `is_set`.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self.is_set = False
        self.value: Any = None
        self.cause: BaseException | None = None

    def set(self, value: Any = None) -> None:
        """Answer."""
        self.value = value
        self.is_set = True
        self._notifier.notify()

    def set_exception(self, exc_info: Any = None) -> None:
        """Answer by an exception: that of `exc_info`, or the one that is being handled."""
        self.cause = (exc_info or sys.exc_info())[1]
        self.is_set = True
        self._notifier.notify()
