"""The base of steps: records in, records out."""

from __future__ import annotations

import abc
from typing import Any

from zenactors.components.records import records_of
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon


class RecordStep(ZenDaemonComponent, abc.ABC):
    """The base of steps that make a list of records of another one.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts; a
    subclass says in `apply` what follows in the chain gets. If that is nothing, the event ends
    here, and counts as done.

    Statistics: `records` that came and `passed_on`.
    """

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> tuple[int, list[Any]]:
        """Apply this step to the records."""
        records = records_of(args)
        passed_on = self.apply(daemon, records)
        self.inc_statistic("records", len(records))
        self.inc_statistic("passed_on", len(passed_on))
        return (FLAG_CONTINUE, passed_on) if passed_on else (FLAG_STOP, passed_on)

    @abc.abstractmethod
    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Return the records that go on, in a new list.

        The records that came must stay as they are, because an event that was left undone comes
        again: change copies. An exception makes the whole event a dead letter. Thread: own.
        """
