"""The base of steps that may fail on one record, and then must not lose the others."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, Literal

from zenactors.components._options import check_choice
from zenactors.components.steps.base import RecordStep
from zenactors.core.daemon_api import Daemon
from zenactors.errors import NotRunningError, RestartComponent

OnError = Literal["dead-letter", "drop", "fail"]
_ON_ERROR = ("dead-letter", "drop", "fail")


class FallibleStep(RecordStep, abc.ABC):
    """The base of steps that handle one record after the other, and may fail on some.

    A record on which `apply_one` raises becomes a dead letter of its own, and the others go on. As
    the letter has the record, the source hears that the event is done. A replay of the letter
    begins at this step.

    In the replay of a dead letter with several records, one that fails makes all fail: there is
    one letter for them, which keeps all.

    Args:
        on_error: "dead-letter": as above. "drop": such a record is only counted, and the first one
            logged. "fail": the whole event fails, as without this class.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.
    """

    def __init__(
        self,
        *,
        on_error: OnError = "dead-letter",
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.on_error = check_choice("on_error", on_error, _ON_ERROR)
        self._has_dropped = False

    @abc.abstractmethod
    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append to `passed_on` what becomes of a record. It may raise before it appends."""

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Apply this step to each record."""
        passed_on: list[Any] = []
        failed: list[tuple[Any, Exception]] = []
        for record in records:
            try:
                self.apply_one(record, passed_on)
            except (NotRunningError, RestartComponent):  # they are for the engine
                raise
            except Exception as cause:
                failed.append((record, cause))
        if failed:
            self._give_up(daemon, records, failed)
        return passed_on

    def _give_up(
        self, daemon: Daemon, records: list[Any], failed: list[tuple[Any, Exception]]
    ) -> None:
        if self.on_error == "drop":
            self._tell_of_drop(failed[0][1])
        elif self.on_error == "fail" or (len(records) > 1 and daemon.replaying is not None):
            self.inc_statistic("failed", len(failed))
            raise failed[0][1]
        else:
            for record, cause in failed:
                self.dead_letter_record(daemon, record, cause)
        self.inc_statistic("failed", len(failed))

    def dead_letter_record(self, daemon: Daemon, record: Any, cause: Exception | str) -> None:
        """Make one record of the event under way a dead letter."""
        daemon.dead_letter(self.event("lines"), [record], cause, callback=self.cbk_event_lines)

    def _tell_of_drop(self, cause: Exception) -> None:
        if not self._has_dropped:
            self._has_dropped = True
            self.log.warning(
                "A record is dropped: {kind}: {cause}. Further ones are only counted (failed)",
                kind=type(cause).__name__,
                cause=cause,
            )
