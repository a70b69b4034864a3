"""Chains: which callbacks an event goes through, in which order, on which component."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from zenactors.core.callbacks import Callback, Handler
from zenactors.core.events import CONTROL_EVENTS
from zenactors.errors import ConfigurationError

ALL_CHAINS = -1  # in an order: it covers all chains of its component
Order = tuple[int, int]  # the index of a component; the number of a chain, or ALL_CHAINS


@dataclasses.dataclass(slots=True, eq=False)
class Step:
    """One visit of a chain to a component: consecutive callbacks, called event by event.

    Attributes:
        component: The component's index.
        callbacks: Called one after the other.
        order: The order in which the component runs this chain; set by `DispatchState`.
        stride: How many events to run between two looks at the clock. The component's runner
            adapts it to the duration of the callbacks.
    """

    component: int
    callbacks: tuple[Callback, ...]
    order: Order = (0, ALL_CHAINS)
    stride: int = 1


@dataclasses.dataclass(slots=True, eq=False)
class Chain:
    """The steps of one event.

    Attributes:
        event: The event's name.
        number: Identifies the chain; counts from 0.
        steps: The steps in order; at least one, unless all components are best effort.
        revisits: True if it returns to a component that it has left before.
        is_control_event: True if it continues after a callback that raises.
        taps: The taps (see `best_effort.Tap`) of the components that the chain passes before each
            of its steps and at its end; None if it passes none.
        visits: The steps with those of these components; empty if it passes none.
    """

    event: Any
    number: int
    steps: tuple[Step, ...]
    revisits: bool
    is_control_event: bool = False
    taps: tuple[tuple[Any, ...], ...] | None = None
    visits: tuple[Step, ...] = ()

    def all_steps(self) -> tuple[Step, ...]:
        """Return the steps, best-effort components included; there may be no others."""
        return self.visits or self.steps


class _Link(NamedTuple):
    component: int
    callback: Callback
    rank: int


def handlers_by_owner(
    chains: Mapping[Any, Sequence[Callback]], components: Sequence[Any]
) -> list[list[Handler]]:
    """Return the handlers of each component, from which `build_chains` makes exactly `chains`.

    A callback belongs to the component whose method it is, and otherwise to the first one.
    """
    owners = {id(component): index for index, component in enumerate(components)}
    handlers: list[list[Any]] = [[] for _ in components]
    for event, callbacks in chains.items():
        for rank, callback in enumerate(callbacks):
            owner = owners.get(id(getattr(callback, "__self__", None)), 0)
            handlers[owner].append({"event": event, "callback": callback, "rank": rank})
    return handlers


def build_chains(components: Sequence[tuple[str, Iterable[Any]]]) -> dict[Any, Chain]:
    """Build the chain of each event from the handlers of all components.

    Args:
        components: Name and `get_events()` of each, in order of registration.

    Returns:
        The chain of each event, in the order in which the events first occur.

    Raises:
        ConfigurationError: A handler has no event or no callable callback.
    """
    links: dict[Any, list[_Link]] = {}
    for index, (name, handlers) in enumerate(components):
        for handler in handlers:
            event, callback, prepend = _check_handler(name, handler)
            chain = links.setdefault(event, [])
            link = _Link(index, callback, handler.get("rank", 0))
            chain.insert(0 if prepend else len(chain), link)
    for chain in links.values():
        chain.sort(key=operator.attrgetter("rank"))
    return {
        event: _build_chain(event, number, chain)
        for number, (event, chain) in enumerate(links.items())
    }


def _check_handler(name: str, handler: Any) -> tuple[Any, Callback, bool]:
    if not isinstance(handler, Mapping) or "event" not in handler or "callback" not in handler:
        raise ConfigurationError(
            f"Component {name!r}: get_events() returned {handler!r};"
            " expected entries made by gen_event_handler(event, callback)."
        )
    event, callback = handler["event"], handler["callback"]
    if not callable(callback):
        raise ConfigurationError(
            f"Component {name!r}: the callback of event {event!r} is {callback!r},"
            " which cannot be called."
        )
    try:
        hash(event)
    except TypeError:
        raise ConfigurationError(
            f"Component {name!r}: {event!r} cannot be an event, because it is not hashable."
        ) from None
    return event, callback, bool(handler.get("prepend", False))


def _build_chain(event: Any, number: int, links: list[_Link]) -> Chain:
    visits: list[tuple[int, list[Callback]]] = []
    for component, callback, _ in links:
        if visits and visits[-1][0] == component:
            visits[-1][1].append(callback)
        else:
            visits.append((component, [callback]))
    steps = tuple(Step(component, tuple(callbacks)) for component, callbacks in visits)
    revisits = len({step.component for step in steps}) < len(steps)
    return Chain(event, number, steps, revisits, is_control_event=event in CONTROL_EVENTS)
