"""What an actor waits at: a control lane, a data lane, and, if used, descriptors and timers.

Atomic operations relied on, with and without the GIL: `SimpleQueue.put/get` and
`deque.append/popleft`, each as a whole. `ComponentReactor.park` and `wake` also rely on the
order of two: one stores that it sleeps and then looks at the lane, the other puts and then reads
that. The interpreter's lock gives that order; without it, the queue's own lock does.
"""

from __future__ import annotations

import queue
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import pykka

from zenactors.core.messages import Batch

if TYPE_CHECKING:
    from zenactors.actors.reactor import ComponentReactor

MAX_CONTROL_STREAK = 100  # so many control messages in a row may hold back data


class InternalEnvelope(NamedTuple):
    """What pykka's loop takes out of an inbox, for messages that nobody sent."""

    message: Any
    reply_to: Any = None


class Resume:
    """Tell an actor to go on with the batches it holds already."""


class RunReactor:
    """Tell an actor that a descriptor is ready or a timer due."""


RESUME = InternalEnvelope(Resume())
RUN_REACTOR = InternalEnvelope(RunReactor())
_BELL = object()  # put into the data lane to wake the owner, who then looks elsewhere


class ControlLane:
    """The messages that overtake, and the answer to those that come too late.

    pykka takes what is left out of an inbox when its actor has stopped, once. An `ask` that
    is put in just after would wait for ever; so from `close` on, every `put` answers itself.
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
        # Others may do the same meanwhile, pykka's own teardown too: each envelope is
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

    `get` returns control messages first, then what the reactor has to do, then `RESUME` if the
    actor holds unfinished batches, then data in the order of arrival.

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

        What pykka's `tell` and `ask` bring comes here: it all overtakes the batches.
        """
        self._put_control(envelope)
        self._data.put(_BELL)
        reactor = self.reactor
        if reactor is not None:
            reactor.wake()

    def deliver(self, batch: Batch) -> None:
        """Put a batch in its lane, and wake the owner. Never blocks. Thread: any.

        It spares the envelope, which would double the cost of a hop. A batch that comes after the
        actor has stopped stays under way for good: the stop reports its events as left.
        """
        if batch.on_control_lane:
            self.put(batch)
        else:
            self._data.put(batch)
            reactor = self.reactor
            if reactor is not None:
                reactor.wake()

    def pending(self) -> bool:
        """Return True if there may be something to do but timers that are due. Thread: own."""
        reactor = self.reactor
        return (
            self.busy
            or bool(self._control)
            or not self._data.empty()
            or (reactor is not None and reactor.has_ready())
        )

    def interrupted(self) -> bool:
        """Return True if the owner should let go of its batch for a moment. Thread: own."""
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
                    continue  # after `close` others refuse what waits here
            self._streak = 0
            if reactor is not None and not self._reactor_was_last and reactor.due():
                self._reactor_was_last = True
                return RUN_REACTOR
            self._reactor_was_last = False
            if self.busy:
                return RESUME
            if self._closed:
                return InternalEnvelope(
                    None
                )  # pykka's teardown takes out what another has just refused
            envelope = self._wait()
            if envelope is not None and envelope is not _BELL:
                return envelope

    def empty(self) -> bool:
        """Return True if no message waits: nobody would be left unanswered."""
        return not self._control

    def _wait(self) -> Any:
        try:
            if self._control:
                # It is the data's turn: past the bells, as many as the messages that rang them.
                # Nobody needs these: before it sleeps, the owner looks at the control lane.
                while (envelope := self._data.get_nowait()) is _BELL:
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
