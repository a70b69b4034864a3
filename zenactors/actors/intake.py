"""How what was submitted is taken into the dispatcher's state, a bounded part in each hold.

The invariants of this are at the head of `actors.dispatch_loop`.

Atomic operations relied on: `deque.popleft`, `SimpleQueue.get`, and, of the list of an open run, a
slice, the assignment to one, and `len`.
"""

from __future__ import annotations

import queue
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from zenactors.actors.questions import Question, Watch
from zenactors.core.event_queue import MAX_RUN
from zenactors.core.messages import (
    Batch,
    CopiesHandled,
    EndsTold,
    ManyScheduled,
    OpenRun,
    QueuePosition,
    Scheduled,
    ScheduledEvents,
    SourceChanged,
)

if TYPE_CHECKING:
    from zenactors.core.dispatch_state import DispatchState

MAX_TAKEN = 128  # events that one hold takes in, and as many priority events
MIN_OUTSIDE = 32  # submissions from outside that a hold takes in whatever the actors submit
RUN_SHARE = 8  # events of an open run take about as long to take in as one by itself, or a chunk
MAX_QUIET = 64  # open runs: of more, those in which nothing new is found are closed

Submission = (
    Batch
    | Scheduled
    | ManyScheduled
    | OpenRun
    | ScheduledEvents
    | SourceChanged
    | EndsTold
    | CopiesHandled
    | Question
    | Watch
)


class Intake:
    """Keep what threads submit, and take it into the `DispatchState`.

    Args:
        state: The state machine.

    Attributes:
        state: As given.
        outside: What threads outside have submitted. None only wakes the dispatcher's thread.

    Thread: the one that holds the state, unless a method says otherwise.
    """

    def __init__(self, state: DispatchState) -> None:
        self.state = state
        self._inbox: deque[Submission] = deque()
        self.outside: queue.SimpleQueue[Submission | None] = queue.SimpleQueue()
        self._urgent: deque[Scheduled] = deque()  # those of `outside` that overtake all others
        self._arrived: Submission | None = None
        self._rest: list[Any] = []  # taken from `outside`, but not taken in yet
        self._open: list[OpenRun] = []  # to which threads outside may append
        self._questions: list[Question] = []  # that the present holder has taken in
        self._watches: list[weakref.ref[Watch]] = []

    def has_submissions(self) -> bool:
        """Return True if there is anything to take in. A hint. Thread: any."""
        return bool(self._inbox) or self.state.unfinished or self._has_come()

    def backlog(self) -> int:
        """Return how many events from outside the state may not know of yet. Thread: any."""
        return self.outside.qsize() + MAX_TAKEN

    def _has_come(self) -> bool:
        if self._arrived is not None or self._rest or not self.outside.empty():
            return True
        for run in self._open:  # noqa: SIM110 - a generator takes longer
            if run.has_more():
                return True
        return False

    def _take_only(self, batches: list[Batch]) -> Scheduled | None:
        """Take in the only submission of the actors' threads, as `_take_from_inside` does.

        Returns:
            The only event that came with it, if it is behind all others of its producer.
        """
        submission: Any = self._inbox[0]
        kind = type(submission)
        children: list[Any] = []
        if kind is Batch:
            children = submission.children or children
        elif kind is ScheduledEvents:
            children = submission.events
        only = children[0] if len(children) == 1 else None
        if (
            not isinstance(only, Scheduled)
            or only.position is not QueuePosition.BACK
            or only.token is not None  # it may be a part of what the batch has ended
        ):
            self._take_from_inside(batches)
            return None
        self._inbox.popleft()
        if kind is Batch:
            # The daemon does not look idle in between: the same hold admits the event.
            submission.children = None
            batch = self.state.complete(submission)
            if batch is not None:
                batches.append(batch)
        return only

    def _take_from_inside(self, batches: list[Batch]) -> int:
        """Take in what the actors' threads have submitted, and priority events.

        Args:
            batches: Gets the next batches of control events.

        Returns:
            How many more events this hold may take in.
        """
        state, inbox, urgent = self.state, self._inbox, self._urgent
        limit = MAX_TAKEN
        if urgent:
            for _ in range(min(len(urgent), MAX_TAKEN)):
                state.accept(urgent.popleft())
        while inbox and limit > 0:
            submission: Any = inbox.popleft()
            if type(submission) is Batch:  # cheaper than `match`, as this runs for each batch
                limit -= 1
                # Accepted before their parent is done, so that the daemon never looks idle.
                if submission.children is not None:
                    limit = self._accept_some(submission.children, limit)
                    if limit < 0:
                        inbox.appendleft(submission)
                        break
                    submission.children = None
                batch = state.complete(submission)
                if batch is not None:
                    batches.append(batch)
            elif type(submission) is ScheduledEvents:
                limit = self._accept_some(submission.events, limit)
                if limit < 0:
                    inbox.appendleft(submission)
            else:
                limit -= 1
                self._take_rare(submission)
        return limit

    def _accept_some(self, children: list[Any], limit: int) -> int:
        """Accept events, up to a limit, and remove them from their list if some remain.

        Returns:
            The rest of the limit; -1 if it is reached before all were accepted.
        """
        state = self.state
        at, size = 0, len(children)
        while at < size and limit > 0:
            child = children[at]
            behind = at + 1
            if type(child) is OpenRun:
                limit -= self._accept_run(child, limit) - 1
                if child.has_more():
                    break
            elif type(child) is ManyScheduled:
                limit -= state.accept_many(child, limit) - 1
                if child.chunks:
                    break
            else:
                state.accept(child)
            limit -= behind - at
            at = behind
        if at == size:
            return max(0, limit)
        del children[:at]
        return -1

    def _accept_run(self, run: OpenRun, limit: int) -> int:
        """Accept events of an open run, up to a limit. Return how much of that it took."""
        return -(-self.state.accept_run(run, limit * RUN_SHARE) // RUN_SHARE)

    def _take_from_outside(self, limit: int) -> Scheduled | None:
        """Take in what other threads have submitted.

        Returns:
            The only event that has come, if it is behind all others of its producer.
        """
        outside = self.outside
        taken, self._rest = self._rest, []
        if self._arrived is not None:
            taken.append(self._arrived)
            self._arrived = None
        if not taken[1:]:  # otherwise a former hold has left some
            # No other thread takes any now, so there are at least as many.
            taken += [outside.get_nowait() for _ in range(min(limit, outside.qsize()))]
        at, size = 0, len(taken)
        try:
            # First, because what was appended to them comes before what their producers have
            # submitted since.
            if self._open:
                limit = self._take_from_runs(limit)
            elif size == 1:
                only = taken[0]
                if type(only) is Scheduled and only.position is QueuePosition.BACK:
                    at = 1
                    return only
            while at < size and limit > 0:
                submission = taken[at]
                at += 1
                if type(submission) is OpenRun:
                    self._open.append(submission)
                    limit -= self._accept_run(submission, limit)
                elif type(submission) is ManyScheduled:
                    limit -= self.state.accept_many(submission, limit)
                    if submission.chunks:
                        at -= 1
                        break
                elif submission is not None:
                    limit -= 1
                    self._take_rare(submission)
        finally:
            self._rest = taken[at:]
        return None

    def _take_from_runs(self, limit: int) -> int:
        """Take in what was appended to the open runs, each up to where it is now.

        Returns:
            How many more events this hold may take in; 0 if there may be more in the runs.
        """
        still_open = []
        # The producers of some may have ended.
        are_many = len(self._open) > MAX_QUIET
        for run in self._open:
            taken = self._accept_run(run, limit) if limit > 0 else 0
            limit -= taken
            ends = run.is_over or run.taken >= MAX_RUN or (are_many and not taken)
            if (run.watched and not ends) or run.close():
                still_open.append(run)
        self._open = still_open
        return limit

    def _take_rare(self, submission: Any) -> None:
        match submission:
            case Scheduled():
                self.state.accept(submission)
            case Question():
                self._questions.append(submission)
            case Watch():
                self._watches.append(weakref.ref(submission))
            case SourceChanged(change):
                self.state.source_changed(change)
            case EndsTold():
                self.state.tokens.telling -= 1
