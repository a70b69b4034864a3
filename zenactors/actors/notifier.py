"""Waiting for a fact about the engine: from any thread, without polling."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from zenactors.core.clock import LONGEST_SLEEP

Wait = Callable[[float | None], object]


class Notifier(Protocol):
    """Where the engine says "look again", and where somebody waits for it."""

    def notify(self) -> None:
        """Let everybody who waits look again. Never blocks. Thread: any."""
        ...

    def subscribed(self) -> contextlib.AbstractContextManager[Wait]:
        """Return a function that waits, at most so many seconds, for the next `notify`.

        A `notify` since the subscription or since the last wait ends the next wait at once.
        """
        ...


class ThreadNotifier:
    """Notices for any number of waiting threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: tuple[queue.SimpleQueue[None], ...] = ()

    def notify(self) -> None:
        """Let everybody who waits look again. Never blocks. Thread: any."""
        for bell in self._bells:
            bell.put(None)

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        """See `Notifier.subscribed`."""
        bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        with self._lock:
            self._bells = (*self._bells, bell)

        def wait(timeout: float | None) -> None:
            with contextlib.suppress(queue.Empty):
                bell.get(timeout=LONGEST_SLEEP if timeout is None else min(timeout, LONGEST_SLEEP))
                while True:  # it looks once, however often it was told to
                    bell.get_nowait()

        try:
            yield wait
        finally:
            with self._lock:
                self._bells = tuple(each for each in self._bells if each is not bell)
