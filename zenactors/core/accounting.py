"""The books of a dispatcher: each accepted event is in exactly one place. Pure data."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one chain's events. Two `Counts` can be added.

    Whenever no thread holds the dispatcher's state, they are balanced: `accepted == completed +
    stopped + dead + left + cancelled + waiting + in_flight`. `str()` shows that as one line.

    Attributes:
        accepted: Accepted by the dispatcher. A dead letter that is replayed is a new event.
        completed: Handled by the whole chain.
        stopped: Ended by a callback's FLAG_STOP, or by a request to stop everything.
        dead: Dead-lettered. A control event that fails in one component goes on to the others,
            and is not counted here.
        waiting: In the queue, for its turn or for its time. After a stop, for ever.
        in_flight: Under way in the chain. After a stop, for ever: with a component that hangs.
        left: Left undone on their way, because the daemon stops.
        cancelled: Cancelled, or taken out of the queue, before they were started.
        lost: How often a best-effort component did not get one of these events. Apart from the
            rest: the event itself goes on.
    """

    accepted: int = 0
    completed: int = 0
    stopped: int = 0
    dead: int = 0
    waiting: int = 0
    in_flight: int = 0
    left: int = 0
    cancelled: int = 0
    lost: int = 0

    def __add__(self, other: Counts) -> Counts:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Counts(*(a + b for a, b in pairs))

    @property
    def pending(self) -> int:
        """How many events have not ended: those that wait, and those in flight."""
        return self.waiting + self.in_flight

    @property
    def ended(self) -> int:
        """How many events have ended, however they did."""
        return self.completed + self.stopped + self.dead + self.left + self.cancelled

    @property
    def is_balanced(self) -> bool:
        """True if each accepted event has either ended or is pending, and no count is negative."""
        return self.accepted == self.ended + self.pending and min(dataclasses.astuple(self)) >= 0

    def __str__(self) -> str:
        parts = (
            (self.completed, "completed"),
            (self.stopped, "stopped"),
            (self.dead, "dead"),
            (self.left, "left"),
            (self.cancelled, "cancelled"),
            (self.waiting, "waiting"),
            (self.in_flight, "in flight"),
        )
        sum_of = " + ".join(f"{number:,} {name}" for number, name in parts if number) or "0"
        line = f"{self.accepted:,} accepted = {sum_of}"
        if not self.is_balanced:
            missing = self.accepted - self.ended - self.pending
            line += f" + {missing:,} unaccounted for"
        return f"{line}; {self.lost:,} lost by best effort" if self.lost else line


@dataclasses.dataclass(frozen=True, slots=True)
class ComponentCounts:
    """What one component has done.

    Attributes:
        handled: How many events its callbacks were called with, however these ended. An event that
            visits the component twice counts twice. Of `Replicas`, each instance has its own.
        failed: How many dead letters it has caused.
        restarts: How many times it was made anew after a failure.
    """

    handled: int = 0
    failed: int = 0
    restarts: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class BestEffortCounts:
    """The events that a best-effort component was to get. Two of them can be added.

    `offered == handled + failed + left + lost + pending`. The counts of the chains are apart from
    these: there, an event goes on without the component.

    Attributes:
        offered: How many events have passed the component's place on their chains.
        handled: How many of these it has handled.
        failed: How many became dead letters.
        left: How many were left undone, because the daemon stops.
        lost: How many it did not get, because as many as its limit were pending.
    """

    offered: int = 0
    handled: int = 0
    failed: int = 0
    left: int = 0
    lost: int = 0

    def __add__(self, other: BestEffortCounts) -> BestEffortCounts:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return BestEffortCounts(*(a + b for a, b in pairs))

    @property
    def pending(self) -> int:
        """How many events wait for the component, or are under way in it."""
        return self.offered - self.handled - self.failed - self.left - self.lost

    def __str__(self) -> str:
        return (
            f"{self.offered:,} offered = {self.handled:,} handled + {self.failed:,} failed"
            f" + {self.left:,} left + {self.lost:,} lost + {self.pending:,} pending"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Accounting:
    """The books at one moment. `str()` shows them as a text of several lines.

    Attributes:
        events: The counts of each chain, by its event.
        components: What each component has done, by its name. Other threads count there
            meanwhile, so these numbers may be some events behind or ahead of those of the chains.
        open_tokens: How many events with an `on_done` are not done.
        oldest_token: The age of the oldest of these, in seconds; 0 if there is none.
        best_effort: The events of each best-effort component, by its name.
    """

    events: Mapping[Any, Counts]
    components: Mapping[str, ComponentCounts]
    open_tokens: int = 0
    oldest_token: float = 0.0
    best_effort: Mapping[str, BestEffortCounts] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """The counts of all chains together."""
        return functools.reduce(operator.add, self.events.values(), Counts())

    @property
    def is_balanced(self) -> bool:
        """True if no event was lost, or counted twice, on any chain."""
        return not self.imbalance()

    def imbalance(self) -> str:
        """Return the first event, or component, that does not add up, as one line; else empty."""
        for event, counts in self.events.items():
            if not counts.is_balanced:
                return f"events {event!r} do not add up: {counts}"
        for name, copies in self.best_effort.items():
            if copies.pending < 0:
                return f"the events for {name}, by best effort, do not add up: {copies}"
        return ""

    def __str__(self) -> str:
        lines = [f"all events: {self.total}"]
        lines += [f"  {event}: {counts}" for event, counts in self.events.items()]
        lines += [
            f"{name}: {each.handled:,} handled, {each.failed:,} failed, {each.restarts:,} restarts"
            for name, each in self.components.items()
        ]
        lines += [f"{name}, best effort: {each}" for name, each in self.best_effort.items()]
        if self.open_tokens:
            lines.append(
                f"open tokens: {self.open_tokens:,}, the oldest {self.oldest_token:,.1f} s"
            )
        return "\n".join(lines)
