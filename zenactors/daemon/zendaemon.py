"""`ZenDaemon`: the application. Its main thread runs only the life cycle.

The main thread waits for signals, turns each into a priority event, and ends the process in
time, whatever the components do; see `zenactors.daemon.main_loop`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.incidents import try_to_log
from zenactors.actors.runtime import Runtime
from zenactors.core.clock import Clock, SystemClock, to_seconds
from zenactors.core.events import CONTROL_EVENTS, EVENT_START
from zenactors.daemon.builtin_events import BuiltinEvents, ControlComponent, MaintenanceEvents
from zenactors.daemon.component_set import ComponentSet
from zenactors.daemon.daemon_base import DaemonBase
from zenactors.daemon.ending import log_report
from zenactors.daemon.json_file import save_json
from zenactors.daemon.main_loop import MainLoop
from zenactors.daemon.paths import current_directory
from zenactors.daemon.reload import Reloader
from zenactors.daemon.signal_events import SignalAnswers, mapped_signals
from zenactors.daemon.snapshots import SaveJson, Snapshots
from zenactors.errors import EXIT_CONFIG, EXIT_DATA_ERROR, EXIT_OK, ConfigurationError
from zenactors.logs.sinks import replaced_default_sink
from zenactors.process.signals import SignalTrap, children_have_statuses
from zenactors.process.streams import give_up_unwritable_streams
from zenactors.process.terminal import Terminal

if TYPE_CHECKING:
    from zenactors.config.merge import Sections
    from zenactors.config.plan import Plan
    from zenactors.core.dispatch_state import Ordering
    from zenactors.core.policy import EventPolicy
    from zenactors.core.supervision import Supervision
    from zenactors.daemon.main_loop import Trap

MAX_STOP_TIMEOUT = 30.0
"""Seconds that a graceful stop may take before the daemon terminates."""


class ZenDaemon(BuiltinEvents, DaemonBase):
    """A daemon: components, initial events, signals, and one exit status at the end.

        daemon = ZenDaemon(name="hello", components=[Greeter()], schedule=[("greet", "world")])
        daemon.run()  # the whole program: command line, configuration, background, PID file …
        sys.exit(daemon.serve())  # … or only its work, here and now

    A subclass may add configuration keys (fields of a subclass of `Options`), derived values (by
    overriding `derive`), actions (methods `cbk_action_*`), and callbacks (by overriding
    `get_events`). The callbacks run in a control actor, and are the first in their chains.

    Args:
        name: The daemon's name, for logs and files. Default: the program's file name, or the
            package's name for `python -m`.
        description: One line on its purpose.
        components: In order; see `Dispatcher`. They get their options when the configuration is
            known, and classes and recipes are made then.
        schedule: Initial events, each `(event,)` or `(event, args)`.
        schedule_next: The same, put before all others.
        schedule_at: The same for a Unix time, `(tstamp, event[, args])`.
        schedule_after: The same with a delay in seconds, `(delay, event[, args])`.
        ordering: How far callbacks may overlap: `"component"`, `"global"` or `"event"`.
        policy: What becomes of events in special cases; see `EventPolicy`.
        supervision: The policy for the failures of components that declare none.
        state_file: The file that SIGUSR2 writes the state to. Default: for `run`, among the
            system's files of running daemons; for `serve`, `NAME.state` in the directory in
            which the daemon was made.
        stats_interval: Seconds between two `log_statistics` events; 0: none. Default: 300.
        exit_when_idle: Ask sources to finish when they have nothing more to read.
        start_timeout: Seconds that each component has for its setup, and all for `start`.
            Default: 30.
        stop_timeout: Seconds that a graceful stop may take. Default: `MAX_STOP_TIMEOUT`.
        queue_limit: How many events ahead an outside thread may be; None for no limit.
        queue_full: `"raise"` or `"block"`: the fate of a thread that is further ahead.
        switch_interval: Seconds after which Python takes the interpreter from a busy thread, while
            the daemon serves; see `sys.setswitchinterval`. Python's own 5 ms let a signal wait
            300 ms behind eight busy components; half a millisecond costs these some 8 % of
            their speed. None leaves it as it is.
        clock: The source of time.
        defaults: `default_KEY=value` for any configuration key, and `path_KIND=directory` for
            `bin`, `cfg`, `var`, `log`, `run` and `tmp`. Files and the command line, which only
            `run` reads, take precedence.

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
        policy: EventPolicy | None = None,
        supervision: Supervision | None = None,
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
        if state_file is not None:
            state_file = str(Path(current_directory() or "", state_file))
        own = {
            self.CONFIG_STATE_FILE: state_file,
            self.CONFIG_STATS_INTERVAL: stats_interval,
            "start_timeout": start_timeout,
            "stop_timeout": stop_timeout,
        }
        given = {f"default_{key}": value for key, value in own.items() if value is not None}
        super().__init__(name=name, description=description, **defaults, **given)
        self.components = list(components)
        self.exit_when_idle = exit_when_idle
        self.ordering = ordering
        self.policy = policy
        self.supervision = supervision
        self.queue_limit = queue_limit
        self.queue_full = queue_full
        self.switch_interval = switch_interval
        self._initial = {
            self.CONFIG_SCHEDULE: [tuple(each) for each in schedule],
            self.CONFIG_SCHEDULE_NEXT: [tuple(each) for each in schedule_next],
            self.CONFIG_SCHEDULE_AT: _timed(self.CONFIG_SCHEDULE_AT, schedule_at),
            self.CONFIG_SCHEDULE_AFTER: _timed(self.CONFIG_SCHEDULE_AFTER, schedule_after),
        }
        self._clock: Clock = clock or SystemClock()
        self._runtime = Runtime()
        self._simulated = False
        self._snapshots = Snapshots(self, self._clock, save_json)
        self._answers = SignalAnswers()
        self._main_loop = self._make_main_loop()
        self._maintenance = MaintenanceEvents(self, self._maintenance_intervals)
        self._component_set = ComponentSet(self)
        self._reloader = Reloader(self, self._component_set)
        self.config |= self._fixed()

    # --- for programs -------------------------------------------------------------------------

    def run(self, argv: Sequence[str] | None = None) -> NoReturn:
        """Be the whole program: obey the command line, and end the process with a status.

        Reads the configuration. Performs an action if the command line names one. Otherwise
        detaches from the terminal, writes the PID file, drops privileges, opens the logs and
        serves.

        Args:
            argv: The command line without the program's name. Default: this process's.
        """
        from zenactors.daemon.launch import run  # noqa: PLC0415 - only run() needs it

        run(self, argv)

    def serve(self) -> int:
        """Start everything, run in the foreground until stopped, and stop everything.

        Signals: SIGINT stops gracefully, the third one at once; SIGTERM terminates; SIGHUP
        reloads, or is SIGTERM if the terminal has gone; SIGUSR1 saves the runlog and SIGUSR2 the
        state; SIGQUIT logs the stack of every thread; SIGALRM wakes the main thread. A SIGCHLD
        that the parent process ignored is not ignored. The daemon ends by itself once nothing is
        queued, nothing is in flight and no source is active.

        If the program has only loguru's default sink, the daemon logs to standard error as `run`
        does, from the key `log_level` (or the variable `LOGURU_LEVEL`) up. Other sinks stay as
        they are.

        Returns:
            The exit status; see the documentation's table.

        Raises:
            RuntimeError: Outside the main thread.

        Thread: main.
        """
        with self._console_log():
            return self._serve()

    def _console_log(self) -> contextlib.AbstractContextManager[None]:
        if self._simulated:
            return contextlib.nullcontext()
        debug = self.c(self.CONFIG_DEBUG) or self.c(self.CONFIG_VERBOSITY)
        return replaced_default_sink("DEBUG" if debug else str(self.c(self.CONFIG_LOG_LEVEL)))

    def _serve(self) -> int:
        try:
            dispatcher = self.dispatcher
            signals = mapped_signals(self.c("signals"), dispatcher.chains())
        except ConfigurationError as cause:
            for line in str(cause).splitlines():
                try_to_log("ERROR", "{line}", line=line)
            return EXIT_CONFIG
        # It may have been wired before the configuration was known.
        dispatcher.configure(
            self.config,
            start_timeout=self.c("start_timeout"),
            stop_timeout=self.c("stop_timeout"),
            state_dir=self.c("state_dir"),
            policies=self.configuration.supervision,
        )
        dispatcher.exit_when_idle = self.exit_when_idle
        dispatcher.dead_letter_file = self.c("dead_letter_file")
        terminal = self.terminal or Terminal()
        with contextlib.nullcontext() if self._simulated else children_have_statuses():
            status = self._main_loop.serve(
                dispatcher,
                self._schedule_initial,
                self.switch_interval,
                signals=signals,
                sigterm=self.c("sigterm"),
                on_ready=self.on_ready,
                hung_up=(lambda: False) if self._simulated else terminal.is_gone,
            )
        has_lost = status == EXIT_OK and dispatcher.lost_events
        status = EXIT_DATA_ERROR if has_lost else status
        self.stop_report = self._main_loop.report
        if self._snapshots.keeps_runlogs():
            self.save_runlog(status)
        if self.stop_report is not None:
            on_purpose = not has_lost and self._main_loop.ended_by_callback()
            log_report(
                self.stop_report,
                dispatcher.accounting(),
                on_purpose=on_purpose,
                threads=not self._simulated,
            )
            lost = ", because events became dead letters" if has_lost else ""
            try_to_log(
                "INFO",
                "{name} ended with status {status}{lost}",
                name=self.name,
                status=status,
                lost=lost,
            )
        if not self._simulated and terminal.is_gone():
            give_up_unwritable_streams()
        return status

    @functools.cached_property
    def dispatcher(self) -> Dispatcher:
        """The engine; wired when it is first used.

        If there was no `configure`, the program's own configuration is applied before.

        Raises:
            ConfigurationError: A component's `get_events()` is wrong, or its options are.
            RuntimeError: `make_components` uses it.
        """
        if self._component_set.is_making:
            raise RuntimeError(
                "make_components() runs before the engine exists: it can read the configuration,"
                " with c(), but schedule nothing. Use the queue in a component's setup()."
            )
        if self._component_set.plan is None:
            self.load_configuration()
        return Dispatcher(
            self.components,
            ordering=self.ordering,
            policy=self.policy,
            supervision=self.supervision,
            config=self.config,
            start_timeout=self.c("start_timeout"),
            stop_timeout=self.c("stop_timeout"),
            state_dir=self.c("state_dir"),
            queue_limit=self.queue_limit,
            queue_full=self.queue_full,
            daemon=self,
            control=ControlComponent(self, self.supervision),
            notifier=self._main_loop,
            clock=self._clock,
            runtime=self._runtime,
        )

    def only_handle(self, dead_letter_file: str, *, sources: bool) -> None:
        """Run without initial events, to replay dead letters. For `zenactors dead-letters`.

        Args:
            dead_letter_file: Where what becomes of them is recorded.
            sources: False: without the components that no event reaches.
        """
        self.__dict__.pop("dispatcher", None)
        self._initial = {method: [] for method in self._initial}
        self.config = {**self.config, "dead_letter_file": dead_letter_file}
        if not sources:
            self.components[:] = [each for each in self.components if _is_reached(each)]

    def attach_runtime(
        self,
        runtime: Runtime,
        clock: Clock,
        *,
        trap: Callable[[Iterable[int]], Trap],
        save: SaveJson,
    ) -> None:
        """Run this daemon by another runtime than threads. For `zenactors.testing`.

        Args:
            runtime: The runtime of the actors.
            clock: The source of time.
            trap: Makes the place where the main thread waits for signals.
            save: Writes the state file and runlogs, as `save_json` does.

        Raises:
            RuntimeError: The daemon is in use: an event was scheduled, or it serves.
        """
        dispatcher = self.__dict__.pop("dispatcher", None)
        if dispatcher is not None and (dispatcher.queue.count() or self._main_loop.begun):
            raise RuntimeError(
                f"Daemon {self.name!r} is in use already: make a new one for every run, and give"
                " its first events to the constructor (schedule=...)."
            )
        self._runtime = runtime
        self._simulated = True
        self._clock = clock
        self.switch_interval = None  # there is one thread
        self._snapshots = Snapshots(self, clock, save, simulated=True)
        self._answers = SignalAnswers()
        self._main_loop = self._make_main_loop(trap)

    def _make_main_loop(self, trap: Callable[[Iterable[int]], Trap] = SignalTrap) -> MainLoop:
        return MainLoop(self._clock, runtime=self._runtime, answers=self._answers, trap=trap)

    def get_statistics(self, reader: str = "daemon") -> dict[str, Any]:
        """Return every component's statistics; after the end, the final ones."""
        statistics = dict(self.dispatcher.get_statistics(reader))
        statistics.pop(self.dispatcher.names[0], None)  # the daemon's own callbacks count nothing
        return statistics

    def get_state(self) -> dict[str, Any]:
        """Return the state of the daemon and its components, for debugging."""
        return self._snapshots.state(self._reloader.last)

    def get_runlog(self, status: int | None = None) -> dict[str, Any]:
        """Return the summary of this run so far; with the exit status, at its end."""
        return self._snapshots.runlog(status)

    def save_runlog(self, status: int | None = None) -> None:
        """Write the runlog of this run, in place of its earlier one."""
        self._snapshots.save_runlog(status)

    # --- configuration ------------------------------------------------------------------------

    def load_configuration(self) -> None:
        """Read and apply all sources, the components' options included. For `zenactors.daemon`.

        Raises:
            ConfigurationError: One line for each problem.
        """
        self._component_set.apply(self._component_set.read())

    def _sections(self) -> Sections:
        return self._component_set.sections()

    def use_spec(self, plan: Plan, read: Callable[[], Plan]) -> None:
        """Use a SPEC for the configuration and the components. For `zenactors.spec`.

        Args:
            plan: The present content of the SPEC.
            read: Reads it again, for a reload.
        """
        self._component_set.read = read
        self._component_set.apply(plan)

    def reload(self) -> bool:
        """Read the configuration again, and apply it as a whole or not at all.

        A component whose options have changed is reconfigured, replaced, or set up again. The
        log file is reopened in any case. Blocks for 10 seconds at most. Thread: control.

        Returns:
            False if the old configuration stays; the reason is in the log and in the state.
        """
        if not self._reloader.reload(self._clock.time()):
            return False
        self.dispatcher.config = dict(self.config)
        self._maintenance.apply_intervals()
        return True

    def _fixed(self) -> dict[str, Any]:
        return {"ordering": self.ordering}

    # --- events of the daemon's own -----------------------------------------------------------

    def _schedule_initial(self) -> None:
        timed = (self.CONFIG_SCHEDULE_AT, self.CONFIG_SCHEDULE_AFTER)
        given = {
            entry[method in timed] for method, entries in self._initial.items() for entry in entries
        }
        self._maintenance.schedule_first(given)
        for method, entries in self._initial.items():
            for entry in entries:
                if entry[:1] != (self.EVENT_START,):  # the start itself runs it, once
                    getattr(self.queue, method)(*entry)

    def _maintenance_intervals(self) -> dict[str, float]:
        keeps = self._snapshots.keeps_runlogs()
        return {
            self.EVENT_LOG_STATISTICS: self.c(self.CONFIG_STATS_INTERVAL),
            self.EVENT_SAVE_RUNLOG: self.c(self.CONFIG_RUNLOG_INTERVAL) if keeps else 0.0,
        }


def _is_reached(component: Any) -> bool:
    """Return True if a component handles events of the program's own."""
    events = {handler["event"] for handler in component.get_events()}
    return not events <= CONTROL_EVENTS | {EVENT_START}


def _timed(argument: str, entries: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return initial events with their times as floats; a wrong one is an error at once."""
    return [(to_seconds(argument, time), *rest) for time, *rest in entries]
