"""The engine's runtime under simulation: actors are tasks, and a wait lets other tasks move.

Dispatcher, actors, mailboxes, reactors and the daemon's main thread are those of production. Only
threads and waits are replaced.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Mapping
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pykka

from zenactors.actors.dispatch_loop import DispatcherActor
from zenactors.actors.runtime import Runtime, StateLock
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, Handler
from zenactors.core.chain_state import MIN_WINDOW, ChainState
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.messages import NEW, Batch, QueuePosition, Scheduled
from zenactors.testing._simulator.hub import OUTSIDE, Abandoned, Hub, Task
from zenactors.testing._simulator.preempt import code_of, interrupted
from zenactors.testing._simulator.simulated import (
    SimulatedDispatcherInbox,
    SimulatedEvent,
    SimulatedFuture,
    SimulatedLock,
    SimulatedMailbox,
    SimulatedNotifier,
    SimulatedStateLock,
    Stopwatch,
)
from zenactors.testing._trace.describe import describe
from zenactors.testing._trace.trace import OUTSIDE as OUTSIDE_NAME
from zenactors.testing._trace.trace import Trace, Tracked, format_error

if TYPE_CHECKING:
    from zenactors.core.batch_runner import BatchRunner
    from zenactors.core.chain import Chain
    from zenactors.core.clock import Clock
    from zenactors.testing.faults import Faults

A = TypeVar("A", bound=pykka.ThreadingActor)

FIRST_WINDOWS = (1, 2, 3, 5, 16)  # a seed begins with one of these: small windows find more
MAX_INSTRUCTIONS = 60  # the most after which a callback is interrupted


class SimulatedRuntime(Runtime):
    """Run the engine's actors as tasks of a hub.

    Args:
        hub: Lets the tasks move.
        trace: Everything that happens is noted in it.
        faults: Faults that happen on purpose.
        interrupt: The probability that a callback is interrupted in the middle.

    Attributes:
        failures: The exceptions that components raised outside of events.
        instructions: Returns the number of instructions after which the next callback is
            interrupted; 0: it is not.
    """

    def __init__(self, hub: Hub, trace: Trace, faults: Faults, *, interrupt: float) -> None:
        self.hub = hub
        self.trace = trace
        self.ident = hub.ident
        self._faults = faults
        self._interrupt = interrupt if hub.rng is not None else 0.0
        self.instructions = self._instructions_by_chance
        self.failures: list[HookFailure] = []
        self._names: dict[Any, str] = {}
        self._components: list[str] = []
        self._runners: Mapping[int, BatchRunner] = {}
        self._watched: dict[str, list[Watched]] = {}
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
        self.name(task, name.removeprefix("zenactors:"))
        return task

    def name(self, task: Task, name: str) -> None:
        """Name a task, for the trace."""
        task.name = self._names[task.number] = name

    def join(self, thread: Task, timeout: float) -> None:
        """Let others move until a task has ended."""
        self.hub.wait(lambda: thread.done, timeout)

    def state_lock(self) -> StateLock:
        """Return a lock that is sometimes taken, by chance."""
        return SimulatedStateLock(self.hub.rng)

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Return a lock whose waiters let others move."""
        return SimulatedLock(self.hub)

    def event(self) -> threading.Event:
        """Return an event whose waiters let others move."""
        return SimulatedEvent(self.hub)

    def notifier(self) -> SimulatedNotifier:
        """Return a notifier whose waiters let others move."""
        return SimulatedNotifier(self.hub)

    def stopwatch(self, clock: Clock) -> Clock:
        """Return a clock that shows callbacks to take a time that the seed chooses."""
        return clock if self.hub.rng is None else Stopwatch(clock, self.hub.rng)

    # --- events and callbacks -----------------------------------------------------------------

    def dispatch_state(
        self,
        chains: dict[Any, Chain],
        names: list[str],
        runners: Mapping[int, BatchRunner],
        **options: Any,
    ) -> DispatchState:
        """Return a `DispatchState` whose decisions are noted in the trace."""
        self._components, self._runners = names, runners
        self._place_in_chains(chains)
        state = SimulatedDispatchState(chains, self, **options)
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
        watched = [Watched(self, component, handler) for handler in faulty]
        for new, old in zip(watched, instead_of or (), strict=False):
            new.take_place_of(old["callback"])
        self._watched.setdefault(
            component, watched
        )  # not the replicas', which come after their router's
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
                return self.call(component, name, code_of(callback), lambda: faulty(daemon))
            except Abandoned:  # the harness was closed: the component did not fail
                return None
            except Exception as cause:
                self.trace.note(component, "raise", text=f"{name}: {format_error(cause)}")
                self.failures.append(HookFailure(component, name, cause))
                raise
            finally:
                self.note_scheduled()

        return watched

    def note_scheduled(self) -> None:
        """Note the events that the running component has scheduled so far."""
        runner = self._runners.get(self.ident())
        if runner is not None:
            for scheduled in runner.children:
                self.scheduled(scheduled)

    def scheduled(self, scheduled: Scheduled) -> None:
        """Note a scheduled event, unless it was noted before."""
        producer = scheduled.producer
        who = producer if isinstance(producer, str) else self.who(producer)
        self.trace.scheduled(who, scheduled, _how(scheduled, self.hub))

    def who(self, ident: object) -> str:
        """Return the name of a task; `outside` for all others."""
        return OUTSIDE_NAME if ident == OUTSIDE else self._names.get(ident, OUTSIDE_NAME)

    def component(self, index: int) -> str:
        """Return a component's name."""
        return self._components[index]

    def call(
        self, component: str, label: str, first: CodeType | None, callback: Callable[[], Any]
    ) -> Any:
        """Call a callback whose code is `first`, and perhaps interrupt it."""
        instructions = 0 if first is None else self.instructions()
        if not instructions:
            return callback()

        def give_way(position: str) -> None:
            self.trace.note(component, "interrupt", label, text=f"at {position}")
            self.hub.give_way()

        return interrupted(callback, instructions, give_way, first=first)

    # --- inside -------------------------------------------------------------------------------

    def _instructions_by_chance(self) -> int:
        rng = self.hub.rng
        if rng is None or not self._interrupt or rng.random() >= self._interrupt:
            return 0
        return int(MAX_INSTRUCTIONS ** rng.random())

    def mailbox(self) -> SimulatedMailbox:
        """Return a mailbox at which its owner lets others move."""
        mailbox = SimulatedMailbox(self.hub)
        self._mailboxes.append(mailbox)
        return mailbox

    def _place_in_chains(self, chains: dict[Any, Chain]) -> None:
        """Give each callback its position in its chain, and the next component."""
        for chain in chains.values():
            route = [(step.component, each) for step in chain.steps for each in step.callbacks]
            for position, (component, callback) in enumerate(route):
                following = route[position + 1 : position + 2]
                name = self._components[component]
                to = self._components[following[0][0]] if following else ""
                for watched in self._behind(name, callback):
                    watched.position = position
                    watched.to = watched.component if to == name else to

    def _behind(self, component: str, callback: Any) -> list[Watched]:
        if isinstance(callback, Watched):
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


class Watched:
    """A callback whose calls are noted in the trace."""

    def __init__(self, runtime: SimulatedRuntime, component: str, handler: Handler) -> None:
        self.callback = handler["callback"]
        self._code = code_of(self.callback)
        self.position = 0
        self.to = ""
        self._runtime = runtime
        self.component = component
        self._event = handler["event"]
        self.__name__ = getattr(self.callback, "__name__", "callback")

    def __repr__(self) -> str:
        return describe(self.callback)

    def take_place_of(self, other: Any) -> None:
        """Take another callback's position in its chain."""
        self.position, self.to = other.position, other.to

    def __call__(self, daemon: Any, args: Any) -> Any:
        """Call the callback."""
        runtime, trace = self._runtime, self._runtime.trace
        if runtime.hub.closing:
            return FLAG_STOP, args  # the harness ends: no user code runs any more
        tracked = trace.called(self.component, self._event, self.position, args)
        try:
            result = runtime.call(
                self.component, tracked.label, self._code, lambda: self.callback(daemon, args)
            )
        except Abandoned:
            return FLAG_STOP, args
        except BaseException as cause:  # noted and raised again
            runtime.note_scheduled()
            trace.raised(self.component, tracked, cause)
            raise
        runtime.note_scheduled()
        self._note_answer(trace, tracked, args, result)
        return result

    def _note_answer(self, trace: Trace, tracked: Tracked, args: Any, result: Any) -> None:
        changed, stopped = args, False
        if result is not None:
            try:
                flag, changed = result
            except (TypeError, ValueError) as cause:  # the runner will dead-letter it
                trace.raised(self.component, tracked, cause)
                return
            stopped = flag != FLAG_CONTINUE
        trace.answered(
            self.component,
            tracked,
            changed,
            after=self.position + 1,
            to=self.to,
            stopped=stopped,
        )


class SimulatedDispatchState(DispatchState):
    """A `DispatchState` whose decisions are noted in the trace."""

    def __init__(self, chains: dict[Any, Chain], runtime: SimulatedRuntime, **options: Any) -> None:
        super().__init__(chains, **options)
        self._runtime = runtime

    def accept(self, scheduled: Scheduled) -> None:
        """Accept a scheduled event."""
        if scheduled.location is NEW:
            self._runtime.scheduled(scheduled)
        super().accept(scheduled)

    def admit(self, arriving: Scheduled | None = None) -> list[Batch]:
        """Start what may start now."""
        if arriving is not None and arriving.location is NEW:
            self._runtime.scheduled(arriving)
        return super().admit(arriving)

    def cancel(self, scheduled: Scheduled) -> bool:
        """Cancel an event."""
        cancelled = super().cancel(scheduled)
        if cancelled:
            who = self._runtime.who(self._runtime.ident())
            self._runtime.trace.cancelled(who, scheduled)
        return cancelled

    def take_next(self) -> tuple[Any, Any]:
        """Remove the next event from the queue instead of starting it."""
        event, args = super().take_next()
        who = self._runtime.who(self._runtime.ident())
        self._runtime.trace.taken_out(who, event, args)
        return event, args

    def _start(self, chain_state: ChainState, items: list[Any]) -> Batch:
        batch = super()._start(chain_state, items)
        self._note(chain_state, items)
        return batch

    def _start_control(self, chain_state: ChainState, args: Any) -> Batch:
        batch = super()._start_control(chain_state, args)
        self._note(chain_state, [args])
        return batch

    def _join(self, chain_state: ChainState, items: list[Any], latest: dict[int, Batch]) -> bool:
        joined = super()._join(chain_state, items, latest)
        if joined:
            self._note(chain_state, items)
        return joined

    def _note(self, chain_state: ChainState, items: list[Any]) -> None:
        to = self._runtime.component(chain_state.components[0])
        self._runtime.trace.started(chain_state.chain.event, items, to)


def _how(scheduled: Scheduled, hub: Hub) -> str:
    match scheduled.position:
        case QueuePosition.FRONT:
            return "before others"
        case QueuePosition.PRIORITY:
            return "with priority"
        case QueuePosition.AFTER:
            return f"in {max(0.0, scheduled.when - hub.clock.monotonic()):.6g} s"
        case QueuePosition.AT:
            return f"at {scheduled.when:.6f}"
        case _:
            return ""


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
