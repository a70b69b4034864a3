"""Notice callbacks that do not return. Pure decisions: the caller looks now and then."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Hang:
    """A callback that takes longer than its budget, or that has returned after it did.

    Attributes:
        component: The component's index.
        seconds: How long it has been seen in this callback.
        over: True if it has returned meanwhile.
    """

    component: int
    seconds: float
    over: bool


class HangWatch:
    """Compare what components do with what they did at earlier looks.

    A callback is noticed at the first look after its budget, and reported once. Its time counts
    from the first look at it, so it may have run for up to two looks longer.

    Args:
        budgets: The seconds that each component's callbacks may take, by the component's index.

    Thread: one.
    """

    def __init__(self, budgets: Mapping[int, float]) -> None:
        self._budgets = budgets
        self._seen: dict[int, tuple[Hashable, float]] = {}
        self._hanging: dict[int, float] = {}  # by component: when it was first seen there

    def look(self, now: float, places: Mapping[int, Hashable]) -> list[Hang]:
        """Return what has changed: callbacks over their budget, and those that have returned.

        Args:
            now: Seconds on the monotonic clock.
            places: For each component that runs a callback: which call it is. It need only differ
                from that of the call before.
        """
        changes = []
        for component, since in list(self._hanging.items()):
            if places.get(component) != self._seen[component][0]:
                del self._hanging[component]
                changes.append(Hang(component, now - since, over=True))
        for component in self._seen.keys() - places.keys():
            del self._seen[component]
        for component, place in places.items():
            before = self._seen.get(component)
            if before is None or before[0] != place:
                self._seen[component] = (place, now)
            elif component not in self._hanging and now - before[1] >= self._budgets[component]:
                self._hanging[component] = before[1]
                changes.append(Hang(component, now - before[1], over=False))
        return changes
