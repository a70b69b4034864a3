"""A component actor's inbox: a control lane, a data lane, and, if used, descriptors and timers.

Atomic operations relied on, with and without the GIL: `SimpleQueue.put/get` and
`deque.append/popleft`, each as a whole. `ComponentReactor.park` and `wake` also rely on the
order of two: the owner stores that it sleeps and then looks at the data lane; a sender puts a
message and then reads whether the owner sleeps. The interpreter's lock gives that order; without
it, the queue's own lock does.
"""

from __future__ import annotations

import queue
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import pykka

from zenactors.core.messages import Batch

if TYPE_CHECKING:
    from zenactors.actors.reactor import ComponentReactor

MAX_CONTROL_STREAK = 100  # this many control messages in a row may hold back data


class InternalEnvelope(NamedTuple):
    """An envelope, as pykka's loop expects it, for messages that an inbox makes itself."""

    message: Any
    reply_to: Any = None


class Resume:
    """Order an actor to continue with the batches that it holds."""


class RunReactor:
    """Report to an actor that a descriptor is ready or a timer is due."""


RESUME = InternalEnvelope(Resume())
RUN_REACTOR = InternalEnvelope(RunReactor())
_WAKE_UP = object()  # put into the data lane only to wake the owner


class ControlLane:
    """The messages that overtake batches, and the refusal of those that come too late.

    When an actor has stopped, pykka empties its inbox once. An `ask` that is put in later would
    wait for ever, so from `close` on every `put` answers the messages itself.
    """

    def __init__(self) -> None:
        self._control: deque[Any] = deque()
        self._closed = False

    def close(self) -> None:
        """Answer everything from now on with `ActorDeadError`. Thread: own."""
        self._closed = True

    def _put_control(self, envelope: Any) -> None:
        self._control.append(envelope)
        if self._closed:
            self._refuse()

    def _refuse(self) -> None:
        # Other threads and pykka's own teardown may do the same meanwhile: each envelope is
        # popped by one of them.
        while self._control:
            try:
                envelope = self._control.popleft()
            except IndexError:
                return
            if envelope.reply_to is not None:
                cause = pykka.ActorDeadError("The actor stopped before it handled the message.")
                envelope.reply_to.set_exception((type(cause), cause, None))


class Mailbox(ControlLane):
    """The inbox of a component actor, in the form that pykka's loop expects.

    `get` returns control messages first, then `RUN_REACTOR` if a callback of the reactor is due,
    then `RESUME` if the actor holds unfinished batches, then data in the order of arrival; and if
    there is none of these, `RUN_REACTOR` for what is to be called when the actor is idle.

    Attributes:
        busy: Set by the owner while it holds unfinished batches: `get` does not block then.
        reactor: Set by the owner once a descriptor or timer is registered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy = False
        self.reactor: ComponentReactor | None = None
        self._data: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._streak = 0
        self._reactor_was_last = False

    def put(self, envelope: Any, /, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - pykka's signature
        """Put a message on the control lane, and wake the owner. Never blocks. Thread: any.

        pykka's `tell` and `ask` call it, so their messages overtake the batches.
        """
        self._put_control(envelope)
        self._data.put(_WAKE_UP)
        reactor = self.reactor
        if reactor is not None:
            reactor.wake()

    def deliver(self, batch: Batch) -> None:
        """Put a batch in its lane, and wake the owner. Never blocks. Thread: any.

        A batch needs no envelope, which would double the cost of a hop. A batch that comes after
        the actor has stopped stays in flight: the stop reports its events as left.
        """
        if batch.on_control_lane:
            self.put(batch)
        else:
            self._data.put(batch)
            reactor = self.reactor
            if reactor is not None:
                reactor.wake()

    def disown(self, message: Any) -> None:
        """In a forked child: return this message next. Takes no lock."""
        self._streak = 0
        self._control.appendleft(InternalEnvelope(message))

    def pending(self) -> bool:
        """Return True if there may be anything to do besides due timers. Thread: own."""
        reactor = self.reactor
        return (
            self.busy
            or bool(self._control)
            or not self._data.empty()
            or (reactor is not None and (reactor.has_ready() or reactor.has_idle()))
        )

    def interrupted(self) -> bool:
        """Return True if the owner should interrupt its batch. Thread: own."""
        reactor = self.reactor
        return bool(self._control) or (reactor is not None and reactor.due())

    def get(self) -> Any:
        """Return the next thing to do; sleeps until there is one. Thread: own."""
        while True:
            reactor = self.reactor
            if self._control and self._streak < MAX_CONTROL_STREAK:
                self._streak += 1
                try:
                    return self._control.popleft()
                except IndexError:
                    continue  # after `close`, another thread has refused the message
            self._streak = 0
            if reactor is not None and not self._reactor_was_last and reactor.due():
                self._reactor_was_last = True
                return RUN_REACTOR
            self._reactor_was_last = False
            if self.busy:
                return RESUME
            if self._closed:
                # pykka's teardown saw a message that another thread has refused since.
                return InternalEnvelope(None)
            if reactor is not None and reactor.has_idle() and self._data.empty():
                reactor.note_idle()
                return RUN_REACTOR
            envelope = self._wait()
            if envelope is not None and envelope is not _WAKE_UP:
                return envelope

    def empty(self) -> bool:
        """Return True if no control message waits: no question would be left unanswered."""
        return not self._control

    def _wait(self) -> Any:
        try:
            if self._control:
                # It is the data's turn. The wake-ups before it can be dropped: the owner looks at
                # the control lane before it sleeps.
                while (envelope := self._data.get_nowait()) is _WAKE_UP:
                    pass
                return envelope
            if self.reactor is None:
                return self._data.get()
            if not self.reactor.has_descriptors():
                return self._data.get(timeout=self.reactor.timeout())
            if self._data.empty():
                self.reactor.park(self._data.empty)
            return self._data.get_nowait()
        except queue.Empty:
            return None
