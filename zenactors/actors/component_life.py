"""The life of a component: set up, down after a failure, made anew, given new options, torn down.

A restart and a reload replace the object in the same way (`_replace`): teardown of the old one,
then setup of the new one, between two strides of its runner. Batches and their tickets wait.

If a callback does not return, its thread is abandoned, and the component's life goes on in another
thread (`Inheritance`): the mailbox, the runner's work and the component's name stay the same. The
old object belongs to the abandoned thread for ever, so the next one is a new object.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from zenactors.actors.component_listener import Inheritance
from zenactors.actors.component_messages import (
    Change,
    ChangeTransaction,
)
from zenactors.actors.engine_actor import EngineActor
from zenactors.actors.mailbox import Mailbox
from zenactors.actors.reactor import ComponentReactor
from zenactors.core.batch_runner import BatchRunner
from zenactors.core.callbacks import callback_name
from zenactors.core.component import (
    arguments_for,
    give_options,
    inherit_counters,
    make,
    options_of,
    recipe_of,
    renew,
    set_incarnation,
    set_options,
    transfer_state,
)
from zenactors.core.failure_handler import exit_status
from zenactors.core.supervision import NO_FAILURES
from zenactors.core.text import short_repr
from zenactors.core.turn import ThreadAbandoned
from zenactors.errors import (
    RetryInterruptedError,
    ZenDaemonComponentException,
    ZenDaemonStopException,
)

if TYPE_CHECKING:
    from zenactors.actors.component_listener import ComponentListener
    from zenactors.actors.runtime import Runtime
    from zenactors.actors.wiring import Wiring
    from zenactors.core.clock import Clock
    from zenactors.core.supervision import Supervision
    from zenactors.core.turn import Turn


class ComponentLife(EngineActor):
    """The part of a component's actor that decides which object it is, and in what condition.

    Thread: own, except `__init__`.
    """

    actor_inbox: Mailbox

    def __init__(
        self,
        component: Any,
        runner: BatchRunner,
        *,
        daemon: Any,
        listener: ComponentListener,
        wiring: Wiring,
        clock: Clock,
        runtime: Runtime,
        inheritance: Inheritance | None = None,
    ) -> None:
        super().__init__()
        self._inheritance = inheritance
        self._index = runner.index
        self._component = component
        self._daemon = daemon
        self._listener = listener
        self._wiring = wiring
        self._hook = runtime.hook
        self._runner = runner
        self._clock = clock
        self._reactor = ComponentReactor(clock, self._active_changed, self._descriptors_failed)
        self._over = False  # torn down: nothing runs any more
        self._is_set_up = False
        self._calling_back = False
        self._active = self._reported_active = False
        self._is_down = False  # it has failed, and waits for its restart or a reload
        self._is_suspended = False  # it waits for a reload
        self._ending = False  # the daemon stops
        self._drains = False  # it stops in order: what waits is still to be handled
        self._tells_ends = False  # it is to report that it has told of the ends of tokens
        # The objects that abandoned threads still use. Weak, so that they go with the threads.
        self._lost: tuple[weakref.ref[Any], ...] = ()
        runner.on_failure = self._report_active
        if inheritance is None:
            self._limit()
        else:
            self._inherit(inheritance)

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    # --- an abandoned thread and its successor ----------------------------------------------------

    @property
    def component(self) -> Any:
        """The object. Thread: any."""
        return self._component

    @property
    def runner(self) -> BatchRunner:
        """The runner of this thread. Thread: any."""
        return self._runner

    def why_not_anew(self) -> str:
        """Return why the component cannot become another object; empty if it can. Thread: any."""
        if recipe_of(self._component) is None:
            return f"{short_repr(self._component)} is no ZenDaemonComponent"
        return "" if self._wiring.is_replaceable else "the program has given the chains itself"

    def stops_when_exhausted(self) -> bool:
        """Return True if the daemon ends rather than go on without the component. Thread: any."""
        return self._runner.supervisor.policy.when_exhausted == "stop"

    def abandon(self, cause: BaseException, turn: Turn) -> Inheritance:
        """Let go of this actor's thread, and return what its successor needs.

        Thread: the one that has ended `turn`, that of the call under way. From then on this actor's
        thread only leaves: see `_leave`.
        """
        inheritance = Inheritance(
            cause,
            turn,
            self._runner.abandon(),
            self.actor_ref,
            (*(each for each in self._lost if each() is not None), weakref.ref(self._component)),
            is_open=self._reactor.is_open(),
            ending=self._ending,
            drains=self._drains,
            reported_active=self._reported_active,
            tells_ends=self._tells_ends,
        )
        self._reactor.abandon()
        return inheritance

    def _inherit(self, inheritance: Inheritance) -> None:
        """Take over from an actor whose thread was abandoned. Thread: as `abandon`."""
        ref = inheritance.ref
        self._actor_ref = ref  # it names the component, whichever actor that is
        self.actor_stopped = ref.actor_stopped
        self.actor_inbox = cast("Mailbox", ref.actor_inbox)
        self.actor_inbox.reactor = None
        self.actor_inbox.busy = False
        if inheritance.is_open:
            self._reactor.open()
        self._lost = inheritance.lost
        self._is_down = True
        self._ending, self._drains = inheritance.ending, inheritance.drains
        self._reported_active = inheritance.reported_active

    def _go_on(self, inheritance: Inheritance) -> None:
        """Deal with what the abandoned thread has left, and plan the restart."""
        self._runner.end_abandoned(inheritance.cause, inheritance.turn)
        self._leave_holds()
        self._flush()
        if inheritance.tells_ends:
            self._listener.ends_told()
        if self._runner.supervisor.policy.on_error == "stop":
            self._runner.stopped = True
            self._listener.gave_up(self._index, inheritance.cause)
        else:
            self._plan_restart(inheritance.cause)
        if self._ending:
            self._come_up_or_leave()
        self._report_active()

    def _leave(self) -> None:
        """End this actor's thread, which was abandoned.

        Mailbox and reference are its successor's, perhaps already.
        """
        self.actor_inbox = self._create_actor_inbox()
        self.actor_stopped = threading.Event()
        self.actor_stopped.set()

    def _limit(self) -> None:
        """Let calls be limited by the policy. For those with another limit it is switched off."""
        self._runner.is_limited = self._runner.supervisor.policy.hard_limit is not None

    def _is_lost(self, component: Any) -> bool:
        """Return True if an abandoned thread still uses an object."""
        return any(component is each() for each in self._lost)

    # --- hooks ----------------------------------------------------------------------------------

    def _tear_down(self) -> None:
        teardown = getattr(self._component, "teardown", None)
        if teardown is not None and self._is_set_up:
            self._contained(teardown, self._daemon)
        self._is_set_up = False

    def _begin_life(self) -> BaseException | None:
        """Set the component up for the first time, unless the program does."""
        if self._runner.policy.hooks == "program":
            self._is_set_up = True  # when it fails
            return None
        return self._set_up()

    def _end_life(self) -> None:
        """Tear the component down for good, unless the program does."""
        if self._runner.policy.hooks != "program":
            self._tear_down()

    def _set_up(self) -> BaseException | None:
        try:
            try:
                for hook in ("setup", "setup_dump"):
                    call = getattr(self._component, hook, None)
                    if call is not None:
                        with self._runner.calling():
                            self._hook(self._runner.name, call)(self._daemon)
                    self._is_set_up = True  # it is torn down even if `setup_dump` raises
            finally:
                self._flush()
        except ThreadAbandoned:
            raise
        except BaseException as cause:  # for the start; pykka's loop would lose it
            return cause
        return None

    def _contained(self, callback: Any, *args: Any) -> BaseException | None:
        """Call a hook or callback that belongs to no event. Contain and return its exception."""
        try:
            with self._runner.calling():
                self._hook(self._runner.name, callback)(*args)
        except ThreadAbandoned:
            raise
        except BaseException as cause:  # a SystemExit in pykka's loop would end every actor
            if not isinstance(cause, RetryInterruptedError | ZenDaemonStopException):
                self._listener.callback_failed(self._runner.name, callback_name(callback), cause)
            self._end_by(cause)
            return cause
        finally:
            self._flush()
        return None

    def _end_by(self, cause: BaseException) -> None:
        """Stop the daemon if the exception asks for it."""
        if isinstance(cause, ZenDaemonStopException | SystemExit | KeyboardInterrupt):
            self._runner.stopped = True
            status = 0 if isinstance(cause, ZenDaemonStopException) else exit_status(cause)
            self._listener.stop_at_once(status, cause)

    def _flush(self) -> None:
        children = self._runner.children
        if children and not self._runner.is_abandoned:
            self._runner.children = []
            self._listener.schedule(children)

    def _active_changed(self, active: bool) -> None:  # noqa: FBT001 - a callback
        with self._runner.undisturbed():  # the mailbox may be a successor's by now
            self.actor_inbox.reactor = self._reactor
            self._active = active
            # During a callback the end of activity is reported later: the callback may schedule or
            # register more, and the daemon must not look idle before that is known.
            if active or not self._calling_back:
                self._report_active()

    def _report_active(self) -> None:
        # A component that is down, or about to be, may be a source again.
        active = self._active or self._is_down or self._runner.failure is not None
        if self._runner.is_abandoned:
            return
        if active != self._reported_active:
            self._reported_active = active
            self._listener.source_changed(active=active)

    def _descriptors_failed(self, cause: Exception) -> None:
        self._listener.descriptors_failed(self._runner.name, cause)

    # --- failures -------------------------------------------------------------------------------

    def _go_down(self, cause: BaseException) -> None:
        """Tear the component down, because it has failed, and plan its restart."""
        if self._over:
            return
        if not self._is_down:
            self._is_down = True
            self._leave_holds()
            self._tear_down()
            self._reactor.close()
            self._plan_restart(cause)
        if self._ending:
            self._come_up_or_leave()

    def _leave_holds(self) -> None:
        for hold in list(self._runner.holds):
            hold.give_up(self._runner)

    def _plan_restart(self, cause: BaseException) -> None:
        supervisor = self._runner.supervisor
        now = self._clock.monotonic()
        in_vain = self._ending and not self._drains
        delay = None if in_vain else supervisor.plan_restart(now)
        if delay is not None:
            left = supervisor.restarts_left(now)
            if not self._ending:
                self.actor_inbox.reactor = self._reactor
                self._reactor.set_alarm(delay)
            self._listener.component_down(self._index, cause, None if self._ending else delay, left)
        elif self._ending:
            self._stay_down(cause)
        elif supervisor.policy.when_exhausted == "suspend":
            self._is_suspended = True
            self._listener.component_suspended(self._index, cause)
        else:
            self._runner.stopped = True
            self._listener.gave_up(self._index, cause)
        self._report_active()

    def _come_up_or_leave(self) -> None:
        """The daemon stops: come up at once if events wait, or leave them."""
        if self._runner.leaves:
            return
        if not self._drains or self._is_suspended or self._runner.stopped:
            self._leave_all()
        elif self._runner.has_work():
            self._restart()

    def _stay_down(self, cause: BaseException) -> None:
        """The daemon stops: leave the events that wait."""
        self._leave_all()
        self._listener.component_left_down(self._index, cause)

    def _leave_all(self) -> None:
        self._runner.leaves = True
        self.actor_inbox.busy = True

    def _restart(self) -> None:
        """Make the component anew, and set it up."""
        component = self._component
        options = {} if recipe_of(component) is None else options_of(component)
        if self._is_lost(self._component):
            failure = self._make_anew(options)
        else:
            failure = self._replace(None, options, lambda: renew(component))
        if failure is None:
            self._come_up()
            return
        if not isinstance(failure, RetryInterruptedError | ZenDaemonStopException):
            self._listener.callback_failed(self._runner.name, "The restart", failure)
        self._end_by(failure)
        if self._ending:
            self._stay_down(failure)
        elif not isinstance(failure, NO_FAILURES):  # otherwise the daemon is about to stop
            self._plan_restart(failure)

    def _make_anew(self, options: Mapping[str, Any]) -> BaseException | None:
        """Be a new object with these options, and set it up: the old one is lost."""
        recipe = recipe_of(self._component)
        assert recipe is not None
        try:
            arguments = arguments_for(recipe.cls, options)
            component = make(recipe, options, arguments)
            self._wiring.check_fits(self._index, component)
        except BaseException as cause:  # of its constructor, say; returned, as by `_take`
            return cause
        return self._replace(component, options, _nothing)

    def _come_up(self) -> None:
        self._is_down = self._is_suspended = False
        self._reactor.set_alarm(None)
        supervisor = self._runner.supervisor
        supervisor.came_up(self._clock.monotonic())
        self._runner.failure = None
        self.actor_inbox.busy = True
        self._listener.component_up(self._index, supervisor.incarnation)

    # --- new options ----------------------------------------------------------------------------

    def _reconfigure(self, transaction: ChangeTransaction) -> None:
        change = None if self._over else transaction.begin(self._index)
        if change is None:
            return
        # Changes of its registrations are reported at the end: until then it does not look idle.
        self._calling_back = True
        cause = self._change(change)
        if cause is not None:
            transaction.fail(self._index, cause)
        if cause is not None or not transaction.finish(self._index):
            self._restore(change, refused=cause is not None)
            transaction.rolled_back(self._index)
        elif self._is_down:
            self._come_up()
        self._calling_back = False
        self._report_active()

    def _roll_back(self, transaction: ChangeTransaction) -> None:
        if self._over or not transaction.is_changed(self._index):
            return
        self._calling_back = True
        self._restore(transaction.changes[self._index])
        self._calling_back = False
        self._report_active()
        transaction.rolled_back(self._index)

    def _change(self, change: Change) -> BaseException | None:
        if change.supervision:
            change.policy = self._runner.supervisor.policy
            self._supervise(change.supervision[change.number])
        if change.only_supervision and not self._is_down:
            return None
        if not self._is_down and callable(getattr(self._component, "reconfigure", None)):
            return self._apply_options(change.new)
        change.previous = self._component
        change.was_down = self._is_down
        if self._is_lost(self._component) and change.replacement is None:
            return self._make_anew(change.new)

        def remake() -> None:
            change.attributes = dict(vars(self._component))
            if change.remake is not None:
                change.remake(self._component, change.number)
            elif self._is_down:
                give_options(self._component, change.new)
                renew(self._component)

        return self._replace(change.replacement, change.new, remake)

    def _supervise(self, policy: Supervision) -> None:
        self._runner.supervisor.policy = policy
        self._listener.supervision_changed(self._index, policy)

    def _restore(self, change: Change, *, refused: bool = False) -> None:
        if change.policy is not None:
            self._supervise(change.policy)
        if change.only_supervision and change.previous is None:
            return

        def restore() -> None:
            if change.attributes is not None:
                vars(self._component).clear()
                vars(self._component).update(change.attributes)

        is_lost = change.previous is not None and self._is_lost(change.previous)
        if self._is_down:  # its restart is still to come
            if is_lost:
                self._forget_options(change.old)
            else:
                self._take(change.previous, change.old, restore)
            return
        if is_lost:
            cause = self._make_anew(change.old)
        elif change.previous is not None:
            cause = self._replace(change.previous, change.old, restore)
        else:
            cause = self._apply_options(change.old)
            if cause is not None and refused:  # it refused both, and keeps what it has
                self._listener.callback_failed(self._runner.name, "reconfigure", cause)
                return
        if cause is None:
            return
        if change.was_down:  # as before the transaction
            self._runner.failure = cause
            self._go_down(cause)
        else:
            self._runner.stopped = True  # what is under way must not meet an object without setup
            self._listener.rollback_failed(self._index, cause)

    def _forget_options(self, options: Mapping[str, Any]) -> None:
        """Have these options again at the restart, because the object before is lost."""
        if not self._is_lost(self._component):  # otherwise there was no other object yet
            self._take(None, options, lambda: give_options(self._component, options))

    def _apply_options(self, options: Mapping[str, Any]) -> BaseException | None:
        def reconfigure(daemon: Any) -> None:
            self._component.reconfigure(daemon, dict(options))

        try:
            with self._runner.calling():
                self._hook(self._runner.name, reconfigure)(self._daemon)
        except BaseException as cause:  # for the transaction; pykka's loop would lose it
            return cause
        finally:
            self._flush()
        give_options(self._component, options)
        return None

    def _replace(
        self, component: Any, options: Mapping[str, Any], remake: Callable[[], None]
    ) -> BaseException | None:
        """Tear the component down. Set up `component` or, if that is None, the same one again."""
        return self._take(component, options, remake) or self._set_up()

    def _take(
        self, component: Any, options: Mapping[str, Any], remake: Callable[[], None]
    ) -> BaseException | None:
        """Be another object from now on, with these options; it is not set up yet."""
        self._tear_down()
        self._leave_holds()
        self._reactor.close()
        if component is None or component is self._component:
            try:
                remake()
            except BaseException as cause:  # of its constructor; returned, as below
                return cause
        else:
            try:
                self._listener.object_taken(self._index, component)
                self._wiring.replace(self._index, component)
            except BaseException as cause:  # of its `get_events`, say; returned, as above
                with contextlib.suppress(ZenDaemonComponentException):
                    self._listener.object_taken(self._index, self._component)
                return cause
            transfer_state(self._component, component)
            if self._is_lost(self._component):
                inherit_counters(component)
            self._component = component
        if recipe_of(self._component) is not None:
            set_options(self._component, options)
        self._runner.supervisor.incarnation += 1
        set_incarnation(self._component, self._runner.supervisor.incarnation)
        return None


def _nothing() -> None:
    """Do nothing: a new object needs no preparation."""
