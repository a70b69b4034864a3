"""`daemon.queue`: it exists before the engine, and forwards to the engine's queue afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zenactors.core.event_queue import EventQueueManager
from zenactors.errors import QueueEmptyException

if TYPE_CHECKING:
    from zenactors.actors.live_queue import LiveQueue


class DaemonQueue:
    """The event queue of a daemon, from its constructor on. Thread: main; any, once connected."""

    def __init__(self) -> None:
        self._live: LiveQueue | None = None
        self._early: list[tuple[str, tuple[Any, ...]]] = []

    def connect(self, live: LiveQueue) -> None:
        """Schedule in the engine what was scheduled so far, and forward to it from now on."""
        self._live = live
        for method, args in self._early:
            getattr(live, method)(*args)
        self._early.clear()

    def schedule(self, event: Any, args: Any = None) -> Any:
        """Queue an event behind all others."""
        return self._put("schedule", event, args)

    def schedule_next(self, event: Any, args: Any = None) -> Any:
        """Queue an event before all others."""
        return self._put("schedule_next", event, args)

    def schedule_at(self, tstamp: float, event: Any, args: Any = None) -> Any:
        """Queue an event for a Unix time."""
        return self._put("schedule_at", tstamp, event, args)

    def schedule_after(self, delay: float, event: Any, args: Any = None) -> Any:
        """Queue an event for `delay` seconds from now."""
        return self._put("schedule_after", delay, event, args)

    def next(self) -> tuple[Any, Any]:
        """Take the next event out; `(None, None)` if none is due yet."""
        if self._live is not None:
            return self._live.next()
        entry = self._replayed().next()
        for call in self._early:
            if entry == call[1][-2:]:
                self._early.remove(call)
                break
        return entry

    def when(self) -> float:
        """Return the Unix time of the next event.

        Raises:
            IndexError: The queue is empty.
        """
        try:
            return (self._live or self._replayed()).when()
        except QueueEmptyException as cause:
            raise IndexError(str(cause)) from None

    def wait(self) -> float:
        """Return the seconds until the next event is due. Does not wait.

        Raises:
            IndexError: The queue is empty.
        """
        try:
            return (self._live or self._replayed()).wait()
        except QueueEmptyException as cause:
            raise IndexError(str(cause)) from None

    def count(self) -> int:
        """Return how many events are queued."""
        return (self._live or self._replayed()).count()

    def _put(self, method: str, *args: Any) -> Any:
        if self._live is None:
            self._early.append((method, args))
            return None
        return getattr(self._live, method)(*args)

    def _replayed(self) -> EventQueueManager:
        queue = EventQueueManager()
        for method, args in self._early:
            getattr(queue, method)(*args)
        return queue
