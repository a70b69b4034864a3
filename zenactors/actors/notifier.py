"""Waits for facts about the engine: in any thread, without polling."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Protocol

from zenactors.core.clock import LONGEST_SLEEP, Deadline, SystemClock

Wait = Callable[[float | None], object]


class Notifier(Protocol):
    """Wakes the threads that wait for a fact about the engine, so that they look again."""

    def notify(self) -> None:
        """Wake all waiting threads. Never blocks. Thread: any."""
        ...

    def subscribed(self) -> contextlib.AbstractContextManager[Wait]:
        """Return a function that waits for the next `notify`. It takes a time-out in seconds.

        A `notify` since the subscription or since the last wait ends the next wait at once.
        """
        ...


class ThreadNotifier:
    """A notifier for any number of waiting threads.

    It has no lock: a signal handler may use it while its own thread is in the middle of a method.
    Atomic operations relied on: storing, deleting and listing items of a dict.
    """

    def __init__(self) -> None:
        self._subscribers: dict[int, queue.SimpleQueue[None]] = {}

    def notify(self) -> None:
        """Wake all waiting threads. Never blocks. Thread: any."""
        for wake_ups in list(self._subscribers.values()):
            wake_ups.put(None)

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        """See `Notifier.subscribed`."""
        wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()

        def wait(timeout: float | None) -> None:
            with contextlib.suppress(queue.Empty):
                seconds = LONGEST_SLEEP if timeout is None else min(timeout, LONGEST_SLEEP)
                wake_ups.get(timeout=seconds)
                while True:  # several notifications end one wait
                    wake_ups.get_nowait()

        try:
            self._subscribers[id(wake_ups)] = wake_ups
            yield wait
        finally:
            self._subscribers.pop(id(wake_ups), None)


class Flag:
    """Something that becomes true once, and that threads may wait for.

    Unlike `threading.Event` it has no lock: see `ThreadNotifier`.

    Args:
        notifier: Wakes the waiting threads.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._is_set = False

    def is_set(self) -> bool:
        """Return True once it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake all waiting threads. Never blocks. Thread: any."""
        self._is_set = True
        self._notifier.notify()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most `timeout` seconds. Return True if it is."""
        deadline = Deadline(SystemClock(), timeout)
        with self._notifier.subscribed() as wait:
            while not self._is_set and not deadline.over():
                wait(deadline.remaining())
        return self._is_set
