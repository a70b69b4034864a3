"""The actor that hosts one component: a thin shell around `core.runner`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pykka

from zenactors.actors.mailbox import Mailbox, Resume, RunReactor
from zenactors.actors.reactor import ComponentReactor
from zenactors.actors.reconfigure import Change, Reconfiguration, Reconfigure, Rollback
from zenactors.core.batch_runner import BatchRunner, exit_status
from zenactors.core.component import set_options, transfer_state
from zenactors.core.messages import Batch
from zenactors.errors import ZenDaemonComponentException, ZenDaemonStopException

if TYPE_CHECKING:
    from zenactors.actors.runtime import Runtime
    from zenactors.core.clock import Clock
    from zenactors.core.event_queue import Scheduled


@dataclasses.dataclass(frozen=True, slots=True)
class SetUp:
    """Order a component's `setup`. Answered through `ComponentListener.set_up`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    """Order that descriptors and timers begin to call back: every component has started."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quiesce:
    """Order that descriptors and timers call nobody back any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class TearDown:
    """Order a component's `teardown`. Answered through `ComponentListener.torn_down`."""


@dataclasses.dataclass(frozen=True, slots=True)
class ReadStatistics:
    """Ask for a component's statistics, as seen by `reader`."""

    reader: str


@dataclasses.dataclass(frozen=True, slots=True)
class ReadState:
    """Ask for a component's state."""


class ComponentListener(Protocol):
    """Who is told how a component is doing. Thread: the component's."""

    def thread_started(self, index: int, runner: BatchRunner, reactor: ComponentReactor) -> None:
        """The actor's thread runs."""
        ...

    def set_up(self, index: int, cause: BaseException | None) -> None:
        """`setup` has returned, or raised `cause`."""
        ...

    def torn_down(self, index: int) -> None:
        """`teardown` is over."""
        ...

    def thread_ended(self, index: int) -> None:
        """The actor's thread is about to end."""
        ...

    def source_changed(self, *, active: bool) -> None:
        """The component became an active source, or ceased to be one."""
        ...

    def callback_failed(self, component: str, callback: str, cause: BaseException) -> None:
        """What belongs to no event raised: a timer's or descriptor's callback, or a teardown."""
        ...

    def replaced(self, index: int, component: Any) -> None:
        """Another object takes the component's place; it has been set up."""
        ...

    def lost(self, index: int, cause: BaseException) -> None:
        """A component can neither have its new options nor its old ones again."""
        ...

    def schedule(self, children: list[Scheduled]) -> None:
        """The component scheduled events outside of any event."""
        ...

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        """What belongs to no event asked for an orderly, immediate stop."""
        ...

    def broken(self, cause: BaseException) -> None:
        """A bug in zenactors itself."""
        ...


class ComponentActor(pykka.ThreadingActor):
    """Host one component: run its batches, and wait for messages, descriptors and timers.

    Thread: own, but for `__init__`.
    """

    # A thread that hangs in a callback must not keep the process alive.
    use_daemon_thread = True

    actor_inbox: Mailbox

    def __init__(
        self,
        index: int,
        component: Any,
        runner: BatchRunner,
        *,
        daemon: Any,
        listener: ComponentListener,
        clock: Clock,
        runtime: Runtime,
    ) -> None:
        super().__init__()
        self._index = index
        self._component = component
        self._daemon = daemon
        self._listener = listener
        self._hook = runtime.hook
        self._runner = runner
        self._reactor = ComponentReactor(clock, self._active_changed)
        self._over = False  # torn down: run nothing any more
        self._is_set_up = False
        self._calling_back = False
        self._active = self._told_active = False

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    def on_start(self) -> None:
        """Say that the thread runs: pykka's `start()` returns a reference in any case."""
        self._listener.thread_started(self._index, self._runner, self._reactor)

    def on_stop(self) -> None:
        """From now on, nobody who asks is left without an answer."""
        self.actor_inbox.close()
        self._reactor.close()
        self._listener.thread_ended(self._index)

    def on_receive(self, message: Any) -> Any:
        """Handle one message. Lets nothing but a bug's report out: pykka would stop us."""
        if type(message) is Batch:
            if self._over:
                return None  # it stays counted as under way, and is reported as left
        elif type(message) is not Resume:
            return self._handle(message)
        try:
            if type(message) is Batch:
                self._runner.arrive(message)
            self._work()
        except BaseException as cause:  # what callbacks raise was contained: this is a bug
            self._listener.broken(cause)
        return None

    def _work(self) -> None:
        """Run batches, stride by stride, until there are none or something else comes up."""
        runner, inbox = self._runner, self.actor_inbox
        while runner.has_work():
            runner.work()
            if inbox.interrupted():
                inbox.busy = True
                return
        inbox.busy = False

    def _handle(self, message: Any) -> Any:
        match message:
            case RunReactor():
                self._call_back()
            case ReadStatistics() | ReadState():
                return self._read(message)
            case Open():
                self._reactor.open()
            case Quiesce():
                self._reactor.quiesce()
            case Reconfigure(reload):
                self._reconfigure(reload)
            case Rollback(reload):
                self._roll_back(reload)
            case SetUp():
                self._listener.set_up(self._index, self._set_up())
            case TearDown():
                if not self._over:
                    self._tear_down()
                self._reactor.close()
                self._over = True
                self.actor_inbox.busy = False
                self._listener.torn_down(self._index)
        return None

    def _call_back(self) -> None:
        self._calling_back = True
        for callback in self._reactor.take_due():
            self._contained(callback, self._daemon)
        self._calling_back = False
        self._tell_active()

    def _read(self, question: ReadStatistics | ReadState) -> Any:
        try:
            if isinstance(question, ReadStatistics):
                return self._read_statistics(question.reader)
            read = getattr(self._component, "get_state", None)
            return {} if read is None else read()
        except Exception:  # the asker's
            raise  # pykka hands it to whoever asked
        except BaseException as cause:  # in pykka's loop it ends every actor, and answers nobody
            raise ZenDaemonComponentException(f"{self._runner.name!r} raised {cause!r}.") from cause

    def _read_statistics(self, reader: str) -> Any:
        read = getattr(self._component, "get_statistics", None)
        if read is None:
            return {}
        if "reader" in inspect.signature(read).parameters:
            return read(reader=reader)
        return read()  # pyzenkit's signature

    def _tear_down(self) -> None:
        teardown = getattr(self._component, "teardown", None)
        if teardown is not None and self._is_set_up:
            self._contained(teardown, self._daemon)
        self._is_set_up = False

    # --- new options ----------------------------------------------------------------------------

    def _reconfigure(self, reload: Reconfiguration) -> None:
        change = None if self._over else reload.begin(self._index)
        if change is None:
            return
        # What it registers, or no longer does, is told at the end: meanwhile it is not idle.
        self._calling_back = True
        cause = self._change(change)
        if cause is not None:
            reload.fail(self._index, cause)
        if cause is not None or not reload.finish(self._index):
            self._restore(change, refused=cause is not None)
            reload.rolled_back(self._index)
        self._calling_back = False
        self._tell_active()

    def _roll_back(self, reload: Reconfiguration) -> None:
        if self._over or not reload.is_changed(self._index):
            return
        self._calling_back = True
        self._restore(reload.changes[self._index])
        self._calling_back = False
        self._tell_active()
        reload.rolled_back(self._index)

    def _change(self, change: Change) -> BaseException | None:
        if callable(getattr(self._component, "reconfigure", None)):
            return self._tell_options(change.new)
        change.previous = self._component
        return self._replace(change.replacement, change.new)

    def _restore(self, change: Change, *, refused: bool = False) -> None:
        if change.previous is not None:
            cause = self._replace(change.previous, change.old)
        else:
            cause = self._tell_options(change.old)
            if cause is not None and refused:  # it takes neither, and so has what it had
                self._listener.callback_failed(self._runner.name, "reconfigure", cause)
                return
        if cause is not None:
            self._listener.lost(self._index, cause)

    def _tell_options(self, options: Mapping[str, Any]) -> BaseException | None:
        def reconfigure(daemon: Any) -> None:
            self._component.reconfigure(daemon, dict(options))

        try:
            self._hook(self._runner.name, reconfigure)(self._daemon)
        except BaseException as cause:  # whoever reloads is told; in pykka's loop it were lost
            return cause
        finally:
            self._flush()
        set_options(self._component, options)
        return None

    def _replace(self, component: Any, options: Mapping[str, Any]) -> BaseException | None:
        """Tear the component down, and set up `component` or, if that is None, itself again."""
        self._tear_down()
        self._reactor.close()
        if component is not None and component is not self._component:
            try:
                self._listener.replaced(self._index, component)
            except BaseException as cause:  # of its `get_events`; in pykka's loop it were lost
                return cause
            transfer_state(self._component, component)
            self._component = component
        set_options(self._component, options)
        return self._set_up()

    # --- hooks ----------------------------------------------------------------------------------

    def _set_up(self) -> BaseException | None:
        try:
            for hook in ("setup", "setup_dump"):
                call = getattr(self._component, hook, None)
                if call is not None:
                    self._hook(self._runner.name, call)(self._daemon)
                self._is_set_up = True  # what was acquired is released, whatever comes after
        except BaseException as cause:  # whoever starts us is told; in pykka's loop it were lost
            return cause
        finally:
            self._flush()
        return None

    def _contained(self, callback: Any, *args: Any) -> None:
        """Call what belongs to no event."""
        try:
            self._hook(self._runner.name, callback)(*args)
        except BaseException as cause:  # SystemExit in pykka's loop ends every actor
            name = getattr(callback, "__name__", repr(callback))
            if isinstance(cause, ZenDaemonStopException):
                self._runner.halted = True
                self._listener.stop_at_once(0, cause)
                return
            self._listener.callback_failed(self._runner.name, name, cause)
            if isinstance(cause, SystemExit | KeyboardInterrupt):
                self._runner.halted = True
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
        # While calling back, an end is told later: the callback may schedule or register more,
        # and the daemon must not look idle until that is known.
        if active or not self._calling_back:
            self._tell_active()

    def _tell_active(self) -> None:
        if self._active != self._told_active:
            self._told_active = self._active
            self._listener.source_changed(active=self._active)
