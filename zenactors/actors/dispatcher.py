"""`Dispatcher`: runs components inside any program or test.

It touches no signal handlers, and shares nothing with other dispatchers of the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from zenactors.actors.callback_side import CallbackSide
from zenactors.actors.component_messages import Change, ReadState, ReadStatistics
from zenactors.actors.engine import Engine
from zenactors.actors.letter_box import LetterBox
from zenactors.actors.live_queue import LiveQueue
from zenactors.actors.percent_logger import PercentLogger
from zenactors.actors.reconfigure import Reconfiguration
from zenactors.actors.runtime import Runtime
from zenactors.actors.shutdown import Shutdown, StopReport
from zenactors.actors.startup import Startup
from zenactors.actors.state_directory import StateDirectory
from zenactors.config.plan import plan_for
from zenactors.core.accounting import Counts
from zenactors.core.callbacks import callback_name
from zenactors.core.clock import Clock, Deadline, SystemClock
from zenactors.core.dispatch_state import DispatchState, Ordering
from zenactors.core.entries import component_entries
from zenactors.core.phase import Phase
from zenactors.core.policy import EventPolicy
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import DEFAULT, Supervision, differs
from zenactors.errors import (
    ConfigurationError,
    NotRunningError,
    ReloadError,
    ZenDaemonStopException,
)
from zenactors.process.children import Children
from zenactors.process.forks import disown_in_children

if TYPE_CHECKING:
    from os import PathLike

    from zenactors.actors.notifier import Notifier
    from zenactors.core.callbacks import Callback

STARTED_ONCE = "A dispatcher can be started once; make a new one."


_TOO_LATE = (
    "the daemon was used (its queue, or its chains) before its configuration was known. Give its"
    " first events to the constructor (schedule=...), or use it later"
)


class Dispatcher(CallbackSide):
    """Run components as actors under a dispatcher.

        with Dispatcher([Parser(), Writer()]) as dispatcher:
            dispatcher.queue.schedule("line", "hello")

    Entering the block starts everything, and returns when each component is set up and has
    handled `start`. Leaving it handles the queued events and stops everything, at the latest
    after `stop_timeout`. Callbacks get the dispatcher as their `daemon`.

    Args:
        components: In order of registration. They are set up in this order, and their callbacks
            are in the chains in this order. An object is a component of one running
            dispatcher at a time. A class, or a `Recipe`, is made here.
        ordering: Which events may overlap: `"global"`, `"component"` or `"event"`.
        policy: What becomes of events in special cases; see `EventPolicy`.
        supervision: The policy for the failures of components that declare none.
        chains: The callbacks of each event, in order, instead of those that the components'
            `get_events()` list. A method of a component runs in that component's thread, every
            other callback in the first component's.
        config: The configuration that `daemon.c(key)` reads. Its table `components` overrides
            the options of components, and their policies, by name.
        exit_when_idle: True asks sources to finish when they have nothing more to read.
        start_timeout: Seconds that each component has for `setup`, and all for `start`.
        stop_timeout: Seconds that a stop may take.
        state_dir: The directory of the components' state stores; see `state_store`.
        queue_limit: How many events ahead a thread outside may be; None for no limit.
        queue_full: The behaviour of `schedule` at that limit: `"raise"` a `QueueFullError`, or
            `"block"`.
        dead_letter_file: The file to which dead letters are appended, as JSON lines; opened by the
            start.
        daemon: Passed to callbacks as `daemon` instead of the dispatcher.
        control: A component that comes before all others: the daemon's own callbacks.
        notifier: Ends the waits of `start` and `stop`. Default: the runtime's.
        clock: The source of time.
        runtime: Runs the actors. Default: in threads.

    Attributes:
        clock: The source of time.
        entries: The components with their names, in order of registration, replicas included.
        names: The names alone.
        queue: The event queue. Safe from any thread, even before the start.
        logger: Takes `%s` arguments, as the standard library's, and writes to loguru.
        policy: As given.

    Thread: any, unless a method says otherwise.
    """

    def __init__(
        self,
        components: Sequence[Any],
        *,
        ordering: Ordering = "component",
        policy: EventPolicy | None = None,
        supervision: Supervision | None = None,
        chains: Mapping[Any, Sequence[Callback]] | None = None,
        config: Mapping[str, Any] | None = None,
        exit_when_idle: bool = False,
        start_timeout: float = 30.0,
        stop_timeout: float = 30.0,
        state_dir: str | os.PathLike[str] | None = None,
        queue_limit: int | None = None,
        queue_full: Literal["raise", "block"] = "raise",
        dead_letter_file: str | PathLike[str] | None = None,
        daemon: Any = None,
        control: Any = None,
        notifier: Notifier | None = None,
        clock: Clock | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.policy = policy or EventPolicy()
        policies: Mapping[str, Mapping[str, Any]] = {}
        if daemon is None:  # a ZenDaemon has given its components their options
            plan = plan_for(components, config or {})
            components, _ = plan.make()
            policies = plan.configuration.supervision
        self.entries = component_entries(components, control)
        self.names = [entry.name for entry in self.entries]
        self.config = dict(config or {})
        self.exit_when_idle = exit_when_idle
        self.stop_timeout = stop_timeout
        self.logger = PercentLogger()
        self.dead_letter_file = dead_letter_file
        self._daemon = self if daemon is None else daemon
        self.clock: Clock = clock or SystemClock()
        self._runtime = runtime or Runtime()
        self._state = StateDirectory(
            _path(state_dir),
            self._runtime.files,
            self._runtime.lock,
            lambda: self._engine.dead_letters.file.sync(),  # noqa: PLW0108 - made later
        )
        engine = self._engine = Engine(
            self.entries,
            ordering=ordering,
            policy=self.policy,
            supervision=supervision or DEFAULT,
            chains=chains,
            notifier=notifier or self._runtime.notifier(),
            clock=self.clock,
            runtime=self._runtime,
        )
        engine.supervise(policies)
        self.queue = LiveQueue(
            engine.loop,
            self.clock,
            engine.runners,
            self._runtime,
            accepts_all=self.policy.unknown_events == "fail",
            limit=queue_limit,
            when_full=queue_full,
        )
        self._letters = LetterBox(engine, self.queue)
        self._children = Children(self.clock.monotonic)
        self._startup = Startup(engine, start_timeout)
        self._shutdown = Shutdown(engine, self.queue, self._children)
        self._report: StopReport | None = None

    def configure(
        self,
        config: Mapping[str, Any],
        *,
        start_timeout: float,
        stop_timeout: float,
        state_dir: str | None,
        policies: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Replace what the constructor was given; for a program that learns it later.

        Call it before the start.

        Args:
            config: The configuration.
            start_timeout: As for the constructor.
            stop_timeout: As for the constructor.
            policies: What the configuration sets in the policies of components, by their names.
                None: as before.
        """
        if policies is not None:
            self._engine.supervise(policies)
        self.config = dict(config)
        self.stop_timeout = stop_timeout
        self._startup.timeout = start_timeout
        self._state.path = state_dir

    def exchange(self, components: Sequence[Any], changed: Collection[int]) -> None:
        """Replace components by others that handle the same events. For `zenactors.daemon`.

        Call it before the start.

        Args:
            components: The new ones, in order; without the control component.
            changed: The indexes of those that were initialised again, among `components`.

        Raises:
            ConfigurationError: They are others, or handle other events. Nothing has changed.
            RuntimeError: It was started.
        """
        if self._engine.lifecycle.phase is not Phase.NEW:
            raise RuntimeError("The daemon runs: it can reload its configuration (SIGHUP).")
        control, *wired = [
            (index, entry) for index, entry in enumerate(self.entries) if entry.router is None
        ]
        new = component_entries(components, control[1].component)
        if [entry.name for entry in new] != self.names:
            raise ConfigurationError(f"the components would be others: {_TOO_LATE}")
        wiring = self._engine.wiring
        others = [
            (index, entry.name, component)
            for number, ((index, entry), component) in enumerate(
                zip(wired, components, strict=True)
            )
            if component is not entry.component or number in changed
        ]
        for index, name, component in others:
            if not wiring.fits(index, component):
                raise ConfigurationError(
                    f"component {name!r} would handle other events: {_TOO_LATE}"
                )
        for index, _, component in others:
            wiring.replace(index, component)

    # --- start, stop and waiting ------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, cause_type: object, *_: object) -> None:
        # After an exception in the body, queued events are not handled.
        self.stop(drain=cause_type is None)

    def start(self) -> None:
        """Start the actors, set up the components in order, and run the `start` event.

        Blocks until all of this is done. If anything fails, nothing is left running.

        Raises:
            ComponentStartError: A component failed, took longer than `start_timeout`, runs in a
                dispatcher already, or gets no thread.
            ConfigurationError: `dead_letter_file` cannot be opened.
            NotRunningError: It was started before, or another thread stopped it meanwhile.
        """
        if self._engine.lifecycle.phase is Phase.NEW:
            self.set_up()
        elif not self._startup.is_set_up or self._engine.lifecycle.phase is not Phase.SETTING_UP:
            raise NotRunningError(STARTED_ONCE)
        try:
            self._startup.open()
        except BaseException:  # whatever it was, nothing must be left running
            self._shutdown.sweep(self.stop(drain=False))
            raise

    def set_up(self) -> None:
        """Do the first half of `start`: start the actors, and set the components up in order.

        Blocks until this is done; `start` does the rest. If it fails, nothing is left running.

        Raises:
            ComponentStartError: As for `start`.
            ConfigurationError: As for `start`.
            NotRunningError: As for `start`.
        """
        if not self._engine.enter(Phase.SETTING_UP):
            raise NotRunningError(STARTED_ONCE)
        if self._runtime.hands_over:
            disown_in_children(self)
        try:
            if self.dead_letter_file:
                path = os.fspath(self.dead_letter_file)
                self._engine.dead_letters.file.open(path, self._runtime.files)
            self._startup.set_up(self._daemon)
        except BaseException:  # as in `start`
            self._shutdown.sweep(self.stop(drain=False))
            raise

    def call(self, component: Any, function: Callable[[Any], Any]) -> Any:
        """Call `function(daemon)` in a component's own thread, between two of its batches.

        Blocks until it has returned; for ever, if it does not. Thread: any but a component's.

        Args:
            component: One of the components, after `set_up`.
            function: Gets what callbacks get as `daemon`.

        Returns:
            What the function returns. What it raises is raised here.
        """
        index = next(i for i, entry in enumerate(self.entries) if entry.component is component)
        return self._engine.call(index, function)

    def disown(self) -> None:
        """In a forked child, which has none of the threads: be as after a stop.

        Then `schedule` raises `NotRunningError`, `is_done()` is true, waits end at once, and `stop`
        returns an empty report. Called by the fork.
        """
        self._children.disown()
        self._state.disown()
        self._report = self._report or StopReport(drained=False)
        self._engine.disown()

    def stop(self, *, drain: bool = True, timeout: float | None = None) -> StopReport:
        """Stop everything, and report what was left undone.

        Descriptors and timers call back no more, and the `stop` event overtakes all queued
        events. The queued events are handled, except those for later. Then the components are
        torn down in reverse order. A component that hangs is left behind and named in the report.
        Repeated and concurrent stops are harmless: they wait for the first. In a forked
        child, and while the interpreter ends, nothing runs that could be stopped: it returns at
        once.

        Args:
            drain: False: do not handle the queued events.
            timeout: Seconds until components that hang are left behind. Default: `stop_timeout`.

        Raises:
            RuntimeError: A callback called it, and would wait for its own end. A callback calls
                `daemon.set_done()` or raises `ZenDaemonStopException` instead.
        """
        engine = self._engine
        if self._runtime.ident() in engine.loop.own_threads:
            raise RuntimeError(
                "A callback cannot wait for the stop of its own daemon: call daemon.set_done()"
                " for a graceful stop, or raise ZenDaemonStopException to stop at once."
            )
        if self._report is not None:
            return self._report
        if not drain:
            engine.halt()
        if engine.loop.is_cut_off():
            return self._report or StopReport(drained=False)
        with engine.stop_lock:
            if self._report is None:
                deadline = Deadline(self.clock, self.stop_timeout if timeout is None else timeout)
                report = self._shutdown.run(deadline, self._startup.setting_up)
                # A signal handler may have stopped everything in the middle of that.
                self._report = self._report or report
                engine.dead_letters.file.close()
                self._state.close()
            return self._report

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until nothing is in flight and only events for later wait.

        Returns:
            False if `timeout` seconds were not enough.

        Raises:
            RuntimeError: A callback called it, and would wait for its own end.
        """
        engine = self._engine
        if self._runtime.ident() in engine.loop.own_threads:
            raise RuntimeError("A callback cannot wait until its own daemon has drained.")
        deadline = Deadline(self.clock, timeout)
        drained = engine.wait_for_state(engine.is_drained, deadline, unless=lambda: engine.halted)
        return drained or engine.drained()

    def wait_for_end(self, timeout: float | None = None) -> bool:
        """Wait until it is time to call `stop`.

        That is the case once `set_done` was called, a callback has stopped everything, or the
        dispatcher is idle (see `is_idle`).

        Returns:
            False if `timeout` seconds were not enough.
        """
        engine = self._engine

        def is_over() -> bool:
            return engine.done.is_set() or engine.halted

        deadline = Deadline(self.clock, timeout)
        is_idle = engine.wait_for_state(engine.is_idle, deadline, unless=is_over)
        return is_idle or is_over() or self.is_idle()

    def release_resources(self) -> None:
        """Close stores and descriptors, as the end of the process does. For `zenactors.testing`."""
        self._state.close()
        for reactor in list(self._engine.reactors.values()):
            reactor.disown()

    def supervisions(
        self, components: Mapping[str, Any], policies: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, tuple[Supervision, ...]]:
        """Return the policies that differ from those in force. For `zenactors.daemon`.

        Args:
            components: The components, or their replacements, by name.
            policies: What the configuration sets in their policies, by name.

        Returns:
            For each component with another policy that, and for `Replicas` those of all of them.

        Raises:
            ConfigurationError: A component declares something else than a policy.
            ReloadError: Only a restart can make it so.
        """
        engine = self._engine
        found = {}
        for name, component in components.items():
            index = engine.names.index(name)
            objects = component.instances if isinstance(component, Replicas) else [component]
            first = index + isinstance(component, Replicas)
            new = [
                engine.supervision_for(first + number, each, policies)
                for number, each in enumerate(objects)
            ]
            old = engine.supervisions[first : first + len(new)]
            if [each.wiring for each in old] != [each.wiring for each in new]:
                raise ReloadError(
                    f"Only a restart can change: components.{name}.supervision.best_effort and"
                    " best_effort_limit"
                )
            if any(map(differs, old, new)):
                found[name] = tuple(new)
        return found

    def reconfigure(self, changes: Mapping[str, Change], on_rollback: Callable[[], None]) -> None:
        """Give components new options: all of them, or none.

        Each changes in its own thread, between two events; no event is lost. Blocks until all
        have changed, for at most 10 seconds; a stop ends it as if the time had run out.

        Args:
            changes: By the component's name. The name of `Replicas` applies to all of them.
            on_rollback: Called if a component cannot change, before any component rolls back.

        Raises:
            ReloadError: A component could not change, or not in time. All have their old options
                again, or will have them as soon as they are free.
            AbandonedError: The calling thread was abandoned.
        """
        self._check_not_abandoned()
        Reconfiguration(self._engine, changes, on_rollback).run()

    # --- state -------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True while events start: after `start` is handled, until everything is halted."""
        return self._engine.lifecycle.admits

    @property
    def status(self) -> int:
        """The exit status that was set first, or 0."""
        return self._engine.exit_status or 0

    @property
    def lost_events(self) -> bool:
        """True if events died, were not replayed well, and nothing has chosen an exit status.

        A callback does by `set_exit_status(0)` or `sys.exit(0)`, not by a `ZenDaemonStopException`.
        """
        engine = self._engine
        chosen = engine.exit_status is not None
        if chosen and not isinstance(engine.ended_by, ZenDaemonStopException):
            return False
        return engine.dead_letters.unresolved() > 0

    @property
    def halted_with(self) -> int | None:
        """The status with which a callback stopped everything; None if none did."""
        return self._engine.halted_with

    @property
    def ended_by(self) -> BaseException | None:
        """The first exception of a callback, or of the dispatcher, that ended everything."""
        return self._engine.ended_by

    @property
    def halted(self) -> bool:
        """True once no event starts any more: a callback stopped everything, or `stop` did."""
        return self._engine.halted

    def is_idle(self) -> bool:
        """Return True if no event is queued or in flight and no source is active.

        Events for later count as queued. Maintenance events do not, unless by the policy.
        """
        idle: bool = self._engine.loop.ask(lambda state: state.idle())
        return idle

    def counts(self) -> dict[Any, Counts]:
        """Return the counts of each chain's events: those of `accounting()`, without the rest."""
        return dict(self._engine.loop.ask(DispatchState.counts))

    def chains(self) -> dict[Any, list[tuple[str, str]]]:
        """Return each event's chain as `(component, callback)` names, in order."""
        return {
            event: [
                (self.names[step.component], callback_name(callback))
                for step in chain_state.chain.all_steps()
                for callback in step.callbacks
            ]
            for event, chain_state in self._engine.state.chain_states.items()
        }

    def dead_letter_count(self) -> int:
        """Return how many events could not be handled so far."""
        return self._engine.dead_letters.total()

    def get_statistics(self, reader: str = "dispatcher") -> dict[str, Any]:
        """Ask every component for its statistics; after the stop, return the final ones.

        A component that does not answer within 5 seconds is left out.

        Args:
            reader: Increases and rates refer to this reader's last reading.
        """
        if self._report is not None:
            return self._shutdown.statistics
        return self._engine.ask_all(ReadStatistics(reader))

    def get_state(self) -> dict[str, Any]:
        """Ask every component for its state. One that does not answer is left out."""
        return self._engine.ask_all(ReadState())


def _path(state_dir: str | os.PathLike[str] | None) -> str | None:
    return None if state_dir is None else os.fspath(state_dir)
