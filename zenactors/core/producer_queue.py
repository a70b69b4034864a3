"""The waiting events of one producer, in runs of one event name."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from zenactors.core.tokens import Tracked

if TYPE_CHECKING:
    from zenactors.core.messages import Scheduled


class EventRun:
    """Consecutive events of one name from one producer.

    They are numbered from 0. The first `taken` have left the run, so `args[0]` has the number
    `taken`. Some of the args may be `Tracked`, with a token: then `tracked` is True.
    """

    __slots__ = ("args", "cancelled", "chain_state", "event", "producer_queue", "taken", "tracked")

    def __init__(self, producer_queue: ProducerQueue, first: Scheduled) -> None:
        self.producer_queue = producer_queue
        self.event = first.event
        self.chain_state = first.chain_state
        token = first.token
        self.tracked = token is not None
        self.args = [first.args if token is None else Tracked(first.args, token)]
        self.taken = 0
        self.cancelled = 0


class ProducerQueue:
    """The waiting events of one producer, in its order."""

    __slots__ = ("count", "key", "runs")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.runs: deque[EventRun] = deque()
        self.count = 0
