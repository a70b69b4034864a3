"""The engine's interface to threads. `zenactors.testing` replaces it, and nothing else.

There, one thread runs all actors in an order of its own choice, and time is virtual. Here are
real threads and real waits.

Every thread begins with an empty context (`contextvars`), whatever the thread that starts it has
set. From Python 3.14 on, a thread may inherit a copy of that one's context, and does by default in
free-threaded builds. It takes the copy when it is started, so it is started in an empty context.
"""

from __future__ import annotations

import contextlib
import contextvars
import random
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pykka

from zenactors.actors.notifier import Flag, Notifier, ThreadNotifier
from zenactors.actors.tracebacks import is_outer
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.messages import NO_RUN, OpenRun
from zenactors.process.diagnostics import stacks

if TYPE_CHECKING:
    from zenactors.components._files import Files
    from zenactors.core.batch_runner import BatchRunner
    from zenactors.core.callbacks import Handler
    from zenactors.core.chain import Chain
    from zenactors.core.clock import Clock

A = TypeVar("A", bound="pykka.ThreadingActor")


class StateLock(Protocol):
    """The methods of a reentrant lock that `DispatchLoop` uses."""

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002 - as threading's
        """Acquire the lock. False: another thread holds it, and `blocking` is False."""
        ...

    def release(self) -> None:
        """Release the lock."""
        ...

    def _is_owned(self) -> bool:
        """Return True if the calling thread holds the lock; `threading.Condition` uses it too."""
        ...

    def __enter__(self) -> Any:
        """Acquire the lock; wait for it if necessary."""
        ...

    def __exit__(self, kind: Any, cause: Any, traceback: Any, /) -> None:
        """Release the lock."""
        ...


class Producer:
    """Identifies a thread that schedules. Unlike thread identifiers, it is never used again."""

    __slots__ = ("__weakref__",)


class Producers(Protocol):
    """Tells producers of events apart."""

    run: OpenRun
    """The open run of the calling thread; `NO_RUN` if it has none. For the `LiveQueue`."""

    last: Any
    """The event that the calling thread, outside, has scheduled last. For the `LiveQueue`."""

    @property
    def current(self) -> Hashable:
        """What identifies the calling thread."""
        ...


class ThreadProducers(threading.local):
    """Each thread is a producer, and stays one as long as an event of it is queued."""

    current: Hashable
    run: OpenRun
    last: Any

    def __init__(self) -> None:  # called once in each thread
        self.current = Producer()
        self.run = NO_RUN
        self.last = NO_RUN.event


class Runtime:
    """Real threads.

    Attributes:
        hands_over: True: a thread outside can wait for the dispatcher's thread. False: all are
            tasks of one thread.
    """

    hands_over = True

    files: Files | None = None
    """The file operations for dead letters and state stores. None: the system's."""

    def __init__(self) -> None:
        self.producers: Producers = ThreadProducers()

    ident: Callable[[], int] = staticmethod(threading.get_ident)
    """Return the identity of the calling thread: a positive number, unique among live threads."""

    def start(self, actor: type[A], *args: Any, **kwargs: Any) -> pykka.ActorRef[A]:
        """Start an actor in a thread of its own.

        Raises:
            RuntimeError: There is no thread to be had.
        """
        # Not by `actor.start()`, which registers it: other code's `ActorRegistry.stop_all()` is not
        # meant for it.
        made = actor(*args, **kwargs)
        contextvars.Context().run(made._start_actor_loop)  # noqa: SLF001 - the rest of `start()`
        return made.actor_ref

    def enter(self, name: str) -> threading.Thread:
        """Name the calling actor's thread, for stack dumps, and return it for `join`."""
        thread = threading.current_thread()
        thread.name = name
        return thread

    def join(self, thread: Any, timeout: float) -> None:
        """Wait until an actor's thread has ended, at most `timeout` seconds."""
        thread.join(timeout)

    def run_apart(self, function: Callable[[], None]) -> None:
        """Run a function where no signal handler of the program interrupts it. Does not wait."""
        try:
            _start_helper(function)
        except RuntimeError:  # there is no thread to be had, or the interpreter ends
            function()

    def help(self, function: Callable[[], None]) -> None:
        """Run a function in a thread of its own, if there is one to be had. Does not wait."""
        with contextlib.suppress(RuntimeError):
            _start_helper(function)

    def thread_abandoned(self, runner: BatchRunner, cause: BaseException) -> None:
        """Note that the thread of a runner was abandoned in its call under way."""

    def state_lock(self) -> StateLock:
        """Return the lock of the dispatcher's state. Its holders are quick and never wait."""
        return threading.RLock()  # type: ignore[return-value] # it has `_is_owned`

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Return a reentrant lock that may be held while its holder waits."""
        return threading.RLock()

    def chance(self) -> float:
        """Return a random number from 0 up to 1, for delays. Thread: any."""
        return random.random()  # noqa: S311 - not for secrets

    def stack(self, thread: Any) -> str:
        """Return the stack of an actor's thread, as `enter` has returned it, for the log."""
        # Not by its name: another dispatcher may have the same.
        return stacks(ident=thread.ident, is_outer=is_outer)

    def event(self) -> Flag:
        """Return a flag that actors may wait for."""
        return Flag(self.notifier())

    def notifier(self) -> Notifier:
        """Return a notifier for threads that wait for facts about the engine."""
        return ThreadNotifier()

    def dispatch_state(
        self,
        chains: dict[Any, Chain],
        names: list[str],
        runners: Mapping[int, BatchRunner],
        **options: Any,
    ) -> DispatchState:
        """Return the dispatcher's state.

        Args:
            chains: The chain of each event.
            names: The components' names, by index.
            runners: The runner of each component's thread, by the thread's identity; filled later.
            options: Those of `DispatchState`.
        """
        return DispatchState(chains, **options)

    def stopwatch(self, clock: Clock) -> Clock:
        """Return the clock by which components measure how long their callbacks take."""
        return clock

    def handlers(
        self, component: str, handlers: list[Handler], instead_of: list[Handler] | None = None
    ) -> list[Handler]:
        """Return the handlers to put in the chains in place of a component's own.

        Args:
            component: The component's name.
            handlers: Its own handlers.
            instead_of: The handlers returned for the object that this one replaces.
        """
        return handlers

    def hook(self, component: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function to call for a component's callback that belongs to no event.

        These are `setup`, `setup_dump`, `reconfigure`, `teardown`, and the callbacks of timers
        and descriptors.
        """
        return callback


def _start_helper(function: Callable[[], None]) -> None:
    """Run a function in a thread of its own.

    Raises:
        RuntimeError: There is no thread to be had, or the interpreter ends.
    """
    thread = threading.Thread(target=function, name="zenactors:helper", daemon=True)
    contextvars.Context().run(thread.start)
