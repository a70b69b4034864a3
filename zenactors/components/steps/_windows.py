"""Counts in windows of time: which there are, when each is closed, what is said of it. Pure."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

OTHER = "(other)"

Key = tuple[str, ...]
Row = tuple[float, float, Key, int]
"""A window's begin and end, a key, and its count. Times are Unix times in seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class WindowRules:
    """How windows lie.

    Attributes:
        size: Seconds that a window lasts.
        slide: Seconds from the begin of a window to that of the next one; a whole number of them is
            `size`.
        lateness: Seconds that a window is kept open for what comes late.
        max_keys: How many keys are counted in all slides that are kept, the same one in several
            slides as several; further ones count as "(other)".
        max_slides: How many slides are kept.
    """

    size: float
    slide: float
    lateness: float
    max_keys: int
    max_slides: int = 10_000


class Windows:
    """Counts by key and slide, of which windows are made.

    Args:
        rules: How they lie.
        parts: How many parts a key has.
    """

    def __init__(self, rules: WindowRules, parts: int) -> None:
        self._rules = rules
        self._other: Key = (OTHER,) * parts
        self._slides: dict[int, dict[Key, int]] = {}
        self._keys = 0  # in all slides
        self._newest = -(1 << 62)  # the latest slide that was ever counted in
        self._open_from: int | None = None  # all windows that end with an earlier slide are closed
        self._changed: set[int] = set()
        self.watermark = float("-inf")

    # --- counting -------------------------------------------------------------------------------

    def number_of(self, time: float) -> int:
        """Return the number of the slide that a time is in."""
        return int(time // self._rules.slide)

    def takes(self, number: int) -> bool:
        """Return True if a slide is in a window that is open."""
        return self._open_from is None or number > self._open_from - self._per_window

    def add(self, number: int, key: Key, count: int = 1) -> Key:
        """Count events of a key, in a slide that takes them. Return the key they count for."""
        slide = self._slides.get(number)
        if slide is None:
            slide = self._slides[number] = {}
        self._changed.add(number)
        if key not in slide:
            if self._keys >= self._rules.max_keys:
                key = self._other
            else:
                self._keys += 1
        slide[key] = slide.get(key, 0) + count
        self._newest = max(self._newest, number)
        return key

    def reached(self, number: int, key: Key, added: int, threshold: int) -> Row | None:
        """Return the latest window in which the events added last have reached a count.

        Args:
            number: Their slide.
            key: Their key, as `add` has returned it.
            added: How many they are.
            threshold: The count, which the row has.
        """
        # A window that ends later than with the newest slide has no more in it than that one.
        for end in range(min(number + self._per_window - 1, self._newest), number - 1, -1):
            slides = range(end - self._per_window + 1, end + 1)
            count = sum(self._slides[each].get(key, 0) for each in slides if each in self._slides)
            if count - added < threshold <= count:
                return (*self._times(slides), key, threshold)
        return None

    @property
    def has_changed(self) -> bool:
        """True if `changed` has rows."""
        return bool(self._changed)

    @property
    def is_empty(self) -> bool:
        """True if nothing is counted in a window that is open."""
        return not self._slides

    @property
    def _per_window(self) -> int:
        return round(self._rules.size / self._rules.slide)

    # --- closing --------------------------------------------------------------------------------

    def advance(self, watermark: float) -> list[Row]:
        """Close the windows that no event can be in any more. Return their rows.

        Args:
            watermark: The time up to which events have come; it never goes back.
        """
        if watermark <= self.watermark:
            return []
        self.watermark = watermark
        return self._close_before(self.number_of(watermark - self._rules.lateness))

    def bound(self) -> list[Row]:
        """Close the oldest windows if there are too many slides. Return their rows."""
        excess = len(self._slides) - self._rules.max_slides
        if excess <= 0:
            return []
        return self._close_before(sorted(self._slides)[excess - 1] + 1)

    def close_all(self) -> list[Row]:
        """Close all windows. Return their rows."""
        return self._close_before(max(self._slides) + self._per_window) if self._slides else []

    def _close_before(self, number: int) -> list[Row]:
        """Close the slides before one, and the windows that end with them."""
        if self._open_from is not None and number <= self._open_from:
            return []
        ends = self._window_ends(below=number)
        rows = [row for end in ends for row in self._rows(end)]
        self._open_from = number
        oldest = number - self._per_window + 1  # a part of a window that is open
        for each in [each for each in self._slides if each < oldest]:
            self._keys -= len(self._slides.pop(each))
        self._keys = max(0, self._keys)  # "(other)" was not counted
        self._changed = {each for each in self._changed if each >= oldest}
        return rows

    def _window_ends(self, below: int) -> list[int]:
        """Return the last slides of the windows to close: those that are open and have counts."""
        begin = self._open_from
        found: set[int] = set()
        for number in self._slides:
            first = number if begin is None else max(number, begin)
            found.update(range(first, min(number + self._per_window, below)))
        return sorted(found)

    def _rows(self, end: int) -> Iterator[Row]:
        """Yield a row for each key of the window whose last slide this is."""
        slides = range(end - self._per_window + 1, end + 1)
        counts: dict[Key, int] = {}
        for number in slides:
            for key, count in self._slides.get(number, {}).items():
                counts[key] = counts.get(key, 0) + count
        times = self._times(slides)
        for key in sorted(counts):
            yield (*times, key, counts[key])

    def _times(self, slides: range) -> tuple[float, float]:
        return slides.start * self._rules.slide, slides.stop * self._rules.slide

    def changed(self) -> list[Row]:
        """Return the rows of the open windows that have changed since this was called last."""
        changed, self._changed = self._changed, set()
        ends = {end for number in changed for end in range(number, number + self._per_window)}
        open_from = self._open_from
        return [
            row
            for end in sorted(ends)
            if open_from is None or end >= open_from
            for row in self._rows(end)
        ]

    # --- the next run ---------------------------------------------------------------------------

    def stored(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        slides = {
            str(number): [[*key, count] for key, count in slide.items()]
            for number, slide in self._slides.items()
        }
        watermark = None if self.watermark == float("-inf") else self.watermark
        return {"slides": slides, "open_from": self._open_from, "watermark": watermark}

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on where `stored` was called. All open windows count as changed.

        Raises:
            ValueError: It is something else, or was counted by other keys.
        """
        try:
            for number, counts in stored["slides"].items():
                slide = self._slides[int(number)] = {}
                for *key, count in counts:
                    if len(key) != len(self._other):
                        raise ValueError("other keys")
                    slide[tuple(map(str, key))] = int(count)
            open_from, watermark = stored["open_from"], stored["watermark"]
            self._open_from = None if open_from is None else int(open_from)
            self.watermark = float("-inf") if watermark is None else float(watermark)
        except (AttributeError, KeyError, TypeError) as cause:
            raise ValueError(f"no windows: {cause!r}") from cause
        self._keys = sum(map(len, self._slides.values()))
        self._newest = max(self._slides, default=self._newest)
        self._changed = set(self._slides)


def top_of(rows: Iterable[Row], most: int) -> list[Row]:
    """Return the rows with the highest counts of each window, the highest first."""
    by_window: dict[float, list[Row]] = {}
    for row in rows:
        by_window.setdefault(row[0], []).append(row)
    return [
        row
        for begin in sorted(by_window)
        for row in heapq.nsmallest(most, by_window[begin], key=lambda row: (-row[3], row[2]))
    ]
