"""The dispatcher's turn: taken by one holder at a time, on loan to whoever brings news.

The dispatcher actor's own thread takes the turn when a timed event is due. Otherwise the
thread that brings news (a component that has finished a batch, a producer outside) takes it on
the spot, if nobody has it: that saves two thread switches an event. No user code runs in it and it
never waits for anybody, so it is short.

The invariant that keeps news from being overlooked: news is appended first and then the lock is
tried, and whoever lets go of the lock looks for news once more. If the try fails, the holder's
second look comes after the append.

Atomic operations relied on: `deque.append/popleft`, `Lock.acquire/release`, `SimpleQueue.put`.
`submit_sequential` also relies on the order of two: it appends and then reads
`chain_state.full`, where the turn stores `chain_state.full` and then looks for news. The
interpreter's lock gives that order; without it, the deque's own lock does.
"""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from zenactors.actors.runtime import StateLock
from zenactors.core.clock import LONGEST_SLEEP, Clock
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.event_queue import Scheduled
from zenactors.core.messages import Batch

WALL_CLOCK_CHECK = (
    1.0  # seconds: while an event waits for a wall clock time, look at least so often
)
TIMER_TOLERANCE = 0.001  # seconds: not worth waking the dispatcher's thread for

MAX_INBOX = 1024  # so many events may be left for a later turn


class DispatchLoop:
    """Feed news to the `DispatchState`, and send off what may start. Thread: any.

    Args:
        dispatch: The state machine; touched under this object's lock only.
        clock: Where time comes from.
        send: Sends a batch to the component of its step. Must not block.
        after: Called at the end of every turn while there are `listeners`, under the lock. Must
            not block.
        failed: Called with what a turn raised, under the lock.
        late: Called with an event of the daemon's life and the component that it has gone on
            without, because that is busy.
        lock: Held by whoever has the turn.

    Attributes:
        halted: True once nothing is started any more, and nothing will be.
        listeners: How many threads wait for something a turn may bring. Changed under the lock.
    """

    def __init__(
        self,
        state: DispatchState,
        clock: Clock,
        *,
        send: Callable[[Batch], None],
        after: Callable[[], None],
        failed: Callable[[Exception], None],
        late: Callable[[Any, int], None],
        lock: StateLock,
    ) -> None:
        self._state = state
        self._clock = clock
        self._send = send
        self._after = after
        self._failed = failed
        self._late = late
        self.listeners = 0
        self.halted = False
        self._lock = lock
        self._inbox: deque[Batch | Scheduled | list[Scheduled] | int] = deque()
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeps_until = 0.0
        self._drained_any = False

    def submit(self, inbox: Batch | Scheduled | list[Scheduled] | int) -> None:
        """Bring news, and take the turn if nobody has it. Never waits for the turn.

        Args:
            news: A part that left its chain; one or more scheduled events; or the change
                in the number of active sources.
        """
        self._inbox.append(inbox)
        self._run_if_free()

    def submit_sequential(self, scheduled: Scheduled) -> None:
        """Bring an event that goes behind all others of its producer.

        A lone event of an idle daemon is started on the spot. One that cannot start now spares
        the producer the turn: while nothing starts yet, or while its chain is full, the turn
        that opens the dispatcher, or that of the next completion, looks for news at the end.
        Only so much is left for it: news takes more memory than what is accepted.
        """
        inbox, state = self._inbox, self._state
        chain_state = state.chain_states.get(scheduled.event)
        may_wait = not state.open or (chain_state is not None and chain_state.full)
        if not may_wait and not inbox and self._lock.acquire(blocking=False):
            try:
                batch = state.start_alone(scheduled)
                if batch is not None:
                    self._send(batch)
            finally:
                self._lock.release()
            if batch is not None:
                self._run_if_free()
                return
        inbox.append(scheduled)
        # Looked at once more: what was full before the event stood in the news may not be now.
        if state.open and not (chain_state is not None and chain_state.full):
            may_wait = False
        if not may_wait or len(inbox) > MAX_INBOX:
            self._run_if_free()

    def run_once(self) -> None:
        """Take the turn, waiting for it if need be."""
        with self._lock:
            self._run_locked()
        self._run_if_free()

    @contextlib.contextmanager
    def locked(self) -> Iterator[DispatchState]:
        """Hold the turn, with all news taken in, to look at the dispatch or to change it."""
        try:
            with self._lock:
                self._drained_any = False
                for batch in self._drain_inbox():
                    self._send(batch)
                try:
                    yield self._state
                finally:
                    # Who brought it found the lock taken, or no news left: it relies on this turn.
                    if self._drained_any:
                        self._run_locked()
        finally:
            self._run_if_free()

    def is_open(self) -> bool:
        """Return True if events start. Thread: any; a hint."""
        return self._state.open

    def has_submissions(self) -> bool:
        """Return True if news waits for somebody to take the turn. A hint. Thread: any."""
        return bool(self._inbox)

    def prepare_sleep(self) -> float | None:
        """Return how many seconds to sleep until a timed event is due; None: until the bell rings.

        The bell rings from now on when an earlier one comes.
        """
        with self._lock:
            seconds = self._seconds()
            now = self._clock.monotonic()
            self._sleeps_until = float("inf") if seconds is None else now + seconds
        self._run_if_free()  # news that came while we held the lock; it rings if need be
        return seconds

    def woken(self) -> bool:
        """Return True if the bell has rung. Does not wait."""
        return not self._wake_ups.empty()

    def clear_wake_up(self) -> None:
        """Forget that the bell has rung. Thread: the dispatcher's."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._wake_ups.get_nowait()

    def wake(self) -> None:
        """Wake the dispatcher's thread."""
        self._wake_ups.put(None)

    def park(self) -> bool:
        """Park the dispatcher's thread. True: a timed event is due, take the turn.

        False: the bell rang, or it is time to ask again.
        """
        seconds = self.prepare_sleep()
        if seconds is not None and seconds <= 0:
            return True
        try:
            self._wake_ups.get(timeout=None if seconds is None else min(seconds, LONGEST_SLEEP))
        except queue.Empty:
            return True
        return False

    def _seconds(self) -> float | None:
        seconds = self._state.next_due()
        if seconds is not None and self._state.queue.next_at():
            seconds = min(seconds, WALL_CLOCK_CHECK)
        return seconds

    def _run_if_free(self) -> None:
        while self._inbox and self._lock.acquire(blocking=False):
            try:
                self._run_locked()
            finally:
                self._lock.release()
        if self._state.passed_over:
            self._tell_late()

    def _run_locked(self) -> None:
        state = self._state
        try:
            started = self._drain_inbox()
            if not started or state.queue.waiting():
                started += state.turn()
                while state.more_priority():
                    started += state.turn()
            if state.queue.timed() or state.control_events:
                self._wake_for_timer()
            if self.listeners:
                self._after()
            # Last, because it wakes threads that want the interpreter which this one holds.
            for batch in started:
                self._send(batch)
        except Exception as cause:  # a bug, or an unknown event in pyzenkit's manner: stop, tell
            self._failed(cause)

    def _tell_late(self) -> None:
        # Without the lock: whoever reads the log may ask the queue something.
        with contextlib.suppress(IndexError):  # another thread tells the rest
            while True:
                self._late(*self._state.passed_over.popleft())

    def _wake_for_timer(self) -> None:
        seconds = self._seconds()
        if seconds is None:
            return
        # Two computations of one moment differ by the time between their looks at the clock.
        if self._clock.monotonic() + seconds < self._sleeps_until - TIMER_TOLERANCE:
            self._sleeps_until = 0.0  # it is awake until it says otherwise
            self.wake()

    def _drain_inbox(self) -> list[Batch]:
        """Tell the dispatch what has happened. Return what it started past the queue."""
        inbox = self._inbox
        state = self._state
        started: list[Batch] = []
        while inbox:
            self._drained_any = True
            item: Any = inbox.popleft()
            kind = type(item)
            if kind is Batch:
                children = item.children
                if children is not None:
                    # Accepted before their parent counts as done: never is nothing pending.
                    for child in children:
                        state.accept(child)
                onward = state.complete(item)
                if onward is not None:
                    started.append(onward)
            elif kind is Scheduled:
                if inbox or started or (alone := state.start_alone(item)) is None:
                    state.accept(item)
                else:
                    started.append(alone)
            elif kind is list:
                for child in item:
                    state.accept(child)
            else:
                state.source_changed(item)
        return started
