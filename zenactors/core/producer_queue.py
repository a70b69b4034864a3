"""The waiting events of one producer, in runs of one event name."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from zenactors.core.tokens import Tracked

if TYPE_CHECKING:
    from zenactors.core.messages import Scheduled


class EventRun:
    """Consecutive events of one name from one producer.

    They are numbered from 0. The first `taken` have left the run, so `args[0]` has the number
    `taken`. Some of the args may be `Tracked`, with a token: then `tracked` is True.
    """

    __slots__ = ("args", "cancelled", "chain_state", "event", "producer_queue", "taken", "tracked")

    def __init__(self, producer_queue: ProducerQueue, event: Any, chain_state: Any) -> None:
        self.producer_queue = producer_queue
        self.event = event
        self.chain_state = chain_state
        self.tracked = False
        self.args: list[Any] = []
        self.taken = 0
        self.cancelled = 0

    def add(self, scheduled: Scheduled) -> None:
        """Add an event of this name behind the others."""
        scheduled.location = self
        scheduled.number = self.taken + len(self.args)
        token = scheduled.token
        if token is None:
            self.args.append(scheduled.args)
        else:
            self.args.append(Tracked(scheduled.args, token))
            self.tracked = True


class ProducerQueue:
    """The waiting events of one producer, in its order."""

    __slots__ = ("count", "key", "runs")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.runs: deque[EventRun] = deque()
        self.count = 0
