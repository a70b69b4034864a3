"""How a dispatcher stops: what a stop leaves undone."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class StopReport:
    """What a stop left undone.

    Attributes:
        drained: True if everything that was queued (events for later excepted) was worked off.
        timed_out: True if that was because the time for it ran out.
        stuck: Names of the components that did not stop; their threads were left behind.
        left: How many events were not worked off.
        later: How many events were still waiting for their time, housekeeping apart.
        dead_letters: How many events could not be handled, in the whole run.
    """

    drained: bool = True
    timed_out: bool = False
    stuck: tuple[str, ...] = ()
    left: int = 0
    later: int = 0
    dead_letters: int = 0
