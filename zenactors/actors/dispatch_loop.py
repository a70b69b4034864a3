"""Runs the dispatcher's state: any thread may hold it, one at a time.

Threads submit what has happened to an inbox. The state has one lock; the thread that holds it
drains the inbox, lets the state decide what may start, and delivers that to the components'
mailboxes. A submitting thread takes the lock itself if it is free, which saves two thread
switches per event; otherwise the present holder does its work. (This is *flat combining*:
Hendler, Incze, Shavit and Tzafrir, SPAA 2010.) The dispatcher actor's own thread takes the lock
when a timed event is due. A holder runs no user code and waits for no other thread, so it is
quick.

The invariant that keeps a submission from being overlooked: a thread puts it in the inbox first and
tries the lock afterwards, and each holder looks at the inbox again after it has released the lock.
If the lock is taken, its holder will still look at the inbox after the submission. (A thread that
finds the inbox empty and gets the lock at once passes its event to the state directly.)

Atomic operations relied on: `deque.append/popleft`, `Lock.acquire/release`, `SimpleQueue.put`.
`submit_sequential` also relies on the order of two: it appends and then reads
`chain_state.full`, where the holder stores `chain_state.full` and then looks at the inbox. The
interpreter's lock gives that order; without it, the deque's own lock does.
"""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pykka

from zenactors.actors.mailbox import ControlLane, InternalEnvelope
from zenactors.core.clock import LONGEST_SLEEP, Clock
from zenactors.core.messages import Batch, Scheduled, ScheduledEvents, SourceChanged

if TYPE_CHECKING:
    from zenactors.actors.mailbox import Mailbox
    from zenactors.actors.runtime import StateLock
    from zenactors.core.dispatch_state import DispatchState

WALL_CLOCK_CHECK = 1.0  # seconds: the longest sleep while an event waits for a wall clock time
TIMER_TOLERANCE = 0.001  # seconds: a difference that does not justify a wake-up
MAX_INBOX = 1024  # this many events may wait in the inbox for a later holder

Submission = Batch | Scheduled | ScheduledEvents | SourceChanged


class LoopListener(Protocol):
    """Handles what a holder must not handle itself. Called without the lock; must not block."""

    def loop_failed(self, cause: Exception) -> None:
        """Note that the state raised: a bug, or an event that no component handles."""
        ...

    def component_skipped(self, event: Any, component: int) -> None:
        """Note that a control event went on without a component that is busy for too long."""
        ...


class DispatchLoop:
    """Drain the inbox into the `DispatchState`, and deliver what may start. Thread: any.

    It is also the `ResultSink` of the components: it hands batches on and takes results back.

    Args:
        state: The state machine; used only under the lock.
        clock: The source of time.
        mailboxes: The components' mailboxes, by index; complete before any event is admitted.
        listener: Handles problems.
        lock: Held by the thread that runs the state.
    """

    def __init__(
        self,
        state: DispatchState,
        clock: Clock,
        *,
        mailboxes: list[Mailbox],
        listener: LoopListener,
        lock: StateLock,
    ) -> None:
        self.state = state
        self._lifecycle = state.lifecycle
        self._clock = clock
        self._mailboxes = mailboxes
        self._listener = listener
        self._lock = lock
        self._inbox: deque[Submission] = deque()
        self._observers: list[Callable[[], None]] = []
        self._failures: deque[Exception] = deque()
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeps_until = 0.0
        self._drained_any = False

    # --- results of the components (core.batch_runner.ResultSink) ------------------------------

    def forward(self, component: int, batch: Batch) -> None:
        """Put a batch into a component's mailbox. Never blocks."""
        self._mailboxes[component].deliver(batch)

    def schedule(self, children: list[Scheduled]) -> None:
        """Submit events that callbacks scheduled."""
        self.submit(ScheduledEvents(children))

    # --- submitting ----------------------------------------------------------------------------

    def submit(self, submission: Submission | None = None) -> None:
        """Put a submission in the inbox, and run the state unless another thread does.

        Never waits for the lock.

        Args:
            submission: None: nothing new, but the inbox may not be empty.
        """
        if submission is not None:
            self._inbox.append(submission)
        while self._inbox and self._lock.acquire(blocking=False):
            try:
                self._run_locked()
            finally:
                self._lock.release()
        if self._failures or self.state.control_events.skipped:
            self._report_problems()

    report = submit
    """Submit a batch that has left its chain; `ResultSink.report`."""

    def submit_sequential(self, scheduled: Scheduled) -> None:
        """Submit an event that goes behind all others of its producer.

        An idle daemon starts a lone event at once. If the event cannot start now, because its
        chain is full or events are not admitted yet, the producer does not try the lock: the next
        holder finds the event in the inbox. Only `MAX_INBOX` events may wait there, because an
        event in the inbox takes more memory than one in the queue.
        """
        inbox, lifecycle = self._inbox, self._lifecycle
        chain_state = self.state.chain_states.get(scheduled.event)
        may_start = lifecycle.admits and not (chain_state is not None and chain_state.full)
        if may_start and not inbox and self._lock.acquire(blocking=False):
            try:
                self._run_locked(scheduled)
            finally:
                self._lock.release()
            if inbox or self._failures or self.state.control_events.skipped:
                self.submit()
            return
        inbox.append(scheduled)
        # Look again: the chain may have become free before the event was in the inbox.
        if lifecycle.admits and not (chain_state is not None and chain_state.full):
            may_start = True
        if may_start or len(inbox) > MAX_INBOX:
            self.submit()

    # --- holding the state ---------------------------------------------------------------------

    def run_once(self) -> None:
        """Run the state once. Waits for the lock."""
        with self._lock:
            self._run_locked()
        self.submit()

    @contextlib.contextmanager
    def locked(self) -> Iterator[DispatchState]:
        """Hold the state, with the inbox drained, to look at it or to change it."""
        try:
            with self._lock:
                self._drained_any = False
                self._deliver(self._drain())
                try:
                    yield self.state
                finally:
                    # A submitting thread found the lock held, and relies on this holder.
                    if self._drained_any:
                        self._run_locked()
        finally:
            self.submit()

    @contextlib.contextmanager
    def observed(self, observer: Callable[[], None]) -> Iterator[None]:
        """Have `observer` called at the end of each run, under the lock. It must not block."""
        with self.locked():
            self._observers.append(observer)
        try:
            yield
        finally:
            with self.locked():
                self._observers.remove(observer)

    def _run_locked(self, arriving: Scheduled | None = None) -> None:
        state = self.state
        try:
            batches = self._drain() if self._inbox else []
            batches += state.admit(arriving)
            if state.queue.timed or state.control_events.in_flight:
                self._wake_for_timer()
            for observer in self._observers:
                observer()
            # Last, because it wakes threads that compete with this one for the interpreter.
            if batches:
                self._deliver(batches)
        except Exception as cause:  # a bug, or an event that no component handles
            self._failures.append(cause)

    def _drain(self) -> list[Batch]:
        """Pass the inbox to the state. Return the next batches of control events."""
        inbox = self._inbox
        state = self.state
        onward: list[Batch] = []
        while inbox:
            self._drained_any = True
            submission: Any = inbox.popleft()
            kind = type(submission)  # cheaper than `match`, as this runs once for each batch
            if kind is Batch:
                children = submission.children
                if children is not None:
                    # Accepted before their parent is done, so that the daemon never looks idle.
                    for child in children:
                        state.accept(child)
                    submission.children = None
                batch = state.complete(submission)
                if batch is not None:
                    onward.append(batch)
            elif kind is Scheduled:
                state.accept(submission)
            elif kind is ScheduledEvents:
                for child in submission.events:
                    state.accept(child)
            else:
                state.source_changed(submission.change)
        return onward

    def _deliver(self, batches: list[Batch]) -> None:
        mailboxes = self._mailboxes
        for batch in batches:
            mailboxes[batch.chain.steps[0].component].deliver(batch)

    def _report_problems(self) -> None:
        # Without the lock: a log sink may call the queue.
        with contextlib.suppress(IndexError):  # another thread reports the rest
            while True:
                self._listener.loop_failed(self._failures.popleft())
        skipped = self.state.control_events.skipped
        with contextlib.suppress(IndexError):  # as above
            while True:
                self._listener.component_skipped(*skipped.popleft())

    # --- the dispatcher's thread, and the moments at which it runs the state -------------------

    def has_submissions(self) -> bool:
        """Return True if the inbox is not empty. A hint. Thread: any."""
        return bool(self._inbox)

    def prepare_sleep(self) -> float | None:
        """Return the seconds to sleep until something is due. None: sleep until woken.

        From now on an event that is due earlier wakes the dispatcher's thread.
        """
        with self._lock:
            seconds = self._seconds()
            now = self._clock.monotonic()
            self._sleeps_until = float("inf") if seconds is None else now + seconds
        self.submit()  # for submissions that came while the lock was held
        return seconds

    def wake(self) -> None:
        """Wake the dispatcher's thread."""
        self._wake_ups.put(None)

    def woken(self) -> bool:
        """Return True if the dispatcher's thread was woken. Returns at once."""
        return not self._wake_ups.empty()

    def clear_wake_up(self) -> None:
        """Forget that the dispatcher's thread was woken. Thread: the dispatcher's."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._wake_ups.get_nowait()

    def park(self) -> bool:
        """Sleep until something is due. Return False if woken before. Thread: the dispatcher's."""
        seconds = self.prepare_sleep()
        if seconds is not None and seconds <= 0:
            return True
        try:
            self._wake_ups.get(timeout=None if seconds is None else min(seconds, LONGEST_SLEEP))
        except queue.Empty:
            return True
        return False

    def _seconds(self) -> float | None:
        seconds = self.state.next_due()
        if seconds is not None and self.state.queue.next_at():
            seconds = min(seconds, WALL_CLOCK_CHECK)
        return seconds

    def _wake_for_timer(self) -> None:
        seconds = self._seconds()
        if seconds is None:
            return
        # Two computations of one moment differ by the time between their looks at the clock.
        if self._clock.monotonic() + seconds < self._sleeps_until - TIMER_TOLERANCE:
            self._sleeps_until = 0.0  # it is awake until its next `prepare_sleep`
            self.wake()


class TimerDue:
    """Report to the dispatcher that something is due."""


TIMER_DUE = InternalEnvelope(TimerDue())


class DispatcherInbox(ControlLane):
    """The dispatcher actor's inbox: waits for messages and for the next timed event."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: DispatchLoop | None = None

    def put(self, envelope: Any, /, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - pykka's signature
        """Put a message, and wake the dispatcher. Never blocks. Thread: any."""
        self._put_control(envelope)
        if self.loop is not None:
            self.loop.wake()

    def get(self) -> Any:
        """Return the next message, or `TIMER_DUE`; sleeps until there is one. Thread: own."""
        assert self.loop is not None
        while True:
            if self._control:
                try:
                    return self._control.popleft()
                except IndexError:
                    pass  # after `close`, another thread has refused the message
            if self._closed:
                return InternalEnvelope(None)
            if self.loop.park():
                return TIMER_DUE

    def empty(self) -> bool:
        """Return True if no message waits."""
        return not self._control


class DispatcherListener(Protocol):
    """Learns of the dispatcher's thread. Nothing on it blocks. Thread: the dispatcher's."""

    def dispatcher_started(self) -> None:
        """The thread runs."""
        ...

    def dispatcher_ended(self) -> None:
        """The thread is about to end."""
        ...


class DispatcherActor(pykka.ThreadingActor):
    """Own the loop's thread. Runs no user code and never waits for a component."""

    use_daemon_thread = True

    actor_inbox: DispatcherInbox

    def __init__(self, loop: DispatchLoop, listener: DispatcherListener) -> None:
        super().__init__()
        self._loop = loop
        self._listener = listener
        self.actor_inbox.loop = loop

    @staticmethod
    def _create_actor_inbox() -> DispatcherInbox:
        return DispatcherInbox()

    def on_start(self) -> None:
        """Report that the thread runs."""
        self._listener.dispatcher_started()

    def on_stop(self) -> None:
        """Close the inbox: from now on it answers every ask with `ActorDeadError`."""
        self.actor_inbox.close()
        self._listener.dispatcher_ended()

    def on_receive(self, message: Any) -> Any:
        """Run the state once."""
        if isinstance(message, TimerDue):
            self._loop.run_once()
        return None
