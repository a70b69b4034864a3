"""`ZenDaemon`: the application. Its main thread runs nothing but the life-cycle.

It sleeps at the signals' wake-up descriptor, turns each signal into a priority event, and ends
the process in time whatever the components do.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from loguru import logger

from zenactors._version import __version__
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.runtime import Runtime
from zenactors.core.callbacks import Handler
from zenactors.core.clock import Clock, SystemClock
from zenactors.daemon.application import BaseApp
from zenactors.daemon.json_file import save_json
from zenactors.daemon.main_loop import MainLoop
from zenactors.daemon.reload import Reloader, TargetConfig, instances_of
from zenactors.daemon.runlog import RunlogStore, make_runlog
from zenactors.errors import (
    EXIT_CONFIG,
    ConfigurationError,
    ZenDaemonStopException,
)
from zenactors.process.diagnostics import stacks

if TYPE_CHECKING:
    import subprocess

    import pydantic
    import tenacity

    from zenactors.actors.component_messages import Change
    from zenactors.actors.entries import ComponentEntry
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.actors.percent_logger import PercentLogger
    from zenactors.actors.reactor import ComponentReactor
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.dispatch_state import Ordering
    from zenactors.core.messages import Scheduled
    from zenactors.daemon.main_loop import Trap

MAX_STOP_TIMEOUT = 30.0
"""Seconds that a graceful stop may take before the daemon terminates."""

FIRST_STATISTICS = 20.0  # seconds until statistics are logged first; pyzenkit's number


class ZenDaemon(BaseApp):
    """A daemon: components, initial events, signals, and one exit status at the end.

        daemon = ZenDaemon(name="hello", components=[Greeter()], schedule=[("greet", "world")])
        daemon.run()  # the whole program: command line, configuration, background, pid file …
        sys.exit(daemon.serve())  # … or only its work, here and now

    A subclass may add callbacks of its own by overriding `get_events`. They run in a control
    actor, and stand first in their chains. For what else it may add see `BaseApp`.

    Args:
        name: The daemon's name, for logs and files. Default: the program's file name.
        description: One line on what it is for.
        components: In order; see `Dispatcher`.
        schedule: Initial events, each `(event,)` or `(event, args)`.
        schedule_next: The same, put before all others.
        schedule_at: The same for a Unix time, `(tstamp, event[, args])`.
        schedule_after: The same with a delay in seconds, `(delay, event[, args])`.
        ordering: What may overlap: `"component"`, `"global"` or `"event"`.
        compat: `"pyzenkit"` for pyzenkit's semantics; see `Dispatcher`.
        state_file: Where SIGUSR2 writes the state. Default: for `run`, among the system's files
            of running daemons; for `serve`, `NAME.state` in the folder in which the daemon was
            made.
        stats_interval: Seconds between two `log_statistics` events; 0: none. Default: 300.
        exit_when_idle: Tell sources to finish when they have nothing more to read.
        start_timeout: Seconds that each component has for its setup, and all for `start`.
            Default: 30.
        stop_timeout: Seconds that a graceful stop may take. Default: `MAX_STOP_TIMEOUT`.
        queue_limit: How many events ahead a thread outside may be; None for no limit.
        queue_full: `"raise"` or `"block"`: what happens to a thread that is further ahead.
        switch_interval: Seconds after which Python takes the interpreter from a busy thread, while
            the daemon serves; see `sys.setswitchinterval`. Python's own 5 ms let a signal wait
            300 ms behind eight busy components; half a millisecond costs these some 8 % of
            their speed. None leaves it as it is.
        clock: Where time comes from.
        defaults: `default_KEY` for any configuration key, and `path_KIND` for folders; see
            `BaseApp`. Files and the command line, which only `run` reads, take precedence.

    Thread: main for `serve` and `run`, any for what callbacks use.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        description: str = "",
        components: Sequence[Any] = (),
        schedule: Iterable[Sequence[Any]] = (),
        schedule_next: Iterable[Sequence[Any]] = (),
        schedule_at: Iterable[Sequence[Any]] = (),
        schedule_after: Iterable[Sequence[Any]] = (),
        ordering: Ordering = "component",
        compat: Literal["pyzenkit"] | None = None,
        state_file: str | Path | None = None,
        stats_interval: float | None = None,
        exit_when_idle: bool = False,
        start_timeout: float | None = None,
        stop_timeout: float | None = None,
        queue_limit: int | None = None,
        queue_full: Literal["raise", "block"] = "raise",
        switch_interval: float | None = 0.0005,
        clock: Clock | None = None,
        **defaults: Any,
    ) -> None:
        own = {
            self.CONFIG_STATE_FILE: None if state_file is None else str(_absolute(state_file)),
            self.CONFIG_STATS_INTERVAL: stats_interval,
            "start_timeout": start_timeout,
            "stop_timeout": stop_timeout,
        }
        given = {f"default_{key}": value for key, value in own.items() if value is not None}
        super().__init__(name=name, description=description, **defaults, **given)
        made = self.make_components()
        self.made = slice(len(components), len(components) + len(made))
        """Which of the components `make_components` has made."""
        self.components = [*components, *made]
        self.exit_when_idle = exit_when_idle
        self.ordering = ordering
        self.compat = compat
        self.queue_limit = queue_limit
        self.queue_full = queue_full
        self.switch_interval = switch_interval
        self.stop_report: StopReport | None = None
        """What the stop left undone; None while the daemon runs."""
        self.on_ready: Callable[[], None] = _nothing
        """Called when every component has started. Thread: main."""
        self.reopen_logs: Callable[[Mapping[str, Any]], None] = _nothing
        """Called by a reload with the configuration to log by from then on. Thread: control."""
        self._initial = {
            self.CONFIG_SCHEDULE: [tuple(each) for each in schedule],
            self.CONFIG_SCHEDULE_NEXT: [tuple(each) for each in schedule_next],
            self.CONFIG_SCHEDULE_AT: [tuple(each) for each in schedule_at],
            self.CONFIG_SCHEDULE_AFTER: [tuple(each) for each in schedule_after],
        }
        self._clock: Clock = clock or SystemClock()
        self._begun = self._clock.time()
        self._runtime = Runtime()
        self._save: Callable[[Path, Any], None] = save_json
        self._simulated = False
        self._reloader = Reloader(self)
        self._answered: Counter[int] = Counter()
        self._duplicates: Counter[int] = Counter()
        self._maintenance: dict[str, Scheduled] = {}
        self._main_loop = MainLoop(self._clock, compat=compat is not None, runtime=self._runtime)
        self.keep_runlogs = False
        """Save the runlog now and then, and at the end, also if no folder is configured for it."""
        self.config |= self._fixed()

    # --- hooks for subclasses -----------------------------------------------------------------

    def make_components(self) -> list[Any]:
        """Return components that come behind those given to the constructor.

        Called once at the beginning, when nothing is configured yet: so they read the
        configuration in `setup`. And by each reload that changes options of components: one
        without a `reconfigure` is replaced by the new object then.
        """
        return []

    # --- what callbacks use -------------------------------------------------------------------

    @property
    def queue(self) -> LiveQueue:
        """The event queue; safe from any thread."""
        return self.dispatcher.queue

    @property
    def io(self) -> ComponentReactor:
        """The calling component's descriptors and timers. Thread: own."""
        return self.dispatcher.io

    @property
    def logger(self) -> PercentLogger:
        """Takes pyzenkit's `%s` arguments and writes to loguru."""
        return self.dispatcher.logger

    def dbgout(self, message: str) -> None:
        """Log a debugging message."""
        self.logger.debug(message)

    def is_done(self) -> bool:
        """Return True once it is time to stop: produce no new work."""
        return self.dispatcher.is_done()

    def set_done(self) -> None:
        """Ask for a graceful stop. Does not wait for it."""
        self.dispatcher.set_done()

    def wait(self, period: float) -> bool:
        """Wait `period` seconds, or until it is time to stop. True: it is."""
        return self.dispatcher.wait(period)

    def retrying(self, **options: Any) -> tenacity.Retrying:
        """Return tenacity's `Retrying`, whose waits end when it is time to stop."""
        return self.dispatcher.retrying(**options)

    def spawn(self, argv: Sequence[str], **popen_options: Any) -> subprocess.Popen[Any]:
        """Start a program that does not outlive the daemon; see `Dispatcher.spawn`."""
        return self.dispatcher.spawn(argv, **popen_options)

    def set_exit_status(self, status: int) -> None:
        """Note an exit status for the end; the first one noted counts."""
        self.dispatcher.set_exit_status(status)

    # --- what programs use --------------------------------------------------------------------

    @functools.cached_property
    def dispatcher(self) -> Dispatcher:
        """The engine; wired when it is first used.

        Raises:
            ConfigurationError: A component's `get_events()` is wrong.
        """
        return Dispatcher(
            self.components,
            ordering=self.ordering,
            compat=self.compat,
            config=self.config,
            start_timeout=self.c("start_timeout"),
            stop_timeout=self.c("stop_timeout"),
            queue_limit=self.queue_limit,
            queue_full=self.queue_full,
            daemon=self,
            control=_DaemonCallbacks(self),
            notifier=self._main_loop,
            clock=self._clock,
            runtime=self._runtime,
        )

    def attach_runtime(
        self,
        runtime: Runtime,
        clock: Clock,
        *,
        trap: Callable[[Iterable[int]], Trap],
        save: Callable[[Path, Any], None],
    ) -> None:
        """Let something else than threads run this daemon; for `zenactors.testing`.

        Args:
            runtime: What runs the actors.
            clock: Where time comes from.
            trap: Makes what the main thread waits for signals at.
            save: Writes the state file and runlogs, as `save_json` does.

        Raises:
            RuntimeError: It is in use: something was scheduled, or it serves.
        """
        dispatcher = self.__dict__.pop("dispatcher", None)
        if dispatcher is not None and (dispatcher.queue.count() or self._main_loop.begun):
            raise RuntimeError(
                f"Daemon {self.name!r} is in use already: make a new one for every run, and give"
                " its first events to the constructor (schedule=...)."
            )
        self._runtime = runtime
        self._save = save
        self._simulated = True
        self._clock = clock
        self._begun = clock.time()
        self.switch_interval = None  # there is one thread
        self._main_loop = MainLoop(
            clock, compat=self.compat is not None, runtime=runtime, trap=trap
        )

    def run(self, argv: Sequence[str] | None = None) -> NoReturn:
        """Be the whole program: obey the command line, and end the process with a status.

        It reads the configuration, does an action if asked for one, and otherwise detaches from
        the terminal, writes the pid file, drops privileges, opens the logs and serves.

        Args:
            argv: The command line without the program's name. Default: this process's.
        """
        from zenactors.daemon.launch import run  # noqa: PLC0415 - nothing of it without run()

        run(self, argv)

    def serve(self) -> int:
        """Start everything, run in the foreground until stopped, and stop everything.

        Signals: SIGINT stops gracefully, the third one leaves at once; SIGTERM terminates; SIGHUP
        reloads; SIGUSR1 saves the runlog and SIGUSR2 the state; SIGQUIT logs what every thread is
        doing; SIGALRM wakes. With nothing queued, nothing under way and no active source, the
        daemon ends by itself.

        Returns:
            The exit status; see the documentation's table.

        Raises:
            RuntimeError: Outside the main thread.

        Thread: main.
        """
        try:
            if not self.configuration.values:
                self.apply_configuration(self.read_configuration())
            self._reloader.assign_options()
            dispatcher = self.dispatcher
            signals = self._mapped_signals(dispatcher)
        except ConfigurationError as cause:
            for line in str(cause).splitlines():
                logger.error("{line}", line=line)
            return EXIT_CONFIG
        dispatcher.exit_when_idle = self.exit_when_idle
        status = self._main_loop.serve(
            dispatcher,
            self._schedule_initial,
            self.switch_interval,
            signals=signals,
            sigterm=self.c("sigterm"),
            on_ready=self.on_ready,
        )
        self.stop_report = self._main_loop.report
        if self._keeps_runlogs():
            self.save_runlog(status)
        self._log_report(status)
        return status

    def chains(self) -> dict[Any, list[tuple[str, str]]]:
        """Return each event's chain as `(component, callback)` names, in order."""
        return self.dispatcher.chains()

    def get_statistics(self, reader: str = "daemon") -> dict[str, Any]:
        """Return every component's statistics; after the end, the final ones."""
        statistics = dict(self.dispatcher.get_statistics(reader))
        statistics.pop(self.dispatcher.names[0], None)  # the daemon's own callbacks count nothing
        return statistics

    def get_state(self) -> dict[str, Any]:
        """Return everything that helps debugging."""
        dispatcher = self.dispatcher
        return {
            "time": self._clock.time(),
            "uptime": self._clock.time() - self._begun,
            "version": __version__,
            "name": self.name,
            "pid": os.getpid(),
            "done": self.is_done(),
            "config": self.config,
            "paths": self.paths,
            "reload": self._reloader.last,
            "chains": self.chains(),
            "queued": self.queue.count(),
            "events": {str(event): _fields(c) for event, c in dispatcher.counts().items()},
            "components": dispatcher.get_state(),
            "dead_letters": [_fields(letter) for letter in dispatcher.dead_letters()[-20:]],
        }

    def get_runlog(self, status: int | None = None) -> dict[str, Any]:
        """Return the summary of this run so far; with the exit status, at its end."""
        dispatcher = self.dispatcher
        return make_runlog(
            name=self.name,
            pid=os.getpid(),
            start=self._begun,
            end=self._clock.time(),
            status=status,
            statistics=self.get_statistics("runlog"),
            events={str(event): _fields(c) for event, c in dispatcher.counts().items()},
            dead_letters=dispatcher.dead_letter_count(),
            left=_fields(self.stop_report) if self.stop_report else None,
            argv=sys.argv,
        )

    def save_runlog(self, status: int | None = None) -> None:
        """Write the runlog of this run, in place of what was written of it before."""
        if not self.c(self.CONFIG_RUNLOG_DIR):
            logger.warning("No runlog is saved: no folder is configured for it (runlog_dir)")
            return
        folder = Path(self.c(self.CONFIG_RUNLOG_DIR))
        runlog = self.get_runlog(status)
        try:
            if self._simulated:
                self._save(folder / f"{self.name}.runlog", runlog)
                return
            path = RunlogStore(folder, self.name).save(runlog)
        except OSError as cause:
            _tell_not_written("runlog", folder, cause, "another one (runlog_dir)")
        else:
            logger.debug("Runlog saved: {path}", path=path)

    # --- configuration ------------------------------------------------------------------------

    def sections(self) -> dict[str, type[pydantic.BaseModel] | None]:
        """Return the components that may have a section in the configuration, and its model."""
        return {
            entry.name: getattr(instances_of(entry)[0], "Options", None) for entry in self.entries()
        }

    def entries(self) -> list[ComponentEntry]:
        """Return the components by the names that a configuration has for them."""
        return self._reloader.entries()

    def use_spec(self, wanted: TargetConfig, read: Callable[[], TargetConfig]) -> None:
        """Take the configuration, and the components' options, from a description of the whole.

        Args:
            wanted: What it says now.
            read: Reads it again, for a reload.
        """
        self._reloader.use_spec(wanted, read)

    def reconfigure(self, changes: Mapping[str, Change], on_rollback: Callable[[], None]) -> None:
        """Give components new options: all of them, or none; see `Dispatcher.reconfigure`."""
        self.dispatcher.reconfigure(changes, on_rollback)

    def reload(self) -> bool:
        """Read the configuration again, and take it over as a whole or not at all.

        Components whose options have changed are told (`reconfigure`), replaced, or set up again.
        The log file is opened anew in any case. Blocks for 10 seconds at most. Thread: control.

        Returns:
            False if the old configuration goes on; why is in the log and in the state.
        """
        before = self._intervals()
        if not self._reloader.reload(self._clock.time()):
            return False
        for event, interval in self._intervals().items():
            if interval != before[event]:
                self._schedule_maintenance(event, interval)
        return True

    # --- callbacks ----------------------------------------------------------------------------

    def get_events(self) -> list[Handler]:
        """Return the daemon's own callbacks. A subclass adds its own to these."""
        return [
            self.gen_event_handler(self.EVENT_START, self.cbk_event_start),
            self.gen_event_handler(self.EVENT_STOP, self.cbk_event_stop),
            self.gen_event_handler(self.EVENT_TERMINATE, self.cbk_event_terminate),
            self.gen_event_handler(self.EVENT_SIGNAL_HUP, self.cbk_event_signal_hup),
            self.gen_event_handler(self.EVENT_SIGNAL_USR1, self.cbk_event_signal_usr1),
            self.gen_event_handler(self.EVENT_SIGNAL_USR2, self.cbk_event_signal_usr2),
            self.gen_event_handler(self.EVENT_LOG_STATISTICS, self.cbk_event_log_statistics),
            self.gen_event_handler(self.EVENT_SAVE_RUNLOG, self.cbk_event_save_runlog),
        ]

    def cbk_event_start(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Log the start."""
        logger.info("{name} starts", name=self.name)
        return self.FLAG_CONTINUE, args

    def cbk_event_stop(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Log the graceful stop. The main thread ends it when it takes too long.

        If it is only an event that somebody has scheduled, `terminate` follows in that time.
        """
        logger.info("{name} stops: works off what is queued", name=self.name)
        if not self.is_done():
            self.queue.schedule_after(self.c("stop_timeout"), self.EVENT_TERMINATE)
        return self.FLAG_CONTINUE, args

    def cbk_event_terminate(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Stop at once."""
        raise ZenDaemonStopException("terminate")

    def cbk_event_signal_hup(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Reload the configuration."""
        if self._is_news(signal.SIGHUP):
            self.reload()
        return self.FLAG_CONTINUE, args

    def cbk_event_signal_usr1(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Save the runlog."""
        if self._is_news(signal.SIGUSR1):
            self.save_runlog()
        return self.FLAG_CONTINUE, args

    def cbk_event_signal_usr2(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Write the state file."""
        if not self._is_news(signal.SIGUSR2):
            return self.FLAG_CONTINUE, args
        if not self.c(self.CONFIG_STATE_FILE):
            logger.warning("No state is saved: no file is configured for it (state_file)")
            return self.FLAG_CONTINUE, args
        path = Path(self.c(self.CONFIG_STATE_FILE))
        try:
            self._save(path, self.get_state())
        except OSError as cause:
            _tell_not_written("state", path, cause, "another file (state_file)")
        else:
            logger.info("State written to {path}", path=path)
        return self.FLAG_CONTINUE, args

    def cbk_event_log_statistics(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Schedule the next time; components log what they have counted."""
        self._schedule_maintenance(self.EVENT_LOG_STATISTICS, self.c(self.CONFIG_STATS_INTERVAL))
        return self.FLAG_CONTINUE, args

    def cbk_event_save_runlog(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Save the runlog, and schedule the next time."""
        self.save_runlog()
        self._schedule_maintenance(self.EVENT_SAVE_RUNLOG, self.c(self.CONFIG_RUNLOG_INTERVAL))
        return self.FLAG_CONTINUE, args

    # --- inside -------------------------------------------------------------------------------

    def _fixed(self) -> dict[str, Any]:
        return {"ordering": self.ordering, "compat": self.compat}

    def _mapped_signals(self, dispatcher: Dispatcher) -> dict[int, Any]:
        signals: dict[int, Any] = {}
        events = dispatcher.chains()
        for name, event in self.c("signals").items():
            if event not in events:
                raise ConfigurationError(
                    f"signals: {name} becomes event {event!r}, which no component handles"
                )
            signals[getattr(signal, name)] = event
        return signals

    def _schedule_initial(self) -> None:
        queue = self.queue
        timed = (self.CONFIG_SCHEDULE_AT, self.CONFIG_SCHEDULE_AFTER)
        given = {
            entry[method in timed] for method, entries in self._initial.items() for entry in entries
        }
        for event, interval in self._intervals().items():
            if event not in given:  # each repeats itself: there would be two of it
                self._schedule_maintenance(event, min(FIRST_STATISTICS, interval))
        for method, entries in self._initial.items():
            for entry in entries:
                if entry[:1] != (self.EVENT_START,):  # the life-cycle itself runs it, once
                    getattr(queue, method)(*entry)

    def _intervals(self) -> dict[str, float]:
        keeps = self._keeps_runlogs()
        return {
            self.EVENT_LOG_STATISTICS: self.c(self.CONFIG_STATS_INTERVAL),
            self.EVENT_SAVE_RUNLOG: self.c(self.CONFIG_RUNLOG_INTERVAL) if keeps else 0.0,
        }

    def _schedule_maintenance(self, event: str, interval: float) -> None:
        """Schedule a maintenance_event's next time, instead of another one that waits; 0: never."""
        if waiting := self._maintenance.pop(event, None):
            waiting.cancel()
        if interval and not self.is_done():
            self._maintenance[event] = self.queue.schedule_after(interval, event)

    def _is_news(self, number: int) -> bool:
        """Return False if what a signal asks for is answered already, or nobody waits for it.

        Signals come faster than files are written: one writing answers all that came before it,
        and their events find nothing left to do.
        """
        if self.is_done():
            return False
        new = self._main_loop.received[number] - self._answered[number]
        if not new and self._duplicates[number]:
            self._duplicates[number] -= 1
            return False
        self._answered[number] += new
        self._duplicates[number] += max(0, new - 1)
        return True

    def _keeps_runlogs(self) -> bool:
        origin = self.configuration.origins.get((self.CONFIG_RUNLOG_DIR,), "default")
        return self.keep_runlogs or origin != "default"

    def _log_report(self, status: int) -> None:
        report = self.stop_report
        if report is None:
            return
        if report.stuck:
            logger.error(
                "Did not stop and were left behind: {names}", names=", ".join(report.stuck)
            )
            if not self._simulated:
                threads = tuple(f"zenactors:{name}" for name in report.stuck)
                logger.error("What they are doing:\n{stacks}", stacks=stacks(threads))
        # Who ended it on purpose, as an output whose reader left, has said what there is to say.
        level = "INFO" if self._main_loop.ended_by_callback() else "WARNING"
        if report.left:
            logger.log(level, "Events not worked off: {left}", left=report.left)
        if report.later:
            logger.info("Events still waiting for their time: {later}", later=report.later)
        if report.dead_letters:
            logger.log(level, "Events that could not be handled: {dead}", dead=report.dead_letters)
        logger.info("{name} ended with status {status}", name=self.name, status=status)


class _DaemonCallbacks:
    """The control actor's component: the daemon's own callbacks."""

    def __init__(self, daemon: ZenDaemon) -> None:
        self._daemon = daemon
        self.name = daemon.name

    def get_events(self) -> list[Handler]:
        return self._daemon.get_events()


def _absolute(path: str | Path) -> Path:
    try:
        return Path(path).absolute()
    except FileNotFoundError:  # the current folder was deleted: writing there will tell
        return Path(path)


def _tell_not_written(what: str, path: Path, cause: OSError, instead: str) -> None:
    logger.error(
        "The {what} cannot be written to {path}: {reason}. {advice}, or choose {instead}.",
        what=what,
        path=path,
        reason=cause.strerror,
        advice=_advice(cause),
        instead=instead,
    )


def _advice(cause: OSError) -> str:
    full = cause.errno in {errno.ENOSPC, errno.EDQUOT}
    return "Free some space" if full else "Make the folder writable"


def _nothing(*_: Any) -> None:
    pass


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
