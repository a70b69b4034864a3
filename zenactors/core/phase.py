"""The phases of an engine, and the one object that knows the current phase.

    NEW -> SETTING_UP -> STARTING -> OPEN -> DRAINING -> HALTED -> DOWN

Phases only go forward. Each is followed by the next one or, if it comes before HALTED, by
HALTED: a start that fails, a callback that stops everything and a stop without draining all
lead there directly.
"""

from __future__ import annotations

import enum
from threading import Lock


class Phase(enum.IntEnum):
    """The phases of an engine. Their order is the order of time."""

    NEW = 0
    """The chains are wired. No thread runs; events may be scheduled."""

    SETTING_UP = 1
    """The actors run. The components are set up one after another."""

    STARTING = 2
    """The `start` event goes through its chain. No other event starts."""

    OPEN = 3
    """Events start."""

    DRAINING = 4
    """A stop was requested. Queued events start, except those for later. Sources are silent."""

    HALTED = 5
    """No event starts any more. The components are torn down."""

    DOWN = 6
    """Every component that could be torn down is. The stop report exists."""


_ADMITTING = frozenset({Phase.OPEN, Phase.DRAINING})


class Lifecycle:
    """The phase of one engine. Thread: any.

    Attributes:
        phase: The current phase. Changed by `advance` only.
        admits: True while events start: in OPEN and DRAINING. Stored, like `halted`, because it is
            read for every event.
        halted: True from HALTED on.
        stop_requested: True once a stop was requested, in any phase. A start that is running
            ends then.
    """

    def __init__(self) -> None:
        self.phase = Phase.NEW
        self.admits = False
        self.halted = False
        self.stop_requested = False
        self._lock = Lock()  # two threads may end a phase at once: one opens, another halts

    def advance(self, phase: Phase) -> Phase | None:
        """Enter a phase.

        Returns:
            The phase that ended. None: this phase or a later one was entered before.

        Raises:
            ValueError: The phases between the current one and this one cannot be skipped.
        """
        with self._lock:
            if phase <= self.phase:
                return None
            if phase is not Phase.HALTED and phase != self.phase + 1:
                raise ValueError(f"{self.phase.name} cannot be followed by {phase.name}.")
            # No call from the first store to the last: neither a signal handler nor an exception
            # of another thread can come in between.
            ended, admits, halted = self.phase, phase in _ADMITTING, phase >= Phase.HALTED
            self.phase = phase
            self.admits = admits
            self.halted = halted
            return ended
