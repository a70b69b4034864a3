"""The zenactors daemon behind a daemon of pyzenkit's interface: its engine, signals and process."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from loguru import logger

from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.callbacks import FLAG_CONTINUE
from zenactors.core.clock import SystemClock
from zenactors.core.policy import EventPolicy
from zenactors.core.supervision import Supervision
from zenactors.daemon.ending import log_report
from zenactors.daemon.main_loop import MainLoop
from zenactors.daemon.signal_events import SIGNAL_EVENTS
from zenactors.daemon.zendaemon import MAX_STOP_TIMEOUT
from zenactors.daemon.zendaemon import ZenDaemon as NativeDaemon
from zenactors.errors import EXIT_FAILURE, ZenDaemonStopException
from zenactors.logs.sinks import remove_default_sink
from zenactors.process.daemonize import detach
from zenactors.process.forks import disown_in_children
from zenactors.process.pidfile import PidFile
from zenactors.process.privileges import enter
from zenactors.process.signals import SignalTrap
from zenactors.process.streams import connect_standard_streams, exit_at_once
from zenactors.pyzenkit._callbacks import WiredCallbacks

if TYPE_CHECKING:
    from zenactors.actors.notifier import Wait
    from zenactors.daemon.main_loop import Trap
    from zenactors.process.launcher import Launcher

POLICY = EventPolicy(
    unknown_events="fail",
    answers="unpacked",
    control_events="ordinary",
    start_and_stop="scheduled",
    maintenance="busy",
    hooks="program",
)
"""What pyzenkit makes of events."""

SUPERVISION = Supervision(on_error="stop", status=EXIT_FAILURE)
"""What pyzenkit makes of a callback that raises: the first one ends the daemon."""

_DEAD_LETTERS = "zenactors.actors.dead_letters"

START_TIMEOUT = 1e6  # seconds that a setup may take; pyzenkit has no limit


class Control:
    """The component of the daemon's own callbacks; the application's `callbacks` lists these."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_events(self) -> list[Any]:
        """Return nothing: the chains are given."""
        return []


class Loop(MainLoop):
    """A main loop that gives signals to the application's `_hnd_signal_*`.

    Args:
        host: The daemon.
        options: Those of `MainLoop`.
    """

    def __init__(self, host: Host, clock: Any, **options: Any) -> None:
        super().__init__(clock, **options)
        self._host = host

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        """Return the wait of the calling thread; before the loop begins, one without signals."""
        waits = self._other_threads.subscribed() if self._trap is None else super().subscribed()
        with waits as wait:
            yield wait

    def interrupt(self) -> None:
        """Stop gracefully, or at once if it is asked for the third time. Thread: main."""
        self._host.asked += 1
        if self._dispatcher is not None:
            self._interrupt(self._dispatcher, "SIGINT")
        else:  # the application has a loop of its own
            self._host.dispatcher.set_done()
            self._host.application.queue.schedule_next(Dispatcher.EVENT_STOP)

    def post(self, event: Any) -> None:
        """Schedule the event of a signal, unless no callback handles it. Thread: main."""
        if event in self._host.dispatcher.chains():
            if self._dispatcher is not None:
                self._schedule(self._dispatcher, event)
            else:
                self._host.application.queue.schedule_next(event)
        else:
            logger.warning("Ignored, because no callback handles it: event {event!r}", event=event)

    def _act(self, number: int, name: str) -> None:
        handle = self._host.replaced.get(number) or self._host.handlers().get(number)
        if handle is None or self._dispatcher is None or self._leaving:
            super()._act(number, name)
            return
        try:
            handle(number, None)
        except ZenDaemonStopException:
            self._terminate(self._dispatcher)


class Host(NativeDaemon):
    """Run an application's components as actors, and be its process.

    Args:
        application: A `zenactors.pyzenkit.zendaemon.ZenDaemon`.
        serve: Runs its stages in a harness, and returns the exit status.
        handlers: Returns its method for each signal.

    Attributes:
        asked: How often the daemon was asked to stop; 0 if it ends for want of work.
        replaced: The handlers of signals that the program itself has set.

    Thread: main.
    """

    asked = 0
    _is_set_up = False
    _works = False
    _has_own_loop = False

    def __init__(
        self,
        application: Any,
        serve: Callable[[], int],
        handlers: Callable[[], dict[int, Any]],
    ) -> None:
        self.application = application
        self.handlers = handlers
        self.replaced: dict[int, Any] = {}
        self._run_stages = serve
        super().__init__(name=application.name, ordering="global", policy=POLICY)
        self._launcher: Launcher | None = None
        self._terminal: tuple[int, int] | None = None
        self._pid_file: PidFile | None = None
        self._sink: int | None = None
        self._caught: list[int] = []

    @functools.cached_property
    def dispatcher(self) -> Dispatcher:
        """The engine; wired when it is first used, by the application's `callbacks`."""
        application = self.application
        components = {id(each): each for each in application.components}  # one may be there twice
        dispatcher = Dispatcher(
            list(components.values()),
            ordering=self.ordering,
            policy=POLICY,
            supervision=SUPERVISION,
            chains={e: chain or [_ignore] for e, chain in application.callbacks.items()},
            config=application.config,
            start_timeout=START_TIMEOUT,
            stop_timeout=MAX_STOP_TIMEOUT,
            daemon=application,
            control=Control(application.name),
            notifier=self._main_loop,
            clock=self._clock,
            runtime=self._runtime,
        )
        application.queue.connect(dispatcher.queue)
        application.callbacks = WiredCallbacks(application.callbacks)
        return dispatcher

    @property
    def is_wired(self) -> bool:
        """True once the callbacks are in their chains."""
        return "dispatcher" in vars(self)

    def ask(self, times: int) -> None:
        """Note how often the daemon was asked to stop; if events are handled, stop gracefully."""
        if not self._works:
            self.asked = times
        elif times:
            self.asked = times
            self.dispatcher.set_done()

    @property
    def loop(self) -> Loop:
        """The main loop."""
        assert isinstance(self._main_loop, Loop)
        return self._main_loop

    def _make_main_loop(self, trap: Callable[[Iterable[int]], Trap] = SignalTrap) -> MainLoop:
        return Loop(self, self._clock, runtime=self._runtime, answers=self._answers, trap=trap)

    def serve(self) -> int:
        """Run the application's stages in a harness."""
        return self._run_stages()

    # --- the engine -----------------------------------------------------------------------------

    def set_up(self) -> None:
        """Start the actors, which have nothing to do yet."""
        if not self._is_set_up:
            self._is_set_up = True
            self.dispatcher.set_up()

    def call(self, component: Any, function: Callable[[Any], Any]) -> None:
        """Call `function(daemon)` in a component's thread, and wait until it returns."""
        if self._is_set_up and any(e.component is component for e in self.dispatcher.entries):
            self.dispatcher.call(component, function)
        else:  # the application has added it later: it has no callbacks
            function(self.application)

    def work(self) -> None:
        """Let events happen until the application ends. Requests to stop from before are void."""
        self.asked, self._works = 0, True
        if not self._simulated:
            ours = (self._catch, signal.default_int_handler)
            self.replaced = {n: h for n, h in _handlers().items() if h not in ours}
        self._main_loop.serve(
            self.dispatcher,
            lambda: None,
            self.switch_interval,
            signals={},
            sigterm="terminate",
            on_ready=self._raise_caught,
            hung_up=lambda: False,
        )
        self.stop_report = self._main_loop.report
        if self.stop_report is not None:
            log_report(
                self.stop_report,
                self.dispatcher.accounting(),
                on_purpose=True,
                threads=not self._simulated,
            )

    # --- the process ----------------------------------------------------------------------------

    def detach(self) -> None:
        """Go to the background, before any thread begins; not in a harness, and only once.

        Until `enter_background`, the directory, the umask, the handlers of signals and the
        standard streams are as they were: the application's setup is not over.
        """
        if self._launcher is not None or self._simulated:
            return
        directory, handlers = Path.cwd(), _handlers()
        umask = os.umask(0o077)
        os.umask(umask)
        self._terminal = os.dup(1), os.dup(2)
        self._launcher = detach(start_timeout=START_TIMEOUT, now=SystemClock().monotonic)
        disown_in_children(self._launcher)
        os.chdir(directory)
        os.umask(umask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for stream, kept in zip((1, 2), self._terminal, strict=True):
            os.dup2(kept, stream)

    def become(
        self, chroot_dir: Any, work_dir: Any, umask: Any, pid_file: Any, *, own_loop: bool
    ) -> None:
        """Enter the directories, write the PID file, and keep signals for the main loop.

        In a harness it does nothing. If the application may have a loop of its own, its methods
        handle signals at once.

        Raises:
            ProcessSetupError: The system refuses.
            ConfigurationError: The PID file's name is wrong.
        """
        if self._simulated:
            return
        self._has_own_loop = own_loop
        for number, event in SIGNAL_EVENTS.items():
            if event is not None:
                signal.signal(number, self._catch)
        enter(chroot_dir, work_dir, umask)
        if pid_file:
            self._pid_file = PidFile(pid_file)
            self._pid_file.acquire()
        if self._launcher is not None:
            connect_standard_streams()
            self._close_terminal()
            self._launcher.ready()

    def _close_terminal(self) -> None:
        kept, self._terminal = self._terminal or (), None
        for descriptor in kept:
            os.close(descriptor)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._has_own_loop:
            self.handlers()[number](number, frame)
        else:
            self._caught.append(number)

    def _raise_caught(self) -> None:
        caught, self._caught = self._caught, []
        for number in caught:
            signal.raise_signal(number)

    def close(self, status: int) -> None:
        """Stop what still runs, remove the PID file, and report the status to the launcher."""
        if self.is_wired:
            report = self.dispatcher.stop(drain=False)
            self.stop_report = self.stop_report or report
        if self._sink is not None:
            logger.remove(self._sink)
            self._sink = None
        if self._pid_file is not None:
            self._pid_file.release()
        if self._launcher is not None:
            self._close_terminal()
            self._launcher.failed(status)
        if self.stop_report is not None and self.stop_report.stuck:
            exit_at_once(status)

    # --- the log --------------------------------------------------------------------------------

    def log_to(self, target: Any) -> None:
        """Send the lines of the engine, and those of components that use loguru, to a logger."""
        if self._sink is None:
            remove_default_sink()
            self._sink = logger.add(
                lambda message: _pass_on(message.record, target),
                level=0,
                format="{message}",
                diagnose=False,
            )


def _ignore(_daemon: Any, args: Any) -> tuple[int, Any]:
    """Handle an event that has an empty list of callbacks."""
    return (FLAG_CONTINUE, args)


def _pass_on(record: Any, target: Any) -> None:
    # The application logs the exception that ends it itself.
    is_its_own = record["function"] == "gave_up" or record["name"] == _DEAD_LETTERS
    if not is_its_own:
        cause = record["exception"]
        info = (cause.type, cause.value, cause.traceback) if cause else None
        target.log(record["level"].no, "%s", record["message"], exc_info=info)


def _handlers() -> dict[int, Any]:
    """Return the handlers that are functions; `detach` resets them."""
    found = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {number: handler for number, handler in found.items() if callable(handler)}
