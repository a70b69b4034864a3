"""The names of the built-in events, and the families they belong to."""

from __future__ import annotations

EVENT_START = "start"
"""Once, when all components are set up. No other event begins before its chain has ended."""

EVENT_STOP = "stop"
"""Once, when a stop begins, with priority over queued events; not if everything stops at once."""

EVENT_TERMINATE = "terminate"
"""At SIGTERM, with priority; the daemon's own callback stops everything at once."""

EVENT_SIGNAL_HUP = "signal_hup"
"""At SIGHUP, with priority; the daemon's own callback reloads."""

EVENT_SIGNAL_USR1 = "signal_usr1"
"""At SIGUSR1, with priority; the daemon's own callback saves the runlog."""

EVENT_SIGNAL_USR2 = "signal_usr2"
"""At SIGUSR2, with priority; the daemon's own callback writes the state."""

EVENT_LOG_STATISTICS = "log_statistics"
"""Of a `ZenDaemon`, every `stats_interval` seconds, in the control lane."""

EVENT_SAVE_RUNLOG = "save_runlog"
"""Of a `ZenDaemon`, every `runlog_interval` seconds if runlogs are kept, in the control lane."""

MAINTENANCE_EVENTS = frozenset({EVENT_LOG_STATISTICS, EVENT_SAVE_RUNLOG})
"""The control events that repeat. They do not keep an idle daemon running."""

CONTROL_EVENTS = MAINTENANCE_EVENTS | {
    EVENT_STOP,
    EVENT_TERMINATE,
    EVENT_SIGNAL_HUP,
    EVENT_SIGNAL_USR1,
    EVENT_SIGNAL_USR2,
}
"""Events that concern every component: a callback that raises does not end their chain.

`start` is not one of them: a callback of `start` that raises makes the start-up fail.
"""
