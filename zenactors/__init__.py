"""zenactors: long-running Python services out of concurrent I/O components.

Importing it configures nothing and loads very little: the module of a name is imported when the
name is first used. So the command line can trap signals before the slow imports. The public
interface is `__all__` and the modules `zenactors.components` and `zenactors.errors`; everything
else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zenactors._version import __version__

if TYPE_CHECKING:
    from zenactors.actors.dispatcher import Dispatcher
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.callbacks import (
        FLAG_CONTINUE,
        FLAG_STOP,
        Flag,
        Handler,
        gen_event_handler,
        handles,
    )
    from zenactors.core.chain_state import Counts
    from zenactors.core.clock import Clock, SystemClock, VirtualClock
    from zenactors.core.component import ZenDaemonComponent
    from zenactors.core.daemon_api import Daemon
    from zenactors.core.event_queue import EventQueueManager
    from zenactors.core.messages import DeadLetter, Scheduled
    from zenactors.core.replicas import Replicas
    from zenactors.core.statistics import calc_statistics
    from zenactors.daemon.actions import Outcome
    from zenactors.daemon.main_loop import MAX_STOP_ATTEMPTS
    from zenactors.daemon.zendaemon import MAX_STOP_TIMEOUT, ZenDaemon
    from zenactors.demo import DemoDaemonComponent, DemoZenDaemon
    from zenactors.errors import (
        ComponentStartError,
        ConfigurationError,
        NotRunningError,
        QueueEmptyException,
        QueueFullError,
        UnknownEventError,
        ZenDaemonComponentException,
        ZenDaemonException,
        ZenDaemonStopException,
    )
    from zenactors.process.signals import SIGNALS_TO_NAMES_DICT

__all__ = [
    "FLAG_CONTINUE",
    "FLAG_STOP",
    "MAX_STOP_ATTEMPTS",
    "MAX_STOP_TIMEOUT",
    "SIGNALS_TO_NAMES_DICT",
    "Clock",
    "ComponentStartError",
    "ConfigurationError",
    "Counts",
    "Daemon",
    "DeadLetter",
    "DemoDaemonComponent",
    "DemoZenDaemon",
    "Dispatcher",
    "EventQueueManager",
    "Flag",
    "Handler",
    "NotRunningError",
    "Outcome",
    "QueueEmptyException",
    "QueueFullError",
    "Replicas",
    "Scheduled",
    "StopReport",
    "SystemClock",
    "UnknownEventError",
    "VirtualClock",
    "ZenDaemon",
    "ZenDaemonComponent",
    "ZenDaemonComponentException",
    "ZenDaemonException",
    "ZenDaemonStopException",
    "__version__",
    "calc_statistics",
    "gen_event_handler",
    "handles",
]

_HOMES = {
    "Clock": "zenactors.core.clock",
    "ComponentStartError": "zenactors.errors",
    "ConfigurationError": "zenactors.errors",
    "Counts": "zenactors.core.chain_state",
    "Daemon": "zenactors.core.daemon_api",
    "DeadLetter": "zenactors.core.messages",
    "DemoDaemonComponent": "zenactors.demo",
    "DemoZenDaemon": "zenactors.demo",
    "Dispatcher": "zenactors.actors.dispatcher",
    "EventQueueManager": "zenactors.core.event_queue",
    "FLAG_CONTINUE": "zenactors.core.callbacks",
    "FLAG_STOP": "zenactors.core.callbacks",
    "Flag": "zenactors.core.callbacks",
    "Handler": "zenactors.core.callbacks",
    "MAX_STOP_ATTEMPTS": "zenactors.daemon.main_loop",
    "MAX_STOP_TIMEOUT": "zenactors.daemon.zendaemon",
    "NotRunningError": "zenactors.errors",
    "Outcome": "zenactors.daemon.actions",
    "QueueEmptyException": "zenactors.errors",
    "QueueFullError": "zenactors.errors",
    "Replicas": "zenactors.core.replicas",
    "SIGNALS_TO_NAMES_DICT": "zenactors.process.signals",
    "Scheduled": "zenactors.core.messages",
    "StopReport": "zenactors.actors.shutdown",
    "SystemClock": "zenactors.core.clock",
    "UnknownEventError": "zenactors.errors",
    "VirtualClock": "zenactors.core.clock",
    "ZenDaemon": "zenactors.daemon.zendaemon",
    "ZenDaemonComponent": "zenactors.core.component",
    "ZenDaemonComponentException": "zenactors.errors",
    "ZenDaemonException": "zenactors.errors",
    "ZenDaemonStopException": "zenactors.errors",
    "calc_statistics": "zenactors.core.statistics",
    "gen_event_handler": "zenactors.core.callbacks",
    "handles": "zenactors.core.callbacks",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - see the module's docstring

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
