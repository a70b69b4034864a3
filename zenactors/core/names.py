"""The constants and configuration access that `Dispatcher` and `ZenDaemon` share."""

from __future__ import annotations

from typing import Any

from zenactors.core import events
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, Flag, gen_event_handler


class DaemonNames:
    """Base of what callbacks get as `daemon`: flags, names of events, configuration access."""

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
    """The key of `config` under which derived values are: what `cc()` reads."""

    gen_event_handler = staticmethod(gen_event_handler)

    config: dict[str, Any]
    """The daemon's options by name; replaced as a whole by a reload, never changed."""

    def c(self, key: str, default: Any = None) -> Any:
        """Return the value of a configuration key, or `default`. Thread: any."""
        return self.config.get(key, default)

    def cc(self, key: str, default: Any = None) -> Any:
        """Return the value of a core configuration key: what was derived, not configured."""
        return self.config.get(self.CORE, {}).get(key, default)
