"""`ZenDaemon` and `ZenDaemonComponent` with pyzenkit's names, arguments and results.

The main thread runs the stages and handles signals. Each component has a thread of its own, which
runs its `setup` and its callbacks; the daemon's own callbacks have one, too. One callback runs at
a time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from zenactors.core import component as core_component
from zenactors.core.clock import SystemClock
from zenactors.core.event_queue import EventQueueManager
from zenactors.core.failure_handler import exit_status
from zenactors.core.statistics import CounterLock, calc_statistics, copy_counters
from zenactors.daemon.actions import send_signal
from zenactors.daemon.json_file import save_json
from zenactors.errors import (
    ConfigurationError,
    ProcessSetupError,
    QueueEmptyException,
    UnknownEventError,
    ZenDaemonStopException,
)
from zenactors.process.privileges import parse_umask
from zenactors.process.signals import SIGNALS_TO_NAMES_DICT
from zenactors.pyzenkit import baseapp, daemonizer  # noqa: F401 - pyzenkit's has it, too
from zenactors.pyzenkit._host import Host
from zenactors.pyzenkit._queue import DaemonQueue

__all__ = [
    "DFLT_INTERVAL_STATISTICS",
    "MAX_STOP_ATTEMPTS",
    "MAX_STOP_TIMEOUT",
    "SIGNALS_TO_NAMES_DICT",
    "DemoDaemonComponent",
    "DemoZenDaemon",
    "EventQueueManager",
    "QueueEmptyException",
    "ZenDaemon",
    "ZenDaemonComponent",
    "ZenDaemonComponentException",
    "ZenDaemonException",
    "ZenDaemonStopException",
    "calc_statistics",
]

MAX_STOP_ATTEMPTS = 3
"""The SIGINT of this number ends the daemon at once."""

MAX_STOP_TIMEOUT = 30
"""Seconds that a graceful stop may take."""

DFLT_INTERVAL_STATISTICS = 20
"""Seconds until the first `log_statistics` event, unless the program schedules others."""


def _json_default(obj: Any) -> str:
    if isinstance(obj, ZenDaemonComponent):
        return f"COMPONENT({type(obj).__name__})"
    if callable(obj):
        owner = type(getattr(obj, "__self__", None)).__name__
        return f"CALLBACK({owner}:{getattr(obj, '__name__', type(obj).__name__)})"
    return repr(obj)


def _gen_event_handler(
    event_name: Any,
    callback: Any,
    prepend: bool = False,  # noqa: FBT001, FBT002 - pyzenkit's
) -> dict[str, Any]:
    return {"event": event_name, "callback": callback, "prepend": prepend}


class ZenDaemonComponentException(baseapp.ZenAppProcessException):
    """A component has a problem."""


class ZenDaemonException(baseapp.ZenAppProcessException):
    """The daemon has a problem."""


class ZenDaemonComponent(core_component.ZenDaemonComponent):
    """Base class of components. It accepts any keyword argument, and ignores it.

    Attributes:
        statistics_cur: The counters.
        statistics_prev: The counters at the last `get_statistics`.
        statistics_ts: The Unix time of that.
        pattern_stats: The format of a line of statistics.
    """

    gen_event_handler: Any = staticmethod(_gen_event_handler)

    _clock = SystemClock()
    __counting = CounterLock()

    def __init__(self, **kwargs: Any) -> None:
        # Nothing else is set: a subclass may have a method or a property of any other name.
        self.statistics_cur = {}
        self.statistics_prev: dict[Any, Any] = {}
        self.statistics_ts = self.__now()

    def __now(self) -> float:
        now: float = getattr(self._clock, "time", SystemClock().time)()
        return now

    def inc_statistic(self, key: Any, increment: float = 1) -> None:
        """Add to a counter."""
        with self.__counting.lock:
            self.statistics_cur[key] = self.statistics_cur.get(key, 0) + increment

    def get_statistics(self) -> dict[Any, Any]:  # type: ignore[override]
        """Return the counters, with increase and rate since the last call."""
        with self.__counting.lock:
            now, current = self.__now(), copy_counters(self.statistics_cur)
            result = calc_statistics(current, self.statistics_prev, now - self.statistics_ts)
            self.statistics_prev, self.statistics_ts = current, now
        return result


class _Native:
    """The attribute `native`, which a subclass may replace."""

    def __get__(self, daemon: Any, _owner: Any = None) -> Any:
        return self if daemon is None else vars(daemon)["_ZenDaemon__host"]


class ZenDaemon(baseapp.BaseApp):
    """A daemon: a subclass overrides hooks, and a program calls `run()`.

    Args:
        kwargs: Those of `BaseApp`, and `components`, `schedule`, `schedule_next`, `schedule_at` and
            `schedule_after`. The default of `schedule` is the event `start`, and that of
            `schedule_after` is `log_statistics`. Others are for subclasses.

    Attributes:
        queue: The event queue.
        components: The components.
        callbacks: The callbacks of each event, in order.
    """

    FLAG_CONTINUE = 1
    FLAG_STOP = 0

    EVENT_SIGNAL_HUP = "signal_hup"
    EVENT_SIGNAL_USR1 = "signal_usr1"
    EVENT_SIGNAL_USR2 = "signal_usr2"
    EVENT_START = "start"
    EVENT_STOP = "stop"
    EVENT_TERMINATE = "terminate"
    EVENT_LOG_STATISTICS = "log_statistics"

    CORE_STATE = "state"
    CORE_STATE_SAVE = "save"

    CONFIG_COMPONENTS = "components"
    CONFIG_NODAEMON = "no_daemon"
    CONFIG_CHROOT_DIR = "chroot_dir"
    CONFIG_WORK_DIR = "work_dir"
    CONFIG_STATE_FILE = "state_file"
    CONFIG_UMASK = "umask"
    CONFIG_STATS_INTERVAL = "stats_interval"
    CONFIG_PARALEL = "paralel"
    CONFIG_SCHEDULE = "schedule"
    CONFIG_SCHEDULE_NEXT = "schedule_next"
    CONFIG_SCHEDULE_AT = "schedule_at"
    CONFIG_SCHEDULE_AFTER = "schedule_after"

    gen_event_handler = staticmethod(_gen_event_handler)

    __is_program = False  # of `plugin()`, the process belongs to another program

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.queue = DaemonQueue()
        self.components: list[Any] = []
        self.callbacks: dict[Any, list[Any]] = {}
        self.__host = Host(self, self.__serve, self.__handlers)
        kwargs.setdefault(self.CONFIG_SCHEDULE, ((self.EVENT_START,),))
        statistics = (DFLT_INTERVAL_STATISTICS, self.EVENT_LOG_STATISTICS)
        kwargs.setdefault(self.CONFIG_SCHEDULE_AFTER, (statistics,))
        self._init_callbacks(**kwargs)
        self._init_components(**kwargs)
        self._init_schedule(**kwargs)

    def __getattr__(self, name: str) -> Any:
        # What zenactors' own daemons offer to callbacks: `io`, `spawn`, `retrying` …
        host = self.__dict__.get("_ZenDaemon__host")
        if host is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(host, name)

    native = _Native()
    """The zenactors daemon behind this one, which `zenactors.testing.Harness` takes."""

    # --- the constructor's steps ------------------------------------------------------------------

    def _init_config(self, cfgs: Iterable[tuple[str, Any]], **kwargs: Any) -> dict[str, Any]:
        """Return the defaults. A subclass passes on its own: pairs of key and value."""
        own = (
            (self.CONFIG_NODAEMON, False),
            (self.CONFIG_CHROOT_DIR, None),
            (self.CONFIG_WORK_DIR, "/"),
            (self.CONFIG_STATE_FILE, baseapp.own_file(self, self.PATH_RUN, ".state")),
            (self.CONFIG_UMASK, 0o002),
            (self.CONFIG_STATS_INTERVAL, 300),
            (self.CONFIG_PARALEL, False),
        )
        return super()._init_config((*own, *cfgs), **kwargs)

    def _init_argparser(self, **kwargs: Any) -> argparse.ArgumentParser:
        """Return the parser of the command line. A subclass adds its options to it."""
        parser = super()._init_argparser(**kwargs)
        group = parser.add_argument_group("common daemon arguments")
        baseapp.add_flag(group, "--no-daemon", "stay in the foreground")
        group.add_argument("--chroot-dir", help="directory that becomes the root")
        group.add_argument("--work-dir", help="working directory")
        group.add_argument("--pid-file", help="PID file")
        group.add_argument("--state-file", help="file for the state")
        group.add_argument("--umask", help="file-mode creation mask, octal")
        group.add_argument("--stats-interval", type=int, help="seconds between two statistics")
        baseapp.add_flag(group, "--paralel", "one of several instances")
        return parser

    def _init_event_callback(self, event: Any, callback: Any, prepend: bool = False) -> None:  # noqa: FBT001, FBT002 - pyzenkit's
        """Add a callback to an event's chain: last, or first.

        Raises:
            RuntimeError: The components are being set up: the chains are complete.
        """
        chain = self.callbacks.setdefault(event, [])
        chain.insert(0 if prepend else len(chain), callback)

    def _init_callbacks(self, **kwargs: Any) -> None:
        """Register the daemon's own callbacks."""
        for each in self.get_events():
            self._init_event_callback(each["event"], each["callback"], each.get("prepend", False))

    def _init_components(self, **kwargs: Any) -> None:
        """Register the components and their callbacks."""
        for component in kwargs.get(self.CONFIG_COMPONENTS, []):
            self.components.append(component)
            for each in component.get_events():
                prepend = each.get("prepend", False)
                self._init_event_callback(each["event"], each["callback"], prepend)

    def _init_schedule(self, **kwargs: Any) -> None:
        """Schedule the initial events."""
        for method in (
            self.CONFIG_SCHEDULE,
            self.CONFIG_SCHEDULE_NEXT,
            self.CONFIG_SCHEDULE_AT,
            self.CONFIG_SCHEDULE_AFTER,
        ):
            for entry in kwargs.get(method, ()):
                getattr(self.queue, method)(*entry)

    # --- the setup --------------------------------------------------------------------------------

    def _configure_postprocess(self) -> None:
        """Add what follows from the configuration."""
        super()._configure_postprocess()
        core = self.config[self.CORE]
        core[self.CORE_STATE] = {self.CORE_STATE_SAVE: True}
        core[self.CORE_LOGGING][self.CORE_LOGGING_TOCONS] = bool(self.c(self.CONFIG_NODAEMON))

    def _stage_setup_logging(self) -> None:
        """Open the log."""
        super()._stage_setup_logging()
        self.__host.log_to(self.logger)

    def _sub_stage_setup(self) -> None:
        """Set up the components, each in its own thread, one after the other.

        Without `--no-daemon` it goes to the background first, because threads do not survive that.
        The terminal, the directory and the umask stay as they are until the setup is over.
        """
        stays = self.c(self.CONFIG_NODAEMON) or self.c(self.CONFIG_ACTION)
        if self.__is_program and not stays:
            self._get_process_serial()  # that of the process that the user has started
            try:
                self.__host.detach()
            except ProcessSetupError as cause:
                raise baseapp.ZenAppSetupException(str(cause)) from cause
        self.__host.set_up()
        for component in self.components:
            self.dbgout(f"Setting up component {type(component).__name__}")
            self.__host.call(component, component.setup)

    def _stage_setup_dump(self) -> None:
        """Log how the daemon and its components are set up, at DEBUG."""
        super()._stage_setup_dump()
        for title, data in (("Components", self.components), ("Callbacks", self.callbacks)):
            text = json.dumps(_named(data), indent=4, default=_json_default)
            self.logger.debug("%s:\n%s", title, text)
        for component in self.components:
            self.logger.debug("Component %s:", type(component).__name__)
            self.__host.call(component, component.setup_dump)

    # --- the work ---------------------------------------------------------------------------------

    def _daemonize(self) -> None:
        """Go to the background, if that is configured; enter the directories; write the PID file.

        Raises:
            ZenDaemonException: It is not possible.
        """
        pid_file, umask = self._get_fn_pidfile(), self.c(self.CONFIG_UMASK)
        if not self.c(self.CONFIG_NODAEMON):
            self.__host.detach()
        try:
            self.__host.become(
                self.c(self.CONFIG_CHROOT_DIR),
                self.c(self.CONFIG_WORK_DIR),
                umask if umask is None else parse_umask(umask),
                pid_file,
                own_loop=type(self)._event_loop is not ZenDaemon._event_loop,  # noqa: SLF001 - its own
            )
        except (ConfigurationError, ProcessSetupError) as cause:
            raise ZenDaemonException(str(cause)) from cause
        self.logger.info("Process %d is the daemon", os.getpid())

    def _event_loop(self) -> NoReturn:
        """Handle events until the daemon ends, and raise the reason.

        It does not call `wait`: a subclass that overrides it is told so in the log.

        Raises:
            ZenDaemonStopException: It was asked to stop.
            QueueEmptyException: Nothing is left to do.
            BaseException: What a callback has raised.
        """
        if type(self).wait is not ZenDaemon.wait:
            self.logger.warning("The event loop never calls the overridden wait()")
        self.__host.work()
        dispatcher, report = self.__host.dispatcher, self.__host.stop_report
        cause = dispatcher.ended_by
        if isinstance(cause, UnknownEventError):
            raise ZenDaemonException(f"No callback handles event {cause.event!r}")
        if cause is not None:
            raise cause
        if dispatcher.status:
            self.retc = dispatcher.status
            raise ZenDaemonException("The engine has ended; its reason is in the log")
        if report is not None and (report.timed_out or report.stuck):
            raise ZenDaemonStopException("The work did not end in time")
        if self.__host.asked:
            raise ZenDaemonStopException("Stopped as requested")
        raise QueueEmptyException("Nothing is left to do")

    def _sub_stage_process(self) -> None:
        """Become a daemon, and handle events until the end."""
        try:
            self._daemonize()
            self._event_loop()
        except (QueueEmptyException, ZenDaemonStopException) as cause:
            self.logger.info("%s", cause)
        except subprocess.CalledProcessError as cause:
            self.error(f"A command failed: {cause}")
        except baseapp.ZenAppException as cause:
            self.error(f"The work failed: {cause}")
        except BaseException as cause:  # even SystemExit, as in pyzenkit
            self.error(f"{type(cause).__name__}: {cause}", trcb=cause.__traceback__)

    def run(self) -> NoReturn:
        """Be the whole program, and end the process with `retc`."""
        status = self.RC_FAILURE
        self.__is_program = True
        try:
            super().run()
        except SystemExit as cause:
            status = exit_status(cause)
            raise
        finally:
            self.__host.close(status)

    def __serve(self) -> int:
        """Run the stages here, for a harness, with defaults only; return the exit status.

        No file is read, no handler is added to the log, and the process stays as it is.
        """
        self._configure_postprocess()
        self._configure_plugins()
        self._configure_check()
        self.logger = logging.getLogger(baseapp.LOGGER)
        self._stage_setup_plugins()
        self._sub_stage_setup()
        self._stage_setup_dump()
        self._stage_process()
        self._stage_teardown()
        return self.retc

    # --- signals ----------------------------------------------------------------------------------

    def __handlers(self) -> dict[int, Any]:
        """Return the method that handles each signal. Thread: main."""
        return {
            signal.SIGHUP: self._hnd_signal_hup,
            signal.SIGINT: self._hnd_signal_int,
            signal.SIGTERM: self._hnd_signal_term,
            signal.SIGUSR1: self._hnd_signal_usr1,
            signal.SIGUSR2: self._hnd_signal_usr2,
        }

    def _hnd_signal_wakeup(self, signum: int, frame: FrameType | None) -> None:
        """Log SIGALRM. Nothing calls it: a wait needs no alarm."""
        self.logger.info("Woken by signal %s", signum)

    def _hnd_signal_hup(self, signum: int, frame: FrameType | None) -> None:
        """Schedule the event of SIGHUP."""
        self.__host.loop.post(self.EVENT_SIGNAL_HUP)

    def _hnd_signal_int(self, signum: int, frame: FrameType | None) -> None:
        """Stop gracefully; the third time, at once."""
        self.__host.loop.interrupt()

    def _hnd_signal_term(self, signum: int, frame: FrameType | None) -> None:
        """Stop at once."""
        raise ZenDaemonStopException("SIGTERM")

    def _hnd_signal_usr1(self, signum: int, frame: FrameType | None) -> None:
        """Schedule the event of SIGUSR1."""
        self.__host.loop.post(self.EVENT_SIGNAL_USR1)

    def _hnd_signal_usr2(self, signum: int, frame: FrameType | None) -> None:
        """Schedule the event of SIGUSR2."""
        self.__host.loop.post(self.EVENT_SIGNAL_USR2)

    def send_signal(self, sign: int) -> None:
        """Send a signal to the running daemons of this name, and print what came of it."""
        own = self._get_fn_pidfile()
        parallel = self.c(self.CONFIG_PARALEL)
        files = [own] if own and not parallel and Path(own).exists() else self._pidfiles_list()
        for each in files:
            sys.stdout.write(f"{send_signal(sign, Path(each), parallel=False).text}\n")
        if not files:
            sys.stdout.write(f"Not running: there is no PID file for {self.name}\n")

    def cbk_action_signal_check(self) -> None:
        """Report whether the daemon runs."""
        self.send_signal(0)

    def cbk_action_signal_alrm(self) -> None:
        """Send SIGALRM: wake the daemon."""
        self.send_signal(signal.SIGALRM)

    def cbk_action_signal_hup(self) -> None:
        """Send SIGHUP."""
        self.send_signal(signal.SIGHUP)

    def cbk_action_signal_int(self) -> None:
        """Send SIGINT: stop gracefully."""
        self.send_signal(signal.SIGINT)

    def cbk_action_signal_term(self) -> None:
        """Send SIGTERM: stop at once."""
        self.send_signal(signal.SIGTERM)

    def cbk_action_signal_usr1(self) -> None:
        """Send SIGUSR1."""
        self.send_signal(signal.SIGUSR1)

    def cbk_action_signal_usr2(self) -> None:
        """Send SIGUSR2: save the state."""
        self.send_signal(signal.SIGUSR2)

    # --- the daemon's own callbacks ---------------------------------------------------------------

    def get_events(self) -> list[dict[str, Any]]:
        """Return the daemon's own callbacks. A subclass adds to these."""
        return [
            self.gen_event_handler(self.EVENT_SIGNAL_HUP, self.cbk_event_signal_hup),
            self.gen_event_handler(self.EVENT_SIGNAL_USR2, self.cbk_event_signal_usr2),
            self.gen_event_handler(self.EVENT_LOG_STATISTICS, self.cbk_event_log_statistics),
            self.gen_event_handler(self.EVENT_START, self.cbk_event_start),
            self.gen_event_handler(self.EVENT_STOP, self.cbk_event_stop),
            self.gen_event_handler(self.EVENT_TERMINATE, self.cbk_event_terminate),
        ]

    def cbk_event_signal_hup(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Log SIGHUP."""
        self.logger.warning("SIGHUP: nothing is reloaded")
        return (self.FLAG_CONTINUE, args)

    def cbk_event_signal_usr2(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Save the state."""
        self._utils_state_save(self._get_state())
        return (self.FLAG_CONTINUE, args)

    def cbk_event_log_statistics(self, daemon: Any, args: Any) -> tuple[int, Any]:
        """Schedule the next statistics, which the components log."""
        if not self.is_done():
            interval = self.c(self.CONFIG_STATS_INTERVAL)
            self.queue.schedule_after(interval, self.EVENT_LOG_STATISTICS)
        return (self.FLAG_CONTINUE, args)

    def cbk_event_start(self, daemon: Any, args: Any) -> tuple[int, Any]:
        """Log the start."""
        self.logger.warning("The daemon starts")
        return (self.FLAG_CONTINUE, args)

    def cbk_event_stop(self, daemon: Any, args: Any) -> tuple[int, Any]:
        """Log the graceful stop, and limit its time."""
        self.logger.warning("The daemon stops: it handles the queued events")
        self.queue.schedule_after(MAX_STOP_TIMEOUT, self.EVENT_TERMINATE)
        return (self.FLAG_CONTINUE, args)

    def cbk_event_terminate(self, daemon: Any, args: Any) -> tuple[int, Any]:
        """Stop at once."""
        self.logger.warning("The daemon ends at once")
        raise ZenDaemonStopException("Terminated")

    # --- what callbacks use -----------------------------------------------------------------------

    def is_done(self) -> bool:
        """Return True once the daemon was asked to stop."""
        return self.flag_loop_done > 0

    def set_done(self) -> None:
        """Ask for the end: the queued events are handled, but those for later are not."""
        self.flag_loop_done += 1

    @property
    def flag_loop_done(self) -> int:
        """How often the daemon was asked to stop; forgotten when the event loop begins.

        Once events are handled, 0 does not take it back.
        """
        return self.__host.asked

    @flag_loop_done.setter
    def flag_loop_done(self, value: int) -> None:
        self.__host.ask(value)

    def wait(self, period: float) -> None:
        """Wait for some seconds, or until the daemon is asked to stop."""
        if period > 0:
            self.__host.dispatcher.wait(period)

    # --- state and statistics ---------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        """Return the state. A subclass may add to it."""
        return {
            "time": SystemClock().time(),
            "rc": self.retc,
            "config": self.config,
            "paths": self.paths,
            "callbacks": self.callbacks,
            "component_list": self.components,
            "components": {type(each).__name__: each.get_state() for each in self.components},
        }

    def _get_statistics(self) -> dict[str, Any]:
        """Return the statistics of each component, by its class."""
        found = {type(each).__name__: each.get_statistics() for each in self.components}
        return {"time": SystemClock().time(), "components": found}

    def _fetch_statistics(self) -> dict[str, Any]:
        """Return the counters of each component, by its class."""
        found = {type(each).__name__: each.statistics_cur for each in self.components}
        return {"time": SystemClock().time(), "components": found}

    def _utils_state_dump(self, state: Any) -> None:
        """Print the state."""
        sys.stdout.write(f"State:\n{self.json_dump(_named(state), default=_json_default)}\n")

    def _utils_state_log(self, state: Any) -> None:
        """Print the state."""
        self._utils_state_dump(state)

    def _utils_state_save(self, state: Any) -> None:
        """Write the state to its file, whole or not at all; only the owner may read it."""
        file = self._get_fn_state()
        plain = json.loads(self.json_dump(_named(state), default=_json_default))
        save_json(Path(file), plain)
        self.logger.info("The state was saved: %s", file)

    def _get_fn_state(self) -> Any:
        """Return the state file; with `paralel`, that of this process."""
        file = self.c(self.CONFIG_STATE_FILE)
        if not self.c(self.CONFIG_PARALEL):
            return file
        return re.sub(r"\.state$", f".{self._get_process_serial()}.state", file)

    def _pidfiles_list(self, **kwargs: Any) -> list[str]:
        """Return the PID files of all instances, sorted.

        Args:
            kwargs: `reverse=True` sorts them backwards.
        """
        found = map(str, Path(self.paths[self.PATH_RUN]).glob(f"{self.name}*.pid"))
        return sorted(found, reverse=kwargs.get("reverse", False))


def _named(data: Any) -> Any:
    """Return data whose keys are sortable: those of an event may be of any type."""
    if isinstance(data, dict):
        return {str(key): _named(data[key]) for key in sorted(data, key=str)}
    return data


class DemoDaemonComponent(ZenDaemonComponent):
    """Work for a second, again and again, and count it."""

    def get_events(self) -> list[Any]:
        """Return this component's callbacks."""
        return [
            self.gen_event_handler("default", self.cbk_event_default),
            self.gen_event_handler("log_statistics", self.cbk_event_log_statistics),
            self.gen_event_handler("start", self.cbk_event_start),
            self.gen_event_handler("stop", self.cbk_event_stop),
        ]

    def cbk_event_default(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Do one unit of work."""
        if not daemon.is_done():
            daemon.queue.schedule("default")
        self.inc_statistic("cnt_default")
        self.inc_statistic("cnt_another", 5)
        daemon.wait(1)
        daemon.logger.info("One unit of work is done")
        return (daemon.FLAG_CONTINUE, None)

    def cbk_event_log_statistics(self, daemon: Any, args: Any) -> tuple[int, Any]:
        """Log the counters."""
        text = ""
        for key, of_key in self.get_statistics().items():
            text = self.pattern_stats.format(text, key, of_key["cnt"], of_key["inc"], of_key["spd"])
        daemon.logger.info("Statistics of the demonstration:%s", text)
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_start(self, daemon: Any, args: Any) -> tuple[int, Any]:
        """Schedule the first unit of work."""
        daemon.queue.schedule("default")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_stop(self, daemon: Any, args: Any) -> tuple[int, Any]:
        """Log the stop."""
        daemon.logger.warning("The demonstration stops")
        return (daemon.FLAG_CONTINUE, args)


class DemoZenDaemon(ZenDaemon):
    """A daemon with one `DemoDaemonComponent`, in the foreground, with its files in /tmp.

    Its configuration file and directory must exist there.

    Args:
        name: The daemon's name.
        description: One line on its purpose.
    """

    DEMO_INTERVAL_STATS = 5

    def __init__(self, name: str | None = None, description: str | None = None) -> None:
        super().__init__(
            name=name or "demo-zendaemon.py",
            description=description or "A demonstration",
            **{f"path_{kind}": "tmp" for kind in ("bin", "cfg", "var", "log", "run", "tmp")},
            default_no_daemon=True,
            default_stats_interval=self.DEMO_INTERVAL_STATS,
            components=[DemoDaemonComponent()],
        )
