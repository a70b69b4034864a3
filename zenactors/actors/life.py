"""Small things that starting and stopping need."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from zenactors.core.clock import Clock
from zenactors.core.replicas import Replicas
from zenactors.errors import ConfigurationError


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


class Deadline:
    """A moment on the monotonic clock; `timeout` None is never."""

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        self._clock = clock
        self._end = None if timeout is None else clock.monotonic() + timeout

    def remaining(self) -> float | None:
        """Return the seconds that remain, at least 0, or None for ever."""
        return None if self._end is None else max(0.0, self._end - self._clock.monotonic())

    def over(self) -> bool:
        """Return True if no time remains."""
        return self.remaining() == 0.0

    def less(self, share: float) -> Deadline:
        """Return an earlier deadline: by `share` seconds, but at most by half of what remains."""
        remaining = self.remaining()
        if remaining is None:
            return self
        return Deadline(self._clock, max(remaining - share, remaining / 2))

    def at_most(self, timeout: float) -> Deadline:
        """Return the deadline `timeout` seconds from now, or this one if it is earlier."""
        remaining = self.remaining()
        return Deadline(self._clock, timeout if remaining is None else min(timeout, remaining))

    def at_least(self, timeout: float) -> Deadline:
        """Return the deadline `timeout` seconds from now, or this one if it is later."""
        remaining = self.remaining()
        return Deadline(self._clock, None if remaining is None else max(timeout, remaining))


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """Whom an actor is given to.

    Attributes:
        name: Unique among the members.
        component: The component, or the `Replicas` that stand for several.
        front: Of a replica: its front's index. The front comes just before its replicas.
    """

    name: str
    component: Any
    router: int | None = None


def component_entries(components: Sequence[Any], control: Any = None) -> list[Member]:
    """Name each component, and give replicas their places.

    A name is the component's `name`, or its class's; the second of a name gets `-2`. The
    replicas of `name` are `name/1`, `name/2` … `control`, if given, comes before all others; it
    gives way to a component of its name, for that is configured by it.

    Raises:
        ConfigurationError: The same object is given twice, or is no component.
    """
    members = [] if control is None else [Member(control.name, control)]
    for position, component in enumerate(components, start=1):
        if isinstance(component, type) or not callable(getattr(component, "get_events", None)):
            raise ConfigurationError(
                f"Component {position} is {component!r}; expected an object with get_events(),"
                " such as an instance of a subclass of ZenDaemonComponent."
            )
        if any(component is each for each in components[: position - 1]):
            raise ConfigurationError(
                f"Component {position} ({component}) is listed twice; make two objects of it."
            )
        given = getattr(component, "name", None)
        base = given if isinstance(given, str) and given else type(component).__name__
        name = _unique(base, {each.name for each in members if each.component is not control})
        index = len(members)
        members.append(Member(name, component))
        if isinstance(component, Replicas):
            members += [
                Member(f"{name}/{number}", instance, index)
                for number, instance in enumerate(component.instances, start=1)
            ]
    if control is not None:
        taken = {member.name for member in members[1:]}
        members[0] = Member(_unique(control.name, taken), control)
    return members


def _unique(base: str, taken: set[str]) -> str:
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
