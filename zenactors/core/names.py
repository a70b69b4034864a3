"""The names that daemons have had since the seed: flags, events, configuration keys."""

from __future__ import annotations

from typing import Any

from zenactors.core.component import FLAG_CONTINUE, FLAG_STOP, gen_event_handler


class DaemonNames:
    """Constants of everything that callbacks may get as `daemon`."""

    FLAG_CONTINUE = FLAG_CONTINUE
    FLAG_STOP = FLAG_STOP

    EVENT_START = "start"
    EVENT_STOP = "stop"
    EVENT_TERMINATE = "terminate"
    EVENT_SIGNAL_HUP = "signal_hup"
    EVENT_SIGNAL_USR1 = "signal_usr1"
    EVENT_SIGNAL_USR2 = "signal_usr2"
    EVENT_LOG_STATISTICS = "log_statistics"
    EVENT_SAVE_RUNLOG = "save_runlog"

    gen_event_handler = staticmethod(gen_event_handler)

    config: dict[str, Any]
    """The daemon's options by name."""

    def c(self, key: str, default: Any = None) -> Any:
        """Return the value of a configuration key, or `default`. Thread: any."""
        return self.config.get(key, default)
