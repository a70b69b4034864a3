"""What the engine needs of threads. Everything else of it is the same under `zenactors.testing`.

There, one thread runs all actors in an order of its own choosing and time is virtual; here are
real threads, and waits that really wait.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from zenactors.actors.notifier import Notifier, ThreadNotifier
from zenactors.core.dispatch_state import DispatchState

if TYPE_CHECKING:
    import pykka

    from zenactors.core.batch_runner import BatchRunner
    from zenactors.core.callbacks import Handler
    from zenactors.core.chain import Chain
    from zenactors.core.clock import Clock

A = TypeVar("A", bound="pykka.ThreadingActor")


class StateLock(Protocol):
    """What `DispatchLoop` needs of a lock."""

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002 - as threading's
        """Take it; False: somebody has it, and `blocking` is False."""
        ...

    def release(self) -> None:
        """Let go of it."""
        ...

    def __enter__(self) -> Any:
        """Take it, waiting for it."""
        ...

    def __exit__(self, kind: Any, cause: Any, traceback: Any, /) -> None:
        """Let go of it."""
        ...


class Runtime:
    """Real threads."""

    ident: Callable[[], int] = staticmethod(threading.get_ident)
    """Return who is running: a positive number that no two threads have at a time."""

    def start(self, actor: type[A], *args: Any, **kwargs: Any) -> pykka.ActorRef[A]:
        """Start an actor in a thread of its own."""
        return actor.start(*args, **kwargs)

    def enter(self, name: str) -> threading.Thread:
        """Name the calling actor's thread, for stack dumps, and return it for `join`."""
        thread = threading.current_thread()
        thread.name = name
        return thread

    def join(self, thread: Any, timeout: float) -> None:
        """Wait until an actor's thread has ended, at most `timeout` seconds."""
        thread.join(timeout)

    def state_lock(self) -> StateLock:
        """Return the lock of the dispatcher's turn: held for moments, while nobody waits."""
        return threading.Lock()

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Return a reentrant lock that may be held while its holder waits."""
        return threading.RLock()

    def event(self) -> threading.Event:
        """Return an event that actors may wait for."""
        return threading.Event()

    def notifier(self) -> Notifier:
        """Return what those who wait for news of the engine share."""
        return ThreadNotifier()

    def dispatch_state(
        self,
        chains: dict[Any, Chain],
        names: list[str],
        runners: Mapping[int, BatchRunner],
        **options: Any,
    ) -> DispatchState:
        """Return the dispatch.

        Args:
            chains: The wiring.
            names: The components' names, by index.
            hosts: Will tell which component belongs to an identity.
            options: Of `DispatchState`.
        """
        return DispatchState(chains, **options)

    def stopwatch(self, clock: Clock) -> Clock:
        """Return the clock by which components measure how long their callbacks take."""
        return clock

    def handlers(
        self, component: str, handlers: list[Handler], instead_of: list[Handler] | None = None
    ) -> list[Handler]:
        """Return a component's handlers as they are to be called.

        Args:
            component: Its name.
            handlers: Its own.
            instead_of: What was returned for the object whose place this one takes.
        """
        return handlers

    def hook(self, component: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is to be called for a component outside of events.

        That is `setup`, `setup_dump`, `reconfigure`, `teardown`, and the callbacks of timers
        and descriptors.
        """
        return callback
