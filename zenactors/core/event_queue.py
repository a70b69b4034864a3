"""The queue of pending events: pure data, no threads.

Only its owner uses an `EventQueueManager`: in a daemon this is the thread that holds the
dispatcher's state. All other code uses `daemon.queue`, which is safe from any thread.

Priority events are served first, then timed events that are due, then sequential events. The
sequential events of a producer are kept in *runs* of one event name: a run of a thousand events
costs a thousand list slots, and becomes one batch without a look at each event.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Any

from zenactors.core.clock import Clock, SystemClock, to_seconds
from zenactors.core.messages import (
    GONE,
    NEW,
    ManyScheduled,
    OpenRun,
    QueuePosition,
    Scheduled,
)
from zenactors.core.producer_queue import EventRun, ProducerQueue
from zenactors.errors import QueueEmptyException

MAX_RUN = 1024  # the largest window: a longer run could never become one batch
MIN_PRUNED = 64  # a smaller heap keeps cancelled entries until they would have been due
MAX_PRIORITY_STREAK = 100  # this many priority events in a row may hold back the others
MAX_PROMOTED = 1024  # due timed events that one look moves

_TIMED = object()  # a location: in a heap
_PRIORITY = object()  # a location: among the priority events
_CANCELLED = object()  # replaces cancelled args in a run
_Heap = list[tuple[float, int, Scheduled]]


class EventQueueManager:
    """Order events: priority events first, then due timed events, then sequential events.

    Neither events nor args are inspected, compared or copied. Timed events cost O(log n), all
    others O(1). Events due at the same moment come out in the order in which they were scheduled.
    Delays run on the monotonic clock. Times are on the wall clock, which is read again for every
    answer, so a step of it takes effect at once.

    Args:
        clock: The source of time. Default: the machine's clocks.
        maintenance: The names of maintenance events. When due, they become priority events;
            `busy()` does not count them.
        dropped: Gets what the queue no longer needs, in lists: the owner lets go of it later,
            since the end of an object may run code. Default: the queue lets go of it at once.

    Thread: the owner's. All other threads use `daemon.queue`.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        maintenance: frozenset[str] = frozenset(),
        dropped: list[list[Any]] | None = None,
    ) -> None:
        self._dropped = dropped
        self._clock: Clock = clock or SystemClock()
        self._maintenance = maintenance
        self.timed_maintenance = 0
        """How many of the timed events are maintenance events."""
        self._after: _Heap = []
        self._at: _Heap = []
        # Breaks ties. Without it, events due at the same instant would be ordered by comparing
        # payloads, and two dicts cannot be compared: heappush would raise.
        self._order = itertools.count()
        self.timed = 0
        """How many events wait for their time. Cancelled ones do not count, here and below."""
        self.untimed = 0
        """How many events are ready to start, if nothing holds them back."""
        self._priority: deque[Scheduled] = deque()
        self._streak = 0
        self._producer_queues: dict[Hashable, ProducerQueue] = {}
        self.due: deque[ProducerQueue] = deque()
        """The producer queues with due timed events. For `DispatchState`."""
        self.ready: deque[ProducerQueue] = deque()
        """The producer queues with sequential events. For `DispatchState`."""

    def schedule(self, event: Any, args: Any = None, *, producer: Hashable = None) -> Scheduled:
        """Queue an event behind all others of the same producer.

        Args:
            event: Any hashable object, even a falsy one.
            args: Passed unchanged to the first callback of the chain.
            producer: Identifies the producer. Events of different producers have no order.
        """
        return self.insert(Scheduled(self, QueuePosition.BACK, event, args, 0.0, producer))

    def schedule_next(
        self, event: Any, args: Any = None, *, producer: Hashable = None
    ) -> Scheduled:
        """Queue an event before all other sequential ones of the same producer."""
        return self.insert(Scheduled(self, QueuePosition.FRONT, event, args, 0.0, producer))

    def schedule_at(
        self, tstamp: float, event: Any, args: Any = None, *, producer: Hashable = None
    ) -> Scheduled:
        """Queue an event for an absolute time.

        A time already past is not an error: the event is due at once. If the wall clock
        is set, the new time decides when the event is due.

        Args:
            tstamp: Unix time in seconds.
            event: Any hashable object.
            args: Passed unchanged to the first callback of the chain.
            producer: Identifies the producer.

        Raises:
            ValueError: If `tstamp` is NaN or infinite.
        """
        when = to_seconds("tstamp", tstamp)
        return self.insert(Scheduled(self, QueuePosition.AT, event, args, when, producer))

    def schedule_after(
        self, delay: float, event: Any, args: Any = None, *, producer: Hashable = None
    ) -> Scheduled:
        """Queue an event for `delay` seconds from now. Steps of the wall clock do not move it.

        Raises:
            ValueError: If `delay` is NaN or infinite.
        """
        when = self._clock.monotonic() + to_seconds("delay", delay)
        return self.insert(Scheduled(self, QueuePosition.AFTER, event, args, when, producer))

    def schedule_priority(
        self, event: Any, args: Any = None, *, producer: Hashable = None
    ) -> Scheduled:
        """Queue an event before all others except earlier priority events."""
        return self.insert(Scheduled(self, QueuePosition.PRIORITY, event, args, 0.0, producer))

    def insert(self, scheduled: Scheduled) -> Scheduled:
        """Queue `scheduled`, unless it was cancelled before."""
        if scheduled.location is not NEW:
            return scheduled
        position = scheduled.position
        if position is QueuePosition.BACK:
            self._extend(self._producer_queue(("next", scheduled.producer), self.ready), scheduled)
        elif position is QueuePosition.FRONT:
            producer_queue = self._producer_queue(
                ("next", scheduled.producer), self.ready, first=True
            )
            run = EventRun(producer_queue, scheduled.event, scheduled.chain_state)
            producer_queue.runs.appendleft(run)
            producer_queue.count += 1
            self.untimed += 1
            run.add(scheduled)
        elif position is QueuePosition.PRIORITY:
            self._add_priority(scheduled)
        else:
            scheduled.location = _TIMED
            heap = self._after if position is QueuePosition.AFTER else self._at
            heapq.heappush(heap, (scheduled.when, next(self._order), scheduled))
            self.timed += 1
            self.timed_maintenance += self._is_maintenance(scheduled)
        return scheduled

    def insert_run(self, open_run: OpenRun, limit: int) -> tuple[int, int]:
        """Queue what was appended to an open run, and not queued yet: up to `limit` events.

        Returns:
            How many were taken in, and how many of these had been cancelled before.
        """
        begin, args = open_run.taken, open_run.args
        items = args[begin : begin + limit]
        count = len(items)
        if not count:
            return 0, 0
        open_run.taken = begin + count
        args[begin : begin + count] = [None] * count
        producer_queue = self._producer_queue(("next", open_run.producer), self.ready)
        run = self._room_for(producer_queue, open_run.event, open_run.chain_state, count)
        places = open_run.places
        if places and (last := places[-1])[0].taken >= last[1] + last[3]:
            places.clear()  # all of these were taken: a handle need not keep their runs
        places.append((run, run.taken + len(run.args), begin, count))
        run.args += items
        cancelled = 0
        if open_run.withdrawn:
            cancelled = sum(each is _CANCELLED for each in items)
            open_run.withdrawn -= cancelled
            run.cancelled += cancelled
        producer_queue.count += count - cancelled
        self.untimed += count - cancelled
        return count, cancelled

    def insert_many(self, many: ManyScheduled, limit: int) -> tuple[int, int]:
        """Queue events that were scheduled at once.

        Returns:
            How many of their chunks were queued, `limit` at most, and how many events.
        """
        producer_queue = self._producer_queue(("next", many.producer), self.ready)
        chunks = events = 0
        while many.chunks and chunks < limit:
            chunk = many.chunks.popleft()
            run = self._room_for(producer_queue, many.event, many.chain_state, len(chunk))
            many.places.append((run, run.taken + len(run.args), len(chunk)))
            run.args += chunk
            run.tracked = run.tracked or many.token is not None
            chunks += 1
            events += len(chunk)
        producer_queue.count += events
        self.untimed += events
        return chunks, events

    def cancel_many(self, many: ManyScheduled) -> int:
        """Cancel those of many events that were queued and not taken yet. Return how many."""
        cancelled = 0
        for run, first, count in many.places:
            for number in range(max(first, run.taken), first + count):
                cancelled += self._cancel_in_run(run, number)
        return cancelled

    def withdraw(self, open_run: OpenRun, number: int) -> bool:
        """Cancel an event of an open run that is not queued yet. False: it was cancelled before."""
        args = open_run.args[number]
        if args is _CANCELLED:
            return False
        open_run.args[number] = _CANCELLED
        open_run.withdrawn += 1
        self._drop(args)
        return True

    def cancel_sent(self, open_run: OpenRun, number: int) -> EventRun | None:
        """Cancel an event of an open run that was queued.

        Returns:
            The run in which it was. None: it was taken or cancelled before.
        """
        for run, first, begin, count in open_run.places:
            if begin <= number < begin + count:
                return run if self._cancel_in_run(run, first + number - begin) else None
        return None

    @staticmethod
    def queued_of(many: ManyScheduled) -> list[Any]:
        """Return the args of those of many events that were queued and not taken yet."""
        return [
            args
            for run, first, count in many.places
            for args in run.args[max(0, first - run.taken) : max(0, first + count - run.taken)]
            if args is not _CANCELLED
        ]

    def cancel(self, scheduled: Scheduled) -> bool:
        """Cancel an event. False: it was taken or cancelled before."""
        location = scheduled.location
        if location is GONE:
            return False
        scheduled.location = GONE
        if isinstance(location, EventRun) and not self._cancel_in_run(location, scheduled.number):
            return False
        self._drop(scheduled.args)  # not kept until the event would be due
        scheduled.args = None
        if location is _PRIORITY:
            self.untimed -= 1
        elif location is _TIMED:
            self.timed -= 1
            self.timed_maintenance -= self._is_maintenance(scheduled)
            self._prune(self._after if scheduled.position is QueuePosition.AFTER else self._at)
        return True

    def next(self) -> tuple[Any, Any]:
        """Take the next event out of the queue.

        Returns:
            `(event, args)`, or `(None, None)` if all queued events are for later.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        taken = self.take_next()
        return (None, None) if taken is None else (taken[0].event, taken[1])

    def when(self) -> float:
        """Return the Unix time of the next event; now, if one is ready.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        return self._clock.time() + self.wait()

    def wait(self) -> float:
        """Return the seconds until the next event is due; 0.0 if one is ready.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        if self.untimed:
            return 0.0
        seconds = self.next_due()
        if seconds is None:
            raise QueueEmptyException("The event queue is empty.")
        return seconds

    def count(self) -> int:
        """Return how many events are queued, timed ones included."""
        return self.timed + self.untimed

    def busy(self) -> bool:
        """Return True if any event is queued, maintenance events excepted."""
        return self.timed > self.timed_maintenance or self.untimed > 0

    def waiting(self) -> bool:
        """Return True if any queued event is ready to start or due."""
        if self._after or self._at:
            self.promote()
        return self.untimed > 0

    def ahead(self, producer: Hashable) -> int:
        """Return how many sequential and due events of one producer wait."""
        keys = (("next", producer), ("due", producer))
        return sum(
            producer_queue.count
            for key in keys
            if (producer_queue := self._producer_queues.get(key))
        )

    # --- for `DispatchState` ---------------------------------------------------------------

    def take_next(self) -> tuple[Scheduled | EventRun, Any] | None:
        """Take the next event out of the queue. Return what it belongs to, and its args.

        None: all queued events are for later.

        Raises:
            QueueEmptyException: If the queue is empty.
        """
        self.promote()
        priority = self.priority_in_turn()
        if priority is not None:
            return priority, priority.args
        while others := self.due or self.ready:
            producer_queue = others[0]
            run = producer_queue.runs[0]
            taken = self.take(producer_queue, 1)
            self.rotate(others)
            if taken:
                return run, taken[0]
        if not self.timed:
            raise QueueEmptyException("The event queue is empty.")
        return None

    def promote(self) -> None:
        """Move due timed events to their producers' due queues: by moment, then by number.

        Moves `MAX_PROMOTED` at most: `next_due()` is 0 then.
        """
        if not self._after and not self._at:
            return
        now, wall = self._clock.monotonic(), self._clock.time()
        for _ in range(MAX_PROMOTED):
            heap = self._heap_to_promote(now, wall)
            if heap is None:
                return
            self._promote_first(heap)

    def _heap_to_promote(self, now: float, wall: float) -> _Heap | None:
        """Return the heap whose first event comes next, if that is due."""
        first: tuple[float, int] | None = None
        chosen: _Heap | None = None
        for heap, base in ((self._after, now), (self._at, wall)):
            self._skip_gone(heap)
            if not heap or heap[0][0] > base:
                continue
            # Of the two clocks' readings of one moment, the last digits differ.
            moment = round(heap[0][0] - base, 6), heap[0][1]
            if first is None or moment < first:
                first, chosen = moment, heap
        return chosen

    def next_due(self) -> float | None:
        """Return the seconds until the next timed event is due, or None if there is none."""
        for heap in (self._after, self._at):
            self._skip_gone(heap)
        seconds = []
        if self._after:
            seconds.append(self._after[0][0] - self._clock.monotonic())
        if self._at:
            seconds.append(self._at[0][0] - self._clock.time())
        return max(0.0, min(seconds)) if seconds else None

    def has_priority(self) -> bool:
        """Return True if a priority event may be waiting."""
        return bool(self._priority)

    def next_at(self) -> bool:
        """Return True if any event waits for a wall clock time, which may step."""
        return bool(self._at)

    def next_priority(self) -> Scheduled | None:
        """Take the next priority event, or return None."""
        while self._priority:
            scheduled = self._priority.popleft()
            if scheduled.location is _PRIORITY:
                scheduled.location = GONE
                self.untimed -= 1
                return scheduled
        return None

    def priority_in_turn(self) -> Scheduled | None:
        """Take the next priority event. Return None after 100 in a row if others wait."""
        if self._streak < MAX_PRIORITY_STREAK or not (self.due or self.ready):
            priority = self.next_priority()
            if priority is not None:
                self._streak += 1
                return priority
        self._streak = 0
        return None

    def take(self, producer_queue: ProducerQueue, limit: int) -> list[Any]:
        """Take up to `limit` args from the first run; none, if all of these were cancelled."""
        run = producer_queue.runs[0]
        args = run.args
        if len(args) <= limit:
            producer_queue.runs.popleft()
            run.args = []
        else:
            args = args[:limit]
            del run.args[:limit]
        run.taken += len(args)
        if run.cancelled:
            whole = len(args)
            args = [each for each in args if each is not _CANCELLED]
            run.cancelled -= whole - len(args)
        producer_queue.count -= len(args)
        self.untimed -= len(args)
        return args

    def rotate(self, producer_queues: deque[ProducerQueue]) -> None:
        """Put the first of `producer_queues`, just served, last. Drop it if it is empty."""
        producer_queue = producer_queues.popleft()
        if producer_queue.runs:
            producer_queues.append(producer_queue)
        else:
            del self._producer_queues[producer_queue.key]

    # --- inside ----------------------------------------------------------------------------

    def _producer_queue(
        self, key: Hashable, producer_queues: deque[ProducerQueue], *, first: bool = False
    ) -> ProducerQueue:
        producer_queue = self._producer_queues.get(key)
        if producer_queue is None:
            producer_queue = self._producer_queues[key] = ProducerQueue(key)
            if first:
                producer_queues.appendleft(producer_queue)
            else:
                producer_queues.append(producer_queue)
        return producer_queue

    def _extend(self, producer_queue: ProducerQueue, scheduled: Scheduled) -> None:
        self._last_run(producer_queue, scheduled.event, scheduled.chain_state).add(scheduled)
        producer_queue.count += 1
        self.untimed += 1

    def _room_for(
        self, producer_queue: ProducerQueue, event: Any, chain_state: Any, count: int
    ) -> EventRun:
        """Return the run that takes the producer's next `count` events of this name."""
        run = self._last_run(producer_queue, event, chain_state)
        if run.args and len(run.args) + count > MAX_RUN:
            run = EventRun(producer_queue, event, chain_state)
            producer_queue.runs.append(run)
        return run

    @staticmethod
    def _last_run(producer_queue: ProducerQueue, event: Any, chain_state: Any) -> EventRun:
        """Return the run to which the producer's next event of this name belongs."""
        runs = producer_queue.runs
        # Identity, not equality: 1 and True have one chain, but come out as they went in.
        if runs and (run := runs[-1]).event is event and len(run.args) < MAX_RUN:
            return run
        run = EventRun(producer_queue, event, chain_state)
        runs.append(run)
        return run

    def _cancel_in_run(self, run: EventRun, number: int) -> bool:
        index = number - run.taken
        if not 0 <= index < len(run.args) or run.args[index] is _CANCELLED:
            return False
        self._drop(run.args[index])
        run.args[index] = _CANCELLED
        run.cancelled += 1
        run.producer_queue.count -= 1
        self.untimed -= 1
        return True

    def _add_priority(self, scheduled: Scheduled) -> None:
        scheduled.location = _PRIORITY
        self._priority.append(scheduled)
        self.untimed += 1

    def _prune(self, heap: _Heap) -> None:
        """Drop cancelled entries once they are the majority in the heaps."""
        # Time-outs are set and cancelled by the thousand, long before they would be due.
        if len(heap) > MIN_PRUNED and len(self._after) + len(self._at) > 2 * self.timed:
            self._drop(heap[:])
            heap[:] = [entry for entry in heap if entry[2].location is not GONE]
            heapq.heapify(heap)

    def _skip_gone(self, heap: _Heap) -> None:
        while heap and heap[0][2].location is GONE:
            self._drop(heapq.heappop(heap))

    def _drop(self, item: Any) -> None:
        if self._dropped is not None:
            self._dropped.append([item])

    def _is_maintenance(self, scheduled: Scheduled) -> bool:
        # No other type: its `__eq__` or `__hash__` might run code of the user.
        return type(scheduled.event) is str and scheduled.event in self._maintenance

    def _promote_first(self, heap: _Heap) -> None:
        scheduled = heapq.heappop(heap)[2]
        self.timed -= 1
        if self._is_maintenance(scheduled):
            self.timed_maintenance -= 1
            self._add_priority(scheduled)
        else:
            self._extend(self._producer_queue(("due", scheduled.producer), self.due), scheduled)
