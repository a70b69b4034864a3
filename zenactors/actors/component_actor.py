"""The actor that runs one component: a thin shell around `BatchRunner`."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from zenactors.actors.component_life import ComponentLife
from zenactors.actors.component_messages import (
    Call,
    LeaveProcess,
    Open,
    Quiesce,
    ReadState,
    ReadStatistics,
    Reconfigure,
    Rollback,
    SetUp,
    TearDown,
    TokensEnded,
)
from zenactors.actors.mailbox import Resume, RunReactor
from zenactors.core.messages import Batch
from zenactors.core.text import short_repr
from zenactors.core.tokens import ANY_INCARNATION
from zenactors.core.turn import ThreadAbandoned
from zenactors.errors import (
    ZenDaemonComponentException,
)
from zenactors.process.streams import exit_child

if TYPE_CHECKING:
    from zenactors.core.tokens import Token


class ComponentActor(ComponentLife):
    """Run one component: its batches, its hooks, and its descriptors' and timers' callbacks.

    Thread: own, except `__init__`.
    """

    def on_start(self) -> None:
        """Report that the thread runs: pykka's `start()` returns a reference in any case."""
        inheritance, self._inheritance = self._inheritance, None
        component = self._component if inheritance is None else None
        self._listener.thread_started(self, self._runner, self._reactor, component)
        if inheritance is None:
            return
        try:
            self._go_on(inheritance)
        except ThreadAbandoned:  # in a `setup` while the daemon stops
            self._leave()
        except BaseException as cause:  # pykka would only log it
            self._listener.broken(cause, f"component {self._runner.name!r}")

    def on_end(self, cause: BaseException | None) -> None:
        """Close the inbox: from now on it answers every ask with `ActorDeadError`."""
        self.actor_inbox.close()
        self._listener.thread_ended(cause)
        self._reactor.close()

    def _handle_receive(self, message: Any) -> Any:
        """Handle one message. A batch, the most frequent one, takes the shortest way."""
        kind = type(message)
        if kind is Batch:
            return self._work(message)
        if kind is Resume:
            return self._work(None)
        return super()._handle_receive(message)

    def _work(self, batch: Batch | None) -> None:
        """Run the batches that may be run now, up to an interruption.

        Args:
            batch: One that has arrived just now.
        """
        runner = self._runner
        runner.collects = True
        try:
            if self._over:
                return  # the batch stays in flight, and the stop reports its events as left
            if batch is not None:
                runner.arrive(batch)
            inbox = self.actor_inbox
            inbox.busy = False
            while runner.work():
                if inbox.interrupted():
                    inbox.busy = True  # after the interruption `get` returns `RESUME`
                    break
            if runner.failure is not None:
                self._go_down(runner.failure)
        except ThreadAbandoned:
            self._leave()
        except BaseException as cause:  # the exceptions of callbacks are contained
            self._listener.broken(cause, f"component {runner.name!r}")
        finally:
            runner.collects = False
            if runner.children:  # a finalizer has scheduled something between two callbacks
                self._flush()

    def on_receive(self, message: Any) -> Any:
        """Handle any other message. Raises only to answer a question."""
        kind, runner = type(message), self._runner
        is_question = kind is ReadStatistics or kind is ReadState or kind is Call
        runner.collects = True
        try:
            if is_question:
                return self._read(message)
            self._handle(message)
        except ThreadAbandoned:
            self._leave()
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
        # The others have limits of their own: that of a start, a stop or a reload.
        if isinstance(message, SetUp | TearDown | Reconfigure | Rollback):
            self._runner.is_limited = False
        match message:
            case RunReactor():
                self._call_back()
            case LeaveProcess():
                exit_child(0)
            case Open():
                self._reactor.open()
            case Quiesce(drains):
                self._reactor.quiesce()
                self._reactor.set_alarm(None)
                self._ending, self._drains = True, drains
                if self._is_down:
                    self._come_up_or_leave()
            case Reconfigure(transaction):
                self._reconfigure(transaction)
            case Rollback(transaction):
                self._roll_back(transaction)
            case TokensEnded(tokens, is_last):
                self._tells_ends = not is_last
                self._tell_ends(tokens)
                self._tells_ends = False
                if not is_last:
                    self._listener.ends_told()
            case SetUp():
                self._listener.setup_is_over(self._index, self._begin_life())
            case TearDown():
                self._end()
        self._limit()

    def _end(self) -> None:
        """Tear the component down for good."""
        try:
            if not self._over:
                # Those of events that it has scheduled since the stop has failed the others.
                self._flush()
                self._tell_ends(self._listener.close_tokens(self._index))
                self._end_life()
            self._reactor.close()
        finally:
            self._reactor.set_alarm(None)
            self._over = True
            self.actor_inbox.busy = False
            self._listener.teardown_is_over(self._index)

    def _call_back(self) -> None:
        self._calling_back = True
        try:
            if self._reactor.alarm_rings() and not self._over:
                self._restart()
            for callback in self._reactor.take_due():
                cause = self._contained(callback, self._daemon)
                if cause is not None:
                    self._runner.failed(cause)
                if self._runner.failure is not None or self._runner.stopped:
                    break
            if self._runner.failure is not None:
                self._go_down(self._runner.failure)
        finally:
            self._calling_back = False
        self._report_active()

    def _tell_ends(self, tokens: list[Token]) -> None:
        """Call the callbacks of tokens that have ended, unless their object was torn down."""
        self._calling_back = True
        try:
            for token in tokens:
                if token.incarnation == ANY_INCARNATION:  # a replay's: no code of the component
                    token.on_done(token.outcome)
            incarnation = self._runner.supervisor.incarnation
            mine = [token for token in tokens if token.incarnation == incarnation]
            each = iter(mine)
            while not self._over and not self._is_down and operator.length_hint(each):
                self._call_on_done(each)
            if self._runner.failure is not None:
                self._go_down(self._runner.failure)
        finally:
            self._calling_back = False
        self._report_active()

    def _call_on_done(self, each: Iterator[Token]) -> None:
        """Call the callbacks of tokens, up to the first that raises."""

        def on_done(_daemon: Any) -> None:
            for token in each:
                token.on_done(token.outcome)

        cause = self._contained(on_done, self._daemon)
        if cause is not None:
            self._runner.failed(cause)

    def _read(self, question: ReadStatistics | ReadState | Call) -> Any:
        try:
            if isinstance(question, Call):
                return self._call(question.function)
            if isinstance(question, ReadStatistics):
                return self._read_statistics(question.reader)
            read = getattr(self._component, "get_state", None)
            return {} if read is None or self._is_lost(self._component) else read()
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
        if read is None or self._is_lost(self._component):
            return {}
        if "reader" in inspect.signature(read).parameters:
            return read(reader=reader)
        return read()  # a component's own, which knows one reader only

    def _call(self, function: Callable[[Any], Any]) -> tuple[Any, BaseException | None]:
        try:
            return self._hook(self._runner.name, function)(self._daemon), None
        except BaseException as cause:  # for the asker; in pykka's loop it would end every actor
            return None, cause
