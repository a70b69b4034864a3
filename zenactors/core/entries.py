"""The components of a dispatcher: their unique names, and where replicas belong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from zenactors.core.recipe import Recipe
from zenactors.core.replicas import Replicas
from zenactors.errors import ConfigurationError


@dataclasses.dataclass(frozen=True, slots=True)
class ComponentEntry:
    """A component as the engine registers it: each entry gets an actor.

    Attributes:
        name: Unique among the entries.
        component: The component, or the `Replicas` that represent several.
        router: The index of a replica's router, which comes just before its replicas; None for
            all other components.
    """

    name: str
    component: Any
    router: int | None = None


def component_entries(components: Sequence[Any], control: Any = None) -> list[ComponentEntry]:
    """Name each component, and add an entry for each replica.

    A name is the component's `name`, or its class's; the second of a name gets `-2`. The
    replicas of `name` are `name/1`, `name/2` … `control`, if given, comes before all others. If
    another component has its name, `control` gets the suffix, because the configuration names
    that component.

    Raises:
        ConfigurationError: The same object is given twice, or an object is no component.
    """
    entries = [] if control is None else [ComponentEntry(control.name, control)]
    for position, component in enumerate(components, start=1):
        if not isinstance(component, Recipe) and not _is_component(component):
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
        name = _unique(base, {each.name for each in entries if each.component is not control})
        index = len(entries)
        entries.append(ComponentEntry(name, component))
        if isinstance(component, Replicas):
            entries += [
                ComponentEntry(f"{name}/{number}", instance, index)
                for number, instance in enumerate(component.instances, start=1)
            ]
    if control is not None:
        taken = {entry.name for entry in entries[1:]}
        entries[0] = ComponentEntry(_unique(control.name, taken), control)
    return entries


def _is_component(component: Any) -> bool:
    return not isinstance(component, type) and callable(getattr(component, "get_events", None))


def _unique(base: str, taken: set[str]) -> str:
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
