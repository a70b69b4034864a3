"""The names of the built-in events, and the families they belong to."""

from __future__ import annotations

EVENT_START = "start"
EVENT_STOP = "stop"
EVENT_TERMINATE = "terminate"
EVENT_SIGNAL_HUP = "signal_hup"
EVENT_SIGNAL_USR1 = "signal_usr1"
EVENT_SIGNAL_USR2 = "signal_usr2"
EVENT_LOG_STATISTICS = "log_statistics"
EVENT_SAVE_RUNLOG = "save_runlog"

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
