"""The dispatcher actor: it owns the thread that runs the dispatch loop."""

from __future__ import annotations

from typing import Any, Protocol

from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.engine_actor import EngineActor
from zenactors.actors.mailbox import ControlLane, InternalEnvelope


class DispatcherListener(Protocol):
    """Learns of the dispatcher's thread. Nothing on it blocks. Thread: the dispatcher's."""

    def dispatcher_started(self) -> None:
        """The thread runs."""
        ...

    def dispatcher_ended(self, cause: BaseException | None) -> None:
        """The thread is about to end; with `cause`, because it failed."""
        ...


class Guard(Protocol):
    """Looks for callbacks that do not return. Nothing on it blocks. Thread: the dispatcher's."""

    def look(self) -> None:
        """Look, if it is time to."""
        ...

    def interval(self) -> float:
        """Return the seconds from one look to the next."""
        ...

    def any_calls(self) -> bool:
        """Return True if components run callbacks now."""
        ...


class DispatcherInbox(ControlLane):
    """The dispatcher actor's inbox: while no message waits, its owner runs the dispatch loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: DispatchLoop | None = None
        self.guard: Guard | None = None

    def put(self, envelope: Any, /, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - pykka's signature
        """Put a message, and wake the dispatcher. Never blocks. Thread: any."""
        self._put_control(envelope)
        if self.loop is not None:
            self.loop.wake()

    def get(self) -> Any:
        """Return the next message; until there is one, run the loop. Thread: own."""
        assert self.loop is not None
        assert self.guard is not None
        while True:
            if self._control:
                try:
                    return self._control.popleft()
                except IndexError:
                    pass  # after `close`, another thread has refused the message
            if self._closed:
                return InternalEnvelope(None)
            self._run(self.loop, self.guard)

    def empty(self) -> bool:
        """Return True if no message waits."""
        return not self._control

    def _run(self, loop: DispatchLoop, guard: Guard) -> None:
        loop.run_and_park(self._control, guard.interval())
        guard.look()


class DispatcherActor(EngineActor):
    """Own the loop's thread. Runs no user code and never waits for a component."""

    actor_inbox: DispatcherInbox

    def __init__(self, loop: DispatchLoop, listener: DispatcherListener, guard: Guard) -> None:
        super().__init__()
        self._listener = listener
        self.actor_inbox.loop = loop
        self.actor_inbox.guard = guard

    @staticmethod
    def _create_actor_inbox() -> DispatcherInbox:
        return DispatcherInbox()

    def on_start(self) -> None:
        """Report that the thread runs."""
        self._listener.dispatcher_started()

    def on_end(self, cause: BaseException | None) -> None:
        """Close the inbox: from now on it answers every ask with `ActorDeadError`."""
        self.actor_inbox.close()
        self._listener.dispatcher_ended(cause)

    def on_receive(self, message: Any) -> Any:
        """Do nothing: the actor has no messages but the one that stops it."""
