"""When to look for new data next: at once if idle, seldom if busy. Pure decisions.

Network drivers do the same (NAPI). *Idle*: the descriptor of the notifications is watched, and a
change is read at once. *Busy*: it is not watched; the files that had data are read again after a
delay in proportion to what the last turn cost. After two turns without data it is watched again,
and the files are looked at once more, because a change may have come in between.
"""

from __future__ import annotations

from typing import NamedTuple

SHORTEST = 0.002  # seconds between two turns while busy
LONGEST = 0.020
IDLE_SHARE = 19  # so many times what a turn costs the next one is put off: 5 % of a core at most
_EMPTY_TURNS = 2


class Next(NamedTuple):
    """What to do until the next turn.

    Attributes:
        watch: Watch the notifications: the next one begins a turn.
        delay: Seconds until the next turn at the latest; None: there is no need for one.
    """

    watch: bool
    delay: float | None


_IDLE = Next(watch=True, delay=None)
_LOOK_ONCE_MORE = Next(watch=True, delay=0.0)


class WakeUps:
    """The state between turns. Each turn ends with a call of `ended`."""

    def __init__(self) -> None:
        self._empty = _EMPTY_TURNS + 1  # turns without data in a row; above 2: idle

    def ended(self, *, found: bool, cost: float) -> Next:
        """Decide what is next.

        Args:
            found: The turn has read data.
            cost: CPU seconds that this turn, and all that came of the one before it, took.
        """
        self._empty = 0 if found else min(self._empty + 1, _EMPTY_TURNS + 1)
        if self._empty > _EMPTY_TURNS:
            return _IDLE
        if self._empty == _EMPTY_TURNS:
            return _LOOK_ONCE_MORE
        return Next(watch=False, delay=min(max(cost * IDLE_SHARE, SHORTEST), LONGEST))
