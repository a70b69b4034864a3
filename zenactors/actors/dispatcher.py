"""`Dispatcher`: the whole engine, to be embedded in any program or test.

It runs the components under the dispatcher, touches no signals, and shares nothing with other
dispatchers in the process.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from loguru import logger

from zenactors.actors.component import Quiesce, ReadState, ReadStatistics, SetUp, TearDown
from zenactors.actors.engine import ASK_TIMEOUT, Engine
from zenactors.actors.entries import ComponentEntry, component_entries
from zenactors.actors.live_queue import LiveQueue
from zenactors.actors.notifier import Notifier
from zenactors.actors.percent_logger import PercentLogger
from zenactors.actors.reconfigure import Change, Reconfiguration, Reconfigure, Rollback
from zenactors.actors.runtime import Runtime
from zenactors.actors.shutdown import StopReport
from zenactors.core.clock import Clock, Deadline, SystemClock
from zenactors.core.dispatch_state import Counts, Ordering
from zenactors.core.names import DaemonNames
from zenactors.core.replicas import Replicas
from zenactors.errors import ComponentStartError, NotRunningError, ReloadError
from zenactors.process.children import Children

if TYPE_CHECKING:
    import subprocess

    import tenacity

    from zenactors.actors.reactor import ComponentReactor
    from zenactors.core.messages import DeadLetter

HASTY_PATIENCE = 0.25  # seconds a teardown may hold up the next one when there is no time
HASTY_TIMEOUT = 1.0  # seconds for everything when there is no time
CHILDREN_GRACE = 2.0  # seconds that programs have between SIGTERM and SIGKILL
RELOAD_TIMEOUT = 10.0  # seconds until all have their new options, or their old ones again
RESTORE_TIMEOUT = 2.0  # seconds of these for those that must change back


class Dispatcher(DaemonNames):
    """Run components as actors under a dispatcher.

        with Dispatcher([Parser(), Writer()]) as dispatcher:
            dispatcher.queue.schedule("line", "hello")

    Entering starts everything and returns when each component is set up and has handled
    `start`; leaving works off what is queued and stops everything, at the latest after
    `stop_timeout`. Callbacks get the dispatcher as their `daemon`.

    Args:
        components: In order of registration: they are set up in this order, and their
            callbacks stand in the chains in this order. Each belongs to one dispatcher.
        ordering: What may overlap: `"global"`, `"component"` or `"event"`.
        compat: `"pyzenkit"`: pyzenkit's semantics. Implies `ordering="global"`; a callback that
            raises or returns no `(flag, args)`, or an event that nobody handles, ends the daemon.
        config: What `daemon.c(key)` returns.
        exit_when_idle: Tell sources to finish when they have nothing more to read.
        start_timeout: Seconds that each component has for `setup`, and all for `start`.
        stop_timeout: Seconds that a stop may take.
        queue_limit: How many events ahead a thread outside may be; None for no limit.
        queue_full: `"raise"` or `"block"`: what happens to a thread that is further ahead.
        daemon: What callbacks get as `daemon` instead of the dispatcher.
        control: A component that comes before all others: the daemon's own callbacks.
        notices: How `start` and `stop` wait; given by who must do something else meanwhile.
        clock: Where time comes from.
        runtime: What runs the actors. Default: threads.

    Attributes:
        clock: Where time comes from.
        members: Names and components in order of registration, replicas included.
        queue: The event queue; safe from any thread, before the start too.
        logger: Takes pyzenkit's `%s` arguments.

    Thread: any, unless a method says otherwise.
    """

    def __init__(
        self,
        components: Sequence[Any],
        *,
        ordering: Ordering = "component",
        compat: Literal["pyzenkit"] | None = None,
        config: Mapping[str, Any] | None = None,
        exit_when_idle: bool = False,
        start_timeout: float = 30.0,
        stop_timeout: float = 30.0,
        queue_limit: int | None = None,
        queue_full: Literal["raise", "block"] = "raise",
        daemon: Any = None,
        control: Any = None,
        notifier: Notifier | None = None,
        clock: Clock | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        if compat not in (None, "pyzenkit"):
            raise ValueError(f"compat must be 'pyzenkit' or None, not {compat!r}.")
        self.entries = component_entries(components, control)
        self.names = [entry.name for entry in self.entries]
        self.config = dict(config or {})
        self.exit_when_idle = exit_when_idle
        self.start_timeout = start_timeout
        self.stop_timeout = stop_timeout
        self.logger = PercentLogger()
        self._daemon = self if daemon is None else daemon
        self.clock: Clock = clock or SystemClock()
        self._runtime = runtime or Runtime()
        self._engine = Engine(
            self.entries,
            ordering="global" if compat else ordering,
            compat=compat is not None,
            notifier=notifier or self._runtime.notifier(),
            clock=self.clock,
            runtime=self._runtime,
        )
        self.queue = LiveQueue(
            self._engine.loop,
            self.clock,
            self._engine.runners,
            self._runtime,
            known=None if compat else self._engine.state.chain_states,
            limit=queue_limit,
            when_full=queue_full,
        )
        self._engine.after_turn = self.queue.notify_room
        self._children = Children(self.clock.monotonic)
        self._stop_lock = self._runtime.lock()
        self._stop_begun = False
        self._setting_up = -1
        self._report: StopReport | None = None
        self._last_statistics: dict[str, Any] = {}

    # --- life -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, cause_type: object, *_: object) -> None:
        # After an exception in the body there is nobody who wants the rest to be worked off.
        self.stop(drain=cause_type is None)

    def start(self) -> None:
        """Start the actors, set up the components in order, and run the `start` event.

        Blocks until all of this is done. If anything fails, nothing is left running.

        Raises:
            ComponentStartError: A component failed, or took longer than `start_timeout`.
            NotRunningError: It was started before, or another thread stopped it meanwhile.
        """
        with self._stop_lock:
            if self._engine.dispatcher is not None or self._report is not None:
                raise NotRunningError("A dispatcher can be started once; make a new one.")
            try:
                self._engine.start(self._daemon)
            except BaseException:  # whatever it was, nothing must be left running
                self.stop(drain=False)
                raise
        try:
            for index in range(len(self.entries)):
                self._set_up_component(index)
            self._run_start_event()
        except BaseException:  # as above
            self.stop(drain=False)
            raise

    def stop(self, *, drain: bool = True, timeout: float | None = None) -> StopReport:
        """Stop everything, and return what was left undone.

        The `stop` event goes through its chain, past what is queued, and descriptors and timers
        fall silent; what is queued is worked off, events for later excepted; then the components
        are torn down in reverse order. A component that hangs is left behind and named.
        Repeated and concurrent stops are harmless: they wait for the first.

        Args:
            drain: False: do not work off what is queued.
            timeout: Seconds until what hangs is left behind. Default: `stop_timeout`.

        Raises:
            RuntimeError: If a callback tries to wait for its own end. It calls
                `daemon.set_done()` or raises `ZenDaemonStopException` instead.
        """
        if self._runtime.ident() in self._engine.runners:
            raise RuntimeError(
                "A callback cannot wait for the stop of its own daemon: call daemon.set_done()"
                " for a graceful stop, or raise ZenDaemonStopException to stop at once."
            )
        if not drain:
            self._engine.halt()
        with self._stop_lock:
            if self._report is None:
                deadline = Deadline(self.clock, self.stop_timeout if timeout is None else timeout)
                self._report = self._stop(deadline)
            return self._report

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until nothing is under way and nothing waits but events for later.

        Returns:
            False if `timeout` seconds were not enough.

        Raises:
            RuntimeError: If a callback waits for itself to return.
        """
        engine = self._engine
        if self._runtime.ident() in engine.runners:
            raise RuntimeError("A callback cannot wait until its own daemon has drained.")
        engine.wait_for(lambda: engine.halted or engine.drained(), Deadline(self.clock, timeout))
        return engine.drained()

    def wait_for_end(self, timeout: float | None = None) -> bool:
        """Wait until it is time to call `stop`.

        That is: somebody called `set_done`; or a callback stopped everything; or nothing
        will happen any more by itself (see `is_idle`).

        Returns:
            False if `timeout` seconds were not enough.
        """
        engine = self._engine
        return engine.wait_for(
            lambda: engine.done.is_set() or engine.halted or self.is_idle(),
            Deadline(self.clock, timeout),
            watch=engine.idlers,
        )

    def set_done(self) -> None:
        """Say that it is time to stop: whoever runs the dispatcher stops it gracefully."""
        self._engine.done.set()
        self._engine.notifier.notify()

    def is_done(self) -> bool:
        """Return True once it is time to stop: produce no new work."""
        return self._engine.done.is_set()

    def wait(self, period: float) -> bool:
        """Wait `period` seconds, or until it is time to stop. True: it is."""
        return self._engine.done.wait(period)

    def retrying(self, **options: Any) -> tenacity.Retrying:
        """Return tenacity's `Retrying`, whose waits end when it is time to stop.

            for attempt in daemon.retrying(wait=tenacity.wait_exponential(max=60)):
                with attempt:
                    self.connect()

        Args:
            options: As tenacity's own; `sleep` is given. Without `stop`, it tries for ever.

        Raises:
            NotRunningError: From the loop, instead of another attempt: the daemon stops.
        """
        import tenacity  # noqa: PLC0415 - slow to import, and not everybody retries

        def sleep(seconds: float) -> None:
            if self.wait(seconds):
                raise NotRunningError("The daemon stops: not tried again.")

        return tenacity.Retrying(sleep=sleep, **{"reraise": True, **options})

    def spawn(self, argv: Sequence[str], **popen_options: Any) -> subprocess.Popen[Any]:
        """Run a program that does not outlive the components: it is ended when all are torn down.

        It begins with no signal blocked or ignored, in a process group of its own, without a
        shell. Blocks until it runs. Thread: any.

        Args:
            argv: The program and its arguments.
            popen_options: As `subprocess.Popen` has them, but for group, session and `shell`.

        Raises:
            OSError: The program cannot be run.
            RuntimeError: The end has come.
        """
        return self._children.spawn(argv, **popen_options)

    def dbgout(self, message: str) -> None:
        """Log a debugging message."""
        self.logger.debug(message)

    def set_exit_status(self, status: int) -> None:
        """Note an exit status for the end; the first one noted counts."""
        self._engine.set_exit_status(status)

    def reconfigure(self, changes: Mapping[str, Change], on_rollback: Callable[[], None]) -> None:
        """Give components new options: all of them, or none.

        Each changes in its own thread, between two events; no event is lost. Blocks until all
        have changed, at most `RELOAD_TIMEOUT` seconds; a stop ends it as if time had run out.

        Args:
            changes: By the component's name. That of `Replicas` stands for all of them.
            on_rollback: Called if it fails, before anybody changes back.

        Raises:
            ReloadError: One could not, or was not through in time. All have their old options
                again, or will have as soon as they are free.
        """
        engine = self._engine
        by_index = {
            index: Change(
                change.old, change.new, change.replacement if entry.router is None else None
            )
            for index, entry in enumerate(self.entries)
            for change in [changes.get(self._configured_as(entry))]
            if change is not None and not isinstance(entry.component, Replicas)
        }
        reload = Reconfiguration(by_index, on_rollback, engine.notifier.notify)
        for index, change in by_index.items():
            if change.replacement is not None and not engine.fits(index, change.replacement):
                raise ReloadError(
                    f"Component {self.names[index]!r} would handle other events than now:"
                    " that needs a restart."
                )
        deadline = Deadline(self.clock, RELOAD_TIMEOUT)
        for index in by_index:
            engine.tell(index, Reconfigure(reload))
        engine.wait_for(lambda: reload.answered() or self.is_done(), deadline.less(RESTORE_TIMEOUT))
        if reload.decide():
            return
        reason = self._explain_failure(reload)
        for index in reload.changed():
            engine.tell(index, Rollback(reload))
        engine.wait_for(
            lambda: reload.settled() or engine.halted, deadline.at_most(RESTORE_TIMEOUT)
        )
        raise ReloadError(reason) from next(iter(reload.failures().values()), None)

    def _configured_as(self, entry: ComponentEntry) -> str:
        return entry.name if entry.router is None else self.names[entry.router]

    def _explain_failure(self, reload: Reconfiguration) -> str:
        for index, cause in reload.failures().items():
            return (
                f"Component {self.names[index]!r} cannot take its new options: {_describe(cause)}"
            )
        names = ", ".join(repr(self.names[index]) for index in reload.unanswered())
        if self.is_done():
            return f"The daemon stops; not reconfigured: {names}"
        seconds = RELOAD_TIMEOUT - RESTORE_TIMEOUT
        return f"Not reconfigured in {seconds:g} s, because busy: {names}"

    # --- how things stand ---------------------------------------------------------------------

    @property
    def io(self) -> ComponentReactor:
        """The calling component's descriptors and timers.

        Raises:
            RuntimeError: If the calling thread is not a component's.

        Thread: own.
        """
        reactor = self._engine.reactors.get(self._runtime.ident())
        if reactor is None:
            raise RuntimeError(
                "daemon.io belongs to a component's own thread: use it in setup() and in callbacks."
            )
        return reactor

    @property
    def is_open(self) -> bool:
        """True while events start: `start` is through, and no stop has come to its end."""
        return self._engine.loop.is_open()

    @property
    def status(self) -> int:
        """The exit status that was noted, or 0."""
        return self._engine.status or 0

    @property
    def halted_with(self) -> int | None:
        """The status with which a callback stopped everything; None if none did."""
        return self._engine.halted_with

    @property
    def halted(self) -> bool:
        """True once nothing is started any more: a callback stopped everything, or `stop` did."""
        return self._engine.halted

    def is_idle(self) -> bool:
        """Return True if nothing will happen any more by itself.

        That is: nothing queued, not even for later (housekeeping excepted), nothing under way
        and no active source.
        """
        with self._engine.loop.locked() as state:
            return state.idle()

    def counts(self) -> dict[Any, Counts]:
        """Return what became of the events of each chain."""
        with self._engine.loop.locked() as state:
            return state.counts()

    def chains(self) -> dict[Any, list[tuple[str, str]]]:
        """Return each event's chain as `(component, callback)` names, in order."""
        return {
            event: [
                (self.names[step.component], getattr(callback, "__name__", repr(callback)))
                for step in chain_state.chain.steps
                for callback in step.callbacks
            ]
            for event, chain_state in self._engine.state.chain_states.items()
        }

    def dead_letters(self) -> list[DeadLetter]:
        """Return the last 1,000 events that could not be handled, oldest first."""
        return self._engine.dead_letters.kept()

    def dead_letter_count(self) -> int:
        """Return how many events could not be handled so far."""
        return self._engine.dead_letters.total()

    def get_statistics(self, reader: str = "dispatcher") -> dict[str, Any]:
        """Ask every component for its statistics; after the stop, return the final ones.

        A component that does not answer within 5 seconds is left out.

        Args:
            reader: Increases and rates are against this reader's last reading.
        """
        if self._report is not None:
            return self._last_statistics
        return self._engine.ask_all(ReadStatistics(reader))

    def get_state(self) -> dict[str, Any]:
        """Ask every component for its state. One that does not answer is left out."""
        return self._engine.ask_all(ReadState())

    # --- starting -----------------------------------------------------------------------------

    def _set_up_component(self, index: int) -> None:
        engine, name = self._engine, self.names[index]
        # With the lock, it is either told before a stop begins, and torn down by that, or never.
        with self._stop_lock:
            self._check_not_stopped()
            self._setting_up = index
            engine.tell(index, SetUp())
        deadline = Deadline(self.clock, self.start_timeout)
        in_time = engine.wait_for(lambda: index in engine.set_ups or self._stop_begun, deadline)
        if index not in engine.set_ups:
            self._check_not_stopped()
        if not in_time:
            raise ComponentStartError(name, "setup", f"no answer in {self.start_timeout:g} s")
        cause = engine.set_ups[index]
        if cause is not None:
            raise ComponentStartError(name, "setup", _describe(cause)) from cause

    def _run_start_event(self) -> None:
        engine = self._engine
        with self._stop_lock:
            self._check_not_stopped()
            engine.start_first()

        def over() -> bool:
            with engine.loop.locked() as state:
                return bool(engine.start_failure or engine.halted or not state.in_flight())

        in_time = engine.wait_for(over, Deadline(self.clock, self.start_timeout))
        failure = engine.start_failure
        if failure is not None:
            raise ComponentStartError(
                failure.component, "start", _describe(failure.cause)
            ) from failure.cause
        if not in_time:
            raise ComponentStartError(
                self._where_start_hangs(), "start", f"no answer in {self.start_timeout:g} s"
            )
        self._check_not_stopped()
        engine.open()

    def _check_not_stopped(self) -> None:
        if self._stop_begun:
            raise NotRunningError("The dispatcher was stopped while it was starting.")

    def _where_start_hangs(self) -> str:
        chain = self._engine.state.chain_states[self.EVENT_START].chain
        # A component that is free answers at once; the first that does not is in its callback.
        answers = self._engine.ask_all(ReadState(), timeout=HASTY_TIMEOUT)
        names = [self.names[step.component] for step in chain.steps]
        return next((name for name in names if name not in answers), names[-1])

    # --- stopping -----------------------------------------------------------------------------

    def _stop(self, deadline: Deadline) -> StopReport:
        engine = self._engine
        running = engine.running()
        if not self._stop_begun:
            self._stop_begun = True
            self.set_done()
            for index in range(len(engine.refs)):
                engine.tell(index, Quiesce())
            if running and not engine.halted and self.EVENT_STOP in engine.state.chain_states:
                with contextlib.suppress(NotRunningError):  # a callback was faster in halting it
                    self.queue.schedule_priority(self.EVENT_STOP)
        if running:
            # Whatever hangs, the tearing down that follows has its share of the time.
            drain_by = deadline.less(HASTY_TIMEOUT)
            engine.wait_for(lambda: engine.halted or engine.drained(), drain_by)
        drained = engine.drained()
        timed_out = running and not engine.halted and not drained
        hasty = engine.halted or timed_out
        engine.halt()
        if hasty:
            deadline = Deadline(self.clock, HASTY_TIMEOUT)
        if running:
            answer_in = deadline.at_most(HASTY_PATIENCE if hasty else ASK_TIMEOUT)
            self._last_statistics = engine.ask_all(
                ReadStatistics("final"), timeout=answer_in.remaining()
            )
        stuck = self._tear_down(deadline, patience=HASTY_PATIENCE if hasty else None)
        for child in self._children.stop(deadline.at_most(CHILDREN_GRACE).remaining() or 0.0):
            logger.error(
                "Program {args} does not end: process {pid}", args=child.args, pid=child.pid
            )
        engine.stop_actors()
        return self._make_report(stuck, drained=drained, timed_out=timed_out)

    def _tear_down(self, deadline: Deadline, *, patience: float | None) -> list[int]:
        """Tear down what is set up, in reverse; return the components that did not answer."""
        engine = self._engine
        up = [index for index, cause in list(engine.set_ups.items()) if cause is None]
        told = list(up)
        if self._setting_up >= 0 and self._setting_up not in engine.set_ups:
            told.append(self._setting_up)  # it does so when its setup is over, if that succeeds
        for index in reversed(told):
            if index in engine.torn:
                continue  # an earlier stop that was broken off has come as far as that
            engine.tell(index, TearDown())
            limit = deadline if patience is None else deadline.at_most(patience)
            engine.wait_for(functools.partial(engine.torn.__contains__, index), limit)
        # One that used up the time must not make those look stuck that had none.
        engine.wait_for(lambda: engine.torn.issuperset(up), deadline.at_least(HASTY_PATIENCE))
        return [index for index in told if index not in engine.torn]

    def _make_report(self, stuck: list[int], *, drained: bool, timed_out: bool) -> StopReport:
        engine = self._engine
        for index, thread in list(engine.threads.items()):
            if index not in stuck:
                # It has nothing left to do but to leave pykka's loop.
                self._runtime.join(thread, HASTY_TIMEOUT)
        with engine.loop.locked() as state:
            timed = state.queue.timed()
            later = timed - state.queue.timed_maintenance()
            left = state.queue.count() - timed + state.in_flight()
        return StopReport(
            drained=drained,
            timed_out=timed_out,
            stuck=tuple(self.names[index] for index in stuck),
            left=left,
            later=later,
            dead_letters=engine.dead_letters.total(),
        )


def _describe(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}"
