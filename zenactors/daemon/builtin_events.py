"""The built-in events: the daemon's own callbacks, and the maintenance events that repeat.

The daemon's callbacks are the first in their chains. They run in the control actor, whose only
component is `ControlComponent`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from zenactors.actors.incidents import try_to_log
from zenactors.core.supervision import Supervision
from zenactors.daemon.names import ApplicationNames
from zenactors.errors import TerminateException

if TYPE_CHECKING:
    from zenactors.core.callbacks import Handler
    from zenactors.core.daemon_api import Cancellable, Daemon
    from zenactors.daemon.signal_events import SignalAnswers
    from zenactors.daemon.snapshots import Snapshots

FIRST_STATISTICS = 20.0  # seconds until the first maintenance events at the latest


class BuiltinEvents(ApplicationNames):
    """The part of a `ZenDaemon` that handles the built-in events.

    Thread: control, for the callbacks.
    """

    name: str
    _snapshots: Snapshots
    _maintenance: MaintenanceEvents
    _answers: SignalAnswers

    @abc.abstractmethod
    def reload(self) -> bool:
        """Read the configuration again, and apply it as a whole or not at all."""

    @abc.abstractmethod
    def save_runlog(self, status: int | None = None) -> None:
        """Write the runlog of this run."""

    def get_events(self) -> list[Handler]:
        """Return the daemon's own callbacks. A subclass adds to these."""
        return [
            self.gen_event_handler(self.EVENT_START, self.cbk_event_start),
            self.gen_event_handler(self.EVENT_STOP, self.cbk_event_stop),
            self.gen_event_handler(self.EVENT_TERMINATE, self.cbk_event_terminate),
            self.gen_event_handler(self.EVENT_SIGNAL_HUP, self.cbk_event_signal_hup),
            self.gen_event_handler(self.EVENT_SIGNAL_USR1, self.cbk_event_signal_usr1),
            self.gen_event_handler(self.EVENT_SIGNAL_USR2, self.cbk_event_signal_usr2),
            self.gen_event_handler(self.EVENT_LOG_STATISTICS, self.cbk_event_log_statistics),
            self.gen_event_handler(self.EVENT_SAVE_RUNLOG, self.cbk_event_save_runlog),
        ]

    def cbk_event_start(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Log the start."""
        try_to_log("INFO", "{name} starts", name=self.name)
        return self.FLAG_CONTINUE, args

    def cbk_event_stop(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Log the graceful stop. The main thread ends it when it takes too long.

        If the program itself has scheduled this event, no stop has begun. Then the `terminate`
        event follows after `stop_timeout`.
        """
        try_to_log("INFO", "{name} stops: handling the queued events", name=self.name)
        if not daemon.is_done():
            daemon.queue.schedule_after(daemon.c("stop_timeout"), self.EVENT_TERMINATE)
        return self.FLAG_CONTINUE, args

    def cbk_event_terminate(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Stop at once."""
        raise TerminateException("terminate")

    def cbk_event_signal_hup(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Reload the configuration, unless the daemon stops."""
        if self._answers.is_due(self.EVENT_SIGNAL_HUP) and not daemon.is_done():
            self.reload()
        return self.FLAG_CONTINUE, args

    def cbk_event_signal_usr1(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Save the runlog, unless the daemon stops: the stop saves it."""
        if self._answers.is_due(self.EVENT_SIGNAL_USR1) and not daemon.is_done():
            self.save_runlog()
        return self.FLAG_CONTINUE, args

    def cbk_event_signal_usr2(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Write the state file, unless the daemon stops."""
        if self._answers.is_due(self.EVENT_SIGNAL_USR2) and not daemon.is_done():
            self._snapshots.save_state()
        return self.FLAG_CONTINUE, args

    def cbk_event_log_statistics(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Log the counters of components that do not log them; schedule the next time."""
        self._snapshots.log_statistics()
        self._maintenance.schedule(self.EVENT_LOG_STATISTICS, self.c(self.CONFIG_STATS_INTERVAL))
        return self.FLAG_CONTINUE, args

    def cbk_event_save_runlog(self, daemon: Daemon, args: Any = None) -> tuple[int, Any]:
        """Save the runlog, and schedule the next time."""
        self.save_runlog()
        self._maintenance.schedule(self.EVENT_SAVE_RUNLOG, self.c(self.CONFIG_RUNLOG_INTERVAL))
        return self.FLAG_CONTINUE, args


class MaintenanceEvents:
    """Schedule the events that repeat, each pending at most once.

    Args:
        daemon: The daemon whose queue they go to.
        intervals: Returns the seconds between two events of each name, by the configuration of
            the moment; 0: never.

    Thread: main before the start, then control.
    """

    def __init__(self, daemon: Daemon, intervals: Callable[[], dict[str, float]]) -> None:
        self._daemon = daemon
        self._intervals = intervals
        self._applied: dict[str, float] = {}
        self._pending: dict[str, Cancellable] = {}

    def schedule_first(self, given: Collection[Any]) -> None:
        """Schedule each for the first time, but for those that the program itself schedules."""
        self._applied = self._intervals()
        for event, interval in self._applied.items():
            if event not in given:  # it repeats itself: there would be two of it
                self.schedule(event, min(FIRST_STATISTICS, interval))

    def apply_intervals(self) -> None:
        """Reschedule the events whose intervals a reload has changed."""
        before, self._applied = self._applied, self._intervals()
        for event, interval in self._applied.items():
            if interval != before.get(event):
                self.schedule(event, interval)

    def schedule(self, event: str, interval: float) -> None:
        """Schedule an event for its next time, `interval` seconds from now. 0: never."""
        if pending := self._pending.pop(event, None):
            pending.cancel()
        if interval and not self._daemon.is_done():
            self._pending[event] = self._daemon.queue.schedule_after(interval, event)


class ControlComponent:
    """The component of the control actor: it has the daemon's own callbacks.

    Args:
        daemon: The daemon.
        supervision: The policy of components that declare none. It is the daemon's own too, but for
            hard limits: a reload has a limit of its own, and nothing could replace the daemon.
    """

    def __init__(self, daemon: BuiltinEvents, supervision: Supervision | None) -> None:
        self.name = daemon.name
        self.supervision = dataclasses.replace(
            supervision or Supervision(), hard_limit=None, best_effort=False
        )
        self._daemon = daemon

    def get_events(self) -> list[Handler]:
        """Return the daemon's own callbacks."""
        return self._daemon.get_events()
