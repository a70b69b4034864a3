"""Components: plain Python objects with state and callbacks. They know nothing of threads.

In a unit test, call a component's callbacks with a mock daemon.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from zenactors.core.callbacks import Event, Handler, gen_event_handler
from zenactors.core.clock import Clock, SystemClock
from zenactors.core.statistics import CounterLock, calc_statistics, copy_counters

if TYPE_CHECKING:
    from loguru import Logger


class Unseeded(Random):
    """A random number generator without a chosen seed. Not for secrets."""


class _Default:
    """A read-only attribute that an attribute or method of a subclass may replace."""

    def __init__(self, stored_as: str) -> None:
        self._stored_as = stored_as

    def __get__(self, component: Any, _owner: Any = None) -> Any:
        return self if component is None else getattr(component, self._stored_as)


def set_clock(component: ZenDaemonComponent, clock: Clock) -> None:
    """Give a component a clock. Its statistics start again."""
    component._clock = clock  # noqa: SLF001 - this module's own
    component._created = clock.monotonic()  # noqa: SLF001


def set_options(component: Any, options: Mapping[str, Any]) -> None:
    """Replace a component's `options`."""
    component._options = dict(options)  # noqa: SLF001 - this module's own


# These belong to the component and not to the object that represents it: its counters, and its
# sources of time, random numbers and files.
_TRANSFERRED = ("statistics_cur", "_counting", "_readings", "_created", "_clock", "random", "files")


def transfer_state(old: Any, new: Any) -> None:
    """Let an object that replaces another continue its counters. Thread: own."""
    for name in _TRANSFERRED:
        if name in vars(old):
            setattr(new, name, vars(old)[name])


class ZenDaemonComponent:
    """Base class of all components.

    A subclass marks its callbacks with `@handles` or lists them in `get_events()`. Its
    `__init__` stores options and passes `**kwargs` on; its `setup` acquires (opens files,
    connects), in the thread that later runs its callbacks; its `teardown` releases.

    Args:
        name: The component's name in logs, statistics and state. Default: the class's name.
        event_map: Other names for this component's events, `{own name: name in this daemon}`.
        clock: The source of time. A harness replaces it by its virtual clock.

    Attributes:
        statistics_cur: The counters.
    """

    _clock: Clock
    _created: float
    _options: Mapping[str, Any] = {}

    # For a subclass whose `__init__` does not call this class's: shared, but never missing.
    _counting = CounterLock()

    emits: tuple[Event, ...] = ()
    """Events that this component schedules, by its own names.

    Before the start, `zenactors run` and `zenactors check` verify that a component handles them.
    """

    keep_descriptors: Iterable[Any] = ()
    """Descriptors that the program has inherited, and that stay open when a daemon detaches.

    Numbers, or objects with a `fileno()`. What the program has opened itself stays open anyway.
    """

    close_descriptors: Iterable[Any] = ()
    """Descriptors that the program has opened itself, and that only its terminal's process needs.

    A daemon closes them when it detaches.
    """

    gen_event_handler = staticmethod(gen_event_handler)

    pattern_stats = "{}\n\t{:20s}  {:>14,d} ({:>+10,d}, {:>8,.2f} #/s)"
    """Format of one line of the statistics log: text so far, key, cnt, inc, spd."""

    def __init__(
        self,
        *,
        name: str | None = None,
        event_map: Mapping[Event, Event] | None = None,
        clock: Clock | None = None,
        **_kwargs: Any,  # pyzenkit's components pass all their options on; others may too
    ) -> None:
        self.name = name or type(self).__name__
        self.event_map = dict(event_map or {})
        self.statistics_cur: dict[Any, Any] = {}
        self._counting = CounterLock()
        set_clock(self, clock or SystemClock())
        # One per reader, so that readers do not disturb each other: its time and counters.
        self._readings: dict[Hashable, tuple[float, dict[Any, Any]]] = {}

    def __str__(self) -> str:
        return str(getattr(self, "name", type(self).__name__))

    clock = _Default("_clock")
    """This component's source of time. Under `zenactors.testing` it is virtual, from `setup` on."""

    options = _Default("_options")
    """This component's section of the configuration: a dict, empty if it has none."""

    @functools.cached_property
    def random(self) -> Random:
        """This component's random numbers. Under `zenactors.testing` the seed determines them."""
        return Unseeded()

    @functools.cached_property
    def log(self) -> Logger:
        """This component's own loguru logger, bound to its name. Thread: any."""
        # Imported late: the core logs nothing, only a component's own code does.
        from loguru import logger  # noqa: PLC0415

        return logger.bind(component=str(self))

    def event(self, name: Event) -> Event:
        """Return the daemon's name for this component's event `name` (see `event_map`).

        Schedule by this name, so that `event_map` has an effect.
        """
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
        """Add `increment` to a counter. Concurrent increments are not lost. Thread: any."""
        # A plain dict cannot add atomically, so each component has a lock. It is held only for this
        # addition. `with` would take half as long again, and this runs for every event.
        lock = self._counting.lock
        lock.acquire()
        try:
            self.statistics_cur[key] = self.statistics_cur.get(key, 0) + increment
        finally:
            lock.release()

    def get_statistics(self, reader: Hashable = "statistics") -> dict[Any, Any]:
        """Return this component's counters, in the form of `calc_statistics`.

        Args:
            reader: The reader's name. Increase and rate refer to this reader's last reading.

        Thread: any, if only `inc_statistic` changes the counters; otherwise own.
        """
        with self._counting.lock:
            now = self._clock.monotonic()
            before, previous = self._readings.get(reader, (self._created, {}))
            current = copy_counters(self.statistics_cur)
            self._readings[reader] = (now, current)
        return calc_statistics(current, previous, now - before)

    def get_state(self) -> dict[str, Any]:
        """Return data for debugging, of types that JSON can hold.

        Return copies of mutable data, because another thread reads the result. Thread: own.
        """
        with self._counting.lock:
            return {"statistics": copy_counters(self.statistics_cur)}

    # The hooks take any daemon, so that a subclass may annotate its own `ZenDaemon` subclass.

    def setup(self, daemon: Any) -> None:
        """Acquire the callbacks' resources. An exception makes the start fail. Thread: own."""

    def setup_dump(self, daemon: Any) -> None:
        """Log how this component is set up; called after `setup`. Thread: own."""

    def teardown(self, daemon: Any) -> None:
        """Release what `setup` acquired; called after the last callback. Thread: own."""
