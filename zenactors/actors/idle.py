"""Recognize the threads of actors that have nothing to do, in a dump of all stacks."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

from zenactors.actors import reactor
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.mailbox import Mailbox

if TYPE_CHECKING:
    from types import FrameType

# The methods in which an actor waits for work, and the modules that they wait in.
_WAITS = (Mailbox._wait.__code__, DispatchLoop.run_and_park.__code__)  # noqa: SLF001 - same floor
_BELOW = (reactor.__name__, selectors.__name__)


def is_idle(frame: FrameType) -> bool:
    """Return True if a thread with this innermost frame is an actor's that waits for work."""
    inner: FrameType | None = frame
    while inner is not None and inner.f_globals.get("__name__") in _BELOW:
        inner = inner.f_back
    return inner is not None and inner.f_code in _WAITS
