"""zenactors: long-running Python services out of concurrent I/O components.

Importing it configures nothing. What `__all__` lists is the public interface, together with
the modules `zenactors.components` and `zenactors.errors`; everything else may change.
"""

from __future__ import annotations

from zenactors._version import __version__
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.life import StopReport
from zenactors.core.clock import Clock, SystemClock, VirtualClock
from zenactors.core.component import (
    FLAG_CONTINUE,
    FLAG_STOP,
    Daemon,
    Flag,
    Handler,
    ZenDaemonComponent,
    calc_statistics,
    gen_event_handler,
    handles,
)
from zenactors.core.dispatch import Counts
from zenactors.core.event_queue import EventQueueManager, Scheduled
from zenactors.core.messages import DeadLetter
from zenactors.core.replicas import Replicas
from zenactors.daemon.lifecycle import MAX_STOP_TIMEOUT, ZenDaemon
from zenactors.daemon.main_thread import MAX_STOP_ATTEMPTS
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
    "Dispatcher",
    "EventQueueManager",
    "Flag",
    "Handler",
    "NotRunningError",
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
