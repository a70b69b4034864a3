"""What the main thread does while a daemon serves: wait, turn signals into events, end in time."""

from __future__ import annotations

import contextlib
import enum
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from loguru import logger

from zenactors.core.names import DaemonNames
from zenactors.errors import (
    EXIT_CONFIG,
    EXIT_FORCED_STOP,
    EXIT_START_FAILED,
    ComponentStartError,
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
"""So many SIGINTs leave at once, without waiting for the work that is under way."""

TERMINATE_TIMEOUT = 1.0  # seconds that the `terminate` event has before the main thread acts itself

SIGNAL_EVENTS: dict[int, Any] = {
    signal.SIGINT: DaemonNames.EVENT_STOP,
    signal.SIGTERM: DaemonNames.EVENT_TERMINATE,
    signal.SIGHUP: DaemonNames.EVENT_SIGNAL_HUP,
    signal.SIGUSR1: DaemonNames.EVENT_SIGNAL_USR1,
    signal.SIGUSR2: DaemonNames.EVENT_SIGNAL_USR2,
    signal.SIGALRM: None,  # wakes the main thread, and that is all
    signal.SIGQUIT: None,  # logs what every thread is doing
}
"""What the main thread traps, and which event it makes of it."""


class ExitReason(enum.Enum):
    """Why the main thread leaves without waiting any longer."""

    TERMINATED = "SIGTERM"
    FORCED = "asked to stop three times"
    INTERRUPTED = "asked to stop during start-up"


class Trap(Protocol):
    """What the main thread waits at; see `zenactors.process.signals.SignalTrap`."""

    def __enter__(self) -> Self:
        """Begin to catch signals."""
        ...

    def __exit__(self, *_: object) -> None:
        """Leave them to whoever had them before."""
        ...

    def notify(self) -> None:
        """End a `wait` without a signal."""
        ...

    def wait(self, timeout: float | None = None) -> list[int]:
        """Wait for a signal or a `notify`; return the signals caught."""
        ...


class ForcedExit(Exception):  # noqa: N818 - not an error
    """Raised by the main thread's wait, to end whatever it was waiting for."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class MainLoop:
    """Start a dispatcher, wait for its end, and stop it: whatever signals come meanwhile.

    It is also how the dispatcher's own waits are waited (`actors.notifier.Notifier`): a notice
    and a signal end the same wait.

    Args:
        clock: Where time comes from.
        compat: True: a stop that was asked for has status 0, however it ended.
        runtime: What runs the actors.
        trap: Makes what signals are waited for at.

    Thread: main, but for `notify`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        compat: bool,
        runtime: Runtime,
        trap: Callable[[Iterable[int]], Trap] = SignalTrap,
    ) -> None:
        self.report: StopReport | None = None
        self._clock = clock
        self._compat = compat
        self._ident = runtime.ident
        self._others = runtime.notifier()
        self._make_trap = trap
        self._trap: Trap | None = None
        self._serving = 0
        self._dispatcher: Dispatcher | None = None
        self._started = False
        self._leaving = False
        self.received: Counter[int] = Counter()
        """How often each signal has come."""
        self._stop_attempts = 0
        self._leave_by: float | None = None
        self._events: dict[int, Any] = SIGNAL_EVENTS
        self._sigterm = "terminate"
        self._on_ready: Callable[[], None] = _nothing

    def serve(
        self,
        dispatcher: Dispatcher,
        schedule_initial: Callable[[], None],
        switch_interval: float | None,
        *,
        signals: Mapping[int, Any],
        sigterm: Literal["terminate", "stop"],
        on_ready: Callable[[], None],
    ) -> int:
        """Run the dispatcher from start to stop. Return the exit status.

        Args:
            dispatcher: What to run.
            schedule_initial: Called before the start.
            switch_interval: In seconds; see `ZenDaemon`.
            signals: Further signals, and the events to make of them.
            sigterm: What SIGTERM means: `"stop"` is what SIGINT means.
            on_ready: Called when every component has started.

        Raises:
            RuntimeError: Outside the main thread.
        """
        self._events = {**SIGNAL_EVENTS, **signals}
        self._sigterm = sigterm
        self._on_ready = on_ready
        with self._make_trap(self._events) as trap, _switching_every(switch_interval):
            self._trap = trap
            self._serving = self._ident()
            self._dispatcher = dispatcher
            try:
                return self._serve(dispatcher, schedule_initial)
            except BaseException:  # a bug, perhaps of the program's `on_ready`
                dispatcher.stop(drain=False)
                raise
            finally:
                self._trap = None
                self._serving = 0

    @property
    def begun(self) -> bool:
        """True once it serves, or has served."""
        return self._dispatcher is not None

    def ended_by_callback(self) -> bool:
        """Return True if a callback stopped everything with status 0, and nobody else did."""
        return (
            self._dispatcher is not None
            and self._dispatcher.halted_with == 0
            and self._leave_by is None
            and not self._leaving
        )

    def notify(self) -> None:
        """End the main thread's wait. Never blocks. Thread: any."""
        self._others.notify()
        trap = self._trap
        if trap is not None:
            trap.notify()

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        """Return the main thread's wait; other threads have one without signals.

        Raises:
            RuntimeError: The daemon does not serve.
        """
        if self._trap is None:
            raise RuntimeError("A ZenDaemon is started and stopped by serve() or run().")
        if self._ident() == self._serving:
            yield self._wait
        else:
            with self._others.subscribed() as wait:
                yield wait

    def _serve(self, dispatcher: Dispatcher, schedule_initial: Callable[[], None]) -> int:
        try:
            schedule_initial()
            dispatcher.start()
            self._started = True
            self._on_ready()
            dispatcher.wait_for_end()
            self.report = dispatcher.stop()
        except UnknownEventError as cause:
            logger.error("{cause}", cause=cause)
            return self._leave(dispatcher, EXIT_CONFIG)
        except ComponentStartError as cause:
            logger.error("{cause}", cause=cause)
            if cause.__cause__ is not None:
                logger.opt(exception=cause.__cause__).debug("The original exception")
            return self._leave(dispatcher, EXIT_START_FAILED)
        except ForcedExit as leave:
            logger.warning("Leaving at once: {reason}", reason=leave.reason.value)
            forced = leave.reason is ExitReason.FORCED and not self._compat
            return self._leave(dispatcher, EXIT_FORCED_STOP if forced else None)
        unfinished = self.report.timed_out or bool(self.report.stuck)
        if unfinished and self._leave_by is None and not self._compat:
            return dispatcher.status or EXIT_FORCED_STOP
        return dispatcher.status

    def _leave(self, dispatcher: Dispatcher, status: int | None) -> int:
        self._leaving = True  # whoever is impatient may become more so: it changes nothing now
        self.report = dispatcher.stop(drain=False)
        return dispatcher.status if status is None else status

    def _wait(self, timeout: float | None) -> None:
        """Wait for a notice, and handle the signals that came. Raises `ForcedExit`."""
        trap = self._trap
        assert trap is not None
        if self._leave_by is not None and self._dispatcher and not self._dispatcher.halted:
            left = self._leave_by - self._clock.monotonic()
            if left <= 0:
                raise ForcedExit(ExitReason.TERMINATED)
            timeout = left if timeout is None else min(left, timeout)
        for number in trap.wait(timeout):
            self._handle(number)

    def _handle(self, number: int) -> None:
        self.received[number] += 1
        name = SIGNALS_TO_NAMES_DICT.get(number, str(number))
        try:
            self._act(number, name)
        finally:  # afterwards: a log whose reader hangs must not keep it from being done
            logger.info("Received {name}", name=name)

    def _act(self, number: int, name: str) -> None:
        event = self._events[number]
        dispatcher = self._dispatcher
        if number == signal.SIGQUIT and event is None:
            logger.warning("What every thread is doing:\n{stacks}", stacks=stacks())
        if event is None or dispatcher is None or self._leaving:
            return
        if number == signal.SIGTERM and self._sigterm == "terminate":
            self._terminate(dispatcher)
        elif number in {signal.SIGINT, signal.SIGTERM}:
            self._interrupt(dispatcher, name)
        elif event in dispatcher.chains():
            _schedule(dispatcher, event)
        else:
            logger.warning(
                "{name} is ignored: no component handles {event!r}", name=name, event=event
            )

    def _interrupt(self, dispatcher: Dispatcher, name: str) -> None:
        if not self._started:
            raise ForcedExit(ExitReason.INTERRUPTED)
        self._stop_attempts += 1
        if self._stop_attempts >= MAX_STOP_ATTEMPTS:
            raise ForcedExit(ExitReason.FORCED)
        if self._stop_attempts > 1:
            logger.warning(
                "Still working off what is queued; {more} more {name} to leave at once",
                more=MAX_STOP_ATTEMPTS - self._stop_attempts,
                name=name,
            )
        dispatcher.set_done()  # the stop itself sends the `stop` event through its chain

    def _terminate(self, dispatcher: Dispatcher) -> None:
        if not self._started or dispatcher.is_done():
            raise ForcedExit(ExitReason.TERMINATED)
        self._leave_by = self._clock.monotonic() + TERMINATE_TIMEOUT
        _schedule(dispatcher, dispatcher.EVENT_TERMINATE)


def _nothing() -> None:
    pass


def _schedule(dispatcher: Dispatcher, event: str) -> None:
    with contextlib.suppress(NotRunningError):  # it stops: nothing is started any more
        dispatcher.queue.schedule_priority(event)


@contextlib.contextmanager
def _switching_every(seconds: float | None) -> Iterator[None]:
    """Set the interpreter's switch interval for a while. It belongs to the whole process."""
    before = sys.getswitchinterval()
    if seconds is not None:
        sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
