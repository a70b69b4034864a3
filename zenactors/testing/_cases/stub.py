"""A stub: in a test of a SPEC, a component that only records what it receives."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zenactors.components.output_checkpoint import OutputCheckpoint
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import Handler
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.events import CONTROL_EVENTS, EVENT_START
from zenactors.spec.components import emitted_by, handled_by

if TYPE_CHECKING:
    from zenactors.core.daemon_api import Daemon


class Record:
    """The record of a stub, through all starts of the process.

    Attributes:
        items: The lines, as texts, and the records of all events; other args as they are.
    """

    def __init__(self) -> None:
        self.items: list[Any] = []


class Stub(ZenDaemonComponent):
    """Handle the events of another component: record their args and pass them on unchanged.

    A stub that takes the place of a source keeps the daemon running, as the source would. One of a
    sink takes part in exactly-once outputs: its record is cut back after a crash.

    Args:
        name: The name of the other component.
        record: What it receives is added to it.
        events: The events that it handles.
        emits: The events that it schedules; the stub schedules none.
    """

    def __init__(
        self,
        *,
        name: str,
        record: Record,
        events: Sequence[Hashable] = (),
        emits: Sequence[Hashable] = (),
    ) -> None:
        super().__init__(name=name)
        self.emits = tuple(emits)
        self._received = record.items
        self._events = events

    def get_events(self) -> list[Handler]:
        """Return a handler for each event."""
        return [self.gen_event_handler(event, self._record) for event in self._events]

    def setup(self, daemon: Daemon) -> None:
        """Keep the daemon running if it emits events."""
        if self.emits:
            daemon.io.keep_alive()

    def _record(self, _daemon: Any, args: Any) -> None:
        if isinstance(args, OutputCheckpoint):
            self._note(args)
            return
        items: Any = args.texts() if isinstance(args, Lines) else args
        for item in items if isinstance(items, list | tuple) else [items]:
            self._received.append(
                item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else item
            )

    def _note(self, checkpoint: OutputCheckpoint) -> None:
        if checkpoint.restore is not None and self.name in checkpoint.restore:
            del self._received[checkpoint.restore[self.name] :]
        checkpoint.taken[self.name] = len(self._received)


class Stubs:
    """The stubs of one run of a test.

    Args:
        names: The names of the components that they replace.

    Attributes:
        records: What each has received.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.records = {name: Record() for name in names}

    def replace(self, name: str, component: ZenDaemonComponent) -> ZenDaemonComponent:
        """Return the stub that takes the place of a component; if there is none, the component."""
        if name not in self.records:
            return component
        handled = handled_by(component) - CONTROL_EVENTS - {EVENT_START}
        return Stub(
            name=name,
            record=self.records[name],
            events=sorted(handled, key=str),
            emits=sorted(emitted_by(component), key=str),
        )
