"""Notice callbacks that do not return, and decide what follows. Pure: the caller looks at times.

A callback over its budget is reported. One over its hard limit is interrupted, and if that does not
help, its thread is abandoned.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Hashable, Mapping

INTERRUPT_GRACE = 1.0  # seconds between an interrupt and the end of patience
MAX_ABANDONED = 4  # threads of one component
MAX_ABANDONED_IN_ALL = 16


class Stage(enum.Enum):
    """What is to be done about a callback that takes long."""

    REPORT = enum.auto()  # it is over its budget
    INTERRUPT = enum.auto()  # it is over its hard limit
    ABANDON = enum.auto()  # the interrupt has not helped either
    OVER = enum.auto()  # it has returned, after it was reported or interrupted


@dataclasses.dataclass(frozen=True, slots=True)
class Hang:
    """A callback that takes longer than its budget, or that has returned after it did.

    Attributes:
        component: The component's index.
        seconds: How long it has been seen in this callback.
        stage: What is to be done.
        place: Which call it is.
    """

    component: int
    seconds: float
    stage: Stage
    place: Hashable


@dataclasses.dataclass(slots=True)
class _Call:
    place: Hashable
    since: float
    reported: bool = False
    interrupted: float | None = None  # when


class HangWatch:
    """Compare what components do with what they did at earlier looks.

    A callback is noticed at the first look after its budget, and reported once. Its time counts
    from the first look at it, so it may have run for up to one look longer.

    Args:
        limits: The budget and the hard limit of each component's callbacks, in seconds, by the
            component's index. No hard limit is None.

    Attributes:
        limits: As given; may be changed.

    Thread: one.
    """

    def __init__(self, limits: Mapping[int, tuple[float, float | None]]) -> None:
        self.limits = dict(limits)
        self._calls: dict[int, _Call] = {}

    def look(self, now: float, places: Mapping[int, Hashable]) -> list[Hang]:
        """Return what is to be done.

        Args:
            now: Seconds on the monotonic clock.
            places: For each component that runs a callback: which call it is. It need only differ
                from that of the call before.
        """
        hangs = []
        for component, call in list(self._calls.items()):
            if places.get(component) != call.place:
                del self._calls[component]
                if call.reported or call.interrupted is not None:
                    hangs.append(Hang(component, now - call.since, Stage.OVER, call.place))
        for component, place in places.items():
            known = self._calls.get(component)
            if known is None:
                self._calls[component] = _Call(place, now)
            else:
                stages = self._stages(now, known, *self.limits[component])
                hangs += [Hang(component, now - known.since, stage, place) for stage in stages]
        return hangs

    def forget(self, component: int) -> None:
        """Forget the call of a component: its thread was abandoned."""
        self._calls.pop(component, None)

    @staticmethod
    def _stages(now: float, call: _Call, budget: float, hard_limit: float | None) -> list[Stage]:
        stages = []
        if not call.reported and now - call.since >= budget:
            call.reported = True
            stages.append(Stage.REPORT)
        if hard_limit is None or now - call.since < hard_limit:
            return stages
        if call.interrupted is None:
            call.interrupted = now
            stages.append(Stage.INTERRUPT)
        elif now - call.interrupted >= INTERRUPT_GRACE:
            stages.append(Stage.ABANDON)  # again at each look, until it succeeds
        return stages


def may_be_replaced(of_component: int, in_all: int) -> bool:
    """Return True if one more thread may be abandoned.

    Args:
        of_component: How many threads of the component were abandoned and still run.
        in_all: How many of all components.
    """
    return of_component < MAX_ABANDONED and in_all < MAX_ABANDONED_IN_ALL
