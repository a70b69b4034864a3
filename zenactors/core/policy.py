"""The policy of an engine: what it makes of events in the cases where frameworks differ."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventPolicy:
    """What an engine makes of events in the cases where frameworks differ.

    The defaults suit a service that must go on. `zenactors.pyzenkit` chooses what a program for
    pyzenkit expects.

    Args:
        unknown_events: An event that no component handles: `"refuse"` raises an
            `UnknownEventError` where it is scheduled; `"fail"` queues it, and ends everything
            with status 1 when its turn comes.
        answers: What a callback may return. `"strict"`: None, or a tuple of exactly
            `FLAG_CONTINUE`, `FLAG_STOP`, 1 or 0 and the args. `"unpacked"`: anything that unpacks
            into two values, of which the first continues the chain if it equals `FLAG_CONTINUE`;
            None is an error.
        control_events: `"guaranteed"`: a control event reaches each component of its chain, even
            if a callback raises or a component is busy for long. `"ordinary"`: its chain is like
            every other.
        start_and_stop: `"sent"`: the engine sends the event `start` before all others, and `stop`
            when a stop begins. `"scheduled"`: these events happen only if they are scheduled;
            SIGINT schedules `stop`.
        maintenance: Queued maintenance events alone: `"idle"` lets the daemon end, `"busy"` keeps
            it running.
        hooks: `"engine"`: `setup`, `setup_dump` and `teardown` of the components are called.
            `"program"`: they are not; the program calls them, see `Dispatcher.call`.
    """

    unknown_events: Literal["refuse", "fail"] = "refuse"
    answers: Literal["strict", "unpacked"] = "strict"
    control_events: Literal["guaranteed", "ordinary"] = "guaranteed"
    start_and_stop: Literal["sent", "scheduled"] = "sent"
    maintenance: Literal["idle", "busy"] = "idle"
    hooks: Literal["engine", "program"] = "engine"
