"""The dispatcher actor: sleeps until a timed event is due, then takes the turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pykka

from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.actors.mailbox import ControlLane, InternalEnvelope


class TimerDue:
    """Tell the dispatcher to take its turn."""


TIMER_DUE = InternalEnvelope(TimerDue())


class DispatcherInbox(ControlLane):
    """One waiting place for the dispatcher's messages and its queue.

    `get` returns the next message, or `TimerDue` at the moment when the next timed event
    is due; news wakes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop: DispatchLoop | None = None

    def put(self, envelope: Any, /, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - pykka's signature
        """Put a message, and wake the dispatcher. Never blocks. Thread: any."""
        self._put_control(envelope)
        if self.loop is not None:
            self.loop.wake()

    def get(self) -> Any:
        """Return the next thing to do; sleeps until there is one. Thread: own."""
        assert self.loop is not None
        while True:
            if self._control:
                try:
                    return self._control.popleft()
                except IndexError:
                    pass  # after `close` others refuse what waits here
            if self._closed:
                return InternalEnvelope(None)
            if self.loop.park():
                return TIMER_DUE

    def empty(self) -> bool:
        """Return True if no message waits."""
        return not self._control


class DispatcherActor(pykka.ThreadingActor):
    """Own the dispatcher's thread. Runs no user code and never waits for a component."""

    use_daemon_thread = True

    actor_inbox: DispatcherInbox

    def __init__(self, loop: DispatchLoop, started: Callable[[], None]) -> None:
        super().__init__()
        self._loop = loop
        self._started = started
        self.actor_inbox.loop = loop

    @staticmethod
    def _create_actor_inbox() -> DispatcherInbox:
        return DispatcherInbox()

    def on_start(self) -> None:
        """Say that the thread runs."""
        self._started()

    def on_stop(self) -> None:
        """From now on, nobody who asks is left without an answer."""
        self.actor_inbox.close()

    def on_receive(self, message: Any) -> Any:
        """Take the turn."""
        if isinstance(message, TimerDue):
            self._loop.run_once()
        return None
