"""What a sink has applied of its sources' events, so that it applies none twice. Pure decisions.

A source that did not hear of the end of an event hands it on again, perhaps after a crash, and in
other portions. A sink that keeps these ranges in one step with its own data leaves out what it has
already. Ranges and not a single mark, because events may overtake each other on their way, and
because some never come: so nothing is left out that was not applied.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Set
from typing import Any

from zenactors.core.tokens import Origin, path_of

Range = tuple[list[int], list[int], Any]
"""Where it begins and ends, in whole numbers that are compared from the left, and the source's own
position at its end: by it, the source can see if its input still has what was applied."""

Place = tuple[str, str]
"""A path and a key; see `Origin`."""


class Applied:
    """The ranges that were applied, by the events' paths and keys.

    Args:
        stored: What `stored` has returned in an earlier run.

    Raises:
        ValueError: `stored` is something else.
    """

    def __init__(self, stored: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._ranges: dict[Place, list[Range]] = {}
        for path, keys in (stored or {}).items():
            for key, ranges in keys.items():
                self.restore(path, key, ranges)

    def restore(self, path: str, key: str, ranges: Any) -> None:
        """Set the ranges of a key, as `ranges` has returned them.

        Raises:
            ValueError: They are something else.
        """
        try:
            read = [  # an earlier version has noted no positions
                ([*map(int, begin)], [*map(int, end)], position[0] if position else None)
                for begin, end, *position in ranges
            ]
        except (TypeError, ValueError) as cause:
            raise ValueError(f"no ranges: {ranges!r}") from cause
        self._ranges[path, key] = sorted(read, key=_begin_of)

    def covers(self, origin: Origin) -> bool:
        """Return True if an event was applied."""
        ranges = self._ranges.get((origin.path, origin.key))
        if not ranges:
            return False
        at = bisect_right(ranges, origin.begin, key=_begin_of) - 1
        return at >= 0 and origin.end <= ranges[at][1]

    def add(self, origin: Origin) -> None:
        """Note that an event is applied. What its source never hands on again is forgotten."""
        place = (origin.path, origin.key)
        ranges = self._ranges.get(place, []).copy()  # see `copy_of`
        if ranges and origin.floor >= ranges[0][1]:
            ranges = [each for each in ranges if each[1] > origin.floor]
        begin, last = origin.begin, (origin.end, origin.position)
        at = bisect_right(ranges, begin, key=_begin_of)
        if at and ranges[at - 1][1] >= begin:  # it goes on where that one ends
            at -= 1
            begin = ranges[at][0]
            last = max(last, ranges.pop(at)[1:], key=_end_of)
        while at < len(ranges) and ranges[at][0] <= last[0]:
            last = max(last, ranges.pop(at)[1:], key=_end_of)
        ranges.insert(at, (begin, *last))
        self._ranges[place] = ranges

    def ranges(self, path: str, key: str) -> list[Range]:
        """Return the ranges of a key, for JSON."""
        return self._ranges.get((path, key), [])

    def copy_of(self, places: Iterable[Place | None]) -> dict[Place, list[Range]]:
        """Return the ranges of some places, for `put_back`. None is left out."""
        return {each: self._ranges.get(each, []) for each in places if each is not None}

    def put_back(self, copy: Mapping[Place, list[Range]]) -> None:
        """Undo what was added since `copy_of`."""
        self._ranges.update(copy)

    def of_source(self, source: str) -> dict[str, list[Range]]:
        """Return, for each key of a source, all ranges of its events, on whatever path."""
        found: dict[str, list[Range]] = {}
        for (path, key), ranges in self._ranges.items():
            if _is_of(path, source):
                found.setdefault(key, []).extend(ranges)
        return found

    def keep_only(self, source: str, keys: Set[str]) -> list[Place]:
        """Forget all other keys of a source, which it has forgotten. Return their places."""
        gone = [
            (path, key) for path, key in self._ranges if key not in keys and _is_of(path, source)
        ]
        for place in gone:
            del self._ranges[place]
        return gone

    def stored(self) -> dict[str, dict[str, list[Range]]]:
        """Return everything, for JSON."""
        stored: dict[str, dict[str, list[Range]]] = {}
        for (path, key), ranges in self._ranges.items():
            stored.setdefault(path, {})[key] = ranges
        return stored


def _begin_of(each: Range) -> list[int]:
    return each[0]


def _end_of(last: tuple[list[int], Any]) -> list[int]:
    return last[0]


def _is_of(path: str, source: str) -> bool:
    return path.partition("/")[0] == path_of(source)
