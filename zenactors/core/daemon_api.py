"""The protocols of the `daemon` that callbacks receive.

`Dispatcher` and `ZenDaemon` both implement them. Everything but `io` is safe from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from zenactors.core.callbacks import Event, Flag
from zenactors.core.tokens import OnDone

if TYPE_CHECKING:
    import contextlib
    import subprocess

    import tenacity

    from zenactors.core.accounting import Accounting
    from zenactors.core.dead_letters import DeadLetter
    from zenactors.core.tokens import Origin


class Cancellable(Protocol):
    """A registration or a scheduled event that can be cancelled."""

    def cancel(self) -> bool:
        """Cancel it. True: it will not happen. False: too late, or already cancelled."""
        ...


class ManyCancellable(Protocol):
    """Events that can be cancelled."""

    def cancel(self) -> int:
        """Cancel those that were not started. Return how many that are."""
        ...


class EventQueue(Protocol):
    """The queue as callbacks see it, `daemon.queue`. Thread: any."""

    def schedule(
        self,
        event: Event,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Cancellable:
        """Queue an event behind all others of this producer. The others raise the same errors.

        Args:
            event: The event.
            args: For the first callback of its chain.
            on_done: Called once with a `TokenOutcome`, in the calling component's thread, when the
                event and everything that came of it has ended.
            position: Where the source has read the event, for its dead letter; only with `on_done`.

        Raises:
            UnknownEventError: No component handles the event.
            QueueFullError: This thread is further ahead than `queue_limit` allows.
            NotRunningError: The daemon has stopped.
        """
        ...

    def schedule_many(
        self,
        event: Event,
        args: Iterable[Any],
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> ManyCancellable:
        """Queue an event for each of `args`, in one go. `on_done` is called once, for all."""
        ...

    def schedule_next(
        self,
        event: Event,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Cancellable:
        """Queue an event before all others of this producer."""
        ...

    def schedule_at(
        self,
        tstamp: float,
        event: Event,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Cancellable:
        """Queue an event for a Unix time."""
        ...

    def schedule_after(
        self,
        delay: float,
        event: Event,
        args: Any = None,
        *,
        on_done: OnDone | None = None,
        position: Any = None,
    ) -> Cancellable:
        """Queue an event for `delay` seconds from now."""
        ...

    def schedule_priority(self, event: Event, args: Any = None) -> Cancellable:
        """Queue an event that overtakes all others, in the components' mailboxes too."""
        ...

    def cancel(self, scheduled: Any) -> bool:
        """Take an event back, by what a `schedule` method returned. False: too late."""
        ...

    def next(self) -> tuple[Any, Any]:
        """Take the next event out of the queue, so that it is not dispatched."""
        ...

    def when(self) -> float:
        """Return the Unix time of the next event; now, if one is ready."""
        ...

    def wait(self) -> float:
        """Return the seconds until the next event is due. Returns at once."""
        ...

    def ahead(self) -> int:
        """Return how many events of the calling producer wait to be started."""
        ...

    def count(self) -> int:
        """Return how many events are queued."""
        ...


class Reactor(Protocol):
    """Descriptors and timers of the calling component, `daemon.io`.

    The callbacks get the daemon as their only argument and run in the component's own
    thread, between two events. An exception in a callback is logged.
    Thread: own (the component's: in `setup` and in callbacks).
    """

    def add_reader(self, fd: Any, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back whenever `fd` (a descriptor, or an object with `fileno()`) can be read."""
        ...

    def add_writer(self, fd: Any, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back whenever `fd` (a descriptor, or an object with `fileno()`) can be written."""
        ...

    def call_later(self, delay: float, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back once, after `delay` seconds."""
        ...

    def call_every(self, interval: float, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back every `interval` seconds; the first time after one interval."""
        ...

    def call_when_idle(self, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back once, as soon as this component has no event to handle.

        For what is better done for several events at once, such as a write: the events that come
        while one is under way are the next ones.
        """
        ...

    def keep_alive(self) -> Cancellable:
        """Count this component as an active source until the result is cancelled."""
        ...


class Hold(Protocol):
    """A hold on an event: it does not count as done until this was released. Thread: own."""

    @property
    def token(self) -> Any:
        """The event's completion token; None if it has none, or if the hold has ended."""
        ...

    @property
    def is_exact(self) -> bool:
        """True while it holds an event of a source whose outputs are written exactly once."""
        ...

    @property
    def origin(self) -> Origin | None:
        """Where the event's source has read it, if sinks are to know it again; otherwise None."""
        ...

    def release(self) -> None:
        """Let the event count as done, unless something else fails it. Once; then no effect."""
        ...

    def fail(self) -> None:
        """Let the event count as failed. Once; then no effect."""
        ...

    def leave(self) -> None:
        """Let the event count as left undone: its source sends it again. Once; then no effect."""
        ...


class DeadLetterBox(Protocol):
    """The last 1,000 events that could not be handled, `daemon.dead_letters`. Thread: any.

    Without arguments, the methods choose all letters. `letters` are letters or their ids; `event`
    and `component` choose those of one event, and of one component; `where` those for which
    `where(letter)` is true.
    """

    def __call__(
        self,
        *,
        event: Event | None = None,
        component: str | None = None,
        where: Callable[[DeadLetter], Any] | None = None,
    ) -> list[DeadLetter]:
        """Return the letters that are chosen, those that failed first before the others."""
        ...

    def show(self, letter_id: str) -> DeadLetter:
        """Return the letter with an id, or raise `LookupError`."""
        ...

    def purge(
        self,
        letters: Any = None,
        *,
        event: Event | None = None,
        component: str | None = None,
        where: Callable[[DeadLetter], Any] | None = None,
    ) -> list[DeadLetter]:
        """Forget the letters that are chosen; return them."""
        ...

    def replay(
        self,
        letters: Any = None,
        *,
        event: Event | None = None,
        component: str | None = None,
        where: Callable[[DeadLetter], Any] | None = None,
        into: Event | None = None,
    ) -> list[DeadLetter]:
        """Schedule the events of the letters that are chosen again; return these letters.

        Args:
            letters: As above; so are `event`, `component` and `where`.
            event: As above.
            component: As above.
            where: As above.
            into: Another event to schedule with their args.
        """
        ...


class Store(Protocol):
    """A component's state store: one JSON value that survives the process. Thread: own."""

    @property
    def value(self) -> Any:
        """The value that was saved last; None if there is none. A copy each time."""
        ...

    @property
    def generation(self) -> int:
        """How many times this process has opened the store: above 1, the component is anew."""
        ...

    def save(self, value: Any) -> None:
        """Replace the value. Blocks until the disk has it.

        Raises:
            StateStoreError: It cannot be written; the old one is still there.
        """
        ...


class Daemon(Protocol):
    """The `daemon` that callbacks receive.

    `io`, `incarnation`, `hold`, `part_of` and `state_store` belong to the calling component's
    thread; everything else is safe from any thread.
    """

    FLAG_CONTINUE: Flag
    FLAG_STOP: Flag

    EVENT_START: str
    EVENT_STOP: str
    EVENT_TERMINATE: str
    EVENT_SIGNAL_HUP: str
    EVENT_SIGNAL_USR1: str
    EVENT_SIGNAL_USR2: str
    EVENT_LOG_STATISTICS: str
    EVENT_SAVE_RUNLOG: str

    config: dict[str, Any]
    """The configuration by key. A reload replaces the dict; nothing changes it."""

    @property
    def queue(self) -> EventQueue:
        """The event queue."""
        ...

    @property
    def io(self) -> Reactor:
        """Descriptors and timers of the calling component. Thread: own."""
        ...

    @property
    def logger(self) -> Any:
        """A logger that takes `%s` arguments, and writes to loguru.

        It has `debug`, `info`, `warning`, `error`, `critical` and `exception`.
        """
        ...

    @property
    def exit_when_idle(self) -> bool:
        """True if sources should finish as soon as they have nothing more to read."""
        ...

    def c(self, key: str, default: Any = ...) -> Any:
        """Return the value of a configuration key, or `default`; without it, raise."""
        ...

    def cc(self, key: str, default: Any = ...) -> Any:
        """Return a value that was derived from the configuration, or `default`; or raise."""
        ...

    def is_done(self) -> bool:
        """Return True once the daemon was asked to stop. Then produce no new work."""
        ...

    def set_done(self) -> None:
        """Ask the daemon for a graceful stop. Returns at once."""
        ...

    def wait(self, period: float | None) -> bool:
        """Wait `period` seconds or until the daemon stops. Return True if it stops.

        Args:
            period: None waits until the daemon stops.
        """
        ...

    @property
    def incarnation(self) -> int:
        """How many objects the calling component has been, from 1: restarts make new ones."""
        ...

    def readiness(self) -> list[str]:
        """Return why the components do not all work now; empty if they do."""
        ...

    def hold(self) -> Hold:
        """Keep the event under way from counting as done after the callback has returned."""
        ...

    def part_of(self, hold: Any) -> contextlib.AbstractContextManager[None]:
        """Let what is scheduled in this block count as part of a held event."""
        ...

    def state_store(self) -> Store:
        """Return the calling component's state store. Blocks while its file is read."""
        ...

    @property
    def ends_cleanly(self) -> bool:
        """False once an exception out of a callback, or a bug, ends the daemon."""
        ...

    def open_tokens(self) -> tuple[int, float]:
        """Return how many events with an `on_done` are not done, and the seconds of the oldest."""
        ...

    def abandoned(self) -> list[str]:
        """Return the component of each abandoned thread that still runs: see `hard_limit`."""
        ...

    @property
    def dead_letters(self) -> DeadLetterBox:
        """The last 1,000 events that could not be handled; called, it returns them as a list."""
        ...

    @property
    def replaying(self) -> DeadLetter | None:
        """The dead letter whose replay the event under way is, or None. Thread: own."""
        ...

    def dead_letter(
        self,
        event: Event,
        args: Any,
        cause: BaseException | str,
        *,
        position: Any = None,
        callback: Any = None,
    ) -> DeadLetter:
        """Make an event a dead letter that this component gives up by itself, and return it.

        Args:
            event: The event; it need not have been scheduled.
            args: Its args.
            cause: The reason: an exception or a text.
            position: Where the source has read it.
            callback: This component's callback, at which a replay begins. None: at the first one.
        """
        ...

    def accounting(self) -> Accounting:
        """Return the books: where each accepted event is, and what each component has done."""
        ...

    def set_exit_status(self, status: int) -> None:
        """Let the process end with this exit status instead of 0. The first one set counts."""
        ...

    def retrying(self, **options: Any) -> tenacity.Retrying:
        """Return tenacity's `Retrying`; its waits end when the daemon stops.

        It raises `RetryInterruptedError` then.
        """
        ...

    def spawn(self, argv: Sequence[str], **popen_options: Any) -> subprocess.Popen[Any]:
        """Run a program that the daemon ends when it stops, and return its `subprocess.Popen`.

        Blocks until it runs.
        """
        ...

    def resolve_path(self, path: str) -> str:
        """Return a path as the user who started the daemon meant it.

        A relative one becomes absolute if the daemon has left the directory that it was started in.
        """
        ...

    def dbgout(self, message: str) -> None:
        """Log a debugging message."""
        ...
