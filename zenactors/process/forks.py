"""Forked children of a daemon: they hold nothing of it, and do not keep it from ending.

A fork (`os.fork`, and multiprocessing's default up to Python 3.13) copies the whole process, but
only one thread. Without care, the child would have the daemon's signal handlers, which only put a
number into a queue, so that SIGTERM would not end it; it would write to the daemon's wake-up
descriptor, and hold the lock on the PID file. So an object that belongs to one process registers
itself by `disown_in_children`, and each forked child calls its `disown`.

The registry belongs to the process, because Python has no way to remove a function that it calls
at a fork. It is made when the first object is registered.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

KILLED_WITHIN = 2.0  # seconds after SIGKILL


class Owner(Protocol):
    """An object that belongs to one process."""

    def disown(self) -> None:
        """Release, in a forked child, what belongs to the parent. Must take no lock.

        Locks may be held by threads that the child does not have. All signals are blocked.
        """
        ...


def disown_in_children(owner: Owner) -> None:
    """Let each child that is forked from now on call `owner.disown()`, in order of registration.

    Keeps no reference to the object. Thread: any.
    """
    owners = _registry().owners

    def forget(reference: weakref.ref[Owner]) -> None:
        with contextlib.suppress(ValueError):  # a child has cleared the list
            owners.remove(reference)

    owners.append(weakref.ref(owner, forget))


def end_multiprocessing_children(now: Callable[[], float], grace: float) -> list[str]:
    """End the children that multiprocessing has started: SIGTERM, and after `grace` s SIGKILL.

    Otherwise the interpreter would wait for them at its end, for ever if need be. Blocks until
    they are gone, and a moment longer if they hang in the kernel.

    Args:
        now: Seconds on a monotonic clock.
        grace: Seconds between the two signals.

    Returns:
        The names of those that SIGTERM did not end.
    """
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return []
    children = multiprocessing.active_children()
    for each in children:
        each.terminate()
    deadline = now() + grace
    for each in children:
        each.join(max(0.0, deadline - now()))
    left = [each for each in children if each.is_alive()]
    for each in left:
        each.kill()
    for each in left:
        each.join(KILLED_WITHIN)
    return [each.name for each in left]


def kill_multiprocessing_children() -> None:
    """Kill the children that multiprocessing has started. Does not wait."""
    multiprocessing: Any = sys.modules.get("multiprocessing")
    for each in multiprocessing.active_children() if multiprocessing is not None else ():
        each.kill()


class _Registry:
    """The objects that belong to this process, and the functions that Python calls at a fork."""

    def __init__(self) -> None:
        self.owners: list[weakref.ref[Owner]] = []
        self._local = threading.local()

    def before(self) -> None:
        # Until the child has its own handlers, a signal to it would be lost.
        if self.owners:
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            self._local.mask = mask

    def after_in_parent(self) -> None:
        mask = vars(self._local).pop("mask", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def after_in_child(self) -> None:
        owners = self.owners[:]
        self.owners.clear()
        try:
            for reference in owners:
                owner = reference()
                if owner is not None:
                    owner.disown()
        finally:
            self.after_in_parent()


@functools.cache
def _registry() -> _Registry:
    registry = _Registry()
    os.register_at_fork(
        before=registry.before,
        after_in_parent=registry.after_in_parent,
        after_in_child=registry.after_in_child,
    )
    return registry
