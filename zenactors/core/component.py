"""Components: plain Python objects with state and callbacks. They know nothing of threads.

A component can be tried in a unit test by calling its callbacks with a mock daemon.
"""

from __future__ import annotations

import contextlib
import enum
import functools
from collections.abc import Callable, Hashable, Mapping
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

from zenactors.core.clock import Clock, SystemClock

if TYPE_CHECKING:
    from loguru import Logger


class Flag(enum.IntEnum):
    """What a callback says about the rest of its chain. The values are pyzenkit's."""

    STOP = 0
    CONTINUE = 1


FLAG_STOP = Flag.STOP
FLAG_CONTINUE = Flag.CONTINUE

Event = Hashable
Callback = Callable[[Any, Any], "tuple[int, Any] | None"]
F = TypeVar("F", bound=Callable[..., Any])


class Handler(TypedDict):
    """One entry of `get_events()`, in pyzenkit's form."""

    event: Any
    callback: Callback
    prepend: bool


class Cancellable(Protocol):
    """Something registered or scheduled that can be taken back."""

    def cancel(self) -> bool:
        """Take it back. True: it will not happen. False: too late, or already cancelled."""
        ...


class EventQueue(Protocol):
    """The queue as callbacks see it, `daemon.queue`. Thread: any."""

    def schedule(self, event: Event, args: Any = None) -> Cancellable:
        """Queue an event behind all others of this producer."""
        ...

    def schedule_next(self, event: Event, args: Any = None) -> Cancellable:
        """Queue an event before all others of this producer."""
        ...

    def schedule_at(self, tstamp: float, event: Event, args: Any = None) -> Cancellable:
        """Queue an event for a Unix time."""
        ...

    def schedule_after(self, delay: float, event: Event, args: Any = None) -> Cancellable:
        """Queue an event for `delay` seconds from now."""
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
    thread, between two batches of events. What one raises is logged and counted.
    Thread: own (the component's: in `setup` and in callbacks).
    """

    def add_reader(self, fd: Any, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back whenever `fd` (a descriptor or what has `fileno()`) can be read."""
        ...

    def add_writer(self, fd: Any, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back whenever `fd` (a descriptor or what has `fileno()`) can be written."""
        ...

    def call_later(self, delay: float, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back once, after `delay` seconds."""
        ...

    def call_every(self, interval: float, callback: Callable[[Any], Any]) -> Cancellable:
        """Call back every `interval` seconds; the first time after one interval."""
        ...

    def keep_alive(self) -> Cancellable:
        """Count this component as an active source until the result is cancelled."""
        ...


class Daemon(Protocol):
    """What callbacks get as `daemon`. Everything on it is safe from any thread."""

    FLAG_CONTINUE: Flag
    FLAG_STOP: Flag

    @property
    def queue(self) -> EventQueue:
        """The event queue."""
        ...

    @property
    def io(self) -> Reactor:
        """Descriptors and timers of the calling component."""
        ...

    @property
    def logger(self) -> Any:
        """A logger that takes pyzenkit's `%s` arguments."""
        ...

    @property
    def exit_when_idle(self) -> bool:
        """True if sources are to finish as soon as they have nothing more to read."""
        ...

    def is_done(self) -> bool:
        """Return True once the daemon was asked to stop: produce no new work."""
        ...

    def set_done(self) -> None:
        """Ask the daemon for a graceful stop."""
        ...

    def wait(self, period: float) -> bool:
        """Wait `period` seconds or until the daemon stops; True if it stops."""
        ...

    def set_exit_status(self, status: int) -> None:
        """Let the process end with this exit status (the first noted) instead of 0."""
        ...


def gen_event_handler(event: Event, callback: Callback, prepend: bool = False) -> Handler:  # noqa: FBT001, FBT002 - pyzenkit's signature
    """Return one entry for `get_events()`; `prepend` puts it first in the chain."""
    return {"event": event, "callback": callback, "prepend": prepend}


def handles(event: Event, *, prepend: bool = False) -> Callable[[F], F]:
    """Mark a method as the callback of an event; may be given several times.

    The method is called with `(daemon, args)`. It returns `(flag, args)`, or `None`
    for "continue with the same args".
    """

    def mark(method: F) -> F:
        marks = getattr(method, "zen_handles", ())
        # Decorators apply from the bottom up; in the chain the topmost comes first.
        method.zen_handles = ((event, prepend), *marks)  # type: ignore[attr-defined]
        return method

    return mark


def calc_statistics(
    stats_cur: Mapping[Any, Any], stats_prev: Mapping[Any, Any], tdiff: float
) -> dict[Any, Any]:
    """Compare two readings of counters that lie `tdiff` seconds apart.

    Returns:
        For each key of `stats_cur` a dict with `cnt` (the count), `inc` (its increase), `spd`
        (increase per second; 0.0 if `tdiff` is not positive) and `pct` (increase in percent
        of the count). Nested dicts are compared key by key.
    """
    result: dict[Any, Any] = {}
    for key, cur in stats_cur.items():
        prev = stats_prev.get(key)
        if isinstance(cur, Mapping):
            result[key] = calc_statistics(cur, prev if isinstance(prev, Mapping) else {}, tdiff)
            continue
        inc = cur - (prev if isinstance(prev, int | float) else 0)
        result[key] = {
            "cnt": cur,
            "inc": inc,
            "spd": inc / tdiff if tdiff > 0 else 0.0,
            "pct": inc / (cur / 100) if cur else 0.0,
        }
    return result


def _copy_counters(counters: Mapping[Any, Any]) -> dict[Any, Any]:
    return {k: _copy_counters(v) if isinstance(v, Mapping) else v for k, v in counters.items()}


class _Counting:
    """Who counts holds `lock`; what stands in a copy of a component is a lock of its own."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        # Reentrant: a finalizer that counts may run in the middle of counting, in the same thread.
        self.lock = RLock()

    def __reduce__(self) -> tuple[type[_Counting], tuple[()]]:
        return _Counting, ()


class Unseeded(Random):
    """Random numbers that nobody has chosen a seed for; not for secrets."""


class _ClockOf:
    """Reads a component's clock. An attribute or method of that name in a subclass hides it."""

    def __get__(self, component: Any, _owner: Any = None) -> Any:
        return self if component is None else component._clock  # noqa: SLF001 - its own room


def set_clock(component: ZenDaemonComponent, clock: Clock) -> None:
    """Let a component read this clock from now on; its statistics begin anew with it."""
    # Past what a subclass may have forbidden, as a frozen dataclass does.
    object.__setattr__(component, "_clock", clock)
    object.__setattr__(component, "_created", clock.monotonic())


class _OptionsOf:
    """Reads a component's options. An attribute or method of that name in a subclass hides it."""

    def __get__(self, component: Any, _owner: Any = None) -> Any:
        return self if component is None else getattr(component, "_options", {})


def set_options(component: Any, options: Mapping[str, Any]) -> None:
    """Let a component's `options` be these from now on."""
    with contextlib.suppress(AttributeError):  # any object may be a component, also one with slots
        object.__setattr__(component, "_options", dict(options))


# What belongs to the component whichever object stands for it: its counters, and where its time,
# random numbers and files come from.
_TRANSFERRED = ("statistics_cur", "_counting", "_readings", "_created", "_clock", "random", "files")


def transfer_state(old: Any, new: Any) -> None:
    """Let an object that takes another's place go on with its counters. Thread: own."""
    before = getattr(old, "__dict__", {})
    for name in _TRANSFERRED:
        if name in before:
            object.__setattr__(new, name, before[name])


class ZenDaemonComponent:
    """Base class of all components.

    A subclass marks its callbacks with `@handles` or lists them in `get_events()`. Its
    `__init__` stores options and passes `**kwargs` on; its `setup` acquires (opens files,
    connects), in the thread that later runs its callbacks; its `teardown` releases.

    Args:
        name: How logs, statistics and the state call this component. Default: the class's name.
        event_map: Other names for this component's events, `{own name: name in this daemon}`.
        clock: What `clock` is; a harness sets it to its own, virtual one.
    """

    _clock: Clock
    _created: float

    # For those whose `__init__` does not call the one here: shared, but never missing.
    _counting = _Counting()

    emits: tuple[Event, ...] = ()
    """Events this component schedules, by its own names: checked before the start."""

    gen_event_handler = staticmethod(gen_event_handler)

    pattern_stats = "{}\n\t{:20s}  {:>14,d} ({:>+10,d}, {:>8,.2f} #/s)"
    """Format of one line of the statistics log: text so far, key, cnt, inc, spd."""

    def __init__(
        self,
        *,
        name: str | None = None,
        event_map: Mapping[Event, Event] | None = None,
        clock: Clock | None = None,
        **_kwargs: Any,  # pyzenkit's components hand all their options up, and so may anybody's
    ) -> None:
        self.name = name or type(self).__name__
        self.event_map = dict(event_map or {})
        self.statistics_cur: dict[Any, Any] = {}
        self._counting = _Counting()
        set_clock(self, clock or SystemClock())
        # Each reader compares with what itself saw last, so that readers do not disturb each other.
        self._readings: dict[Hashable, tuple[float, dict[Any, Any]]] = {}

    def __str__(self) -> str:
        return str(getattr(self, "name", type(self).__name__))

    clock = _ClockOf()
    """Where this component's time comes from; from `setup` on virtual under `zenactors.testing`."""

    options = _OptionsOf()
    """This component's section of the configuration: a dict, empty if it has none."""

    @functools.cached_property
    def random(self) -> Random:
        """This component's random numbers: chosen by the random seed under `zenactors.testing`."""
        return Unseeded()

    @functools.cached_property
    def log(self) -> Logger:
        """This component's own loguru logger, bound to its name. Thread: any."""
        # Imported late: the core logs nothing, only a component's own code does.
        from loguru import logger  # noqa: PLC0415

        return logger.bind(component=str(self))

    def event(self, name: Event) -> Event:
        """Return the daemon's name for this component's event `name` (see `event_map`)."""
        return self.event_map.get(name, name)

    def get_events(self) -> list[Handler]:
        """Return this component's callbacks, in chain order.

        The default lists the methods marked with `@handles`: in the order of their
        definition, those of base classes first.
        """
        seen: dict[str, None] = {}
        for cls in reversed(type(self).__mro__):
            seen.update(dict.fromkeys(vars(cls)))
        handlers = []
        for attribute in seen:
            marks = getattr(getattr(type(self), attribute, None), "zen_handles", ())
            for event, prepend in marks:
                callback = getattr(self, attribute)
                handlers.append(gen_event_handler(self.event(event), callback, prepend))
        return handlers

    def inc_statistic(self, key: Hashable, increment: float = 1) -> None:
        """Add `increment` to a counter; of several threads' nothing is lost. Thread: any."""
        # A plain dict cannot add atomically, so each component has a lock, held for this addition
        # alone: nothing waits within. `with` would take half as long again, in what runs per event.
        lock = self._counting.lock
        lock.acquire()
        try:
            self.statistics_cur[key] = self.statistics_cur.get(key, 0) + increment
        finally:
            lock.release()

    def get_statistics(self, reader: Hashable = "statistics") -> dict[Any, Any]:
        """Return this component's counters as `calc_statistics` shows them.

        Args:
            reader: Who reads. Increase and rate are against this reader's last reading.

        Thread: any, if all that is counted is counted by `inc_statistic`; else own.
        """
        with self._counting.lock:
            now = self._clock.monotonic()
            before, previous = self._readings.get(reader, (self._created, {}))
            current = _copy_counters(self.statistics_cur)
            self._readings[reader] = (now, current)
        return calc_statistics(current, previous, now - before)

    def get_state(self) -> dict[str, Any]:
        """Return what helps debugging, as data that JSON can hold.

        Return copies of what changes: the result is read in another thread. Thread: own.
        """
        with self._counting.lock:
            return {"statistics": _copy_counters(self.statistics_cur)}

    def setup(self, daemon: Any) -> None:
        """Acquire what the callbacks need. An exception makes the start fail. Thread: own."""

    def setup_dump(self, daemon: Any) -> None:
        """Log how this component is set up; called after `setup`. Thread: own."""

    def teardown(self, daemon: Any) -> None:
        """Release what `setup` acquired; called after the last callback. Thread: own."""
