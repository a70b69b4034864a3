"""Which thread runs which component, so that no component runs in two dispatchers at once.

A component's thread carries a reference to the component. So the claim ends with the thread,
however that ends; it needs no registry, and nothing of the component itself.

A thread claims first, and the others are looked at afterwards: if two start at the same time, at
least one of them sees the other.

Atomic operations relied on: storing, reading and deleting an attribute of a thread. The lock of
`threading.enumerate` is between the store of one's own and the look at the others'.
"""

from __future__ import annotations

import os
import threading
from typing import Any

_CLAIM = "zenactors_component"  # the attribute of a thread: a PID and the component


def claim(thread: object, component: Any) -> None:
    """Note that a thread runs a component, instead of the one that it ran before.

    No effect on the task that a simulation has instead: the simulation refuses a second use.
    """
    if isinstance(thread, threading.Thread):
        # With the PID, because a fork copies the thread that forks.
        setattr(thread, _CLAIM, (os.getpid(), component))


def release(thread: object) -> None:
    """Note that a thread runs no component any more."""
    if isinstance(thread, threading.Thread):
        vars(thread).pop(_CLAIM, None)


def other_holder(thread: object, component: Any) -> threading.Thread | None:
    """Return a live thread besides `thread` that runs this very object. None: there is none."""
    pid = os.getpid()
    for other in threading.enumerate():
        holder, held = vars(other).get(_CLAIM, (0, None))
        if held is component and holder == pid and other is not thread:
            return other
    return None
