"""The messages between producers, the dispatcher and the components."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

from zenactors.core.tokens import Token, TokenOutcome, Tracked

if TYPE_CHECKING:
    from zenactors.core.chain import Chain

NEW = object()  # a location: not in the queue yet
GONE = object()  # a location: started, taken out or cancelled


class QueuePosition(enum.Enum):
    """The position in the queue for which an event is scheduled."""

    BACK = enum.auto()
    FRONT = enum.auto()
    AFTER = enum.auto()  # `when` is on the monotonic clock
    AT = enum.auto()  # `when` is on the wall clock
    PRIORITY = enum.auto()


class Owner(Protocol):
    """The queue of a scheduled event."""

    def cancel(self, scheduled: Scheduled) -> bool:
        """Cancel the event. False: too late, or already cancelled."""
        ...


class _NoOwner:
    """The owner of what is never in a queue."""

    @staticmethod
    def cancel(_scheduled: Scheduled) -> bool:
        """Return False: there is nothing to cancel."""
        return False


NO_OWNER = _NoOwner()


class Scheduled:
    """One scheduled event, and the handle that cancels it.

    Attributes:
        event: The event, unchanged.
        args: Its args, unchanged. None once it was cancelled.
        position: The position for which it is scheduled.
        when: The time at which a timed event is due.
        producer: Identifies the producer in whose order it belongs.
        owner: The queue that can cancel it.
        location: Where it is now: `NEW`, `GONE`, a run, or a place of the queue's own.
        number: Its number in its run.
        chain_state: The `ChainState` of its event, for `DispatchState`; None: not looked up yet.
        token: The token that it carries, or None.
    """

    __slots__ = (
        "args",
        "chain_state",
        "event",
        "location",
        "number",
        "owner",
        "position",
        "producer",
        "token",
        "when",
    )

    def __init__(
        self,
        owner: Owner,
        position: QueuePosition,
        event: Any,
        args: Any,
        when: float = 0.0,
        producer: Hashable = None,
        chain_state: Any = None,
        token: Token | None = None,
    ) -> None:
        self.token = token
        self.event = event
        self.args = args
        self.position = position
        self.when = when
        self.producer = producer
        self.owner = owner
        self.location: Any = NEW
        self.number = 0
        self.chain_state = chain_state

    def cancel(self) -> bool:
        """Cancel the event.

        Returns:
            True: it will not be started. False: it was started or cancelled before.
        """
        return self.owner.cancel(self)


class OpenRun:
    """Events that a producer schedules one after the other by one name, while it does so.

    The producer's thread appends their args, and nothing else is kept. A holder of the state takes
    in what was appended. To stop, it sets `watched` to False and looks a last time; a producer that
    sees this after an append hands the run over once more. Each of the two sees what the other has
    done, because both use the list in between: its lock orders them, without the interpreter's.

    Attributes:
        owner: The queue that can cancel the events.
        event: Their event, unchanged.
        producer: Identifies their producer.
        chain_state: The `ChainState` of the event.
        runner: The runner in whose callbacks they are scheduled; None: a thread outside does so.
        args: Their args; None in place of those that were taken in.
        box: The same list, for the producer. None while its thread appends: what interrupts it
            there, and schedules something itself, cannot take the number of its event.
        watched: True while the holders of the state look for more.
        is_over: True: the producer appends no more, unless it was interrupted while it did.
        taken: How many were taken in.
        withdrawn: How many were cancelled before they were taken in, and are still to be taken in.
        places: Where those are that were taken in: run, first number in it, first number here, how
            many.
    """

    __slots__ = (
        "args",
        "box",
        "chain_state",
        "event",
        "is_over",
        "owner",
        "places",
        "producer",
        "runner",
        "taken",
        "watched",
        "withdrawn",
    )

    def __init__(
        self, owner: Any, event: Any, producer: Hashable, chain_state: Any, runner: Any
    ) -> None:
        self.owner = owner
        self.event = event
        self.producer = producer
        self.chain_state = chain_state
        self.runner = runner
        self.args: list[Any] = []
        self.box: list[Any] | None = self.args
        self.watched = True
        self.is_over = False
        self.taken = 0
        self.withdrawn = 0
        self.places: list[tuple[Any, int, int, int]] = []

    def has_more(self) -> bool:
        """Return True if something was appended that was not taken in."""
        return len(self.args) > self.taken

    def close(self) -> bool:
        """Look no more, and return True if there is something to take in nevertheless."""
        self.watched = False
        return len(self.args.copy()) > self.taken  # a copy uses the list's lock, `len` does not


NO_RUN = OpenRun(None, object(), None, None, None)
"""The open run of a producer that has none."""
NO_RUN.watched = False


class Sent(Scheduled):
    """The handle of an event that was appended to an open run."""

    __slots__ = ("run",)

    run: OpenRun
    position = QueuePosition.BACK
    when = 0.0
    token = None

    # Properties in the places of slots.

    @property
    def event(self) -> Any:
        """The event, unchanged."""
        return self.run.event

    @property
    def owner(self) -> Any:  # type: ignore[override]
        """The queue that can cancel it."""
        return self.run.owner

    @property
    def producer(self) -> Hashable:  # type: ignore[override]
        """Identifies the producer."""
        return self.run.producer

    @property
    def chain_state(self) -> Any:
        """The `ChainState` of the event."""
        return self.run.chain_state


class ManyScheduled:
    """Many events of one name, scheduled at once, and the handle that cancels them.

    Attributes:
        event: The event, unchanged.
        owner: The queue that can cancel them.
        producer: Identifies the producer in whose order they belong.
        chain_state: The `ChainState` of the event.
        token: The token that each of them carries, or None.
        chunks: Their args, in lists, of those that were not accepted yet.
        places: Where the accepted ones are: run, first number, how many.
    """

    __slots__ = ("chain_state", "chunks", "event", "owner", "places", "producer", "token")

    def __init__(
        self,
        owner: Any,
        event: Any,
        producer: Hashable,
        chain_state: Any,
        token: Token | None,
    ) -> None:
        self.owner = owner
        self.event = event
        self.producer = producer
        self.chain_state = chain_state
        self.token = token
        self.chunks: deque[list[Any]] = deque()
        self.places: list[tuple[Any, int, int]] = []

    def cancel(self) -> int:
        """Cancel those of the events that were not started yet. Thread: any.

        Returns:
            How many will not be started.
        """
        cancelled: int = self.owner.cancel_many(self)
        return cancelled


@dataclasses.dataclass(frozen=True, slots=True)
class EndsTold:
    """Report that a component has called the callbacks of tokens that have ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class CopiesHandled:
    """Report that a best-effort component has handled all that it got of a chain."""


class TokenChange(Scheduled):
    """A hold on a token, or the end of one. Submitted among scheduled events, in their order.

    Attributes:
        outcome: With which outcome a hold ends; None for a new hold.
    """

    __slots__ = ("outcome",)

    def __init__(self, token: Token, outcome: TokenOutcome | None) -> None:
        super().__init__(NO_OWNER, QueuePosition.BACK, None, None, token=token)
        self.location = GONE  # it is not to be queued
        self.outcome = outcome


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduledEvents:
    """Hand the dispatcher the events that callbacks scheduled, in this order."""

    events: list[Any]  # `Scheduled`, `OpenRun` or `ManyScheduled`


@dataclasses.dataclass(frozen=True, slots=True)
class SourceChanged:
    """Report that a component became (+1) or ceased to be (-1) an active source."""

    change: int


class Batch:
    """Events of one chain on their way to one step of it.

    A batch belongs to one owner at a time and changes on its way. A component may send on the
    finished events of a batch before the rest; the last of these pieces has `last` set.

    Attributes:
        chain: The chain.
        step: The index of the next step. At the end of the chain, the number of steps.
        tickets: The batch's number in the order of each step; empty if it needs none.
        items: The args of the events that are still on their way; may be empty.
        size: How many events it accounts for, ended ones included.
        stopped: How many of these ended with FLAG_STOP.
        dead: How many of these were dead-lettered.
        left: How many of these were left undone, because the daemon stops.
        completed: How many have left the chain, set by `end`.
        last: False for a piece that is sent on before the rest: it does not advance the order.
        on_control_lane: True if it overtakes the batches in the data lanes of mailboxes.
        children: Events that callbacks scheduled meanwhile; set only on the way to the dispatcher.
        origin: Where its result belongs: a `ControlEvent`, or an event that a router has dealt.
        tracked: True if some of its items are `Tracked`: args with a token.
        done: The tokens of events that have ended well.
        failed: The tokens of events that have failed.
    """

    __slots__ = (
        "chain",
        "children",
        "completed",
        "dead",
        "done",
        "failed",
        "items",
        "last",
        "left",
        "on_control_lane",
        "origin",
        "size",
        "step",
        "stopped",
        "tickets",
        "tracked",
    )

    def __init__(
        self,
        chain: Chain,
        step: int,
        tickets: tuple[int, ...],
        items: list[Any],
        size: int,
        stopped: int = 0,
        dead: int = 0,
        last: bool = True,  # noqa: FBT001, FBT002 - built for every batch: by position
        on_control_lane: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        self.chain = chain
        self.step = step
        self.tickets = tickets
        self.items = items
        self.size = size
        self.stopped = stopped
        self.dead = dead
        self.last = last
        self.on_control_lane = on_control_lane
        self.children: list[Scheduled] | None = None
        self.completed = 0
        self.left = 0
        self.origin: Any = None
        self.tracked = False
        self.done: list[Token] | None = None
        self.failed: list[Token] | None = None

    def end(self) -> None:
        """Count the events that have left the chain, and let go of their args.

        Thread: the last component's, because the end of a user's object may run code.
        """
        self.completed = len(self.items)
        if self.tracked:
            done = [item.token for item in self.items if type(item) is Tracked]
            self.done = done if self.done is None else self.done + done
        self.items.clear()

    def take_ends_of(self, other: Batch) -> None:
        """Take the tokens of ended events from another batch, to be reported first."""
        self.done, other.done = other.done, None
        self.failed, other.failed = other.failed, None

    reply_to = None
    """No thread waits for a reply to a batch."""

    @property
    def message(self) -> Batch:
        """The batch itself: with `reply_to`, it is its own envelope in an actor's inbox."""
        return self
