"""The engine's runtime under simulation: actors are tasks, and a wait lets other tasks move.

Dispatcher, actors, mailboxes, reactors and the daemon's main thread are those of production. Only
threads and waits are replaced.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pykka

from zenactors.actors.dispatcher_actor import DispatcherActor
from zenactors.actors.notifier import Flag
from zenactors.actors.runtime import Runtime, StateLock
from zenactors.core.callbacks import Handler
from zenactors.core.chain_state import MIN_WINDOW
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.messages import NO_RUN, OpenRun
from zenactors.testing._simulator.hub import Abandoned, Hub, Task
from zenactors.testing._simulator.observed_state import ObservedDispatchState
from zenactors.testing._simulator.preempt import code_of
from zenactors.testing._simulator.recorder import ObservedCallback, Recorder
from zenactors.testing._simulator.simulated import (
    SimulatedDispatcherInbox,
    SimulatedFlag,
    SimulatedFuture,
    SimulatedLock,
    SimulatedMailbox,
    SimulatedNotifier,
    SimulatedStateLock,
    Stopwatch,
)
from zenactors.testing._trace.trace import Trace, stable_error

if TYPE_CHECKING:
    from zenactors.core.batch_runner import BatchRunner
    from zenactors.core.chain import Chain, Step
    from zenactors.core.clock import Clock
    from zenactors.testing.faults import Faults

A = TypeVar("A", bound=pykka.ThreadingActor)

BESIDE = -2  # the position of a callback that no event visits on its way
FIRST_WINDOWS = (1, 2, 3, 5, 16)  # a seed begins with one of these: small windows find more


class TaskProducers:
    """Each task is a producer: the numbers of tasks are not used again."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._runs: dict[int, OpenRun] = {}
        self._lasts: dict[int, Any] = {}

    @property
    def run(self) -> OpenRun:
        """The open run of the calling task."""
        return self._runs.get(self._hub.ident(), NO_RUN)

    @run.setter
    def run(self, run: OpenRun) -> None:
        self._runs[self._hub.ident()] = run

    @property
    def last(self) -> Any:
        """The event that the calling task has scheduled last."""
        return self._lasts.get(self._hub.ident(), NO_RUN.event)

    @last.setter
    def last(self, event: Any) -> None:
        self._lasts[self._hub.ident()] = event

    @property
    def current(self) -> Hashable:
        """What identifies the calling task."""
        return self._hub.ident()


class SimulatedRuntime(Runtime):
    """Run the engine's actors as tasks of a hub.

    Args:
        hub: Lets the tasks move.
        trace: Everything that happens is noted in it.
        faults: Faults that happen on purpose.
        interrupt: The probability that a callback is interrupted in the middle.

    Attributes:
        failures: The exceptions that components raised outside of events.
        recorder: Notes in the trace what the actors do.
    """

    def __init__(self, hub: Hub, trace: Trace, faults: Faults, *, interrupt: float) -> None:
        super().__init__()
        self.hub = hub
        self.trace = trace
        self.ident = hub.ident
        self.producers = TaskProducers(hub)
        self._faults = faults
        self.failures: list[HookFailure] = []
        self.recorder = Recorder(hub, trace, interrupt)
        self._watched: dict[str, list[ObservedCallback]] = {}
        self._mailboxes: list[SimulatedMailbox] = []
        hub.look = self._look_at_descriptors

    # --- threads ------------------------------------------------------------------------------

    def start(self, actor: type[A], *args: Any, **kwargs: Any) -> pykka.ActorRef[A]:
        """Make an actor whose loop is a task."""
        return _simulated(actor, self).start(*args, **kwargs)

    def enter(self, name: str) -> Any:
        """Name the calling task."""
        task = self.hub.current
        assert task is not None
        self.recorder.name(task, name.removeprefix("zenactors:"))
        return task

    def join(self, thread: Task, timeout: float) -> None:
        """Let others move until a task has ended."""
        self.hub.wait(lambda: thread.done, timeout)

    hands_over = False

    def run_apart(self, function: Callable[[], None]) -> None:
        """Run a function at once: no signal handler interrupts a simulated thread."""
        function()

    def help(self, function: Callable[[], None]) -> None:
        """Run a function in a task of its own."""
        self.hub.spawn("helper", function)

    def thread_abandoned(self, runner: BatchRunner, cause: BaseException) -> None:
        """Note in the trace that the event under way is dead."""
        self.recorder.call_abandoned(runner, cause)

    def state_lock(self) -> StateLock:
        """Return a lock that is sometimes taken, by chance."""
        return SimulatedStateLock(self.hub.rng)

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Return a lock whose waiters let others move."""
        return SimulatedLock(self.hub)

    def chance(self) -> float:
        """Return a random number that the seed determines; without a seed, a half."""
        return 0.5 if self.hub.rng is None else self.hub.rng.random()

    def stack(self, thread: Any) -> str:
        """Return that there is none: a simulated thread is no thread."""
        return "A simulated thread has no stack."

    def event(self) -> Flag:
        """Return a flag whose waiters let others move."""
        return SimulatedFlag(self.hub)

    def notifier(self) -> SimulatedNotifier:
        """Return a notifier whose waiters let others move."""
        return SimulatedNotifier(self.hub)

    def stopwatch(self, clock: Clock) -> Clock:
        """Return a clock that shows callbacks to take a time that the seed chooses."""
        return clock if self.hub.rng is None else Stopwatch(clock, self.hub.rng)

    def note_in(self, trace: Trace) -> None:
        """Note everything in another trace from now on."""
        self.trace = self.recorder.trace = trace

    # --- events and callbacks -----------------------------------------------------------------

    def dispatch_state(
        self,
        chains: dict[Any, Chain],
        names: list[str],
        runners: Mapping[int, BatchRunner],
        **options: Any,
    ) -> DispatchState:
        """Return a `DispatchState` whose decisions are noted in the trace."""
        self.recorder.components, self.recorder.runners = names, runners
        self._place_in_chains(chains)
        state = ObservedDispatchState(chains, self.recorder, self._place_in_chains, **options)
        if self.hub.rng is not None:
            for chain_state in state.chain_states.values():
                width = max(1, chain_state.least_window // MIN_WINDOW)  # room for each replica
                chain_state.window = chain_state.least_window = (
                    self.hub.rng.choice(FIRST_WINDOWS) * width
                )
        return state

    def handlers(
        self, component: str, handlers: list[Handler], instead_of: list[Handler] | None = None
    ) -> list[Handler]:
        """Return handlers that are noted in the trace, may fail and may be interrupted."""
        faulty = self._faults.handlers(component, handlers)
        watched = [ObservedCallback(self.recorder, component, handler) for handler in faulty]
        for new, old in zip(watched, instead_of or (), strict=False):
            new.take_place_of(old["callback"])
        # A replica is wired by its router first, and then alone, without handlers.
        self._watched.setdefault(component, watched)
        return [
            {**handler, "callback": callback}
            for handler, callback in zip(handlers, watched, strict=True)
        ]

    def hook(self, component: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Return a hook that is noted in the trace, and may fail."""
        faulty = self._faults.hook(component, callback)

        def watched(daemon: Any) -> Any:
            name = getattr(callback, "__name__", "callback")
            self.trace.note(component, "hook", text=name)
            try:
                return self.recorder.call(
                    component, name, code_of(callback), lambda: faulty(daemon)
                )
            except Abandoned:  # the harness was closed: the component did not fail
                return None
            except Exception as cause:
                self.trace.note(component, "raise", text=f"{name}: {stable_error(cause)}")
                self.failures.append(HookFailure(component, name, cause))
                raise
            finally:
                self.recorder.note_scheduled()

        return watched

    # --- inside -------------------------------------------------------------------------------

    def mailbox(self) -> SimulatedMailbox:
        """Return a mailbox at which its owner lets others move."""
        mailbox = SimulatedMailbox(self.hub)
        self._mailboxes.append(mailbox)
        return mailbox

    def _place_in_chains(self, chains: dict[Any, Chain]) -> None:
        """Give each callback its position in its chain, and the next component."""
        for chain in chains.values():
            for taps in chain.taps or ():
                for tap in taps:
                    self._place_beside(tap.chain.steps[0])
            route = [(step.component, each) for step in chain.steps for each in step.callbacks]
            for position, (component, callback) in enumerate(route):
                following = route[position + 1 : position + 2]
                name = self.recorder.components[component]
                to = self.recorder.components[following[0][0]] if following else ""
                for watched in self._behind(name, callback):
                    watched.position = position
                    watched.to = watched.component if to == name else to

    def _place_beside(self, step: Step) -> None:
        """Let the trace know that a callback is not on the way of its event."""
        for callback in step.callbacks:
            for watched in self._behind(self.recorder.components[step.component], callback):
                watched.position, watched.to = BESIDE, ""

    def _behind(self, component: str, callback: Any) -> list[ObservedCallback]:
        if isinstance(callback, ObservedCallback):
            return [callback]
        # A router is in the chain; its replicas handle the events.
        replicas = (f"{component}/{number}" for number in itertools.count(1))
        known = itertools.takewhile(self._watched.__contains__, replicas)
        return [self._watched[replica][callback.number] for replica in known]

    def _look_at_descriptors(self) -> bool:
        found = False
        for mailbox in self._mailboxes:
            reactor = mailbox.reactor
            if reactor is not None and reactor.look():
                mailbox.stir()
                found = True
        return found


class HookFailure(NamedTuple):
    """An exception of a component outside of events: in a timer's callback or its teardown."""

    component: str
    hook: str
    cause: Exception


def _simulated(actor: type[A], runtime: SimulatedRuntime) -> type[A]:
    """Return an actor class whose loop is a task, and whose waits let others move."""
    hub = runtime.hub
    future = type("Future", (SimulatedFuture,), {"hub": hub})

    def start_loop(self: Any) -> None:
        # A test's own `ActorRegistry.stop_all()` must not reach it.
        pykka.ActorRegistry.unregister(self.actor_ref)
        hub.spawn(actor.__name__, self._actor_loop)

    def make_inbox() -> Any:
        if issubclass(actor, DispatcherActor):
            return SimulatedDispatcherInbox(hub)
        return runtime.mailbox()

    entries = {
        "_start_actor_loop": start_loop,
        "_create_actor_inbox": staticmethod(make_inbox),
        "_create_future": staticmethod(future),
    }
    return type(actor.__name__, (actor,), entries)
