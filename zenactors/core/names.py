"""The constants and configuration access that `Dispatcher` and `ZenDaemon` share.

Atomic operations relied on: storing and reading an attribute. A reload replaces the dict `config`,
and never changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenactors.core import events
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, Flag, gen_event_handler
from zenactors.errors import UnknownKeyError


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

    def c(self, key: str, default: Any = ...) -> Any:
        """Return the value of a configuration key, or `default`. Thread: any.

        Raises:
            UnknownKeyError: There is no such key, and no default is given.
        """
        return self._look_up(key, self.config, default)

    def cc(self, key: str, default: Any = ...) -> Any:
        """Return a value that was derived from the configuration, or `default`. Thread: any.

        Raises:
            UnknownKeyError: There is no such value, and no default is given.
        """
        return self._look_up(key, self.config.get(self.CORE, {}), default)

    def _look_up(self, key: str, values: Mapping[str, Any], default: Any) -> Any:
        try:
            return values[key]
        except KeyError:
            if default is not ...:
                return default
        raise UnknownKeyError(key, known=values)
