"""The dispatcher's state of one chain: its window, and the counters of its events."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from zenactors.core.accounting import Counts
from zenactors.core.chain import Chain
from zenactors.core.clock import Clock
from zenactors.core.messages import Batch

if TYPE_CHECKING:
    from zenactors.core.producer_queue import ProducerQueue

MIN_WINDOW = 16
MAX_WINDOW = 1024
REFILL = 4  # a full window is refilled when 1/REFILL of it is free
FAST_WINDOW = 0.005  # seconds: a full window that takes no longer lets the window double
SLOW_WINDOW = 0.020  # seconds: one that takes longer halves it


class ChainState:
    """The window and the counters of one chain.

    The window limits how many of its events are in flight. It grows while the chain is quick and
    shrinks while it is slow.

    Attributes:
        chain: The chain.
        orders: The order to which each step belongs.
        components: The component of each step; one that is none if there are no steps.
        window: How many events may be in flight.
        least_window: The minimum of the window.
        full: True while no event may start. Any thread may read it as a hint.
        in_flight: How many data events are in flight. The window limits this number.
        control_in_flight: How many events are in flight on the control lane.
        waiting: How many events are in the queue.
        cancelled: How many events were cancelled, or taken out of the queue.
        passed: How many data events have left the chain, however they ended.
        held_back: The producers whose next event waits for the window, first come first served.
    """

    __slots__ = (
        "_full_since",
        "_through_at",
        "accepted",
        "cancelled",
        "chain",
        "completed",
        "components",
        "control_in_flight",
        "dead",
        "full",
        "held_back",
        "in_flight",
        "least_window",
        "left",
        "orders",
        "passed",
        "stopped",
        "waiting",
        "window",
    )

    def __init__(self, chain: Chain, widths: Mapping[int, int]) -> None:
        self.chain = chain
        width = max(widths.get(step.component, 1) for step in chain.steps)
        self.least_window = min(MAX_WINDOW, MIN_WINDOW * width)
        self.read_steps()
        self.window = self.least_window
        self.full = False
        self.in_flight = 0
        self.control_in_flight = 0
        self.passed = 0
        self.accepted = self.completed = self.stopped = self.dead = self.left = self.waiting = 0
        self.cancelled = 0
        self.held_back: deque[ProducerQueue] = deque()
        self._through_at: int | None = None  # `passed` when all events of a full window have left
        self._full_since = 0.0

    def read_steps(self) -> None:
        """Take over the steps of the chain."""
        steps = self.chain.steps
        self.orders = tuple(step.order for step in steps)
        # Without any, a number that no component has, so that its batches are told from others.
        self.components = tuple(step.component for step in steps) or (-1 - self.chain.number,)

    def note_if_full(self, clock: Clock) -> bool:
        """Return True if no event may start, and begin to measure the time of this window."""
        if self.in_flight < self.window:
            return False
        self.full = True
        if self._through_at is None:
            self._through_at = self.passed + self.in_flight
            self._full_since = clock.monotonic()
        return True

    def complete(self, batch: Batch, clock: Clock) -> None:
        """Count a batch that has left the chain, and adjust the window."""
        size = batch.size
        self.completed += batch.completed
        self.stopped += batch.stopped
        self.dead += batch.dead
        self.left += batch.left
        if batch.on_control_lane:
            self.control_in_flight -= size
            return
        self.in_flight -= size
        self.passed += size
        if self._through_at is not None and self.passed >= self._through_at:
            self._adjust_window(clock.monotonic() - self._full_since)
        room = self.window - self.in_flight
        # While producers are held back, wait until there is room for a batch worth sending.
        self.full = room < self.window // REFILL if self.held_back else room <= 0

    def counts(self) -> Counts:
        """Return the counts."""
        return Counts(
            accepted=self.accepted,
            completed=self.completed,
            stopped=self.stopped,
            dead=self.dead,
            waiting=self.waiting,
            in_flight=self.in_flight + self.control_in_flight,
            left=self.left,
            cancelled=self.cancelled,
            lost=sum(tap.lost for taps in self.chain.taps or () for tap in taps),
        )

    def _adjust_window(self, elapsed: float) -> None:
        self._through_at = None
        if elapsed <= FAST_WINDOW:
            self.window = min(MAX_WINDOW, self.window * 2)
        elif elapsed > SLOW_WINDOW:
            self.window = max(self.least_window, self.window // 2)
