"""`daemon.queue`: the event queue for all threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.runtime import Runtime
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.clock import Clock, to_seconds
from zenactors.core.messages import QueuePosition, Scheduled
from zenactors.errors import NotRunningError, QueueFullError, UnknownEventError

STOP_CHECK = 1.0  # seconds: how often a blocked producer checks if the dispatcher has halted


class LiveQueue:
    """The methods of `EventQueueManager`, safe from any thread.

    Events that a callback schedules are submitted after it has returned: with its batch, or after
    about a millisecond. Events that other threads schedule are submitted at once.

    Args:
        loop: Runs the dispatcher's state.
        clock: The source of time.
        runners: The runner of each component's thread, by the thread's identity.
        runtime: Identifies threads, and makes the notifier for producers that wait.
        known: The events that have a chain, or None to accept any event.
        limit: How many events ahead a thread outside may be; None for no limit.
        when_full: The behaviour of `schedule` at that limit: it raises `QueueFullError`, or
            blocks until there is room.
    """

    def __init__(
        self,
        loop: DispatchLoop,
        clock: Clock,
        runners: Mapping[int, BatchRunner],
        runtime: Runtime,
        *,
        known: Collection[Any] | None,
        limit: int | None,
        when_full: Literal["raise", "block"],
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"queue_limit must be at least 1 or None, not {limit!r}.")
        if when_full not in ("raise", "block"):
            raise ValueError(f"queue_full must be 'raise' or 'block', not {when_full!r}.")
        self._loop = loop
        self._lifecycle = loop.state.lifecycle
        self._clock = clock
        self._runners = runners
        self._ident = runtime.ident
        self._producers = runtime.producers
        self._known = known
        self._limit = limit
        self._when_full = when_full
        self._room = runtime.notifier()

    def schedule(self, event: Any, args: Any = None) -> Scheduled:
        """Queue an event behind all others of this producer (this component, or this thread).

        Returns:
            The handle that cancels it.

        Raises:
            UnknownEventError: If no component handles the event.
            NotRunningError: In a thread outside, once no event starts any more.
            QueueFullError: If a limit is set and this thread has reached it.

        Thread: any. Blocks only a thread outside, and only with `queue_full="block"`.
        """
        if self._ident() in self._runners or self._limit is not None or self._lifecycle.halted:
            return self._put(QueuePosition.BACK, event, args, 0.0)
        # The shortest path: each step adds to the latency of an idle daemon.
        if self._known is None:
            hash(event)
        elif event not in self._known:
            raise UnknownEventError(event, known=self._known)
        scheduled = Scheduled(self, QueuePosition.BACK, event, args, 0.0, self._producers.current)
        self._loop.submit_sequential(scheduled)
        return scheduled

    def schedule_next(self, event: Any, args: Any = None) -> Scheduled:
        """Queue an event before all others of this producer. Otherwise as `schedule`."""
        return self._put(QueuePosition.FRONT, event, args, 0.0)

    def schedule_at(self, tstamp: float, event: Any, args: Any = None) -> Scheduled:
        """Queue an event for the Unix time `tstamp`. Never blocks. Thread: any.

        Raises:
            UnknownEventError: If no component handles the event.
            ValueError: If `tstamp` is NaN or infinite.
        """
        return self._put(QueuePosition.AT, event, args, to_seconds("tstamp", tstamp))

    def schedule_after(self, delay: float, event: Any, args: Any = None) -> Scheduled:
        """Queue an event for `delay` seconds from now. Never blocks. Thread: any.

        Raises:
            UnknownEventError: If no component handles the event.
            ValueError: If `delay` is NaN or infinite.
        """
        when = self._clock.monotonic() + to_seconds("delay", delay)
        return self._put(QueuePosition.AFTER, event, args, when)

    def schedule_priority(self, event: Any, args: Any = None) -> Scheduled:
        """Queue an event that overtakes all others, in the components' mailboxes too.

        Never blocks. Thread: any.
        """
        return self._put(QueuePosition.PRIORITY, event, args, 0.0)

    def cancel(self, scheduled: Scheduled) -> bool:
        """Cancel an event. False: it was started or cancelled before. Thread: any."""
        with self._loop.locked() as state:
            cancelled = state.cancel(scheduled)
        self._loop.run_once()  # a thread may be waiting for this event to be gone
        return cancelled

    def ahead(self) -> int:
        """Return how many events of the calling producer wait to be started. Thread: any."""
        ident = self._ident()
        runner = self._runners.get(ident)
        unsent = len(runner.children) if runner else 0
        with self._loop.locked() as state:
            return unsent + state.ahead(runner.name if runner else self._producers.current)

    def next(self) -> tuple[Any, Any]:
        """Take the next event out of the queue instead of having it dispatched. Thread: any.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        with self._loop.locked() as state:
            taken = state.take_next()
        self._loop.run_once()  # a thread may be waiting for this event to be gone
        return taken

    def when(self) -> float:
        """Return the Unix time of the next event; now, if one is ready. Thread: any.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        with self._loop.locked() as state:
            return state.queue.when()

    def wait(self) -> float:
        """Return the seconds until the next event is due. Returns at once. Thread: any.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        with self._loop.locked() as state:
            return state.queue.wait()

    def count(self) -> int:
        """Return how many events are queued, timed ones included. Thread: any."""
        with self._loop.locked() as state:
            return state.queue.count()

    def _put(self, position: QueuePosition, event: Any, args: Any, when: float) -> Scheduled:
        known = self._known
        if known is None:
            hash(event)  # raises if it cannot be an event
        elif event not in known:
            raise UnknownEventError(event, known=known)
        ident = self._ident()
        runner = self._runners.get(ident)
        if runner is not None and position is not QueuePosition.PRIORITY:
            scheduled = Scheduled(self, position, event, args, when, runner.name)
            runner.children.append(scheduled)
            return scheduled
        scheduled = Scheduled(self, position, event, args, when, self._producers.current)
        limited = position is QueuePosition.BACK or position is QueuePosition.FRONT
        if self._limit is not None and limited and self._lifecycle.admits:
            self._make_room(event, self._limit)
        if runner is None and self._lifecycle.halted:
            raise NotRunningError(f"Event {event!r} was not scheduled: the dispatcher has stopped.")
        if position is QueuePosition.BACK:
            self._loop.submit_sequential(scheduled)
        else:
            self._loop.submit(scheduled)
        return scheduled

    def _make_room(self, event: Any, limit: int) -> None:
        if self.ahead() < limit:
            return
        if self._when_full == "raise":
            raise QueueFullError(
                f"Event {event!r} was not scheduled: this thread is {limit} events ahead, which is"
                " the queue's limit. Schedule it again later, or use queue_full='block'."
            )
        with self._room.subscribed() as wait, self._loop.observed(self._room.notify):
            while not self._lifecycle.halted and self.ahead() >= limit:
                wait(STOP_CHECK)
