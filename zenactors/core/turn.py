"""One call of a component's code, which may be taken from the thread that makes it.

Invariants, for a component with a hard limit:

1. A call has one turn. The thread that makes the call ends it when the call returns, and the
   watchdog ends it when the call takes too long. Exactly one of them succeeds.
2. If the thread succeeds, the call counts as every other.
3. If the watchdog succeeds, the thread is *abandoned*: from then on it changes nothing of the
   component's runner, mailbox or actor. It leaves by `ThreadAbandoned`, raised in its own code
   where the call has returned, so nothing is injected into it.

Atomic operations relied on: `list.pop` and `list.append`.
"""

from __future__ import annotations

from typing import Any


class ThreadAbandoned(BaseException):
    """Ends a thread that was abandoned. Raised by that thread itself."""


class Turn:
    """The right to say what became of one call.

    Attributes:
        callback: What is called.
        args: The args of the event, or None.

    Thread: any, each method.
    """

    __slots__ = ("_open", "args", "callback")

    def __init__(self, callback: Any = None, args: Any = None) -> None:
        self.callback = callback
        self.args = args
        self._open = [None]

    def end(self) -> bool:
        """Take the turn. False: it is taken."""
        try:
            self._open.pop()
        except IndexError:
            return False
        return True

    def give_back(self) -> None:
        """Give back a turn that was taken only so that nothing else takes it meanwhile."""
        self._open.append(None)
