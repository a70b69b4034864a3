"""`BlackHole`: takes records, and only counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon


class BlackHole(ZenDaemonComponent):
    """Take all records and count them: for measurements, and to try out what is before it.

    Takes `lines` events with a list of records, or with `Lines`, and passes them on unchanged.

    Statistics: `events`, `records`, and `bytes`: those of `Lines` exactly, and of other records the
    characters of their texts and the bytes of their bytes.

    Promises:
        loss: All of it, by intention. The events count as done.
        duplicates: None.
        order: Unchanged.
        memory: None.
        threads: None of its own.

    Args:
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "measure"

        [[component]]
        use = "zenactors.components:Generate"
        options = { count = 100_000, kind = "access" }

        [[component]]
        use = "zenactors.components:BlackHole"
    """

    def __init__(
        self, *, name: str | None = None, event_map: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Count the records."""
        if isinstance(args, Lines):
            self._count(len(args), len(args.data))
        else:
            self.write_batch(daemon, args)

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Count records, for a sink that has this one, such as `Fallback`."""
        self._count(len(records), sum(map(_size_of, records)))

    def _count(self, records: int, size: int) -> None:
        self.inc_statistic("events")
        self.inc_statistic("records", records)
        self.inc_statistic("bytes", size)


def _size_of(record: Any) -> int:
    values = record.values() if isinstance(record, dict) else (record,)
    return sum(len(value) for value in values if isinstance(value, str | bytes))
