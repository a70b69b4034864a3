"""zenactors: long-running Python services out of concurrent I/O components.

Importing it configures nothing and loads very little: the module of a name is imported when the
name is first used. So the command line can trap signals before the slow imports. The public
interface is `__all__` and the modules `zenactors.components` and `zenactors.errors`; everything
else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenactors._lazy import lazy_names

if TYPE_CHECKING:
    from zenactors._version import __version__ as __version__
    from zenactors.actors.dispatcher import Dispatcher as Dispatcher
    from zenactors.actors.shutdown import StopReport as StopReport
    from zenactors.components._state_store import StateStore as StateStore
    from zenactors.components.checkpoints import Checkpoints as Checkpoints
    from zenactors.core.accounting import Accounting as Accounting
    from zenactors.core.accounting import BestEffortCounts as BestEffortCounts
    from zenactors.core.accounting import ComponentCounts as ComponentCounts
    from zenactors.core.accounting import Counts as Counts
    from zenactors.core.callbacks import FLAG_CONTINUE as FLAG_CONTINUE
    from zenactors.core.callbacks import FLAG_STOP as FLAG_STOP
    from zenactors.core.callbacks import Flag as Flag
    from zenactors.core.callbacks import Handler as Handler
    from zenactors.core.callbacks import gen_event_handler as gen_event_handler
    from zenactors.core.callbacks import handles as handles
    from zenactors.core.clock import Clock as Clock
    from zenactors.core.clock import SystemClock as SystemClock
    from zenactors.core.clock import VirtualClock as VirtualClock
    from zenactors.core.component import ZenDaemonComponent as ZenDaemonComponent
    from zenactors.core.daemon_api import Daemon as Daemon
    from zenactors.core.dead_letters import DeadLetter as DeadLetter
    from zenactors.core.event_queue import EventQueueManager as EventQueueManager
    from zenactors.core.messages import ManyScheduled as ManyScheduled
    from zenactors.core.messages import Scheduled as Scheduled
    from zenactors.core.policy import EventPolicy as EventPolicy
    from zenactors.core.recipe import NeedsRestart as NeedsRestart
    from zenactors.core.recipe import Recipe as Recipe
    from zenactors.core.replicas import Replicas as Replicas
    from zenactors.core.statistics import calc_statistics as calc_statistics
    from zenactors.core.supervision import Retry as Retry
    from zenactors.core.supervision import Supervision as Supervision
    from zenactors.core.tokens import TokenOutcome as TokenOutcome
    from zenactors.daemon.actions import Outcome as Outcome
    from zenactors.daemon.main_loop import MAX_STOP_ATTEMPTS as MAX_STOP_ATTEMPTS
    from zenactors.daemon.zendaemon import MAX_STOP_TIMEOUT as MAX_STOP_TIMEOUT
    from zenactors.daemon.zendaemon import ZenDaemon as ZenDaemon
    from zenactors.demo import DemoDaemonComponent as DemoDaemonComponent
    from zenactors.demo import DemoZenDaemon as DemoZenDaemon
    from zenactors.errors import AbandonedError as AbandonedError
    from zenactors.errors import ComponentStartError as ComponentStartError
    from zenactors.errors import ConfigurationError as ConfigurationError
    from zenactors.errors import HardLimitError as HardLimitError
    from zenactors.errors import NotRunningError as NotRunningError
    from zenactors.errors import ProcessDiedError as ProcessDiedError
    from zenactors.errors import QueueEmptyException as QueueEmptyException
    from zenactors.errors import QueueFullError as QueueFullError
    from zenactors.errors import RestartComponent as RestartComponent
    from zenactors.errors import RetryInterruptedError as RetryInterruptedError
    from zenactors.errors import StateStoreError as StateStoreError
    from zenactors.errors import UnknownEventError as UnknownEventError
    from zenactors.errors import UnknownKeyError as UnknownKeyError
    from zenactors.errors import ZenDaemonComponentException as ZenDaemonComponentException
    from zenactors.errors import ZenDaemonException as ZenDaemonException
    from zenactors.errors import ZenDaemonStopException as ZenDaemonStopException
    from zenactors.process.signals import SIGNALS_TO_NAMES_DICT as SIGNALS_TO_NAMES_DICT

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "_version": "__version__",
            "actors.dispatcher": "Dispatcher",
            "actors.shutdown": "StopReport",
            "components._state_store": "StateStore",
            "components.checkpoints": "Checkpoints",
            "core.accounting": "Accounting BestEffortCounts ComponentCounts Counts",
            "core.callbacks": "FLAG_CONTINUE FLAG_STOP Flag Handler gen_event_handler handles",
            "core.clock": "Clock SystemClock VirtualClock",
            "core.component": "ZenDaemonComponent",
            "core.daemon_api": "Daemon",
            "core.event_queue": "EventQueueManager",
            "core.dead_letters": "DeadLetter",
            "core.messages": "ManyScheduled Scheduled",
            "core.policy": "EventPolicy",
            "core.recipe": "NeedsRestart Recipe",
            "core.replicas": "Replicas",
            "core.statistics": "calc_statistics",
            "core.supervision": "Retry Supervision",
            "core.tokens": "TokenOutcome",
            "daemon.actions": "Outcome",
            "daemon.main_loop": "MAX_STOP_ATTEMPTS",
            "daemon.zendaemon": "MAX_STOP_TIMEOUT ZenDaemon",
            "demo": "DemoDaemonComponent DemoZenDaemon",
            "errors": "AbandonedError ComponentStartError ConfigurationError HardLimitError "
            "NotRunningError ProcessDiedError QueueEmptyException "
            "QueueFullError RestartComponent RetryInterruptedError StateStoreError "
            "UnknownEventError UnknownKeyError ZenDaemonComponentException ZenDaemonException "
            "ZenDaemonStopException",
            "process.signals": "SIGNALS_TO_NAMES_DICT",
        },
    )
