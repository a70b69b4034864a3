"""The constants and configuration access that `Dispatcher` and `ZenDaemon` share."""

from __future__ import annotations

from typing import Any

from zenactors.core import events
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, Flag, gen_event_handler


class DaemonNames:
    """Base class of every `daemon`: flags, names of events, configuration access."""

    FLAG_CONTINUE: Flag = FLAG_CONTINUE
    FLAG_STOP: Flag = FLAG_STOP

    EVENT_START = events.EVENT_START
    EVENT_STOP = events.EVENT_STOP
    EVENT_TERMINATE = events.EVENT_TERMINATE
    EVENT_SIGNAL_HUP = events.EVENT_SIGNAL_HUP
    EVENT_SIGNAL_USR1 = events.EVENT_SIGNAL_USR1
    EVENT_SIGNAL_USR2 = events.EVENT_SIGNAL_USR2
    EVENT_LOG_STATISTICS = events.EVENT_LOG_STATISTICS
    EVENT_SAVE_RUNLOG = events.EVENT_SAVE_RUNLOG

    CORE = "__core__"
    """The key of `config` for derived values, which `cc()` reads."""

    gen_event_handler = staticmethod(gen_event_handler)

    config: dict[str, Any]
    """The daemon's options by name. A reload replaces the dict; no code changes it."""

    def c(self, key: str, default: Any = None) -> Any:
        """Return the value of a configuration key, or `default`. Thread: any."""
        return self.config.get(key, default)

    def cc(self, key: str, default: Any = None) -> Any:
        """Return a value that was derived from the configuration, or `default`. Thread: any."""
        return self.config.get(self.CORE, {}).get(key, default)
