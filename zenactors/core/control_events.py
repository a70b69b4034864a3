"""Control events on their way: one component after another, without those that do not answer.

A control event returns to the dispatcher after each component of its chain. So it can go on
without a component that is busy for too long. That component handles the event later; its answer
is then ignored.

Pure decisions, no thread. Thread: the one that holds the dispatcher's state.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from zenactors.core.chain import Chain
from zenactors.core.clock import Clock
from zenactors.core.events import EVENT_SIGNAL_HUP
from zenactors.core.messages import Batch

PATIENCE = 5.0  # seconds that a control event waits for a busy component
RELOAD_PATIENCE = 15.0  # seconds for `signal_hup`, because a reload takes longer


class ControlEvent:
    """One control event in flight.

    Attributes:
        single_steps: One chain of a single step for each component that it visits.
        position: The step where it is.
        args: The args for the component of that step.
        due: When it goes on without that component, on the monotonic clock.
        batch: The batch that this component has to answer. None once the event has ended.
    """

    __slots__ = ("args", "batch", "due", "position", "single_steps")

    def __init__(self, chain: Chain, args: Any) -> None:
        self.single_steps = [
            Chain(chain.event, chain.number, (step,), revisits=False, is_control_event=True)
            for step in chain.steps
        ]
        self.position = 0
        self.args = args
        self.due = 0.0
        self.batch: Batch | None = None


class ControlEvents:
    """Pass control events on from component to component.

    Args:
        clock: The source of time.
        dropped: Gets the args that are no longer needed; see `EventQueueManager`.

    Attributes:
        in_flight: The control events that have not ended.
        skipped: Which event went on without which component. The thread that logs this empties it.
        unanswered: How many components have yet to answer an event that went on without them.
    """

    def __init__(self, clock: Clock, dropped: list[list[Any]]) -> None:
        self._dropped = dropped
        self.in_flight: list[ControlEvent] = []
        self.skipped: deque[tuple[Any, int]] = deque()
        self.unanswered = 0
        self._clock = clock

    def start(self, chain: Chain, args: Any) -> Batch:
        """Return the batch for the first component of a control event's chain."""
        event = ControlEvent(chain, args)
        self.in_flight.append(event)
        return self._visit(event)

    def returned(self, batch: Batch) -> Batch | None:
        """Take back a batch that a component has handled.

        Returns:
            The batch for the next component; `batch` itself if the event has ended; None if
            the event went on without this component, which answers only now.
        """
        event: ControlEvent = batch.origin
        if batch is not event.batch:
            self.unanswered -= 1
            return None
        if batch.items and event.position + 1 < len(event.single_steps):
            self._dropped.append([event.args])
            event.args = batch.items[0]
            event.position += 1
            return self._visit(event)
        self.in_flight.remove(event)
        event.batch = None
        return batch

    def skip_overdue(self) -> list[Batch]:
        """Stop waiting for components that are busy for too long.

        Returns:
            For each of them a batch for `returned`, as if the component had left the event
            unchanged.
        """
        now = self._clock.monotonic()
        answers = []
        for event in self.in_flight:
            if event.due <= now:
                step = event.single_steps[event.position].steps[0]
                self.skipped.append((event.single_steps[event.position].event, step.component))
                self.unanswered += 1
                event.batch = self._batch(event)
                answers.append(event.batch)
        return answers

    def next_due(self) -> float | None:
        """Return the seconds until the next component has been busy for too long, or None."""
        if not self.in_flight:
            return None
        return max(0.0, min(event.due for event in self.in_flight) - self._clock.monotonic())

    def _visit(self, event: ControlEvent) -> Batch:
        name = event.single_steps[event.position].event
        patience = RELOAD_PATIENCE if name == EVENT_SIGNAL_HUP else PATIENCE
        event.due = self._clock.monotonic() + patience
        event.batch = self._batch(event)
        return event.batch

    @staticmethod
    def _batch(event: ControlEvent) -> Batch:
        chain = event.single_steps[event.position]
        batch = Batch(chain, 0, (), [event.args], 1, on_control_lane=True)
        batch.origin = event
        return batch
