"""Run one component's batches in ticket order, contain its exceptions, and send batches on.

Pure decisions, no thread. The component actor's thread calls `arrive` for each batch that comes
in, and `work` for one stride at a time. In a simulation one thread does this for all components.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import Any, Protocol

from zenactors.core.best_effort import offer
from zenactors.core.callback_runner import CallbackRunner
from zenactors.core.chain import Order
from zenactors.core.clock import Clock
from zenactors.core.failure_handler import Fate, IncidentHandler, TryAgain
from zenactors.core.messages import Batch, Scheduled
from zenactors.core.policy import EventPolicy
from zenactors.core.supervision import Supervisor
from zenactors.core.tokens import Tracked
from zenactors.core.turn import Turn

MAX_STRIDE = 64  # events between two looks at the clock and the control lane
SHORT_STRIDE = 0.000_25  # seconds: a stride that takes less may double
LONG_STRIDE = 0.000_5  # seconds: one that takes more is cut in proportion
SPLIT_AFTER = 0.001  # seconds: after them the finished events of a batch are sent on


class ResultSink(Protocol):
    """Takes a runner's results. None of its methods blocks."""

    def forward(self, component: int, batch: Batch) -> None:
        """Hand a batch to the component of its next step."""
        ...

    def report(self, batch: Batch) -> None:
        """Report to the dispatcher that a batch has left its chain. Accept its `children` first."""
        ...

    def schedule(self, children: list[Scheduled]) -> None:
        """Hand the dispatcher the events that callbacks scheduled."""
        ...


class BatchRunner(CallbackRunner):
    """Run one component's callbacks, batch by batch, in ticket order.

    Args:
        index: The component's index.
        name: The component's name.
        daemon: Passed to the callbacks as `daemon`.
        sink: Takes the results.
        incidents: Takes dead letters and requests to stop.
        clock: The source of time.
        supervisor: As for `FailureHandler`.
        try_again: As for `FailureHandler`.
        policy: As for `FailureHandler`.

    Attributes:
        children: The events that callbacks have scheduled and that are not sent on yet.
        handled: How many events the component's callbacks were called with.
        holds: The component's holds on tokens that have not ended.
        collects: True while the component's code may run: what it schedules goes to `children`.
        leaves: True: give back what arrives undone, because the component stays down and the daemon
            stops.

    Thread: own.
    """

    __slots__ = (
        "_begun",
        "_control",
        "_dead",
        "_done",
        "_early",
        "_expected",
        "_now",
        "_position",
        "_ready",
        "_running",
        "_sink",
        "_survivors",
        "children",
        "collects",
        "handled",
        "holds",
        "leaves",
    )

    def __init__(
        self,
        index: int,
        name: str,
        daemon: Any,
        sink: ResultSink,
        incidents: IncidentHandler,
        clock: Clock,
        *,
        supervisor: Supervisor,
        try_again: TryAgain | None = None,
        policy: EventPolicy | None = None,
    ) -> None:
        super().__init__(
            index,
            name,
            daemon,
            incidents,
            supervisor=supervisor,
            try_again=try_again,
            policy=policy or EventPolicy(),
        )
        self.children: list[Any] = []  # `Scheduled`, or `ManyScheduled`
        self.handled = 0
        self.holds: set[Any] = set()
        self.collects = False
        self.leaves = False
        self._sink = sink
        self._now = clock.monotonic
        self._ready: deque[Batch] = deque()
        self._expected: dict[Order, int] = {}
        self._early: dict[tuple[Order, int], list[Batch]] = {}
        self._begun = 0.0
        self._done = 0  # its events that were run since `_begun`
        self._position = 0
        self._dead = 0
        self._survivors: list[Any] = []
        self._running: list[Any] = []  # the events of the stride that is being run
        self._control: _ControlRun | None = None  # the batch of the control lane that is being run

    def arrive(self, batch: Batch) -> None:
        """Accept a batch. Keep it until all batches with earlier tickets have arrived.

        A batch of the control lane is run at once, between two strides.
        """
        if batch.on_control_lane:
            if not self.stopped:
                self.run_control(batch)
            return
        order = batch.chain.steps[batch.step].order
        ticket = batch.tickets[batch.step]
        if ticket != self._expected.get(order, 0):
            self._early.setdefault((order, ticket), []).append(batch)
            return
        self._ready.append(batch)
        while batch.last:
            ticket += 1
            self._expected[order] = ticket
            early = self._early.pop((order, ticket), None) if self._early else None
            if early is None:
                return
            self._ready.extend(early)
            batch = early[-1]

    def run_control(self, batch: Batch) -> None:
        """Run a batch of the control lane at once, between two strides.

        A component that is down leaves the event unchanged.
        """
        run = self._begin_control(batch)
        if self.failure is not None:
            run.survivors = batch.items
        else:
            self._run_control(run)
        self._end_control(run)

    def _run_control(self, run: _ControlRun) -> None:
        batch = run.batch
        step = batch.chain.steps[batch.step]
        self.handled += len(batch.items)
        if self.is_limited:
            self._control = run
            while run.position < len(batch.items) and not self._pauses():
                run.position += 1
                run.dead += self._run(batch, step, [run.current], run.survivors)
            run.survivors += batch.items[run.position :]
            self._control = None
        else:
            run.dead = self._run(batch, step, batch.items, run.survivors)
        self._under_way = None

    def _begin_control(self, batch: Batch) -> _ControlRun:
        run = _ControlRun(batch, self._left)
        self._left = 0
        return run

    def _end_control(self, run: _ControlRun) -> None:
        """Send a batch of the control lane on, unless it is held until the restart."""
        if not self._is_held(run.batch):
            # Children of the current batch are sent on too: they were scheduled before its own.
            self._finish(run.batch, run.survivors, run.dead, run.batch.size, last=True)
        self._left = run.left_before

    def _is_held(self, batch: Batch) -> bool:
        return bool(self._held) and self._held[-1][0] is batch

    def _run_held(self) -> None:
        """Go on with control events that a restart has interrupted."""
        while self._held and not self._pauses():
            batch, begin, args = self._held.popleft()
            run = self._control = self._begin_control(batch)
            run.position = 1  # a batch of the control lane has one event
            item = run.current
            if type(item) is Tracked:
                self.token, item = item.token, item.args
            self._calls += 1
            self._under_way = iter(())
            callbacks = batch.chain.steps[batch.step].callbacks
            if self.is_limited:
                callbacks = self._limited(callbacks)
            fate = self._run_all(batch, callbacks, begin, args)
            run.dead = self._dispose(batch, fate, item, run.survivors)
            self.token = self._under_way = self._control = None
            self._end_control(run)

    def work(self) -> bool:
        """Run one stride: some events of the current batch, or of the next one.

        Returns:
            True if there is more to run.
        """
        if self.leaves:
            self._leave_all()
            return False
        if self._held:
            self._run_held()
        batch = self._batch
        if self.stopped or self.failure is not None or (batch is None and not self._ready):
            return False
        if batch is None and len(self._ready[0].items) == 1:
            return self._work_on_one()
        now = self._now()
        if batch is None:
            batch = self._batch = self._ready.popleft()
            self._begun = now
            self._position = self._done = self._dead = 0
            self._survivors = []
        step = batch.chain.steps[batch.step]
        total = len(batch.items)
        # An event that was tried before has a stride of its own: its attempts are its alone. So has
        # one in which the thread may be abandoned: no other event is under way then.
        tried_before = self._attempts > 0
        is_alone = tried_before or self.is_limited
        begin, end = self._position, self._position + (1 if is_alone else step.stride)
        stride = batch.items if begin == 0 and end >= total else batch.items[begin:end]
        self._not_run = 0
        self._running = stride
        self._dead += self._run(batch, step, stride, self._survivors)
        self._under_way = None
        self._running = []
        after = self._now()
        elapsed = after - now
        count = len(stride) - self._not_run
        if tried_before and count:
            self._attempts = 0
        self.handled += count
        self._position += count
        self._done += count
        if elapsed < SHORT_STRIDE:
            if count == step.stride:
                step.stride = min(MAX_STRIDE, count * 2)
        elif elapsed > LONG_STRIDE:
            step.stride = max(1, int(count * SHORT_STRIDE / elapsed))
        if stride is not batch.items:
            stride.clear()
        if self._position >= total:
            self._finish_current(batch)
            return not self._pauses() and bool(self._ready)
        if self._pauses() or after - self._begun >= SPLIT_AFTER:
            # If stopped, the rest stays in flight for good: it is reported as left.
            self._send_done(batch)
            self._begun = after
        return not self._pauses()

    def _work_on_one(self) -> bool:
        """Run the next batch, which has a single event. Return True if there is more to run.

        The clock matters only to a stride that may have to be cut.
        """
        batch = self._batch = self._ready.popleft()
        step = batch.chain.steps[batch.step]
        begun = 0.0 if step.stride == 1 else self._now()
        self._position = self._done = self._dead = self._not_run = 0
        survivors = self._survivors = []
        items = self._running = batch.items
        dead = self._run(batch, step, items, survivors)
        self._under_way = None
        self._running = []
        if self._not_run or not items:  # to be tried again; or in a forked child
            return False
        if step.stride > 1 and self._now() - begun > LONG_STRIDE:
            step.stride = 1
        self.handled += 1
        self._batch = None
        self._finish(batch, survivors, dead, batch.size, last=batch.last)
        self._survivors = []
        items.clear()  # as in `_finish_current`
        return bool(self._ready) and not self._pauses()

    def _finish_current(self, batch: Batch) -> None:
        """Send on the current batch: all of its events have been run."""
        self._batch = None
        # Cleared, because the traceback of a dead letter keeps the frames that hold the lists.
        finished = batch.items
        self._finish(batch, self._survivors, self._dead, batch.size, last=batch.last)
        self._survivors = []
        finished.clear()

    def has_work(self) -> bool:
        """Return True if there is anything to run now."""
        return self._batch is not None or bool(self._ready) or bool(self._held)

    # --- a thread that was abandoned ------------------------------------------------------------

    def abandon(self) -> BatchRunner:
        """Return a runner that goes on in place of this one. Its next call is `end_abandoned`.

        Thread: the one that has ended the turn of the call under way.
        """
        successor = copy.copy(self)
        # What the abandoned thread may still use is not shared; what only its runner uses is.
        self.is_abandoned = True
        self.collects = False
        successor.children = self.children.copy()
        self.children.clear()  # what it has sent on meanwhile is this very list
        successor.holds = set(self.holds)
        successor.collects = successor.is_abandoned = False
        successor._turn = successor._under_way = None  # noqa: SLF001 - of this class
        return successor

    def end_abandoned(self, cause: BaseException, turn: Turn) -> None:
        """Go on with what the abandoned thread has left: the event under way is dead.

        Nothing more is run before the component was made anew. Thread: own.

        Args:
            cause: Why the thread was abandoned.
            turn: That of the call under way.
        """
        self._fail(cause)
        self._attempts, self._resume = 0, None
        run, self._control = self._control, None
        batch = self._batch
        if run is not None and self._goes_on(run.batch) and not turn.callback.is_last:
            # As after every other failure, the rest of them run in the new object.
            self._bury(run.batch, turn.callback, turn.args, cause)
            self._held.append((run.batch, turn.callback.number + 1, turn.args))
            self._left = run.left_before
        elif run is not None:
            survivors = run.survivors
            dead = run.dead + self._end_event(run.batch, turn, cause, run.current, survivors)
            survivors += run.batch.items[run.position :]
            self._finish(run.batch, survivors, dead, run.batch.size, last=True)
            self._left = run.left_before
        elif batch is not None and self._running:
            item = self._running[0]
            self._dead += self._end_event(batch, turn, cause, item, self._survivors)
            self.handled += 1
            self._position += 1
            self._done += 1
            if self._position >= len(batch.items):
                self._finish_current(batch)
            else:
                self._send_done(batch)
        self._running = []
        self.token = None  # of a timer's `part_of`

    def _end_event(
        self, batch: Batch, turn: Turn, cause: BaseException, item: Any, survivors: list[Any]
    ) -> int:
        self.token = item.token if type(item) is Tracked else None
        self._bury(batch, turn.callback, turn.args, cause)
        dead = self._dispose(batch, Fate.DEAD, turn.args, survivors)
        self.token = None
        return dead

    def _leave_all(self) -> None:
        """Give back everything that has arrived, undone."""
        self._attempts, self._resume = 0, None
        while self._held:
            held, _, _ = self._held.popleft()
            self._finish(held, held.items, 0, held.size, last=True)
        while self._batch is not None or self._ready:
            batch = self._batch
            if batch is None:
                batch = self._ready.popleft()
                self._survivors, self._dead, self._position = [], 0, 0
            self._batch = None
            undone = batch.items[self._position :]
            self._left += len(undone)
            if batch.tracked:
                failed = [item.token for item in undone if type(item) is Tracked]
                for token in failed:
                    token.is_left = True
                batch.failed = [*(batch.failed or ()), *failed]
            left_items, survivors, self._survivors = batch.items, self._survivors, []
            self._finish(batch, survivors, self._dead, batch.size, last=batch.last)
            left_items.clear()

    def disown(self) -> None:
        """In a forked child: run nothing more. All events are the parent's."""
        self.stopped = True
        self._running.clear()  # the loop over it ends with the callback that has forked

    def _send_done(self, batch: Batch) -> None:
        """Send on the finished events of a batch, if there are any, and keep the rest."""
        if not self._done:
            return
        rest_size = batch.size - self._done
        done = Batch(
            batch.chain,
            batch.step,
            batch.tickets,
            [],
            self._done,
            on_control_lane=batch.on_control_lane,
            last=False,
        )
        done.tracked = batch.tracked
        done.take_ends_of(batch)
        self._finish(done, self._survivors, self._dead, self._done, last=False)
        batch.size = rest_size
        self._survivors = []
        self._done = self._dead = 0

    def _finish(
        self, batch: Batch, survivors: list[Any], dead: int, size: int, *, last: bool
    ) -> None:
        """Send a batch on: to the next component, or back to the dispatcher."""
        if len(survivors) != size or self._left:  # otherwise all of them go on, as most do
            batch.dead += dead
            batch.left += self._left
            self._left = 0
            batch.stopped = size - len(survivors) - batch.dead - batch.left
        batch.items = survivors
        batch.size = size
        batch.last = last
        children = self.children
        if children:
            self.children = []
        chain = batch.chain
        step = batch.step = batch.step + 1
        if chain.taps is not None:
            offer(chain.taps[step], batch, self._sink.forward)
        if step == len(chain.steps):
            batch.children = children or None
            self._sink.report(batch)
            return
        if children:
            self._sink.schedule(children)
        self._sink.forward(chain.steps[step].component, batch)


class _ControlRun:
    """A batch of the control lane that is being run, event by event.

    Attributes:
        batch: The batch.
        position: How many of its events were begun.
        survivors: The args of those that go on.
        dead: How many are dead.
        left_before: How many events the batch that it has interrupted has left undone.
    """

    __slots__ = ("batch", "dead", "left_before", "position", "survivors")

    def __init__(self, batch: Batch, left_before: int) -> None:
        self.batch = batch
        self.left_before = left_before
        self.position = 0
        self.survivors: list[Any] = []
        self.dead = 0

    @property
    def current(self) -> Any:
        """The event that was begun last."""
        return self.batch.items[self.position - 1]
