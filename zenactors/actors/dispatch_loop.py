"""Runs the dispatcher's state: one thread of the library holds it at a time.

Threads submit what has happened. The state has one lock; the thread that holds it takes the
submissions in, lets the state decide what may start, and delivers that to the components'
mailboxes.

The threads of the actors put submissions in an inbox. Such a thread takes the lock itself if it is
free, which saves two thread switches per event; otherwise the present holder does its work. (This
is *flat combining*: Hendler, Incze, Shavit and Tzafrir, SPAA 2010.)

All other threads, the main thread above all, hand over to the dispatcher's thread and never hold
the state: a signal handler or an exception from outside may strike them between any two bytecodes.
The one call that puts a submission in the queue also wakes the dispatcher's thread, so whatever
strikes, the submission is either complete or was not made.

Invariants:

- A submission to the inbox is not overlooked: a thread puts it in first and tries the lock
  afterwards, and each holder looks at the inbox again after it has released the lock, or wakes the
  dispatcher's thread.
- Submissions from outside are taken in the order in which they were handed over. The dispatcher's
  thread takes one of them when it wakes, before it has the lock. From the moment at which it is
  about to sleep (`_parked`) until it has stored that one (`_arrived`), no other holder takes any.
- A thread outside may append events to an open run that it has handed over. A holder that takes
  submissions from outside looks at the open runs after it has removed those from their queue, and
  takes what it finds in the runs in first: a producer leaves its run before it submits anything
  that comes behind. It leaves its run once more afterwards, because a signal handler or a finalizer
  may have opened one before the submission was made. No thread sleeps, and no run is dropped,
  before it was closed: see `OpenRun`.
- While the dispatcher's thread runs anything of a user's, it is not parked: another holder takes
  what comes from outside, at the latest a helper of a thread that waits for an answer.
- The args of an event are let go of by the thread of the component that handled it last, or by the
  thread that cancels it. The rest (cancelled timers, questions) is let go of after the hold.
- A hold takes in a bounded number of events and serves a bounded number of runs, whatever producers
  do: about a millisecond's work, after which a priority event has its turn.
- Nothing of a user's runs, is logged or is let go of during a hold, except what the garbage
  collector may run in any thread. A thread that holds the state already never tries to acquire it
  again: what such a finalizer submits is taken in later, and its questions are answered at once.

Atomic operations relied on: `deque.append/popleft`, `RLock.acquire/release`, `SimpleQueue.put/get`,
and one attribute's load or store.
"""

from __future__ import annotations

import contextlib
import math
import queue
import sys
from collections import deque
from collections.abc import Callable, Sized
from typing import TYPE_CHECKING, Any, Protocol

from zenactors.actors.component_messages import TokensEnded
from zenactors.actors.intake import MIN_OUTSIDE, Intake, Submission
from zenactors.actors.mailbox import InternalEnvelope
from zenactors.actors.questions import Question, Watch
from zenactors.core.clock import LONGEST_SLEEP, Clock
from zenactors.core.messages import (
    Batch,
    ManyScheduled,
    OpenRun,
    Scheduled,
    ScheduledEvents,
)
from zenactors.core.tokens import by_owner
from zenactors.errors import NotRunningError

if TYPE_CHECKING:
    from zenactors.actors.mailbox import Mailbox
    from zenactors.actors.runtime import Runtime
    from zenactors.core.dispatch_state import DispatchState

WALL_CLOCK_CHECK = 1.0  # seconds: the longest sleep while an event waits for a wall clock time
TIMER_TOLERANCE = 0.001  # seconds: a difference that does not justify a wake-up
MAX_ROUNDS = 4  # holds in a row of one component's thread, which has its own work to do
MAX_BACKLOG = 2048  # a thread outside waits while the dispatcher's thread is this far behind
MAX_OPENED = 8  # submissions that wait while a thread outside may open a run
BACKLOG_PATIENCE = 0.1  # seconds that it waits at most, for each event
PATIENCE = 0.25  # seconds that a thread waits for an answer before it asks again


class LoopListener(Protocol):
    """Handles what a holder must not handle itself. Called without the lock; must not block."""

    def loop_failed(self, cause: Exception) -> None:
        """Note that the state raised: a bug, or an event that no component handles."""
        ...

    def component_skipped(self, event: Any, component: int) -> None:
        """Note that a control event went on without a component that is busy for too long."""
        ...


class DispatchLoop(Intake):
    """Take submissions into the `DispatchState`, and deliver what may start.

    It is also the `ResultSink` of the components: it hands batches on and takes results back.

    Args:
        state: The state machine; used only by the thread that holds it.
        clock: The source of time.
        mailboxes: The components' mailboxes, by index; complete before any event is admitted.
        listener: Handles problems.
        runtime: Makes the lock, and runs what no thread of an actor can run.

    Attributes:
        own_threads: The identities of the threads that may hold the state: the actors'.
        holds: Returns True if the calling thread holds the state: a finalizer runs in it.
    """

    def __init__(
        self,
        state: DispatchState,
        clock: Clock,
        *,
        mailboxes: list[Mailbox],
        listener: LoopListener,
        runtime: Runtime,
    ) -> None:
        super().__init__(state)
        self.own_threads: set[int] = set()
        self._clock = clock
        self._mailboxes = mailboxes
        self._listener = listener
        self._runtime = runtime
        self._lock = runtime.state_lock()
        self.holds = self._lock._is_owned  # noqa: SLF001 - as `threading.Condition` does
        self._parked = False
        self._serving = False
        self._failures: deque[Exception] = deque()
        self._sleeps_until = 0.0

    # --- results of the components (core.batch_runner.ResultSink) ------------------------------

    def forward(self, component: int, batch: Batch) -> None:
        """Put a batch into a component's mailbox. Never blocks."""
        self._mailboxes[component].deliver(batch)

    def schedule(self, children: list[Any]) -> None:
        """Submit events that callbacks scheduled."""
        self.submit(ScheduledEvents(children))

    # --- submitting ----------------------------------------------------------------------------

    def submit(self, submission: Submission) -> None:
        """Put a submission in the inbox, and run the state unless another thread does.

        Never waits for the lock. Thread: an actor's.
        """
        self._inbox.append(submission)
        self._look_at_inbox()

    def report(self, batch: Batch) -> None:
        """Submit a batch that has left its chain. Thread: its last component's."""
        if batch.origin is None:  # otherwise it goes on with its args
            batch.end()
        self._inbox.append(batch)
        self._look_at_inbox()

    def hand_over(self, scheduled: Scheduled | ManyScheduled | OpenRun) -> None:
        """Hand events to the dispatcher's thread. Thread: any outside.

        Never blocks, unless the dispatcher's thread is far behind: then up to `BACKLOG_PATIENCE`.
        """
        self.outside.put(scheduled)
        if self.outside.qsize() > MAX_BACKLOG:
            self.await_progress()

    def hand_over_urgent(self, scheduled: Scheduled) -> None:
        """Hand a priority event to whichever thread holds the state next. Thread: any outside.

        Blocks as `hand_over` does.
        """
        self.outside.put(scheduled)
        if self._serving:
            # A holder that is awake takes it from here, and it is ignored there then.
            self._urgent.append(scheduled)
        if self.outside.qsize() > MAX_BACKLOG:
            self.await_progress()

    def wants_open_run(self) -> bool:
        """Return True if the dispatcher's thread has something to do, but is not far behind.

        What is appended to an open run is taken in soon then, without a wake-up. If the thread is
        far behind, wait for it first, up to `BACKLOG_PATIENCE`. A hint. Thread: any outside.
        """
        waiting = self.outside.qsize()
        if waiting >= MAX_OPENED:
            self.await_progress()
            waiting = self.outside.qsize()
        return waiting < MAX_OPENED and (waiting > 0 or not self._parked)

    def await_progress(self) -> None:
        """Wait until the dispatcher's thread has taken in what was handed over, or for a while."""
        if self.holds():
            return  # a finalizer, in the middle of a hold: there is no progress while it waits
        self._refuse_if_cut_off()
        question = Question(_nothing)
        self._put(question)
        with contextlib.suppress(queue.Empty):
            question.result(BACKLOG_PATIENCE)

    def start_first(self) -> None:
        """Start the `start` event, before events are admitted. Thread: any."""

        def start(state: DispatchState) -> None:
            for batch in state.start_first():
                self.forward(batch.chain.steps[0].component, batch)

        self.ask(start)

    def disown(self) -> None:
        """In a forked child: nothing is held, and no actor runs. Takes no lock."""
        self._lock = self._runtime.state_lock()
        self.holds = self._lock._is_owned  # noqa: SLF001 - as in `__init__`
        self.own_threads.clear()
        self._serving = self._parked = False
        self._questions, self._watches, self._open = [], [], []

    # --- questions -----------------------------------------------------------------------------

    def ask(self, look: Callable[[DispatchState], Any]) -> Any:
        """Return `look(state)`, called by the thread that holds the state. Thread: any.

        What the calling thread has submitted before is known to the state then. A thread outside
        waits for two switches of threads, an actor's hardly ever.

        Raises:
            NotRunningError: The dispatcher's thread cannot answer: see `is_cut_off`.
        """
        if self.holds():
            return look(self.state)  # a finalizer asks, in the middle of a hold
        self._refuse_if_cut_off()
        question = Question(look)
        while True:
            self._put(question)
            with contextlib.suppress(queue.Empty):
                return question.result(PATIENCE)
            # An exception has broken off the hold that took it in, or the actors have ended. Or
            # the dispatcher's thread waits in a log sink, or in the finalizer of a user's object,
            # perhaps for a lock that the calling thread has.
            self._runtime.run_apart(self._run_instead)

    def change(self, change: Callable[[DispatchState], Any], refused: Any) -> Any:
        """Ask something that changes the state.

        Returns:
            The answer. `refused`, if a finalizer asks in the middle of a hold: the change is made
            after it.
        """
        if self.holds():
            self._inbox.append(Question(change))
            return refused
        return self.ask(change)

    def watch(
        self, condition: Callable[[DispatchState], bool], notify: Callable[[], None]
    ) -> Watch:
        """Return a watch that is met once the condition is true at the end of a hold."""
        self._refuse_if_cut_off()
        watch = Watch(condition, notify)
        self._put(watch)
        return watch

    @staticmethod
    def is_cut_off() -> bool:
        """Return True if no thread can answer: the interpreter ends, and has ended the others."""
        return sys.is_finalizing()

    def _refuse_if_cut_off(self) -> None:
        if self.is_cut_off():
            raise NotRunningError("The dispatcher does not run any more: the interpreter ends.")

    def _put(self, request: Question | Watch) -> None:
        if self._runtime.ident() in self.own_threads:
            self._inbox.append(request)
            self._look_at_inbox()
        else:
            self.outside.put(request)
        if not self._serving:
            self._runtime.run_apart(self._run_unserved)

    # --- holding the state ---------------------------------------------------------------------

    def run_once(self) -> None:
        """Run the state once. Waits for the lock. Thread: the dispatcher's."""
        with self._lock:
            self._sleeps_until = 0.0
            batches, dropped = self._run(outside=True)
        self._after_hold(batches, dropped)
        self._look_at_inbox()

    def release(self) -> None:
        """Release the state if the calling thread holds it: an exception has ended its hold.

        Thread: an actor's, outside of any hold.
        """
        while self.holds():
            self._lock.release()

    def _look_at_inbox(self) -> None:
        if self.holds():
            return  # a finalizer has submitted something in the middle of a hold
        rounds = 0
        while self._inbox or self.state.unfinished:
            if rounds == MAX_ROUNDS:
                self.wake()
                break
            if not self._lock.acquire(False):  # noqa: FBT003 - by name it takes twice as long
                break
            try:
                batches, dropped = self._run(outside=not self._parked)
            finally:
                self._lock.release()
            self._after_hold(batches, dropped)
            rounds += 1
        if self._failures or self.state.control_events.skipped:
            self._report_problems()

    def _run(self, *, outside: bool) -> tuple[list[Batch], list[list[Any]]]:
        """Take submissions in, and start what may start.

        Args:
            outside: True: also those of threads outside.

        Returns:
            What to do once the state is released: the batches to deliver, in any order, because
            they have tickets; what to let go of.
        """
        state = self.state
        batches: list[Batch] = []
        arriving: Scheduled | None = None
        try:
            if outside and self._has_come():
                limit = self._take_from_inside(batches)
                arriving = self._take_from_outside(max(limit, MIN_OUTSIDE))
            elif len(self._inbox) == 1 and not self._urgent:
                arriving = self._take_only(batches)
            else:
                self._take_from_inside(batches)
            batches += state.admit(arriving)
            if self._questions:
                self._answer()
                batches += state.admit()
            if state.taps:
                self._pass_best_effort()
            if state.queue.timed or state.control_events.in_flight:
                self._wake_for_timer()
            if state.tokens.finished:
                self._tell_ends()
            if self._watches and not self._inbox:
                self._look_at_watches()
        except Exception as cause:  # a bug, or an event that no component handles
            self._failures.append(cause)
            self._answer()
        dropped = state.dropped[:]
        state.dropped.clear()
        return batches, dropped

    def _after_hold(self, batches: list[Batch], dropped: list[list[Any]]) -> None:
        # Delivered last, because it wakes threads that compete with this one for the interpreter.
        for batch in batches:
            self._mailboxes[batch.chain.steps[0].component].deliver(batch)
        for items in dropped:
            items.clear()  # objects of the user may die here, and run code of theirs

    def _pass_best_effort(self) -> None:
        """Deliver copies to best-effort components: during the hold, because they have no tickets.

        Submit the batches that have no other components.
        """
        copies, passed = self.state.copies, self.state.passed
        while copies:
            component, copy = copies[0]
            self._mailboxes[component].deliver(copy)
            copies.popleft()  # if an exception came between: its second copy never has its turn
        while passed:
            self._inbox.append(passed.popleft())

    def _tell_ends(self) -> None:
        """Tell the components that tokens of theirs have ended, before any watch is met."""
        finished = self.state.tokens.finished
        for owner, tokens in by_owner(finished).items():
            self._mailboxes[owner].put(InternalEnvelope(TokensEnded(tokens)))
            self.state.tokens.telling += 1
        finished.clear()

    def _answer(self) -> None:
        questions, self._questions = self._questions, []
        for question in questions:
            question.reply(self.state)
        self.state.dropped.append(questions)  # they refer to what they are about

    def _look_at_watches(self) -> None:
        state = self.state
        left = []
        for reference in self._watches:
            watch = reference()
            if watch is not None and not watch.look(state):
                left.append(reference)
        self._watches = left

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

    def begin_serving(self) -> None:
        """Take submissions from outside from now on. Thread: the dispatcher's."""
        with self._lock:  # no other thread runs the state in its place any more
            self._serving = self._runtime.hands_over

    def end_serving(self) -> None:
        """Take no more submissions from outside. Thread: the dispatcher's."""
        with self._lock:
            self._serving = self._parked = False

    def _run_unserved(self) -> None:
        """Take everything in, if the dispatcher's thread does not run. Thread: made for it."""
        more = True
        while more:
            with self._lock:
                if self._serving:
                    return
                batches, dropped = self._run(outside=True)
                more = self.has_submissions()
            self._after_hold(batches, dropped)
        if self._parked and not self._sleeps_until:
            self.wake()  # this thread has taken the wake-up that was meant for the dispatcher's
        self._look_at_inbox()

    def _run_instead(self) -> None:
        """Run the state while the dispatcher's thread does not. Thread: made for it."""
        with self._lock:
            if self._parked:
                return  # it is about to do so itself
            batches, dropped = self._run(outside=True)
        self._after_hold(batches, dropped)
        self._look_at_inbox()

    def wake(self) -> None:
        """Wake the dispatcher's thread."""
        self.outside.put(None)

    def run_and_park(self, messages: Sized, longest: float) -> None:
        """Run the state. If nothing is left, sleep until something is due or was submitted.

        Args:
            messages: It does not sleep while there are any. Their sender wakes it afterwards.
            longest: It sleeps for so many seconds at most.

        Thread: the dispatcher's.
        """
        skipped = self.state.control_events.skipped
        with self._lock:
            self._sleeps_until = 0.0
            batches, dropped = self._run(outside=True)
            # What a user's code does next may take long, so the thread is not parked meanwhile.
            is_free = not dropped and not self._failures and not skipped
            seconds = self._prepare_sleep() if is_free else 0.0
        self._after_hold(batches, dropped)
        if self._inbox or self._failures or skipped or messages:
            self._parked = False
            self._report_problems()
            return
        if seconds is None or seconds > 0:
            try:  # noqa: SIM105 - `suppress` takes longer
                self._arrived = self.outside.get(
                    timeout=longest if seconds is None else min(seconds, longest)
                )
            except queue.Empty:
                pass  # something is due
            self._parked = False

    def unpark(self) -> None:
        """Note that the thread takes nothing that it does not store at once."""
        self._parked = False

    def prepare_sleep(self) -> float | None:
        """Return the seconds to sleep until something is due. None: sleep until woken.

        If that is not 0, the thread is about to take the next submission from outside, and an
        event that is due earlier wakes it.
        """
        with self._lock:
            return self._prepare_sleep()

    def _prepare_sleep(self) -> float | None:
        if self.has_submissions():
            return 0.0
        if self._open:
            # From now on, a thread that appends something wakes this one.
            self._open = [run for run in self._open if run.close()]
            if self._open:
                return 0.0
        seconds = self._seconds()
        if seconds is None:
            self._sleeps_until = math.inf
        elif seconds > 0:
            seconds = min(seconds, LONGEST_SLEEP)
            self._sleeps_until = self._clock.monotonic() + seconds
        self._parked = seconds is None or seconds > 0
        return seconds

    def _seconds(self) -> float | None:
        if not self.state.queue.timed and not self.state.control_events.in_flight:
            return None
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


def _nothing(_state: DispatchState) -> None:
    """Ask nothing: the answer says that everything handed over before was taken in."""
