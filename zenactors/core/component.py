"""Components: plain Python objects with state and callbacks. They know nothing of threads.

In a unit test, call a component's callbacks with a mock daemon.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Hashable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Self

from zenactors.core.callbacks import Event, Handler, gen_event_handler
from zenactors.core.clock import Clock, SystemClock
from zenactors.core.recipe import (
    Recipe,
    option_names,
    read_constructor,
    same,
    takes_any_option,
)
from zenactors.core.statistics import CounterLock, calc_statistics, copy_counters
from zenactors.core.supervision import DEFAULT, Supervision
from zenactors.errors import did_you_mean

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


def set_incarnation(component: Any, incarnation: int) -> None:
    """Tell a component how many times it was made."""
    with contextlib.suppress(AttributeError):  # an object with slots has no place for it
        object.__setattr__(component, "incarnation", incarnation)


class _Options(_Default):
    """The options; those that the component was made with, until a daemon sets them."""

    def __get__(self, component: Any, _owner: Any = None) -> Any:
        return self if component is None else options_of(component)


class _Signature:
    """The signature of a class for `inspect`, which would show that of `__new__`."""

    def __get__(self, component: Any, cls: Any) -> inspect.Signature:
        if component is not None:
            raise AttributeError("__signature__")
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        return inspect.Signature(parameters)


def recipe_of(component: Any) -> Recipe | None:
    """Return the recipe of a component; None for an object that is no `ZenDaemonComponent`."""
    if not isinstance(component, ZenDaemonComponent):
        return None
    recipe: Recipe | None = vars(component).get("_recipe")
    return recipe or Recipe(type(component))


def options_of(component: Any) -> dict[str, Any]:
    """Return the options that a component has; those it was made with, if none were set.

    Raises:
        ValueError: Its `Options` refuses the arguments of its constructor.
    """
    own = vars(component)
    if "_options" not in own:
        recipe = recipe_of(component)
        set_options(component, {} if recipe is None else recipe.all_options())
    options: dict[str, Any] = own["_options"]
    return options


def set_options(component: Any, options: Mapping[str, Any]) -> None:
    """Replace a component's `options`."""
    # A component may forbid changes, as a frozen dataclass does.
    object.__setattr__(component, "_options", dict(options))


# These belong to the component and not to the object that represents it: its counters, and its
# source of time.
_CLOCK = ("_created", "_clock")
_TRANSFERRED = ("statistics_cur", "_counting", "_readings", *_CLOCK)

# These too, if they were given to it after its constructor.
_INJECTED = ("random", "files", "supervision")


def make(recipe: Recipe, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    """Make the component of a recipe.

    Args:
        recipe: The recipe, which the component remembers as it is.
        options: All its options.
        arguments: Those of them that the configuration sets, for its constructor.
    """
    component = recipe.cls.__new__(recipe.cls, *recipe.args, **recipe.kwargs)
    _initialise(component, recipe, options, arguments)
    return component


def change(component: Any, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Initialise a component again if it was made with other options; return True if it was.

    See `remake`, but counters start anew.
    """
    recipe = recipe_of(component)
    if recipe is None or _has(component, options):
        return False
    remake(component, recipe, options, arguments, keep=_CLOCK)
    return True


def remake(
    component: Any,
    recipe: Recipe,
    options: Mapping[str, Any],
    arguments: Mapping[str, Any],
    keep: Iterable[str] = _TRANSFERRED,
) -> None:
    """Initialise a component again, by a recipe. See `make`.

    It stays the same object, with its clock and counters, and with the files and random numbers
    that were given to it. If its constructor raises, it is as before.
    """
    own = vars(component)
    before = dict(own)
    own.clear()
    try:
        _initialise(component, recipe, options, arguments)
    except BaseException:  # whatever it was, the object is as before
        own.clear()
        own.update(before)
        raise
    _transfer(before, component, keep)


def renew(component: Any) -> None:
    """Initialise a component again as it was made, with the options that it has now.

    An object that is no `ZenDaemonComponent` stays as it is.
    """
    recipe = recipe_of(component)
    if recipe is not None:
        arguments = vars(component).get("_arguments", {})
        remake(component, recipe, options_of(component), arguments)


def give_options(component: Any, options: Mapping[str, Any]) -> None:
    """Replace a component's options, also for the next time that it is made.

    An object that is no `ZenDaemonComponent` has none.
    """
    if recipe_of(component) is None:
        return
    set_options(component, options)
    object.__setattr__(component, "_arguments", arguments_for(type(component), options))


def arguments_for(cls: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a class's options that its constructor takes."""
    constructor = read_constructor(cls)
    names = {*constructor.options, *(option_names(cls) if constructor.is_open else ())}
    return {name: value for name, value in options.items() if name in names}


def _has(component: Any, options: Mapping[str, Any]) -> bool:
    try:
        return same(options_of(component), dict(options))
    except ValueError:  # it was made without an option that its model requires
        return False


def _initialise(
    component: Any, recipe: Recipe, options: Mapping[str, Any], arguments: Mapping[str, Any]
) -> None:
    object.__setattr__(component, "_recipe", recipe)
    object.__setattr__(component, "_arguments", dict(arguments))
    set_options(component, options)
    args, kwargs = recipe.call_with(arguments)
    component.__init__(*args, **kwargs)


def transfer_state(old: Any, new: Any) -> None:
    """Let an object that replaces another continue its counters. Thread: own."""
    _transfer(vars(old), new, _TRANSFERRED)


def inherit_counters(component: Any) -> None:
    """Let an object have counters of its own, and no longer those of the object before it.

    For one that replaces an object which another thread still uses: see `transfer_state`.
    """
    own = vars(component)
    if "_counting" in own:
        object.__setattr__(component, "_counting", CounterLock())
    for name in ("statistics_cur", "_readings"):
        if name in own:
            object.__setattr__(component, name, own[name].copy())


def _transfer(before: Mapping[str, Any], component: Any, names: Iterable[str]) -> None:
    own = vars(component)
    injected = [name for name in _INJECTED if name not in own and hasattr(type(component), name)]
    for name in (*names, *injected):
        if name in before:
            object.__setattr__(component, name, before[name])


class ZenDaemonComponent:
    """Base class of all components.

    A subclass marks its callbacks with `@handles` or lists them in `get_events()`. Its
    `__init__` stores options and passes `**kwargs` on; its `setup` acquires (opens files,
    connects), in the thread that later runs its callbacks; its `teardown` releases.

    Its options are the fields of its class `Options`, a pydantic model, if it declares one;
    otherwise the arguments of its constructor. The configuration may override them before
    `setup`: then the constructor runs again, with the new values, on the same object.

    Args:
        name: The component's name in logs, statistics and state. Default: the class's name.
        event_map: Other names for this component's events, `{own name: name in this daemon}`.
        clock: The source of time. A harness replaces it by its virtual clock.
        supervision: Its policy for its failures. Default: its class's.

    Attributes:
        statistics_cur: The counters.

    Raises:
        TypeError: An argument is no option of this class.
    """

    _clock: Clock
    _created: float

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

    supervision: Supervision = DEFAULT
    """This component's policy for its failures: retries, restarts, the end of the daemon."""

    no_replicas = ""
    """Why there are no `Replicas` of this component, and what to do; empty: there may be some."""

    incarnation = 1
    """How many objects this component has been: a restart makes a new one. From `setup` on."""
    accepts_any_option = False
    """True: the constructor ignores arguments that are no options, instead of refusing them."""

    gen_event_handler = staticmethod(gen_event_handler)

    __signature__ = _Signature()

    pattern_stats = "{}\n\t{:20s}  {:>14,d} ({:>+10,d}, {:>8,.2f} #/s)"
    """Format of one line of the statistics log: text so far, key, cnt, inc, spd."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments, before `__init__` gets them."""
        new = super().__new__
        made = (
            new(cls) if new is object.__new__ else new(cls, *args, **kwargs)
        )  # another base class's
        # A component may forbid changes, as a frozen dataclass does.
        object.__setattr__(made, "_recipe", Recipe(cls, *args, **kwargs))
        return made

    def __init__(
        self,
        *,
        name: str | None = None,
        event_map: Mapping[Event, Event] | None = None,
        clock: Clock | None = None,
        supervision: Supervision | None = None,
        **options: Any,  # the fields of `Options`, for subclasses that pass all of them on
    ) -> None:
        if options and not self.accepts_any_option:
            _refuse_unknown(type(self), options)
        self.name = name or type(self).__name__
        self.event_map = dict(event_map or {})
        if supervision is not None:
            self.supervision = supervision
        self.statistics_cur: dict[Any, Any] = {}
        self._counting = CounterLock()
        set_clock(self, clock or SystemClock())
        # One per reader, so that readers do not disturb each other: its time and counters.
        self._readings: dict[Hashable, tuple[float, dict[Any, Any]]] = {}

    def __str__(self) -> str:
        return str(getattr(self, "name", type(self).__name__))

    clock = _Default("_clock")
    """This component's source of time. Under `zenactors.testing` it is virtual, from `setup` on."""

    options = _Options("_options")
    """All options of this component by name, defaults included: a dict."""

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


def _refuse_unknown(cls: type, options: Iterable[str]) -> None:
    if takes_any_option(cls):
        return
    known = option_names(cls) | read_constructor(cls).accepts.keys()
    for name in options:
        if name not in known:
            raise TypeError(f"{cls.__name__} takes no option {name!r}{did_you_mean(name, known)}")
