"""Run one component's batches in ticket order, contain its exceptions, and send batches on.

Pure decisions, no thread. The component actor's thread calls `arrive` for each batch that comes
in, and `work` for one stride at a time. In a simulation one thread does this for all components.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from zenactors.core.callbacks import (
    FLAG_CONTINUE,
    Callback,
    answer_error,
    callback_name,
    invalid_answer,
    read_answer,
)
from zenactors.core.chain import Order, Step
from zenactors.core.clock import Clock
from zenactors.core.messages import Batch, DeadLetter, Scheduled
from zenactors.core.policy import EventPolicy
from zenactors.errors import ZenDaemonStopException

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


class IncidentHandler(Protocol):
    """Handles the exceptions of callbacks. None of its methods blocks."""

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep an event that could not be handled."""
        ...

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way, because a callback asked for it."""
        ...


class BatchRunner:
    """Run one component's callbacks, batch by batch, in ticket order.

    Args:
        index: The component's index.
        name: The component's name.
        daemon: Passed to the callbacks as `daemon`.
        sink: Takes the results.
        incidents: Takes dead letters and requests to stop.
        clock: The source of time.
        policy: What callbacks may return, and how control events go on.

    Attributes:
        policy: As above.
        children: The events that callbacks have scheduled and that are not sent on yet.
        collects: True while the component's code may run: what it schedules goes to `children`.
        stopped: True once a callback has asked for an immediate stop. The rest of its batch is not
            run: an output that failed must not receive the events after the gap.

    Thread: own.
    """

    def __init__(
        self,
        index: int,
        name: str,
        daemon: Any,
        sink: ResultSink,
        incidents: IncidentHandler,
        clock: Clock,
        *,
        policy: EventPolicy | None = None,
    ) -> None:
        self.index = index
        self.name = name
        self.children: list[Scheduled] = []
        self.collects = False
        self.stopped = False
        self._not_run = 0
        self._daemon = daemon
        self._sink = sink
        self._incidents = incidents
        self._now = clock.monotonic
        self.policy = policy or EventPolicy()
        self._unpacked = self.policy.answers == "unpacked"
        self._guaranteed = self.policy.control_events == "guaranteed"
        self._ready: deque[Batch] = deque()
        self._expected: dict[Order, int] = {}
        self._early: dict[tuple[Order, int], list[Batch]] = {}
        self._batch: Batch | None = None  # the current one, between two strides
        self._begun = 0.0
        self._done = 0  # its events that were run since `_begun`
        self._position = 0
        self._dead = 0
        self._survivors: list[Any] = []
        self._running: list[Any] = []  # the events of the stride that is being run

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
            early = self._early.pop((order, ticket), None)
            if early is None:
                return
            self._ready.extend(early)
            batch = early[-1]

    def run_control(self, batch: Batch) -> None:
        """Run a batch of the control lane at once, between two strides."""
        step = batch.chain.steps[batch.step]
        survivors: list[Any] = []
        dead = self._run(batch, step, batch.items, survivors)
        # Children of the current batch are sent on too: they were scheduled before its own.
        self._finish(batch, survivors, dead, batch.size, last=True)

    def work(self) -> bool:
        """Run one stride: some events of the current batch, or of the next one.

        Returns:
            True if there is more to run.
        """
        batch = self._batch
        if self.stopped or (batch is None and not self._ready):
            return False
        now = self._now()
        if batch is None:
            batch = self._batch = self._ready.popleft()
            self._begun = now
            self._position = self._done = self._dead = 0
            self._survivors = []
        step = batch.chain.steps[batch.step]
        total = len(batch.items)
        begin, end = self._position, self._position + step.stride
        stride = batch.items if begin == 0 and end >= total else batch.items[begin:end]
        self._running = stride
        self._dead += self._run(batch, step, stride, self._survivors)
        self._running = []
        after = self._now()
        elapsed = after - now
        count = len(stride) - self._not_run
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
            self._batch = None
            # Cleared, because the traceback of a dead letter keeps the frames that hold the lists.
            finished = batch.items
            self._finish(batch, self._survivors, self._dead, batch.size, last=batch.last)
            self._survivors = []
            finished.clear()
            return not self.stopped and bool(self._ready)
        if self.stopped or after - self._begun >= SPLIT_AFTER:
            # If stopped, the rest stays in flight for good: it is reported as left.
            self._send_done(batch)
            self._begun = after
        return not self.stopped

    def disown(self) -> None:
        """In a forked child: run nothing more. All events are the parent's."""
        self.stopped = True
        self._running.clear()  # the loop over it ends with the callback that has forked

    def _send_done(self, batch: Batch) -> None:
        """Send on the finished events of a batch, and keep the rest."""
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
        self._finish(done, self._survivors, self._dead, self._done, last=False)
        batch.size = rest_size
        self._survivors = []
        self._done = self._dead = 0

    def _finish(
        self, batch: Batch, survivors: list[Any], dead: int, size: int, *, last: bool
    ) -> None:
        """Send a batch on: to the next component, or back to the dispatcher."""
        batch.dead += dead
        batch.stopped = size - len(survivors) - batch.dead
        batch.items = survivors
        batch.size = size
        batch.last = last
        children = self.children
        if children:
            self.children = []
        batch.step += 1
        if batch.step == len(batch.chain.steps):
            batch.children = children or None
            self._sink.report(batch)
            return
        if children:
            self._sink.schedule(children)
        self._sink.forward(batch.chain.steps[batch.step].component, batch)

    def _run(self, batch: Batch, step: Step, items: list[Any], survivors: list[Any]) -> int:
        """Run a step's callbacks on each of `items`; return how many were dead-lettered."""
        if len(step.callbacks) > 1 or self._unpacked:
            return self._run_several(batch, step.callbacks, iter(items), survivors)
        callback = step.callbacks[0]
        daemon = self._daemon
        survive = survivors.append
        dead = 0
        each = iter(items)
        args = result = None
        while True:
            # Everything is contained here: a SystemExit that reached pykka's loop would end
            # every actor of the process.
            try:
                for args in each:
                    result = None  # if the call itself fails, this is not the last one's
                    result = callback(daemon, args)
                    if result is None:
                        survive(args)
                        continue
                    # The usual answer first: `read_answer` would add a tenth to every event.
                    flag, changed = result
                    if flag is FLAG_CONTINUE and type(result) is tuple:
                        survive(changed)
                        continue
                    answer = read_answer(result, unpacked=False)
                    if answer is None:
                        raise invalid_answer(callback, result)
                    if answer[0]:
                        survive(changed)
            except BaseException as cause:  # see above
                died = self._contain(batch, callback, args, cause, result)
                if died and self._goes_on(batch):
                    survive(args)
                else:
                    dead += died
                if self.stopped:
                    self._not_run = operator.length_hint(each)
                    return dead
            else:
                args = result = changed = answer = None  # a dead letter keeps this frame
                return dead

    def _run_several(
        self,
        batch: Batch,
        callbacks: tuple[Callback, ...],
        each: Iterator[Any],
        survivors: list[Any],
    ) -> int:
        daemon = self._daemon
        unpacked = self._unpacked
        dead = 0
        for item in each:
            args = item
            for callback in callbacks:
                result = None
                try:
                    result = callback(daemon, args)
                    if result is None and not unpacked:
                        continue
                    answer = read_answer(result, unpacked=unpacked)
                    if answer is None:
                        raise invalid_answer(callback, result)
                except BaseException as cause:  # contained, as in `_run`
                    died = self._contain(batch, callback, args, cause, result)
                    if died and self._goes_on(batch):
                        continue
                    dead += died
                    break
                if not answer[0]:
                    break
                args = answer[1]
            else:
                survivors.append(args)
            if self.stopped:
                self._not_run = operator.length_hint(each)
                break
        item = args = result = answer = None  # as in `_run`
        return dead

    def _goes_on(self, batch: Batch) -> bool:
        """Return True if an event goes on although a callback raised: only control events do."""
        return batch.chain.is_control_event and self._guaranteed and not self.stopped

    def _contain(
        self,
        batch: Batch,
        callback: Callable[..., Any],
        args: Any,
        cause: BaseException,
        result: Any = None,
    ) -> int:
        """Handle an exception of a callback. Return 1 if its event is dead, else 0."""
        if isinstance(cause, ZenDaemonStopException):
            self.stopped = True
            self._incidents.stop_at_once(0, cause)
            return 0
        ends_everything = isinstance(cause, SystemExit | KeyboardInterrupt)
        if result is not None:  # the callback returned: reading it failed
            cause = answer_error(callback, result, cause)
        name = callback_name(callback)
        self._incidents.dead_letter(DeadLetter(batch.chain.event, args, self.name, name, cause))
        if ends_everything:
            self.stopped = True
            self._incidents.stop_at_once(exit_status(cause), cause)
        return 1


def exit_status(cause: BaseException) -> int:
    """Return the exit status that a SystemExit or KeyboardInterrupt asks for."""
    if not isinstance(cause, SystemExit):
        return 130  # what a shell reports for a program that SIGINT ended
    if cause.code is None:
        return 0
    return cause.code if isinstance(cause.code, int) else 1
