"""The actor that runs one component: a thin shell around `BatchRunner`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from zenactors.actors.component_messages import (
    Call,
    Change,
    ChangeTransaction,
    LeaveProcess,
    Open,
    Quiesce,
    ReadState,
    ReadStatistics,
    Reconfigure,
    Rollback,
    SetUp,
    TearDown,
)
from zenactors.actors.engine_actor import EngineActor
from zenactors.actors.mailbox import Mailbox, Resume, RunReactor
from zenactors.actors.reactor import ComponentReactor
from zenactors.core.batch_runner import BatchRunner, exit_status
from zenactors.core.callbacks import callback_name
from zenactors.core.component import set_options, transfer_state
from zenactors.core.messages import Batch
from zenactors.core.text import short_repr
from zenactors.errors import ZenDaemonComponentException, ZenDaemonStopException
from zenactors.process.streams import exit_child

if TYPE_CHECKING:
    from zenactors.actors.runtime import Runtime
    from zenactors.actors.wiring import Wiring
    from zenactors.core.clock import Clock
    from zenactors.core.messages import Scheduled


class ComponentListener(Protocol):
    """Receives a component's reports. None of its methods blocks. Thread: the component's."""

    def thread_started(
        self, runner: BatchRunner, reactor: ComponentReactor, component: Any
    ) -> None:
        """Note that the actor's thread runs."""
        ...

    def object_taken(self, index: int, component: Any) -> None:
        """Note which object the component is from now on; raise if that one runs already."""
        ...

    def thread_ended(self, cause: BaseException | None) -> None:
        """Note that the actor's thread is about to end; with `cause`, because it failed."""
        ...

    def setup_is_over(self, index: int, cause: BaseException | None) -> None:
        """Note that `setup` has returned, or raised `cause`."""
        ...

    def teardown_is_over(self, index: int) -> None:
        """Note that `teardown` is over."""
        ...

    def schedule(self, children: list[Scheduled]) -> None:
        """Accept events that the component scheduled outside of any event."""
        ...

    def source_changed(self, *, active: bool) -> None:
        """Note that the component became an active source, or ceased to be one."""
        ...

    def callback_failed(self, component: str, callback: str, cause: BaseException) -> None:
        """Log an exception of a timer's or descriptor's callback, or of a hook."""
        ...

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way: a callback of no event asked for it."""
        ...

    def rollback_failed(self, index: int, cause: BaseException) -> None:
        """Note that the component works neither with its new options nor with its old ones."""
        ...

    def descriptors_failed(self, component: str, cause: Exception) -> None:
        """Note that the system refuses to wait for the component's descriptors."""
        ...

    def broken(self, cause: BaseException, where: str) -> None:
        """Note a bug in zenactors itself, or that the memory was not enough for its work."""
        ...


class ComponentActor(EngineActor):
    """Run one component: its batches, its hooks, and its descriptors' and timers' callbacks.

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
    ) -> None:
        super().__init__()
        self._index = runner.index
        self._component = component
        self._daemon = daemon
        self._listener = listener
        self._wiring = wiring
        self._hook = runtime.hook
        self._runner = runner
        self._reactor = ComponentReactor(clock, self._active_changed, self._descriptors_failed)
        self._over = False  # torn down: nothing runs any more
        self._is_set_up = False
        self._calling_back = False
        self._active = self._reported_active = False

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    def on_start(self) -> None:
        """Report that the thread runs: pykka's `start()` returns a reference in any case."""
        self._listener.thread_started(self._runner, self._reactor, self._component)

    def on_end(self, cause: BaseException | None) -> None:
        """Close the inbox: from now on it answers every ask with `ActorDeadError`."""
        self.actor_inbox.close()
        self._listener.thread_ended(cause)
        self._reactor.close()

    def on_receive(self, message: Any) -> Any:
        """Handle one message. Raises only to answer a question."""
        kind, runner, inbox = type(message), self._runner, self.actor_inbox
        is_question = kind is ReadStatistics or kind is ReadState or kind is Call
        runner.collects = True
        try:
            if is_question:
                return self._read(message)
            if kind is not Batch and kind is not Resume:
                self._handle(message)
                return None
            if self._over:
                return None  # the batch stays in flight, and the stop reports its events as left
            if kind is Batch:
                runner.arrive(message)
            inbox.busy = False
            while runner.work():
                if inbox.interrupted():
                    inbox.busy = True  # after the interruption `get` returns `RESUME`
                    break
        except BaseException as cause:  # the exceptions of callbacks are contained
            if is_question:
                raise
            self._listener.broken(cause, f"component {runner.name!r}")
        finally:
            runner.collects = False
            if runner.children:  # a finalizer has scheduled something between two callbacks
                self._flush()
        return None

    def _handle(self, message: Any) -> None:
        match message:
            case RunReactor():
                self._call_back()
            case LeaveProcess():
                exit_child(0)
            case Open():
                self._reactor.open()
            case Quiesce():
                self._reactor.quiesce()
            case Reconfigure(transaction):
                self._reconfigure(transaction)
            case Rollback(transaction):
                self._roll_back(transaction)
            case SetUp():
                self._listener.setup_is_over(self._index, self._set_up())
            case TearDown():
                try:
                    if not self._over:
                        self._tear_down()
                    self._reactor.close()
                finally:
                    self._over = True
                    self.actor_inbox.busy = False
                    self._listener.teardown_is_over(self._index)

    def _call_back(self) -> None:
        self._calling_back = True
        try:
            for callback in self._reactor.take_due():
                self._contained(callback, self._daemon)
        finally:
            self._calling_back = False
        self._report_active()

    def _descriptors_failed(self, cause: Exception) -> None:
        self._listener.descriptors_failed(self._runner.name, cause)

    def _read(self, question: ReadStatistics | ReadState | Call) -> Any:
        try:
            if isinstance(question, Call):
                return self._call(question.function)
            if isinstance(question, ReadStatistics):
                return self._read_statistics(question.reader)
            read = getattr(self._component, "get_state", None)
            return {} if read is None else read()
        except Exception:
            raise  # pykka passes it to the asker
        except BaseException as cause:  # in pykka's loop it would end every actor, unanswered
            raise ZenDaemonComponentException(
                f"{self._runner.name!r} raised {short_repr(cause)}."
            ) from cause
        finally:
            self._flush()

    def _read_statistics(self, reader: str) -> Any:
        read = getattr(self._component, "get_statistics", None)
        if read is None:
            return {}
        if "reader" in inspect.signature(read).parameters:
            return read(reader=reader)
        return read()  # a component's own, which knows one reader only

    def _call(self, function: Callable[[Any], Any]) -> tuple[Any, BaseException | None]:
        try:
            return self._hook(self._runner.name, function)(self._daemon), None
        except BaseException as cause:  # for the asker; in pykka's loop it would end every actor
            return None, cause

    def _tear_down(self) -> None:
        teardown = getattr(self._component, "teardown", None)
        if teardown is not None and self._is_set_up:
            self._contained(teardown, self._daemon)
        self._is_set_up = False

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
        if callable(getattr(self._component, "reconfigure", None)):
            return self._apply_options(change.new)
        change.previous = self._component

        def remake() -> None:
            if change.remake is not None:
                change.attributes = dict(vars(self._component))
                change.remake(self._component, change.number)

        return self._replace(change.replacement, change.new, remake)

    def _restore(self, change: Change, *, refused: bool = False) -> None:
        if change.previous is not None:

            def restore() -> None:
                if change.attributes is not None:
                    vars(self._component).clear()
                    vars(self._component).update(change.attributes)

            cause = self._replace(change.previous, change.old, restore)
        else:
            cause = self._apply_options(change.old)
            if cause is not None and refused:  # it refused both, and keeps what it has
                self._listener.callback_failed(self._runner.name, "reconfigure", cause)
                return
        if cause is not None:
            self._listener.rollback_failed(self._index, cause)

    def _apply_options(self, options: Mapping[str, Any]) -> BaseException | None:
        def reconfigure(daemon: Any) -> None:
            self._component.reconfigure(daemon, dict(options))

        try:
            self._hook(self._runner.name, reconfigure)(self._daemon)
        except BaseException as cause:  # for the transaction; pykka's loop would lose it
            return cause
        finally:
            self._flush()
        set_options(self._component, options)
        return None

    def _replace(
        self, component: Any, options: Mapping[str, Any], remake: Callable[[], None]
    ) -> BaseException | None:
        """Tear the component down. Set up `component` or, if that is None, the same one again."""
        self._tear_down()
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
            self._component = component
        set_options(self._component, options)
        return self._set_up()

    # --- hooks ----------------------------------------------------------------------------------

    def _set_up(self) -> BaseException | None:
        if self._runner.policy.hooks == "program":
            return None
        try:
            try:
                for hook in ("setup", "setup_dump"):
                    call = getattr(self._component, hook, None)
                    if call is not None:
                        self._hook(self._runner.name, call)(self._daemon)
                    self._is_set_up = True  # it is torn down even if `setup_dump` raises
            finally:
                self._flush()
        except BaseException as cause:  # for the start; pykka's loop would lose it
            return cause
        return None

    def _contained(self, callback: Any, *args: Any) -> None:
        """Call a hook or callback that belongs to no event, and contain its exceptions."""
        try:
            self._hook(self._runner.name, callback)(*args)
        except BaseException as cause:  # a SystemExit in pykka's loop would end every actor
            name = callback_name(callback)
            if isinstance(cause, ZenDaemonStopException):
                self._runner.stopped = True
                self._listener.stop_at_once(0, cause)
                return
            self._listener.callback_failed(self._runner.name, name, cause)
            if isinstance(cause, SystemExit | KeyboardInterrupt):
                self._runner.stopped = True
                self._listener.stop_at_once(exit_status(cause), cause)
        finally:
            self._flush()

    def _flush(self) -> None:
        children = self._runner.children
        if children:
            self._runner.children = []
            self._listener.schedule(children)

    def _active_changed(self, active: bool) -> None:  # noqa: FBT001 - a callback
        self.actor_inbox.reactor = self._reactor
        self._active = active
        # During a callback the end of activity is reported later: the callback may schedule or
        # register more, and the daemon must not look idle before that is known.
        if active or not self._calling_back:
            self._report_active()

    def _report_active(self) -> None:
        if self._active != self._reported_active:
            self._reported_active = self._active
            self._listener.source_changed(active=self._active)
