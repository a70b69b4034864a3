"""`ZenDaemon`: the application. Its main thread runs nothing but the life-cycle.

It sleeps at the signals' wake-up descriptor, turns each signal into a priority event, and ends
the process in time whatever the components do.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from loguru import logger

from zenactors._version import __version__
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.runtime import Runtime
from zenactors.core.clock import Clock, SystemClock
from zenactors.core.component import Handler
from zenactors.core.names import DaemonNames
from zenactors.daemon.main_thread import MainThread
from zenactors.daemon.state import save_json
from zenactors.errors import EXIT_CONFIG, ConfigurationError, ZenDaemonStopException

if TYPE_CHECKING:
    from zenactors.actors.life import StopReport
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.actors.percent_logger import PercentLogger
    from zenactors.actors.reactor import ComponentReactor
    from zenactors.core.dispatch import Ordering
    from zenactors.daemon.main_thread import Trap

MAX_STOP_TIMEOUT = 30.0
"""Seconds that a graceful stop may take before the daemon terminates."""

FIRST_STATISTICS = 20.0  # seconds until statistics are logged first; the seed's number


class ZenDaemon(DaemonNames):
    """A daemon: components, initial events, signals, and one exit status at the end.

        ZenDaemon(name="hello", components=[Greeter()], schedule=[("greet", "world")]).run()

    A subclass may add callbacks of its own by overriding `get_events`. They run in a control
    actor, and stand first in their chains.

    Args:
        name: The daemon's name, for logs and files.
        description: One line on what it is for.
        components: In order; see `Dispatcher`.
        schedule: Initial events, each `(event,)` or `(event, args)`.
        schedule_next: The same, put before all others.
        schedule_at: The same for a Unix time, `(tstamp, event[, args])`.
        schedule_after: The same with a delay in seconds, `(delay, event[, args])`.
        ordering: What may overlap: `"component"`, `"global"` or `"event"`.
        compat: `"pyzenkit"` for the seed's semantics; see `Dispatcher`.
        state_file: Where SIGUSR2 writes the state. Default: `NAME.state` in the folder in which
            the daemon was made.
        stats_interval: Seconds between two `log_statistics` events.
        exit_when_idle: Tell sources to finish when they have nothing more to read.
        start_timeout: Seconds that each component has for its setup, and all for `start`.
        stop_timeout: Seconds that a graceful stop may take.
        queue_limit: How many events ahead a thread outside may be; None for no limit.
        queue_full: `"raise"` or `"block"`: what happens to a thread that is further ahead.
        switch_interval: Seconds after which Python takes the interpreter from a busy thread, while
            the daemon serves; see `sys.setswitchinterval`. Python's own 5 ms let a signal wait
            300 ms behind eight busy components; half a millisecond costs these some 8 % of
            their speed. None leaves it as it is.
        clock: Where time comes from.

    Thread: main for `serve` and `run`, any for what callbacks use.
    """

    def __init__(
        self,
        *,
        name: str,
        description: str = "",
        components: Sequence[Any] = (),
        schedule: Iterable[Sequence[Any]] = (),
        schedule_next: Iterable[Sequence[Any]] = (),
        schedule_at: Iterable[Sequence[Any]] = (),
        schedule_after: Iterable[Sequence[Any]] = (),
        ordering: Ordering = "component",
        compat: Literal["pyzenkit"] | None = None,
        state_file: str | Path | None = None,
        stats_interval: float = 300.0,
        exit_when_idle: bool = False,
        start_timeout: float = 30.0,
        stop_timeout: float = MAX_STOP_TIMEOUT,
        queue_limit: int | None = None,
        queue_full: Literal["raise", "block"] = "raise",
        switch_interval: float | None = 0.0005,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.components = list(components)
        self.exit_when_idle = exit_when_idle
        self.ordering = ordering
        self.compat = compat
        self.start_timeout = start_timeout
        self.stop_timeout = stop_timeout
        self.queue_limit = queue_limit
        self.queue_full = queue_full
        self.switch_interval = switch_interval
        self.state_file = _absolute(Path(state_file or f"{name}.state"))
        self.config: dict[str, Any] = {
            "name": name,
            "ordering": ordering,
            "compat": compat,
            "state_file": str(self.state_file),
            "stats_interval": stats_interval,
            "stop_timeout": stop_timeout,
        }
        self.stop_report: StopReport | None = None
        """What the stop left undone; None while the daemon runs."""
        self._initial = {
            "schedule": [tuple(each) for each in schedule],
            "schedule_next": [tuple(each) for each in schedule_next],
            "schedule_at": [tuple(each) for each in schedule_at],
            "schedule_after": [tuple(each) for each in schedule_after],
        }
        self._clock: Clock = clock or SystemClock()
        self._begun = self._clock.time()
        self._runtime = Runtime()
        self._save: Callable[[Path, Any], None] = save_json
        self._main_thread = MainThread(
            self._clock, compat=compat is not None, runtime=self._runtime
        )

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
        """Takes the seed's `%s` arguments and writes to loguru."""
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

    def note_status(self, status: int) -> None:
        """Note an exit status for the end; the first one noted counts."""
        self.dispatcher.note_status(status)

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
            start_timeout=self.start_timeout,
            stop_timeout=self.stop_timeout,
            queue_limit=self.queue_limit,
            queue_full=self.queue_full,
            daemon=self,
            control=_DaemonCallbacks(self),
            notices=self._main_thread,
            clock=self._clock,
            runtime=self._runtime,
        )

    def run_under(
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
            save: Writes the state file, as `save_json` does.

        Raises:
            RuntimeError: It is in use: something was scheduled, or it serves.
        """
        dispatcher = self.__dict__.pop("dispatcher", None)
        if dispatcher is not None and (dispatcher.queue.count() or self._main_thread.begun):
            raise RuntimeError(
                f"Daemon {self.name!r} is in use already: make a new one for every run, and give"
                " its first events to the constructor (schedule=...)."
            )
        self._runtime = runtime
        self._save = save
        self._clock = clock
        self._begun = clock.time()
        self.switch_interval = None  # there is one thread
        self._main_thread = MainThread(
            clock, compat=self.compat is not None, runtime=runtime, trap=trap
        )

    def run(self) -> NoReturn:
        """Serve until stopped, and end the process with the exit status."""
        status = self.serve()
        if self.stop_report is not None and self.stop_report.stuck:
            # A thread that hangs in a callback would hang again when the interpreter waits for
            # its locks: leave without it.
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
        sys.exit(status)

    def serve(self) -> int:
        """Start everything, run in the foreground until stopped, and stop everything.

        Signals: SIGINT stops gracefully, the third one leaves at once; SIGTERM terminates;
        SIGUSR2 writes the state; SIGALRM wakes; SIGHUP and SIGUSR1 are handed to whoever
        handles `signal_hup` and `signal_usr1`. With nothing queued, nothing under way and no
        active source, the daemon ends by itself.

        Returns:
            The exit status; see the documentation's table.

        Raises:
            RuntimeError: Outside the main thread.

        Thread: main.
        """
        try:
            dispatcher = self.dispatcher
        except ConfigurationError as cause:
            logger.error("{cause}", cause=cause)
            return EXIT_CONFIG
        dispatcher.exit_when_idle = self.exit_when_idle
        status = self._main_thread.serve(dispatcher, self._schedule_initial, self.switch_interval)
        self.stop_report = self._main_thread.report
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
            "chains": self.chains(),
            "queued": self.queue.count(),
            "events": {str(event): _fields(c) for event, c in dispatcher.counts().items()},
            "components": dispatcher.get_state(),
            "dead_letters": [_fields(letter) for letter in dispatcher.dead_letters()[-20:]],
        }

    # --- callbacks ----------------------------------------------------------------------------

    def get_events(self) -> list[Handler]:
        """Return the daemon's own callbacks. A subclass adds its own to these."""
        return [
            self.gen_event_handler(self.EVENT_START, self.cbk_event_start),
            self.gen_event_handler(self.EVENT_STOP, self.cbk_event_stop),
            self.gen_event_handler(self.EVENT_TERMINATE, self.cbk_event_terminate),
            self.gen_event_handler(self.EVENT_SIGNAL_USR2, self.cbk_event_signal_usr2),
            self.gen_event_handler(self.EVENT_LOG_STATISTICS, self.cbk_event_log_statistics),
        ]

    def cbk_event_start(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Log the start."""
        logger.info("{name} starts", name=self.name)
        return self.FLAG_CONTINUE, args

    def cbk_event_stop(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Log the graceful stop. The main thread ends it when it takes too long."""
        logger.info("{name} stops: works off what is queued", name=self.name)
        return self.FLAG_CONTINUE, args

    def cbk_event_terminate(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Stop at once."""
        raise ZenDaemonStopException("terminate")

    def cbk_event_signal_usr2(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Write the state file."""
        try:
            self._save(self.state_file, self.get_state())
        except OSError as cause:
            logger.error(
                "The state cannot be written to {path}: {reason}. Make the folder writable,"
                " or choose another file (state_file).",
                path=self.state_file,
                reason=cause.strerror,
            )
        else:
            logger.info("State written to {path}", path=self.state_file)
        return self.FLAG_CONTINUE, args

    def cbk_event_log_statistics(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
        """Schedule the next time; components log what they have counted."""
        if not self.is_done():
            self.queue.schedule_after(self.c("stats_interval"), self.EVENT_LOG_STATISTICS)
        return self.FLAG_CONTINUE, args

    # --- inside -------------------------------------------------------------------------------

    def _schedule_initial(self) -> None:
        queue = self.queue
        if self.c("stats_interval") > 0:
            first = min(FIRST_STATISTICS, self.c("stats_interval"))
            queue.schedule_after(first, self.EVENT_LOG_STATISTICS)
        for method, entries in self._initial.items():
            for entry in entries:
                if entry[:1] != (self.EVENT_START,):  # the life-cycle itself runs it, once
                    getattr(queue, method)(*entry)

    def _log_report(self, status: int) -> None:
        report = self.stop_report
        if report is None:
            return
        if report.stuck:
            logger.error(
                "Did not stop and were left behind: {names}", names=", ".join(report.stuck)
            )
        # Who ended it on purpose, as an output whose reader left, has said what there is to say.
        level = "INFO" if self._main_thread.ended_by_callback() else "WARNING"
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


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError:  # the current folder was deleted: writing there will tell
        return path


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
