"""Waits for facts about the engine: in any thread, without polling."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from zenactors.core.clock import LONGEST_SLEEP

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
    """A notifier for any number of waiting threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: tuple[queue.SimpleQueue[None], ...] = ()

    def notify(self) -> None:
        """Wake all waiting threads. Never blocks. Thread: any."""
        for wake_ups in self._subscribers:
            wake_ups.put(None)

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        """See `Notifier.subscribed`."""
        wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        with self._lock:
            self._subscribers = (*self._subscribers, wake_ups)

        def wait(timeout: float | None) -> None:
            with contextlib.suppress(queue.Empty):
                seconds = LONGEST_SLEEP if timeout is None else min(timeout, LONGEST_SLEEP)
                wake_ups.get(timeout=seconds)
                while True:  # several notifications end one wait
                    wake_ups.get_nowait()

        try:
            yield wait
        finally:
            with self._lock:
                self._subscribers = tuple(
                    each for each in self._subscribers if each is not wake_ups
                )
