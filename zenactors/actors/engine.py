"""The running engine behind a `Dispatcher`: its actors, and their reports.

Start-up, reconfiguration and shutdown are in modules of their own; they use what is here. The
actors' threads, and the thread that runs the dispatcher's state, call the methods for reports;
none of these blocks.

Atomic operations relied on: storing, deleting and reading one item of a dict or a set; `list` of a
dict's values or items, and its copy; `set.issuperset`. A component's thread writes only items of
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pykka
from loguru import logger

from zenactors.actors.answers import Answer
from zenactors.actors.claims import claim, other_holder, release
from zenactors.actors.component_actor import ComponentActor
from zenactors.actors.component_messages import Call, LeaveProcess, Open
from zenactors.actors.dead_letters import DeadLetters
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.dispatcher_actor import DispatcherActor
from zenactors.actors.hang_guard import HangGuard
from zenactors.actors.incidents import Incidents, survive_log
from zenactors.actors.mailbox import InternalEnvelope, Mailbox
from zenactors.actors.runners import RunnerMaker, best_effort_limits, supervision_of
from zenactors.actors.wiring import Wiring
from zenactors.core.accounting import BestEffortCounts, ComponentCounts
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.clock import Deadline
from zenactors.core.dispatch_state import DispatchState, Ordering
from zenactors.core.messages import EndsTold, SourceChanged
from zenactors.core.phase import Lifecycle, Phase
from zenactors.core.replicas import Replicas
from zenactors.core.text import format_error
from zenactors.errors import ComponentStartError

if TYPE_CHECKING:
    from zenactors.actors.component_listener import Inheritance, Life
    from zenactors.actors.mailbox import Mailbox
    from zenactors.actors.notifier import Notifier
    from zenactors.actors.reactor import ComponentReactor
    from zenactors.actors.runtime import Runtime
    from zenactors.core.callbacks import Callback
    from zenactors.core.clock import Clock
    from zenactors.core.entries import ComponentEntry
    from zenactors.core.messages import Scheduled
    from zenactors.core.policy import EventPolicy
    from zenactors.core.supervision import Supervision
    from zenactors.core.tokens import Token

ASK_TIMEOUT = 5.0  # seconds: how long a component may take to answer a question
MORE_THREADS = (
    "Raise the limit of threads (ulimit -u, TasksMax= of systemd, pids.max of a container), or run"
    " fewer components"
)

A = TypeVar("A", bound="pykka.ThreadingActor")


class Engine(Incidents):
    """Make the actors, and handle their reports.

    Args:
        entries: The components, in order.
        ordering: What may overlap.
        policy: What becomes of events; see `EventPolicy`.
        supervision: The policy of components that declare none.
        chains: As for `Dispatcher`.
        notifier: Ends the waits for facts about the engine.
        clock: The source of time.
        runtime: Runs the actors.

    Attributes:
        wiring: The chains, and the callbacks in them.
        state: The dispatcher's state; used only by the thread that holds it.
        loop: Runs the state.
        runners: The runner of each component's thread, by the thread's identity; of abandoned
            threads too, until they end.
        reactors: The reactor of each component's thread, by the thread's identity.
        lives: The life of each component, by its index.
        threads: The thread of each component, by its index.
        hangs: Looks for callbacks that do not return.
        done: Set when it is time to stop.
        stop_lock: Held by a stop, and by each step of a start: no stop begins in the middle of one.
        setup_results: The exception of each setup that is over; None is success.
        torn_down: The components whose teardown is over.
    """

    def __init__(
        self,
        entries: list[ComponentEntry],
        *,
        ordering: Ordering,
        policy: EventPolicy,
        supervision: Supervision,
        chains: Mapping[Any, Sequence[Callback]] | None,
        notifier: Notifier,
        clock: Clock,
        runtime: Runtime,
    ) -> None:
        names = [entry.name for entry in entries]
        letters = DeadLetters(clock, runtime.lock)
        super().__init__(names, Lifecycle(), notifier, letters, policy=policy)
        self.entries = entries
        self.clock = clock
        self.runtime = runtime
        self._phase_began = clock.monotonic()
        self.runners: dict[int, BatchRunner] = {}
        self.wiring = Wiring(entries, runtime, chains)
        self.state = runtime.dispatch_state(
            self.wiring.chains,
            self.names,
            self.runners,
            ordering=ordering,
            clock=clock,
            widths={
                index: len(entry.component.instances)
                for index, entry in enumerate(entries)
                if isinstance(entry.component, Replicas)
            },
            lifecycle=self.lifecycle,
            policy=policy,
        )
        self.mailboxes: list[Mailbox] = []
        self.loop = DispatchLoop(
            self.state,
            clock,
            mailboxes=self.mailboxes,
            listener=self,
            runtime=runtime,
        )
        self.reactors: dict[int, ComponentReactor] = {}
        self.lives: dict[int, Life] = {}
        self.threads: dict[int, Any] = {}
        self.dispatcher_thread: Any = None
        self.refs: list[pykka.ActorRef[ComponentActor]] = []
        self._dispatcher: pykka.ActorRef[DispatcherActor] | None = None
        self.hangs = HangGuard(
            self,
            {},
            clock=clock,
            runtime=runtime,
            runners=self.runners,
            lives=self.lives,
            threads=self.threads,
            start=self.start_component,
        )
        self._default_supervision = supervision
        self.done = runtime.event()
        self.stop_lock = runtime.lock()
        self.setup_results: dict[int, BaseException | None] = {}
        self.torn_down: set[int] = set()

    # --- policies ------------------------------------------------------------------------------

    def supervise(self, configured: Mapping[str, Mapping[str, Any]]) -> None:
        """Decide the policy of each component. Call it before the start, at least once.

        Args:
            configured: The values that the configuration sets, by the component's name.

        Raises:
            ConfigurationError: A component declares something else than a policy.
        """
        self.supervisions = [
            self.supervision_for(index, entry.component, configured)
            for index, entry in enumerate(self.entries)
        ]
        for index, policy in enumerate(self.supervisions):
            self.hangs.limit(index, policy)

    def supervision_for(
        self, index: int, component: Any, configured: Mapping[str, Mapping[str, Any]]
    ) -> Supervision:
        """Return the policy of an object that is, or is to be, the component of an index.

        Raises:
            ConfigurationError: It declares something else.
        """
        router = self.entries[index].router
        name = self.names[index if router is None else router]
        values = configured.get(name, {})
        return supervision_of(self.names[index], component, self._default_supervision, values)

    def supervision_changed(self, index: int, policy: Supervision) -> None:
        """Note the new policy of a component. Thread: the component's."""
        self.supervisions[index] = policy
        self.hangs.limit(index, policy)

    # --- phases --------------------------------------------------------------------------------

    def enter(self, phase: Phase) -> bool:
        """Enter a phase, and log it. False: it, or a later one, was entered before."""
        ended = self.lifecycle.advance(phase)
        self.log_phase(ended, phase)
        return ended is not None

    def log_phase(self, ended: Phase | None, phase: Phase) -> None:
        """Log that a phase has begun, unless none has ended."""
        if ended is None:
            return
        now = self.clock.monotonic()
        seconds, self._phase_began = now - self._phase_began, now
        with survive_log():
            logger.bind(phase=phase.name).debug(
                "Phase {phase} begins; {ended} ended after {seconds:.3f} s",
                phase=phase.name,
                ended=ended.name,
                seconds=seconds,
            )

    def all_set_up(self) -> bool:
        """Return True if the setup of every component has succeeded."""
        causes = list(self.setup_results.values())
        return len(causes) == len(self.names) and all(cause is None for cause in causes)

    @property
    def halted(self) -> bool:
        """True once no event starts any more."""
        return self.lifecycle.halted

    def open(self) -> None:
        """Let events start, and descriptors and timers call back. No effect after a halt."""
        if not self.enter(Phase.OPEN):
            return
        self.loop.wake()
        self.tell_all(Open())

    def broken(self, cause: BaseException, where: str) -> None:
        """End everything after a bug, or after another thread's exception in a thread of ours."""
        self.loop.release()  # it may have struck in the middle of a hold
        super().broken(cause, where)

    def halt(self) -> None:
        """Start no more events, and let the program that runs the dispatcher stop it.

        A thread that runs the state at this moment may still deliver what it has started.
        """
        ended = self.lifecycle.advance(Phase.HALTED)
        self.done.set()
        self.notifier.notify()
        self.log_phase(ended, Phase.HALTED)

    # --- actors --------------------------------------------------------------------------------

    def start_actors(self, daemon: Any) -> None:
        """Start all actors, and wait until their threads run. They do nothing yet.

        Raises:
            ComponentStartError: There is no thread for an actor, or its component runs already.
        """
        self._daemon = daemon
        self._dispatcher = self._start("dispatcher", DispatcherActor, self.loop, self, self.hangs)
        if limits := best_effort_limits(self.entries, self.supervisions):
            self.state.pass_by(limits)
        runners = RunnerMaker(self.loop, self, self.runtime, self.clock, self.done, daemon)
        for index, entry in enumerate(self.entries):
            runner = runners.make(index, entry, self.supervisions[index])
            ref = self.start_component(index, entry.component, runner)
            self.refs.append(ref)
            self.mailboxes.append(cast("Mailbox", ref.actor_inbox))
        self._await_threads()
        for index, entry in enumerate(self.entries):
            self._check_not_in_use(index, entry.component, "start")

    def start_component(
        self,
        index: int,
        component: Any,
        runner: BatchRunner,
        inheritance: Inheritance | None = None,
    ) -> pykka.ActorRef[ComponentActor]:
        """Start an actor for a component. Does not wait until its thread runs.

        Args:
            index: The component's index.
            component: The object.
            runner: Its runner.
            inheritance: What an abandoned thread has left to the new one; None at the start.

        Raises:
            ComponentStartError: There is no thread for it.
        """
        return self._start(
            self.names[index],
            ComponentActor,
            component,
            runner,
            daemon=self._daemon,
            listener=self,
            wiring=self.wiring,
            clock=self.clock,
            runtime=self.runtime,
            inheritance=inheritance,
        )

    def _start(self, name: str, actor: type[A], *args: Any, **options: Any) -> pykka.ActorRef[A]:
        try:
            return self.runtime.start(actor, *args, **options)
        except (RuntimeError, MemoryError) as cause:
            self._await_threads()  # so that the stop finds those that have begun
            raise ComponentStartError(
                name,
                "start",
                f"no thread can be started for it: {format_error(cause)}. {MORE_THREADS}.",
            ) from cause

    def _await_threads(self) -> None:
        if self.wait_for(self._all_threads_run, Deadline(self.clock, ASK_TIMEOUT)):
            return
        late = [name for index, name in enumerate(self.names) if index not in self.threads]
        raise ComponentStartError(
            late[0] if late else "dispatcher",
            "start",
            f"its thread has not begun in {ASK_TIMEOUT:g} s",
        )

    def _check_not_in_use(self, index: int, component: Any, stage: str) -> None:
        other = other_holder(self.threads.get(index), component)
        if other is not None:
            raise ComponentStartError(
                self.names[index],
                stage,
                f"it runs already, in the thread {other.name!r}. Stop that dispatcher first, or"
                " make another object for this one.",
            )

    def disown(self) -> None:
        """In a forked child, which has none of the threads: be as after the end.

        If an actor's thread has forked, the child ends with the callback: see `exit_child`.
        """
        self.is_forked = True
        for ref in self.refs:
            cast("Mailbox", ref.actor_inbox).disown(LeaveProcess())
        for runner in list(self.runners.values()):
            runner.disown()
        for reactor in list(self.reactors.values()):
            reactor.disown()
        self.loop.disown()
        self.dead_letters.file.close()
        self.runners.clear()
        self.reactors.clear()
        self.threads.clear()
        self.refs.clear()
        self.stop_lock = self.runtime.lock()
        self.lifecycle.stop_requested = True
        self.lifecycle.advance(Phase.HALTED)
        self.lifecycle.advance(Phase.DOWN)
        self.done.set()

    def stop_actors(self) -> None:
        """Order all actors to leave their loops. Does not wait."""
        for ref in [*self.refs, self._dispatcher]:
            if ref is not None:
                ref.stop(block=False)

    def tell(self, index: int, message: Any) -> None:
        """Send a component a message, if its actor still runs."""
        try:
            self.refs[index].tell(message)
        except pykka.ActorDeadError:
            return  # it has stopped

    def tell_all(self, message: Any) -> None:
        """Send every component a message."""
        for index in range(len(self.refs)):
            self.tell(index, message)

    def ask_all(self, question: Any, timeout: float | None = ASK_TIMEOUT) -> dict[str, Any]:
        """Ask all components at once. Leave out those that do not answer in time.

        Blocks, so no actor may call it except one for which no other actor waits.
        """
        deadline = Deadline(self.clock, timeout)
        caller = self.runners.get(self.runtime.ident())  # it would wait for itself
        answers: dict[str, Answer] = {}
        for index, mailbox in enumerate(self.mailboxes):
            if caller is None or index != caller.index:
                answer = answers[self.names[index]] = Answer(self.notifier)
                mailbox.put(InternalEnvelope(question, answer))
        # After the end, only a component that was left behind does not answer.
        if self.lifecycle.phase is not Phase.DOWN:
            self._await_answers(list(answers.values()), deadline)
        result = {}
        for name, answer in answers.items():
            if not answer.is_set or isinstance(answer.cause, pykka.ActorDeadError):
                with survive_log():
                    logger.bind(component=name).debug("No answer to {question}", question=question)
            elif answer.cause is not None:  # the component's own code raised
                self.callback_failed(name, type(question).__name__, answer.cause)
            else:
                result[name] = answer.value
        return result

    def call(self, index: int, function: Callable[[Any], Any]) -> Any:
        """Call `function(daemon)` in a component's thread. Return what it returns, or raise.

        Blocks until it has returned. Thread: any but a component's.
        """
        answer = Answer(self.notifier)
        self.mailboxes[index].put(InternalEnvelope(Call(function), answer))
        self.wait_for(lambda: answer.is_set, Deadline(self.clock, None))
        if answer.cause is not None:
            raise answer.cause
        result, cause = answer.value
        if cause is not None:
            raise cause
        return result

    def _await_answers(self, answers: list[Answer], deadline: Deadline) -> None:
        def all_set() -> bool:
            return all(answer.is_set for answer in answers)

        if not all_set():  # otherwise it may be asked when nothing can be waited for
            self.wait_for(all_set, deadline)

    # --- waiting -------------------------------------------------------------------------------

    def wait_for(self, predicate: Callable[[], bool], deadline: Deadline) -> bool:
        """Wait until `predicate()` is true. False: the deadline came first.

        Args:
            predicate: Evaluated after each notification.
            deadline: When to stop waiting.
        """
        with self.notifier.subscribed() as wait:
            while not predicate():
                if deadline.over():
                    return False
                wait(deadline.remaining())
            return True

    def wait_for_state(
        self,
        condition: Callable[[DispatchState], bool],
        deadline: Deadline,
        *,
        unless: Callable[[], bool],
    ) -> bool:
        """Wait until the dispatcher's state was in a condition, at the end of some hold.

        Args:
            condition: Evaluated by the thread that holds the state, after each hold.
            deadline: When to stop waiting.
            unless: Evaluated after each notification; True ends the wait.

        Returns:
            True if the condition was met.
        """
        watch = self.loop.watch(condition, self.notifier.notify)
        self.wait_for(lambda: watch.met or unless(), deadline)
        return watch.met

    def is_drained(self, state: DispatchState) -> bool:
        """Return True if nothing is in flight and only events for later wait. Thread: a holder."""
        return not self.loop.has_submissions() and state.drained()

    def is_idle(self, state: DispatchState) -> bool:
        """Return True if nothing is left to do, and no source is active. Thread: a holder."""
        return not self.loop.has_submissions() and state.idle()

    def component_counts(self) -> dict[str, ComponentCounts]:
        """Return what each component has done, by its name. Thread: any."""
        failed, lives = self.dead_letters.by_component(), self.lives.copy()
        return {
            name: ComponentCounts(
                handled=lives[index].runner.handled if index in lives else 0,
                failed=failed.get(name, 0),
                restarts=self.restarts.get(index, 0),
            )
            for index, name in enumerate(self.names)
        }

    def best_effort_counts(self) -> dict[str, BestEffortCounts]:
        """Return the counts of each best-effort component, by its name. Thread: any."""
        counts: dict[str, BestEffortCounts] = {}
        for tap in self.state.taps:  # complete before any event starts
            name = self.names[tap.component]
            counts[name] = counts.get(name, BestEffortCounts()) + tap.counts()
        return counts

    def drained(self) -> bool:
        """Return True if nothing is in flight and only events for later wait. Thread: any."""
        # Everything handed over before the question was taken in, so no look at what came later.
        drained: bool = self.loop.ask(lambda state: state.drained())
        return drained

    def _all_threads_run(self) -> bool:
        has_begun = self._dispatcher is None or self.dispatcher_thread is not None
        return has_begun and len(self.threads) == len(self.refs)

    # --- what components report (actors.component_listener.ComponentListener) ---------------------

    def thread_started(
        self, life: Life, runner: BatchRunner, reactor: ComponentReactor, component: Any
    ) -> None:
        """Register the calling thread as a component's."""
        ident = self.runtime.ident()
        self.loop.own_threads.add(ident)
        self.runners[ident] = runner
        self.reactors[ident] = reactor
        thread = self.runtime.enter(f"zenactors:{runner.name}")
        claim(thread, component)
        self.lives[runner.index] = life
        self.threads[runner.index] = thread
        self.notifier.notify()

    def object_taken(self, index: int, component: Any) -> None:
        """Note which object a component is from now on. Thread: the component's.

        Raises:
            ComponentStartError: The object runs already.
        """
        claim(self.threads[index], component)
        self._check_not_in_use(index, component, "setup")

    def thread_ended(self, cause: BaseException | None) -> None:
        """Forget the calling thread: the system reuses identities."""
        ident = self.runtime.ident()
        self.loop.release()
        self.loop.own_threads.discard(ident)
        runner = self.runners.pop(ident, None)
        self.reactors.pop(ident, None)
        if runner is None:
            return
        if runner.is_abandoned:
            self.abandoned_thread_ended(runner.index)
            return
        release(self.threads.get(runner.index))
        if not self.halted:
            self.actor_lost(f"component {runner.name!r}", cause)
        elif cause is not None:
            self.callback_failed(runner.name, "The actor", cause)

    def setup_is_over(self, index: int, cause: BaseException | None) -> None:
        """Note that a component's setup is over."""
        self.setup_results[index] = cause
        self.notifier.notify()

    def teardown_is_over(self, index: int) -> None:
        """Note that a component's teardown is over."""
        self.torn_down.add(index)
        self.notifier.notify()

    def schedule(self, children: list[Scheduled]) -> None:
        """Submit events that a component scheduled outside of any event."""
        self.loop.schedule(children)

    def ends_told(self) -> None:
        """Note that a component has called the callbacks of tokens that have ended."""
        self.loop.submit(EndsTold())

    def close_tokens(self, index: int) -> list[Token]:
        """End a component's open tokens as failed, and let it have no more; return them."""
        failed: list[Token] = self.loop.ask(lambda state: state.tokens.close(index))
        return failed

    def source_changed(self, *, active: bool) -> None:
        """Note that a component became an active source, or ceased to be one."""
        self.loop.submit(SourceChanged(1 if active else -1))

    # --- what the dispatcher's actor reports (actors.dispatcher_actor.DispatcherListener) ------

    def dispatcher_started(self) -> None:
        """Register the calling thread as the dispatcher's."""
        self.loop.own_threads.add(self.runtime.ident())
        self.loop.begin_serving()
        self.dispatcher_thread = self.runtime.enter("zenactors:dispatcher")
        self.notifier.notify()

    def dispatcher_ended(self, cause: BaseException | None) -> None:
        """Note that the dispatcher's thread is about to end."""
        self.loop.release()
        self.loop.end_serving()
        self.loop.own_threads.discard(self.runtime.ident())
        if not self.halted:
            self.actor_lost("the dispatcher", cause)
        elif cause is not None:
            self.callback_failed("dispatcher", "The actor", cause)
