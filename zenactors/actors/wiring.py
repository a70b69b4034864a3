"""The callbacks in the chains, and their replacement by those of another object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zenactors.core.chain import build_chains, handlers_by_owner
from zenactors.core.replicas import Replicas
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    from zenactors.actors.runtime import Runtime
    from zenactors.core.callbacks import Callback, Handler
    from zenactors.core.entries import ComponentEntry


class Wiring:
    """Wire the components' handlers to chains.

    Args:
        entries: The components; `replace` changes one of them.
        runtime: May wrap the handlers.
        chains: The callbacks of each event, instead of those that the components list.

    Attributes:
        chains: The chain of each event.
    """

    def __init__(
        self,
        entries: list[ComponentEntry],
        runtime: Runtime,
        chains: Mapping[Any, Sequence[Callback]] | None = None,
    ) -> None:
        self._entries = entries
        self._runtime = runtime
        components = [entry.component for entry in entries]
        self._given = None if chains is None else handlers_by_owner(chains, components)
        self._wired: dict[int, list[Handler]] = {}
        self.chains = build_chains(
            [(entry.name, self._handlers(index, entry)) for index, entry in enumerate(entries)]
        )

    @property
    def is_replaceable(self) -> bool:
        """True if the chains follow from the components, and so can call other objects."""
        return self._given is None

    def check_fits(self, index: int, component: Any) -> None:
        """Check that an object handles the same events as the replica or component it replaces.

        Raises:
            ZenDaemonComponentException: It does not.
        """
        entry = self._entries[index]
        if entry.router is None and not self.fits(index, component):
            raise ZenDaemonComponentException(
                f"the new object of {entry.name!r} handles other events than the one before"
            )

    def fits(self, index: int, component: Any) -> bool:
        """Return True if an object handles the same events as the one that it would replace."""
        old = self._entries[index].component
        if isinstance(old, Replicas) or isinstance(component, Replicas):
            alike = type(old) is type(component) and len(old.instances) == len(component.instances)
            return alike and _events(old.get_events()) == _events(component.get_events())
        return _events(component.get_events()) == _events(self._wired[index])

    def replace(self, index: int, component: Any) -> None:
        """Let the chains call another object, which handles the same events.

        Thread: that component's; no other thread reads the callbacks of its steps. Before the
        start any, and only then for `Replicas`.
        """
        entry = self._entries[index]
        if isinstance(component, Replicas):
            self._entries[index] = dataclasses.replace(entry, component=component)
            for number, instance in enumerate(component.instances, start=1):
                replica = self._entries[index + number]
                self._entries[index + number] = dataclasses.replace(replica, component=instance)
            self._handlers(index, self._entries[index])  # rewires the instances
            return
        if entry.router is not None:
            router = self._entries[entry.router].component

            def rewired(old: list[Handler], new: list[Handler]) -> list[Handler]:
                return self._runtime.handlers(entry.name, new, instead_of=old)

            router.replace(index - entry.router - 1, component, rewired)
            self._entries[index] = dataclasses.replace(entry, component=component)
            return
        old = self._wired[index]
        new = self._runtime.handlers(entry.name, component.get_events(), instead_of=old)
        becomes = {
            (before["event"], id(before["callback"])): after["callback"]
            for before, after in zip(old, new, strict=True)
        }
        for event, chain in self.chains.items():
            for step in chain.all_steps():
                if step.component == index:
                    step.callbacks = tuple(becomes[event, id(each)] for each in step.callbacks)
        self._wired[index] = new
        self._entries[index] = dataclasses.replace(entry, component=component)

    def _handlers(self, index: int, entry: ComponentEntry) -> list[Handler]:
        if self._given is not None:
            return self._runtime.handlers(entry.name, self._given[index])
        if isinstance(entry.component, Replicas):
            entry.component.rewire(
                lambda number, own: self._runtime.handlers(f"{entry.name}/{number}", own)
            )
            return entry.component.get_events()
        # A replica has no handlers in the chains: its router deals events to it.
        own: list[Handler] = entry.component.get_events() if entry.router is None else []
        wired = self._wired[index] = self._runtime.handlers(entry.name, own)
        return wired


def _events(handlers: list[Handler]) -> list[tuple[Any, bool]]:
    return [(each["event"], each.get("prepend", False)) for each in handlers]
