"""The running engine behind a `Dispatcher`: who the actors talk to, and what they reported.

Its methods are called by the actors' threads and by whoever holds the turn; none of them
blocks.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pykka
from loguru import logger

from zenactors.actors.component import ComponentActor, Open
from zenactors.actors.dead_letters import DeadLetters
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.dispatcher_actor import DispatcherActor
from zenactors.actors.entries import ComponentEntry
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.chain import build_chains
from zenactors.core.clock import Deadline
from zenactors.core.dispatch_state import Ordering
from zenactors.core.events import EVENT_START
from zenactors.core.replicas import ReplicaRouter, Replicas
from zenactors.core.text import short_repr
from zenactors.errors import (
    EXIT_FAILURE,
    EXIT_SOFTWARE,
    UnknownEventError,
    ZenDaemonStopException,
)

if TYPE_CHECKING:
    from zenactors.actors.mailbox import Mailbox
    from zenactors.actors.notifier import Notifier
    from zenactors.actors.reactor import ComponentReactor
    from zenactors.actors.runtime import Runtime
    from zenactors.core.callbacks import Handler
    from zenactors.core.clock import Clock
    from zenactors.core.event_queue import Scheduled
    from zenactors.core.messages import Batch, DeadLetter

ASK_TIMEOUT = 5.0  # seconds: how long a component may take to answer a question
DISPATCHER = -1  # its place among the threads: components count from 0
LOGGED_DEAD_LETTERS = 10  # of one component; further ones are only counted


class Watchers:
    """How many threads wait for a kind of news. Under the turn's lock."""

    count = 0


class ReplicaSink:
    """Where a replica's results go: back to its front, but for what it schedules or loses."""

    def __init__(self, engine: Engine, router: int) -> None:
        self.forward = engine.forward
        self.schedule = engine.schedule
        self.dead_letter = engine.dead_letter
        self.stop_at_once = engine.stop_at_once
        self._router = router

    def report(self, batch: Batch) -> None:
        """Hand a result to the front; what was scheduled meanwhile is accepted before it."""
        if batch.children is not None:
            self.schedule(batch.children)
            batch.children = None
        self.forward(self._router, batch)


class Engine:
    """Connect the dispatch with its actors.

    Args:
        members: Whom to give an actor, in order.
        ordering: What may overlap.
        compat: True for pyzenkit's semantics.
        notices: Where to say "look again".
        clock: Where time comes from.
        runtime: What runs the actors.

    Attributes:
        done: Set when it is time to stop.
        halted: True once nothing is started any more.
        halted_with: The status with which a callback stopped everything, or None.
        set_ups: What became of each component's setup: None is success.
        torn: The components whose teardown is over.
        start_failure: The first `start` callback that failed.
        status: The exit status that was noted first, or None.
    """

    def __init__(
        self,
        entries: list[ComponentEntry],
        *,
        ordering: Ordering,
        compat: bool,
        notifier: Notifier,
        clock: Clock,
        runtime: Runtime,
    ) -> None:
        self.entries = entries
        self.names = [entry.name for entry in entries]
        self.notifier = notifier
        self.clock = clock
        self.runtime = runtime
        self.compat = compat
        self.runners: dict[int, tuple[int, BatchRunner]] = {}
        self._wired: dict[int, list[Handler]] = {}
        self.state = runtime.dispatch_state(
            build_chains(
                [(each.name, self._handlers(index, each)) for index, each in enumerate(entries)]
            ),
            self.names,
            self.runners,
            ordering=ordering,
            clock=clock,
            widths={
                index: len(entry.component.instances)
                for index, entry in enumerate(entries)
                if isinstance(entry.component, Replicas)
            },
            strict=not compat,
        )
        self.loop = DispatchLoop(
            self.state,
            clock,
            send=self._send,
            after=self._after_turn,
            failed=self._turn_failed,
            late=self._passed_over,
            lock=runtime.state_lock(),
        )
        self.reactors: dict[int, ComponentReactor] = {}
        self.threads: dict[int, Any] = {}
        self.dead_letters = DeadLetters()
        self.refs: list[pykka.ActorRef[ComponentActor]] = []
        self.inboxes: list[Mailbox] = []
        self.dispatcher: pykka.ActorRef[DispatcherActor] | None = None
        self.done = runtime.event()
        self.halted = False
        self.halted_with: int | None = None
        self.set_ups: dict[int, BaseException | None] = {}
        self.torn: set[int] = set()
        self.starting = False
        self.start_failure: DeadLetter | None = None
        self.status: int | None = None
        self._status_lock = threading.Lock()
        self.after_turn: Callable[[], None] = _nothing
        self.drainers = Watchers()
        self.idlers = Watchers()

    def start(self, daemon: Any) -> None:
        """Start all actors, and wait until their threads run. They do nothing yet."""
        self.dispatcher = self.runtime.start(DispatcherActor, self.loop, self._dispatcher_started)
        for index, entry in enumerate(self.entries):
            runner = self._make_runner(index, entry, daemon)
            ref = self.runtime.start(
                ComponentActor,
                index,
                entry.component,
                runner,
                daemon=daemon,
                listener=self,
                clock=self.clock,
                runtime=self.runtime,
            )
            self.refs.append(ref)
            self.inboxes.append(cast("Mailbox", ref.actor_inbox))
        self.wait_for(
            lambda: len(self.threads) > len(self.entries), Deadline(self.clock, ASK_TIMEOUT)
        )

    def _make_runner(self, index: int, entry: ComponentEntry, daemon: Any) -> BatchRunner:
        stopwatch = self.runtime.stopwatch(self.clock)
        if isinstance(entry.component, Replicas):
            return ReplicaRouter(entry.name, entry.component, index + 1, self, stopwatch)
        sink = self if entry.router is None else ReplicaSink(self, entry.router)
        return BatchRunner(entry.name, daemon, sink, stopwatch, strict=self.compat)

    def _handlers(self, index: int, entry: ComponentEntry) -> list[Handler]:
        if isinstance(entry.component, Replicas):
            entry.component.rewire(
                lambda number, own: self.runtime.handlers(f"{entry.name}/{number}", own)
            )
            return entry.component.get_events()
        # A replica is wired for nothing itself: its front deals to it.
        own: list[Handler] = entry.component.get_events() if entry.router is None else []
        wired = self._wired[index] = self.runtime.handlers(entry.name, own)
        return wired

    def start_first(self) -> None:
        """Run the `start` event; nothing else starts meanwhile."""
        self.starting = True
        with self.loop.locked() as state:
            for batch in state.start_barrier():
                self._send(batch)

    def open(self) -> None:
        """Let everything else start, and descriptors and timers call back."""
        self.starting = False
        with self.loop.locked() as state:
            state.open = True
            if self.halted:  # looked at last, as `halt` sets it first: no halt is overlooked
                state.open = False
        self.loop.run_once()
        for index in range(len(self.refs)):
            self.tell(index, Open())

    def running(self) -> bool:
        """Return True if every component was set up."""
        causes = list(self.set_ups.values())
        return len(causes) == len(self.names) and all(cause is None for cause in causes)

    def stop_actors(self) -> None:
        """Tell all actors to leave their loops. Does not wait."""
        refs: list[pykka.ActorRef[Any]] = [*self.refs]
        if self.dispatcher is not None:
            refs.append(self.dispatcher)
        for ref in refs:
            ref.stop(block=False)

    def halt(self) -> None:
        """Start nothing any more, and let who runs the dispatcher stop it."""
        # A plain store: a turn that is taken at this moment may still send what it has started.
        self.halted = self.loop.halted = True
        self.state.open = False
        self.done.set()
        self.notifier.notify()

    def set_exit_status(self, status: int) -> None:
        """Note an exit status; the first one counts."""
        with self._status_lock:
            if self.status is None:
                self.status = status

    def tell(self, index: int, message: Any) -> None:
        """Tell a component something, if it still lives."""
        try:
            self.refs[index].tell(message)
        except pykka.ActorDeadError:
            return  # only ever told to stop then, and it has

    def ask_all(self, question: Any, timeout: float | None = ASK_TIMEOUT) -> dict[str, Any]:
        """Ask all components at once. Leave out who does not answer in time.

        Blocks, so no actor may call it but one that nobody here waits for.
        """
        deadline = Deadline(self.clock, timeout)
        own = self.runners.get(self.runtime.ident(), (-1, None))[0]  # would wait for itself
        answers = [
            (self.names[index], ref.ask(question, block=False))
            for index, ref in enumerate(self.refs)
            if index != own
        ]
        result = {}
        for name, answer in answers:
            try:
                result[name] = answer.get(timeout=deadline.remaining())
            except (pykka.Timeout, pykka.ActorDeadError):
                logger.bind(component=name).debug("No answer to {question}", question=question)
            except Exception as cause:  # the component's own code raised
                self.callback_failed(name, type(question).__name__, cause)
        return result

    def wait_for(
        self, predicate: Callable[[], bool], deadline: Deadline, watch: Watchers | None = None
    ) -> bool:
        """Wait until `predicate()` is true. False: the deadline came first.

        Args:
            fact: Asked whenever there is news.
            deadline: When to give up.
            watch: What news is of interest. Default: that nothing is under way.
        """
        watchers = self.drainers if watch is None else watch
        with self.notifier.subscribed() as wait:
            with self.loop.locked():
                watchers.count += 1
                self.loop.listeners += 1
            try:
                while not predicate():
                    if deadline.over():
                        return False
                    wait(deadline.remaining())
                return True
            finally:
                with self.loop.locked():
                    watchers.count -= 1
                    self.loop.listeners -= 1

    def drained(self) -> bool:
        """Return True if nothing is under way and nothing waits but events for later."""
        with self.loop.locked() as state:
            return state.drained()

    # --- core.host.Outlet and actors.component.Life: called by the actors ---------------------

    def forward(self, component: int, batch: Batch) -> None:
        """Hand a part to the component of its next step. Never blocks."""
        if not self.inboxes[component].deliver(batch):
            # Only when everything stops: the part stays counted as under way, and is reported.
            self.notifier.notify()

    def report(self, batch: Batch) -> None:
        """Tell the dispatcher that a part has left its chain."""
        self.loop.submit(batch)

    def schedule(self, children: list[Scheduled]) -> None:
        """Hand over what callbacks scheduled."""
        self.loop.submit(children)

    def dead_letter(self, letter: DeadLetter) -> None:
        """Keep and log an event that could not be handled."""
        count = self.dead_letters.add(letter)
        if isinstance(letter.cause, SystemExit):
            # Who calls sys.exit() has said why; the stop's report counts the event.
            logger.bind(component=letter.component).debug("{cause!r}", cause=letter.cause)
        elif self.starting:
            pass  # whoever starts us is told, and tells
        elif count <= LOGGED_DEAD_LETTERS:
            more = "; further ones are only counted" if count == LOGGED_DEAD_LETTERS else ""
            logger.bind(component=letter.component).opt(exception=letter.cause).error(
                "{callback} failed on event {event!r}: {cause}; dead letter no. {count}{more}",
                callback=letter.callback,
                event=letter.event,
                cause=short_repr(letter.cause),
                count=count,
                more=more,
            )
        if self.starting and letter.event == EVENT_START:
            self.start_failure = self.start_failure or letter
            self.notifier.notify()
        if self.compat:
            self.set_exit_status(EXIT_FAILURE)
            self.halt()

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        """A callback asked for an orderly, immediate stop."""
        level = "DEBUG" if isinstance(cause, ZenDaemonStopException) else "INFO"
        logger.log(level, "A callback stops everything: {cause}", cause=short_repr(cause))
        self.halted_with = status
        self.set_exit_status(0 if self.compat else status)
        self.halt()

    def thread_started(self, index: int, runner: BatchRunner, reactor: ComponentReactor) -> None:
        """Learn which thread belongs to which component."""
        ident = self.runtime.ident()
        self.runners[ident] = (index, runner)
        self.reactors[ident] = reactor
        self.threads[index] = self.runtime.enter(f"zenactors:{runner.name}")
        self.notifier.notify()

    def thread_ended(self, index: int) -> None:
        """Forget a thread: the system gives its identifier to another one."""
        ident = self.runtime.ident()
        self.runners.pop(ident, None)
        self.reactors.pop(ident, None)

    def set_up(self, index: int, cause: BaseException | None) -> None:
        """Learn that a component's setup is over."""
        self.set_ups[index] = cause
        self.notifier.notify()

    def torn_down(self, index: int) -> None:
        """Learn that a component's teardown is over."""
        self.torn.add(index)
        self.notifier.notify()

    def source_changed(self, *, active: bool) -> None:
        """Learn that a component became an active source, or ceased to be one."""
        self.loop.submit(1 if active else -1)

    def callback_failed(self, component: str, callback: str, cause: BaseException) -> None:
        """Log what raised outside of any event."""
        logger.bind(component=component).opt(exception=cause).error(
            "{callback} failed: {cause!r}", callback=callback, cause=cause
        )

    def replaced(self, index: int, component: Any) -> None:
        """Let the chains call another object, which handles the same events.

        Thread: that component's; nobody else reads the callbacks of its steps.
        """
        entry = self.entries[index]
        old = self._wired[index]
        new = self.runtime.handlers(entry.name, component.get_events(), instead_of=old)
        becomes = {
            (before["event"], id(before["callback"])): after["callback"]
            for before, after in zip(old, new, strict=True)
        }
        for event, chain_state in self.state.chain_states.items():
            for step in chain_state.chain.steps:
                if step.component == index:
                    step.callbacks = tuple(becomes[event, id(each)] for each in step.callbacks)
        self._wired[index] = new
        self.entries[index] = dataclasses.replace(entry, component=component)

    def fits(self, index: int, component: Any) -> bool:
        """Return True if an object handles the same events as the one whose place it is to take."""
        new, old = component.get_events(), self._wired[index]
        places = [
            [(each["event"], each.get("prepend", False)) for each in both] for both in (new, old)
        ]
        return places[0] == places[1]

    def lost(self, index: int, cause: BaseException) -> None:
        """End everything: a component works neither with its new options nor with its old ones."""
        logger.bind(component=self.names[index]).opt(exception=cause).critical(
            "Cannot go back to its old options: {cause}; stopping", cause=short_repr(cause)
        )
        self.set_exit_status(EXIT_SOFTWARE)
        self.halt()

    def broken(self, cause: BaseException) -> None:
        """End everything after a bug in zenactors itself."""
        logger.opt(exception=cause).critical(
            "A bug in zenactors: {cause!r}; stopping. Please report it.", cause=cause
        )
        self.set_exit_status(EXIT_SOFTWARE)
        self.halt()

    def _dispatcher_started(self) -> None:
        self.threads[DISPATCHER] = self.runtime.enter("zenactors:dispatcher")
        self.notifier.notify()

    # --- turning ------------------------------------------------------------------------------

    def _send(self, batch: Batch) -> None:
        if not self.inboxes[batch.chain.steps[0].component].deliver(batch):
            self.notifier.notify()

    def _after_turn(self) -> None:
        self.after_turn()
        if (self.drainers.count and not self.state.in_flight()) or (
            self.idlers.count and self.state.idle()
        ):
            self.notifier.notify()

    def _passed_over(self, event: Any, component: int) -> None:
        logger.bind(component=self.names[component]).warning(
            "Busy for too long: event {event!r} goes on without it", event=event
        )

    def _turn_failed(self, cause: Exception) -> None:
        if isinstance(cause, UnknownEventError):
            logger.error("{cause}", cause=cause)
            self.set_exit_status(EXIT_FAILURE)
            self.halt()
        else:
            self.broken(cause)


def _nothing() -> None:
    pass
