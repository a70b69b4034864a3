"""Mailboxes, locks, events and signals whose waits let other tasks move."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any, Self

import pykka

from zenactors.actors.dispatcher_actor import DispatcherInbox
from zenactors.actors.mailbox import Mailbox
from zenactors.actors.notifier import Flag

if TYPE_CHECKING:
    from zenactors.actors.dispatch_loop import DispatchLoop
    from zenactors.actors.dispatcher_actor import Guard
    from zenactors.actors.notifier import Wait
    from zenactors.core.clock import Clock
    from zenactors.core.messages import Batch
    from zenactors.testing._simulator.hub import Hub, Task

LOCK_TAKEN = 0.3  # probability that another thread runs the dispatch loop
BREAK_OFF = 0.2  # probability that an actor breaks off its batch to look at its mailbox
SLOW_CALLBACKS = 0.2  # probability that callbacks seem to have taken any time
MAX_CALLBACK = 0.003  # seconds that callbacks may seem to take, for their runner


class SimulatedMailbox(Mailbox):
    """A mailbox whose owner lets others move when it looks for work."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        self._owner: Task | None = None  # only while it sleeps

    def get(self) -> Any:
        """Return the next thing to do; others move first."""
        self._let_others_move()
        return super().get()

    def interrupted(self) -> bool:
        """Return True if the owner should break off its batch, and sometimes by chance."""
        rng = self._hub.rng
        return super().interrupted() or (rng is not None and rng.random() < BREAK_OFF)

    def _wait(self) -> Any:
        try:
            return self._data.get_nowait()
        except queue.Empty:
            if self.reactor is None or not self.reactor.due():
                self._let_others_move()
            return None

    def put(self, envelope: Any, /, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - pykka's signature
        """Put a message on the control lane."""
        super().put(envelope, block, timeout)
        self.stir()

    def deliver(self, batch: Batch) -> None:
        """Put a batch in its lane."""
        self.stir()
        super().deliver(batch)

    def stir(self) -> None:
        """Wake the owner."""
        if self._owner is not None:
            self._owner.awake = True

    def _let_others_move(self) -> None:
        if self.pending():
            self._hub.give_way()
            return
        self._owner = self._hub.current
        reactor = self.reactor
        self._hub.doze(None if reactor is None else reactor.timeout())
        self._owner = None


class SimulatedDispatcherInbox(DispatcherInbox):
    """The dispatcher actor's inbox: its owner lets others move when it has nothing to do."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        self._call_waits = False
        hub.call_waits = self._note_call

    def _note_call(self) -> None:
        self._call_waits = True

    def _run(self, loop: DispatchLoop, guard: Guard) -> None:
        seconds = loop.prepare_sleep()
        guard.look()
        if guard.any_calls() and (seconds is None or seconds > guard.interval()):
            seconds = guard.interval()
        if loop.has_submissions() or (seconds is not None and seconds <= 0):
            self._hub.give_way()
        else:
            self._hub.wait(
                lambda: self._control or loop.has_submissions() or self._call_waits, seconds
            )
            self._call_waits = False
        loop.unpark()
        loop.run_once()


class SimulatedFuture(pykka.ThreadingFuture[Any]):
    """A future whose waiters let others move."""

    hub: Hub

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False

    def set(self, value: Any = None) -> None:
        """Set the answer."""
        super().set(value)
        self._is_set = True

    def set_exception(self, exc_info: Any = None) -> None:
        """Set the failure."""
        super().set_exception(exc_info)
        self._is_set = True

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the answer; wait at most `timeout` virtual seconds for it."""
        if self._get_hook is None and not self._is_set:
            self.hub.wait(lambda: self._is_set, timeout)
        return super().get(timeout=0 if self._get_hook is None else timeout)


class SimulatedNotifier:
    """A notifier whose waiters let others move."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._count = 0

    def notify(self) -> None:
        """Wake all waiters."""
        self._count += 1

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Wait]:
        """Return a function that waits for the next `notify`."""
        seen = self._count

        def wait(timeout: float | None) -> None:
            nonlocal seen
            self._hub.wait(lambda: self._count != seen, timeout)
            seen = self._count

        yield wait


class SimulatedFlag(Flag):
    """A flag whose waiters let others move."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(SimulatedNotifier(hub))
        self._hub = hub

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or `timeout` virtual seconds have passed."""
        if not self.is_set():
            self._hub.call_waits()
            self._hub.wait(self.is_set, timeout)
        elif self._hub.current is not None:
            self._hub.give_way()  # a loop that never ends must not hang the test
        return self.is_set()


class SimulatedStateLock:
    """The lock of the dispatch loop. It is never waited for, and sometimes taken by chance."""

    def __init__(self, rng: Random | None) -> None:
        self._rng = rng
        self._held = False

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002 - as threading's
        """Take the lock. Return False if, by chance, another thread holds it."""
        self._held = blocking or self._rng is None or self._rng.random() >= LOCK_TAKEN
        return self._held

    def release(self) -> None:
        """Release the lock."""
        self._held = False

    def __enter__(self) -> None:
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False

    def _is_owned(self) -> bool:
        return self._held  # there is one thread, and no other task moves meanwhile


class SimulatedLock:
    """A reentrant lock whose waiters let others move."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._holder = 0
        self._depth = 0

    def __enter__(self) -> None:
        own = self._hub.ident()
        if self._holder not in (0, own):
            self._hub.wait(lambda: not self._holder)
        self._holder = own
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder = 0


class SimulatedTrap:
    """The signal trap at which the daemon's main thread waits. The test sends the signals."""

    def __init__(self, hub: Hub, signals: Iterable[int]) -> None:
        self._hub = hub
        self._signals = set(signals)
        self._caught: list[int] = []
        self._notified = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, number: int) -> None:
        """Deliver a signal, as the kernel would.

        Raises:
            ValueError: It is not trapped. In a process it would end the daemon, or do nothing.
        """
        if number not in self._signals:
            raise ValueError(f"Signal {number} is not trapped by the daemon.")
        self._caught.append(number)

    def notify(self) -> None:
        """End a `wait` without a signal."""
        self._notified = True

    def wait(self, timeout: float | None = None) -> list[int]:
        """Wait for a signal or a `notify`, at most `timeout` virtual seconds."""
        self._hub.wait(lambda: self._caught or self._notified, timeout)
        self._notified = False
        caught, self._caught = self._caught, []
        return caught


class Stopwatch:
    """A clock that shows callbacks to take a time that the seed chooses.

    Only batch runners read it: batches and their parts become as long or short as if callbacks
    took that time. For all others time does not pass.
    """

    def __init__(self, clock: Clock, rng: Random) -> None:
        self.time = clock.time
        self._clock = clock
        self._rng = rng
        self._taken = 0.0

    def monotonic(self) -> float:
        """Return virtual seconds, plus the time that callbacks seem to have taken."""
        if self._rng.random() < SLOW_CALLBACKS:
            self._taken += self._rng.random() * MAX_CALLBACK
        return self._clock.monotonic() + self._taken
