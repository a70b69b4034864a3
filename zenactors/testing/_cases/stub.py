"""A stub: in a test of a SPEC, a component that only records what it receives."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import Handler
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.events import CONTROL_EVENTS, EVENT_START
from zenactors.spec.components import emitted_by, handled_by

if TYPE_CHECKING:
    from zenactors.core.daemon_api import Daemon


class Stub(ZenDaemonComponent):
    """Handle the events of another component: record their args and pass them on unchanged.

    A stub that takes the place of a source keeps the daemon running, as the source would.

    Args:
        name: The name of the other component.
        events: The events that it handles.
        emits: The events that it schedules; the stub schedules none.

    Attributes:
        received: The lines, as texts, and the records of all events; other args as they are.
    """

    def __init__(
        self, *, name: str, events: Sequence[Hashable] = (), emits: Sequence[Hashable] = ()
    ) -> None:
        super().__init__(name=name)
        self.emits = tuple(emits)
        self.received: list[Any] = []
        self._events = events

    def get_events(self) -> list[Handler]:
        """Return a handler for each event."""
        return [self.gen_event_handler(event, self._record) for event in self._events]

    def setup(self, daemon: Daemon) -> None:
        """Keep the daemon running if it emits events."""
        if self.emits:
            daemon.io.keep_alive()

    def _record(self, _daemon: Any, args: Any) -> None:
        items: Any = args.texts() if isinstance(args, Lines) else args
        for item in items if isinstance(items, list | tuple) else [items]:
            self.received.append(
                item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else item
            )


def stub_for(name: str, original: ZenDaemonComponent) -> Stub:
    """Return a stub that takes the place of a component."""
    handled = handled_by(original) - CONTROL_EVENTS - {EVENT_START}
    return Stub(
        name=name, events=sorted(handled, key=str), emits=sorted(emitted_by(original), key=str)
    )
