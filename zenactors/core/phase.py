"""The phases of an engine, and the one object that knows the current phase.

    NEW -> SETTING_UP -> STARTING -> OPEN -> DRAINING -> HALTED -> DOWN

Phases only go forward. Each is followed by the next one or, if it comes before HALTED, by
HALTED: a start that fails, a callback that stops everything and a stop without draining all
lead there directly.
"""

from __future__ import annotations

import enum


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


class Lifecycle:
    """The phase of one engine. Thread: any.

    It has no lock, so that neither an exception nor a signal handler in the middle of a method
    does any harm: each fact only ever becomes true, by one operation. Atomic operations relied on:
    storing an attribute, `dict.setdefault` and `list(dict)` for a dict of integers.

    Attributes:
        opened: True from OPEN on, and `halted`, True from HALTED on. Both are stored, because they
            are read for every event.
        stop_requested: True once a stop was requested, in any phase. A start that is running
            ends then.
    """

    def __init__(self) -> None:
        self.halted = False
        self.stop_requested = False
        self.opened = False
        self._entered: dict[int, object] = {Phase.NEW.value: None}

    @property
    def phase(self) -> Phase:
        """The current phase. Changed by `advance` only."""
        return Phase(max(list(self._entered)))

    @property
    def admits(self) -> bool:
        """True while events start: in OPEN and DRAINING."""
        return self.opened and not self.halted

    def advance(self, phase: Phase) -> Phase | None:
        """Enter a phase.

        Returns:
            The phase that ended. None: this phase or a later one was entered before.

        Raises:
            ValueError: The phases between the current one and this one cannot be skipped.
        """
        current = self.phase
        if phase <= current:
            return None
        if phase is not Phase.HALTED and phase != current + 1:
            raise ValueError(f"{current.name} cannot be followed by {phase.name}.")
        # Before the phase itself: if an exception strikes in between, the next call does the rest.
        if phase is Phase.OPEN:
            self.opened = True
        elif phase is Phase.HALTED:
            self.halted = True
        mine = object()
        # Of two threads that enter the same phase, one is first.
        return current if self._entered.setdefault(phase.value, mine) is mine else None
