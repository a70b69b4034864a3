"""Find a place again in a file that has lost its end, because the power failed. Pure decisions.

Few programs bring their log to the disk: after a power failure it may end where it ended half a
minute earlier, while the position of what was read of it is saved. So some of the places up to
which it was done are remembered, too: the last ones closely, earlier ones ever farther apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from zenactors.components.tail.identity import Mark

DURABLE_AFTER = 120.0  # seconds until the system has surely written what a program has
_ROUNDEST = 32  # the largest power of two that counts: the oldest place is one of the last 128


class Place(NamedTuple):
    """A place up to which a file's content was done.

    Attributes:
        number: Counts the places of a file.
        noted_at: The Unix time at which it was noted.
        offset: In bytes.
        mark: Of the bytes before the offset.
    """

    number: int
    noted_at: float
    offset: int
    mark: Mark

    @classmethod
    def from_json(cls, value: Any) -> Place:
        """Return the place that `as_json` was made of."""
        number, noted_at, offset, length, checksum = value
        return cls(int(number), float(noted_at), int(offset), Mark(int(length), int(checksum)))

    def as_json(self) -> list[Any]:
        """Return it as JSON can hold it."""
        return [self.number, self.noted_at, self.offset, *self.mark]


def noted(trail: list[Place], offset: int, mark: Mark, now: float) -> list[Place]:
    """Return a trail with another place at its end.

    Place `n` is kept for four times the largest power of two that divides `n`, counted in places.
    So of the last 128 there are about 14, and each is at most four times as far back as need be.
    """
    number = trail[-1].number + 1 if trail else 1
    kept = [each for each in trail if number - each.number < _lifetime(each.number)]
    return [*kept, Place(number, round(now), offset, mark)]


def _lifetime(number: int) -> int:
    return 4 * min(number & -number, _ROUNDEST)


def is_durable(trail: list[Place], now: float) -> bool:
    """Return True if the earlier places of a file that does not grow any more are not needed."""
    return now - trail[-1].noted_at > DURABLE_AFTER


def last_kept(
    trail: Iterable[Place], offset: int, holds: Callable[[int, Mark], bool]
) -> Place | None:
    """Return the last place, not behind an offset, at which a file has what it had.

    Args:
        trail: The places.
        offset: The offset.
        holds: Returns True if a file has the marked bytes before an offset.
    """
    for place in sorted(trail, key=lambda place: place.offset, reverse=True):
        if place.offset <= offset and holds(place.offset, place.mark):
            return place
    return None
