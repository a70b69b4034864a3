"""The daemon's main loop: wait for a notice or a signal, handle signals, look at the deadline.

The main thread calls the dispatcher's `start`, `wait_for_end` and `stop`, one after the other.
Each of these waits until something is true: `while not true: wait()`. On the main thread, that
`wait` is `MainLoop.run_once`. So there is one loop in all three calls, and a signal is handled
while components are set up, while they work, and while they are torn down.

The exits from the loop:

- The three calls return normally: the daemon is idle, a callback stopped it, or SIGINT asked for a
  graceful stop (`set_done`). A graceful stop has a deadline of its own, `stop_timeout`.
- SIGTERM becomes the `terminate` event, whose callback stops the dispatcher at once. If that has
  not happened in `TERMINATE_TIMEOUT` seconds, the loop raises `ForcedExit`.
- SIGHUP is SIGTERM if the terminal of the process in the foreground has gone.
- `run_once` raises `ForcedExit` at once for the third SIGINT, for SIGINT during the start, and
  for SIGTERM when its event might not begin: during the start, and once a stop was asked for. The
  exception ends whichever call is waiting; what remains is a stop without draining.
"""

from __future__ import annotations

import contextlib
import enum
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from loguru import logger

from zenactors.actors.idle import is_idle
from zenactors.actors.incidents import survive_log, try_to_log
from zenactors.actors.tracebacks import log_failure
from zenactors.daemon.signal_events import SIGNAL_EVENTS, SignalAnswers
from zenactors.errors import (
    EXIT_CONFIG,
    EXIT_FORCED_STOP,
    EXIT_START_FAILED,
    ComponentStartError,
    ConfigurationError,
    NotRunningError,
    UnknownEventError,
)
from zenactors.process.diagnostics import stacks
from zenactors.process.signals import SIGNALS_TO_NAMES_DICT, SignalTrap

if TYPE_CHECKING:
    from zenactors.actors.dispatcher import Dispatcher
    from zenactors.actors.notifier import Wait
    from zenactors.actors.runtime import Runtime
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.clock import Clock

MAX_STOP_ATTEMPTS = 3
"""The SIGINT of this number ends the daemon at once, without waiting for events in flight."""

FORCED_TIMEOUT = 0.2  # seconds for the components that do not hang, after a `ForcedExit`
TERMINATE_TIMEOUT = 1.0  # seconds that the `terminate` event has to stop the dispatcher


class ExitReason(enum.Enum):
    """The cause of a forced exit."""

    TERMINATED = "SIGTERM"
    FORCED = "asked to stop three times"
    INTERRUPTED = "asked to stop during start-up"


class ForcedExit(Exception):  # noqa: N818 - not an error
    """The way out of a wait of the main thread, whatever that waits for.

    Only `MainLoop.run_once` raises it, and only `MainLoop` catches it.
    """

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Trap(Protocol):
    """The place where the main thread waits; see `zenactors.process.signals.SignalTrap`."""

    def __enter__(self) -> Self:
        """Begin to catch signals."""
        ...

    def __exit__(self, *_: object) -> None:
        """Restore the handlers that were there before."""
        ...

    def notify(self) -> None:
        """End a `wait` without a signal."""
        ...

    def wait(self, timeout: float | None = None) -> list[int]:
        """Wait for a signal or a `notify`; return the signals caught."""
        ...


class MainLoop:
    """Run a dispatcher from its start to its stop, and handle the signals that come meanwhile.

    It is also the `Notifier` of the dispatcher (`actors.notifier`): on the main thread a notice
    and a signal end the same wait.

    Args:
        clock: The clock of the deadline.
        runtime: The runtime of the actors.
        answers: Learns which signals become events.
        trap: Makes the trap for a set of signals.

    Attributes:
        report: The result of the stop; None before.

    Thread: main, but for `notify`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        runtime: Runtime,
        answers: SignalAnswers,
        trap: Callable[[Iterable[int]], Trap] = SignalTrap,
    ) -> None:
        self.report: StopReport | None = None
        self._now = clock.monotonic
        self._ident = runtime.ident
        self._other_threads = runtime.notifier()
        self._answers = answers
        self._make_trap = trap
        self._trap: Trap | None = None
        self._main_thread = 0
        self._dispatcher: Dispatcher | None = None
        self._events: dict[int, Any] = SIGNAL_EVENTS
        self._sigterm = "terminate"
        self._hung_up: Callable[[], bool] = lambda: False
        self._started = False
        self._leaving = False
        self._stop_attempts = 0
        self._terminate_by: float | None = None
        self._exit: ExitReason | None = None

    # --- the phases ---------------------------------------------------------------------------

    def serve(
        self,
        dispatcher: Dispatcher,
        schedule_initial: Callable[[], None],
        switch_interval: float | None,
        *,
        signals: Mapping[int, Any],
        sigterm: Literal["terminate", "stop"],
        on_ready: Callable[[], None] | None,
        hung_up: Callable[[], bool],
    ) -> int:
        """Run the dispatcher from start to stop. Return the exit status.

        Args:
            dispatcher: The dispatcher to run.
            schedule_initial: Called before the start.
            switch_interval: In seconds; see `ZenDaemon`.
            signals: Further signals, and the events that they become.
            sigterm: The meaning of SIGTERM: `"stop"` makes it another SIGINT.
            on_ready: Called when every component has started.
            hung_up: Returns True if the process's terminal has gone.

        Raises:
            RuntimeError: Outside the main thread.
        """
        self._events = {**SIGNAL_EVENTS, **signals}
        self._sigterm = sigterm
        self._hung_up = hung_up
        with self._make_trap(self._events) as trap, _switch_interval(switch_interval):
            self._trap = trap
            self._main_thread = self._ident()
            self._dispatcher = dispatcher
            try:
                return self._run(dispatcher, schedule_initial, on_ready)
            except BaseException:  # a bug, perhaps of the program's `on_ready`
                dispatcher.stop(drain=False)
                raise
            finally:
                self._trap = None
                self._main_thread = 0

    def _run(
        self,
        dispatcher: Dispatcher,
        schedule_initial: Callable[[], None],
        on_ready: Callable[[], None] | None,
    ) -> int:
        try:
            schedule_initial()
            dispatcher.start()
            self._started = True
            if on_ready is not None:
                on_ready()
            dispatcher.wait_for_end()
            self.report = dispatcher.stop()
        except (UnknownEventError, ConfigurationError) as cause:
            try_to_log("ERROR", "{cause}", cause=cause)
            return self._leave(dispatcher, EXIT_CONFIG)
        except ComponentStartError as cause:
            try_to_log("ERROR", "{cause}", cause=cause)
            if cause.__cause__ is not None:
                with survive_log():
                    log_failure(logger, "DEBUG", "The original exception", cause.__cause__)
            return self._leave(dispatcher, EXIT_START_FAILED)
        except ForcedExit as leave:
            try_to_log("WARNING", "Leaving at once: {reason}", reason=leave.reason.value)
            status = EXIT_FORCED_STOP if leave.reason is ExitReason.FORCED else None
            return self._leave(dispatcher, status, timeout=FORCED_TIMEOUT)
        unfinished = self.report.timed_out or bool(self.report.stuck)
        if unfinished and self._terminate_by is None:
            return dispatcher.status or EXIT_FORCED_STOP
        return dispatcher.status

    def _leave(
        self, dispatcher: Dispatcher, status: int | None, *, timeout: float | None = None
    ) -> int:
        self._leaving = True  # further signals change nothing now
        self.report = dispatcher.stop(drain=False, timeout=timeout)
        return dispatcher.status if status is None else status

    @property
    def begun(self) -> bool:
        """True once it serves, or has served."""
        return self._dispatcher is not None

    def ended_by_callback(self) -> bool:
        """Return True if only a callback stopped everything, with status 0, and no signal."""
        return (
            self._dispatcher is not None
            and self._dispatcher.halted_with == 0
            and self._terminate_by is None
            and not self._leaving
        )

    # --- the loop -----------------------------------------------------------------------------

    def run_once(self, timeout: float | None) -> None:
        """Wait for a notice or a signal, handle the signals, and look at the deadline.

        Args:
            timeout: Seconds to wait at most; None: until a notice, a signal or the deadline.

        Raises:
            ForcedExit: It is time to leave, whatever the caller waits for.
        """
        assert self._trap is not None
        for number in self._trap.wait(self._until_deadline(timeout)):
            self._handle(number)
        self._leave_if_due()

    def _until_deadline(self, timeout: float | None) -> float | None:
        if self._terminate_by is None or self._halted():
            return timeout
        left = max(0.0, self._terminate_by - self._now())
        return left if timeout is None else min(left, timeout)

    def _leave_if_due(self) -> None:
        if self._leaving:
            return
        late = self._terminate_by is not None and self._now() >= self._terminate_by
        if self._exit is None and late and not self._halted():
            self._exit = ExitReason.TERMINATED
        if self._exit is not None:
            raise ForcedExit(self._exit)

    def _halted(self) -> bool:
        return self._dispatcher is not None and self._dispatcher.halted

    # --- the notifier -------------------------------------------------------------------------

    def notify(self) -> None:
        """End the main thread's wait. Never blocks. Thread: any."""
        self._other_threads.notify()
        trap = self._trap
        if trap is not None:
            trap.notify()

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        """Return `run_once` on the main thread; on other threads, a wait without signals.

        Raises:
            RuntimeError: The daemon does not serve.
        """
        if self._trap is None:
            raise RuntimeError("A ZenDaemon is started and stopped by serve() or run().")
        if self._ident() == self._main_thread:
            yield self.run_once
        else:
            with self._other_threads.subscribed() as wait:
                yield wait

    # --- signals ------------------------------------------------------------------------------

    def _handle(self, number: int) -> None:
        name = SIGNALS_TO_NAMES_DICT.get(number, str(number))
        try:
            self._act(number, name)
        finally:  # last, because a log whose reader hangs must not delay the action
            try_to_log("INFO", "Received {name}", name=name)

    def _act(self, number: int, name: str) -> None:
        if number == signal.SIGHUP and self._hung_up():
            number = signal.SIGTERM
            try_to_log("WARNING", "The terminal has gone: ending as after SIGTERM")
        event = self._events[number]
        dispatcher = self._dispatcher
        if number == signal.SIGQUIT and event is None:
            found = stacks(is_idle=is_idle)
            try_to_log("WARNING", "What every thread is doing:\n{stacks}", stacks=found)
        if event is None or dispatcher is None or self._leaving:
            return
        if number == signal.SIGTERM and self._sigterm == "terminate":
            self._terminate(dispatcher)
        elif number in {signal.SIGINT, signal.SIGTERM}:
            self._interrupt(dispatcher, name)
        elif event in dispatcher.chains():
            self._schedule(dispatcher, event)
        else:
            try_to_log(
                "WARNING",
                "{name} is ignored: no component handles {event!r}",
                name=name,
                event=event,
            )

    def _interrupt(self, dispatcher: Dispatcher, name: str) -> None:
        self._stop_attempts += 1
        if not self._started:
            self._exit = self._exit or ExitReason.INTERRUPTED
        elif self._stop_attempts >= MAX_STOP_ATTEMPTS:
            self._exit = self._exit or ExitReason.FORCED
        else:
            dispatcher.set_done()  # first: a callback of `stop` sees it
            if dispatcher.policy.start_and_stop == "scheduled":
                self._schedule(dispatcher, dispatcher.EVENT_STOP)
            if self._stop_attempts > 1:
                try_to_log(
                    "WARNING",
                    "Still handling queued events; {more} more {name} to leave at once",
                    more=MAX_STOP_ATTEMPTS - self._stop_attempts,
                    name=name,
                )

    def _terminate(self, dispatcher: Dispatcher) -> None:
        if not self._started or dispatcher.is_done():
            self._exit = self._exit or ExitReason.TERMINATED  # the event might not begin
        elif self._terminate_by is None:
            self._terminate_by = self._now() + TERMINATE_TIMEOUT
            self._schedule(dispatcher, dispatcher.EVENT_TERMINATE)

    def _schedule(self, dispatcher: Dispatcher, event: Any) -> None:
        self._answers.received(event)
        with contextlib.suppress(NotRunningError):  # it stops: events no longer begin
            dispatcher.queue.schedule_priority(event)


@contextlib.contextmanager
def _switch_interval(seconds: float | None) -> Iterator[None]:
    """Set the interpreter's switch interval for a while. It belongs to the whole process."""
    before = sys.getswitchinterval()
    if seconds is not None:
        sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
