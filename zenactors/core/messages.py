"""What travels between the dispatcher and the components: batches and their parts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zenactors.core.chain import Chain
    from zenactors.core.event_queue import Scheduled


class Batch:
    """A batch, or a part of one: events of one chain on their way to one step of it.

    It is handed from one owner to the next and never shared, so it may change on the way.

    Attributes:
        chain: The way it takes.
        step: The step it is due at.
        tickets: The batch's place in the order of each step; empty if it needs none.
        items: The args of the events that are still on their way; may be empty.
        size: How many events of the batch it stands for, gone ones included.
        stopped: How many of these ended with FLAG_STOP.
        dead: How many of these were dead-lettered.
        last: True for the last part of its batch: it advances the order.
        on_control_lane: True if it travels on the control lane, past all others.
        children: Events that were scheduled meanwhile; set only on the way to the dispatcher.
        origin: For what a front dealt to a replica: where its result belongs.
    """

    __slots__ = (
        "chain",
        "children",
        "dead",
        "items",
        "last",
        "on_control_lane",
        "origin",
        "size",
        "step",
        "stopped",
        "tickets",
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
        self.origin: Any = None

    reply_to = None
    """Parts are told, never asked: nobody waits for an answer."""

    @property
    def message(self) -> Batch:
        """The part itself: with `reply_to`, it is its own envelope in an actor's inbox."""
        return self

    def done(self) -> bool:
        """Return True if the part has left the last step of its chain."""
        return self.step == len(self.chain.steps)


@dataclasses.dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be handled.

    Attributes:
        event: The event's name.
        args: What the failing callback was given.
        component: The component's name.
        callback: The callback's name.
        cause: The exception, with its traceback.
    """

    event: Any
    args: Any
    component: str
    callback: str
    cause: BaseException
