"""What random programs do on real threads, outside of the engine and in callbacks."""

from __future__ import annotations

import os
import random
import time

from tests.core.replay import Tag
from zenactors.actors.live_queue import LiveQueue
from zenactors.core.messages import Scheduled

SOON = 0.01  # seconds: the longest delay of a timed event


def dawdle(digest: int) -> None:
    """Take time in one of 16 callbacks, so that other threads run meanwhile."""
    if digest % 16 == 0:
        for _ in range((digest >> 8) % 4):  # each may cost a busy machine milliseconds
            os.sched_yield()


def schedule_as_tagged(queue: LiveQueue, rng: random.Random, event: str, args: Tag) -> Scheduled:
    """Schedule an event in the way that its tag names."""
    match args.how:
        case "priority":
            return queue.schedule_priority(event, args)
        case "next":
            return queue.schedule_next(event, args)
        case "after":
            return queue.schedule_after(rng.random() * SOON, event, args)
        case "at":
            return queue.schedule_at(time.time() + rng.random() * SOON, event, args)
        case _:
            return queue.schedule(event, args)
