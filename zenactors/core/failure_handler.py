"""What becomes of an event on which a callback fails, and of its component. Pure decisions.

Atomic operations relied on: storing and reading an attribute; `operator.length_hint` of a list's
iterator that another thread advances. That number only has to differ from call to call.
"""

from __future__ import annotations

import contextlib
import enum
import operator
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol

from zenactors.core.callbacks import (
    answer_error,
    callback_name,
    invalid_answer,
    read_answer,
)
from zenactors.core.dead_letters import DeadLetter
from zenactors.core.messages import Batch
from zenactors.core.policy import EventPolicy
from zenactors.core.supervision import NO_FAILURES, Supervisor, Verdict
from zenactors.core.tokens import Token
from zenactors.core.turn import ThreadAbandoned, Turn
from zenactors.errors import (
    AbandonedError,
    RestartComponent,
    RetryInterruptedError,
    ZenDaemonStopException,
)


class IncidentHandler(Protocol):
    """Handles the exceptions of callbacks. None of its methods blocks."""

    def dead_letter(self, letter: DeadLetter) -> bool | None:
        """Keep an event that could not be handled. Return True if the start-up fails by it."""
        ...

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way, because a callback asked for it."""
        ...

    def gave_up(self, component: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way, as the policy of a component that failed says."""
        ...


TryAgain = Callable[[Callable[[], Any], BaseException, int], Any]
"""Call a function again, by a component's policy, after it has raised.

Gets the function, its exception, and how often it was called so far. Returns its result, or raises
the exception of the last attempt; `RetryInterruptedError`, if the daemon stops meanwhile. Blocks
between the attempts.
"""


class Fate(enum.Enum):
    """What became of an event on which a callback has failed."""

    DEAD = enum.auto()  # it is a dead letter
    ENDED = enum.auto()  # it has ended: a callback has asked to stop everything
    LEFT = enum.auto()  # it was left undone, because the daemon stops
    AGAIN = enum.auto()  # the component's next incarnation handles it


UNHANDLED = (Fate.DEAD, Fate.LEFT)  # a control event goes on nevertheless


class FailureHandler:
    """The part of a runner that handles the exceptions of its component.

    Args:
        index: The component's index.
        name: The component's name.
        daemon: Passed to the callbacks as `daemon`.
        incidents: Takes dead letters and requests to stop.
        supervisor: Decides what follows a failure.
        try_again: Calls a callback again that has failed. None: the component has no `retry`.
        policy: What callbacks may return, and how control events go on.

    Attributes:
        index: As above.
        name: As above.
        supervisor: As above.
        policy: As above.
        failure: Why the component must be made anew; None otherwise. While it is set, nothing is
            run, and what arrives waits: the owner resets it.
        token: That of the event under way, or None.
        on_failure: Called when `failure` is set, before the event that failed is reported.
        stopped: True once a callback has asked for an immediate stop. The rest of its batch is not
            run: an output that failed must not receive the events after the gap.
        is_abandoned: True once the thread was abandoned: a successor goes on in its place.
        is_limited: True while the thread may be abandoned in a call. The owner sets it: if its
            policy has a hard limit, and the call under way no other limit, such as that of a stop.

    Thread: own.
    """

    # With its subclasses it has more attributes than Python's quick way of finding them is for.
    __slots__ = (
        "_attempts",
        "_batch",
        "_calls",
        "_daemon",
        "_guaranteed",
        "_held",
        "_incidents",
        "_left",
        "_not_run",
        "_resume",
        "_try_again",
        "_turn",
        "_under_way",
        "_unpacked",
        "failure",
        "index",
        "is_abandoned",
        "is_limited",
        "name",
        "on_failure",
        "policy",
        "stopped",
        "supervisor",
        "token",
    )

    def __init__(
        self,
        index: int,
        name: str,
        daemon: Any,
        incidents: IncidentHandler,
        *,
        supervisor: Supervisor,
        try_again: TryAgain | None,
        policy: EventPolicy,
    ) -> None:
        self.index = index
        self.name = name
        self.supervisor = supervisor
        self.policy = policy
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], None] = _ignore
        self.stopped = False
        self._daemon = daemon
        self._incidents = incidents
        self._try_again = try_again
        self._unpacked = policy.answers == "unpacked"
        self._guaranteed = policy.control_events == "guaranteed"
        self._batch: Batch | None = None  # the current one, between two strides
        self._attempts = 0  # those that earlier incarnations made for its current event
        self._left = 0  # the events since the last report that were left undone
        self._not_run = 0  # the events that were not begun, because the component has failed
        self._resume: tuple[int, Any] | None = None  # where its current event goes on in its step
        # Control events of which the next incarnation runs the other callbacks: where, with what.
        self._held: deque[tuple[Batch, int, Any]] = deque()
        self.token: Token | None = None
        self.is_abandoned = False
        self.is_limited = False
        self._turn: Turn | None = None
        self._calls = 0
        self._under_way: Iterator[Any] | None = None

    @property
    def event(self) -> Any:
        """The event under way; None between two batches."""
        return None if self._batch is None else self._batch.chain.event

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Note, for `place`, that code of the component runs that belongs to no event."""
        self._calls += 1
        self._under_way = iter(())
        turn = self.begin_turn() if self.is_limited else None
        try:
            yield
        finally:
            self._under_way = None
            if turn is not None:
                self.end_turn(turn)

    def place(self) -> Hashable:
        """Return what identifies the call under way; None if none is. Thread: any.

        A `Turn`, if the thread can be abandoned in it.
        """
        under_way = self._under_way
        turn = self._turn
        if turn is not None:
            return turn
        return None if under_way is None else (self._calls, operator.length_hint(under_way))

    # --- turns ---------------------------------------------------------------------------------

    def begin_turn(self, callback: Any = None, args: Any = None) -> Turn:
        """Note that a call begins in which the thread may be abandoned."""
        turn = self._turn = Turn(callback, args)
        return turn

    def end_turn(self, turn: Turn) -> None:
        """Note that a call has returned.

        Raises:
            ThreadAbandoned: It returned too late.
        """
        self._turn = None
        if not turn.end():
            self.is_abandoned = True  # perhaps before the watchdog has noted it
            raise ThreadAbandoned

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Keep the thread from being abandoned meanwhile.

        Raises:
            AbandonedError: It was abandoned before.
        """
        turn = self._turn
        if self.is_abandoned or (turn is not None and not turn.end()):
            raise AbandonedError
        try:
            yield
        finally:
            if turn is not None:
                turn.give_back()

    def check_not_abandoned(self) -> None:
        """Raise `AbandonedError` if the thread was abandoned."""
        if self.is_abandoned:
            raise AbandonedError

    # --- failures ------------------------------------------------------------------------------

    def failed(self, cause: BaseException) -> None:
        """Do what the component's supervision says after an exception, if that is a failure."""
        if isinstance(cause, NO_FAILURES):
            return
        verdict = self.supervisor.verdict(cause)
        if verdict is Verdict.RESTART:
            self._fail(cause)
        elif verdict is Verdict.STOP:
            self.stopped = True
            self._incidents.gave_up(self.index, cause)

    def letter(
        self,
        event: Any,
        args: Any,
        callback: str,
        cause: BaseException,
        attempts: int,
        position: Any = None,
    ) -> DeadLetter:
        """Return the dead letter of an event of this component."""
        token = self.token
        if position is None and token is not None:
            position = token.source_position()
        letter = DeadLetter(
            event,
            args,
            self.name,
            callback,
            cause,
            incarnation=self.supervisor.incarnation,
            attempts=attempts,
            position=position,
        )
        if token is None or (replay := token.replay()) is None:
            return letter
        return replay.failed_again(letter, token)

    def _leave_token(self) -> None:
        """Note that the event under way was not handled, and that its source should send it again.

        If it is a dead letter, too, that is because of the exception that has ended the daemon.
        """
        if self.token is not None:
            self.token.is_left = True

    def _fail(self, cause: BaseException) -> None:
        self.failure = cause
        self.on_failure()

    def _pauses(self) -> bool:
        """Return True if the rest of the batch does not run now."""
        return self.stopped or self.failure is not None

    def _goes_on(self, batch: Batch) -> bool:
        """Return True if an event goes on although a callback raised: only control events do."""
        return batch.chain.is_control_event and self._guaranteed and not self.stopped

    def _contain(
        self,
        batch: Batch,
        callback: Callable[..., Any],
        args: Any,
        cause: BaseException,
        result: Any = None,
    ) -> Fate | tuple[bool, Any]:
        """Handle an exception of a callback.

        Returns:
            The event's fate, or the answer of a later attempt.
        """
        if isinstance(cause, ThreadAbandoned):
            raise cause
        attempts = 1 + (self._attempts if batch is self._batch else 0)

        def call_again() -> Any:
            nonlocal attempts
            attempts += 1
            return callback(self._daemon, args)

        fate: Fate | tuple[bool, Any] | None = None
        if result is not None:  # the callback returned: reading it failed
            cause = answer_error(callback, result, cause)
        elif self._try_again is not None and self.supervisor.may_retry(cause):
            try:
                again = self._try_again(call_again, cause, attempts)
                fate = (
                    (True, args) if again is None else read_answer(again, unpacked=self._unpacked)
                )
                if fate is None:
                    raise invalid_answer(callback, again)
            except ThreadAbandoned:
                raise
            except BaseException as last:  # a SystemExit would end every actor of the process
                # There is no time to try a control event again, but it does not wait for one.
                interrupted = isinstance(last, RetryInterruptedError)
                cause = cause if interrupted and batch.chain.is_control_event else last
        fate = fate or self._decide(batch, callback, args, cause, attempts)
        if batch is self._batch:
            self._attempts = attempts if fate is Fate.AGAIN else 0
        return fate

    def _decide(
        self,
        batch: Batch,
        callback: Callable[..., Any],
        args: Any,
        cause: BaseException,
        attempts: int,
    ) -> Fate:
        if isinstance(cause, ZenDaemonStopException):
            self.stopped = True
            self._leave_token()
            self._incidents.stop_at_once(0, cause)
            return Fate.ENDED
        if isinstance(cause, RetryInterruptedError):
            self._left += not self._goes_on(batch)
            self._leave_token()
            return Fate.LEFT
        if (
            isinstance(cause, RestartComponent)
            and self.supervisor.may_try_again(attempts)
            and not batch.on_control_lane
        ):
            self._fail(cause)
            return Fate.AGAIN
        start_fails = self._bury(batch, callback, args, cause, attempts)
        if isinstance(cause, SystemExit | KeyboardInterrupt):
            self.stopped = True
            self._leave_token()
            self._incidents.stop_at_once(exit_status(cause), cause)
        elif not start_fails:  # otherwise everything ends, with this exception as the reason
            self.failed(cause)
        return Fate.DEAD

    def _bury(
        self,
        batch: Batch,
        callback: Callable[..., Any],
        args: Any,
        cause: BaseException,
        attempts: int = 1,
    ) -> bool | None:
        """Make an event a dead letter. Return True if the start-up fails by it."""
        name = callback_name(callback)
        letter = self.letter(batch.chain.event, args, name, cause, attempts)
        return self._incidents.dead_letter(letter)


def _ignore() -> None:
    """Do nothing."""


def exit_status(cause: BaseException) -> int:
    """Return the exit status that a SystemExit or KeyboardInterrupt asks for."""
    if not isinstance(cause, SystemExit):
        return 130  # what a shell reports for a program that SIGINT ended
    if cause.code is None:
        return 0
    return cause.code if isinstance(cause.code, int) else 1
