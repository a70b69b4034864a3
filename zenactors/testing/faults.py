"""Faults on purpose: under a harness, in a simulation and on real threads.

A fault happens at a *point*: `"callback"`, before a component's callback runs on an event;
`"timer"`, before the callback of a timer or descriptor (`daemon.io`); `"setup"`, `"reconfigure"`
and `"teardown"`, before the component's hook of that name; and, if time is virtual, `"time"`,
before time passes, `"step"`, before a task moves, and `"file"`, in a call of `VirtualFiles`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Any, Literal, Protocol, get_args

from zenactors.actors.runtime import Runtime
from zenactors.core.callbacks import Handler
from zenactors.core.clock import Clock
from zenactors.errors import ConfigurationError, did_you_mean

Point = Literal["callback", "timer", "setup", "reconfigure", "teardown", "time", "step", "file"]
POINTS = get_args(Point)
FILE_QUERIES = ("pread", "stat", "fstat", "entries", "watch")  # `watch` is its method `add`
FILE_CALLS = (
    "open",
    "read",
    "write",
    "ftruncate",
    "fsync",
    "rename",
    "rename_exclusive",
    "remove",
    "mkdir",
    *FILE_QUERIES,
)
_HOOKS: dict[str, Point | None] = {
    "setup": "setup",
    "setup_dump": None,
    "reconfigure": "reconfigure",
    "teardown": "teardown",
}


class InjectedCrash(Exception):  # noqa: N818 - a crash is no error of the program
    """The exception that a `Crash` raises by default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """The place and time of a fault.

    Args:
        point: `"callback"`, `"timer"`, `"setup"`, `"reconfigure"`, `"teardown"`, `"time"`,
            `"step"` or `"file"`.
        component: The component's name; None: any.
        event: The event, for callbacks; at `"file"` the call, such as `"fsync"`; None: any.
        nth: Happen only the nth time that all of the above fits, counted from 1.
        chance: The probability each time, from 0 to 1, if `nth` is None.
    """

    point: Point = "callback"
    component: str | None = None
    event: Any = None
    nth: int | None = None
    chance: float = 0.0

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise ValueError(f"point must be one of {', '.join(POINTS)}, not {self.point!r}.")
        if self.nth is None and self.chance == 0:
            raise ValueError(f"{self} never happens: give nth=1, or chance=0.1.")
        if self.nth is not None and self.nth < 1:
            raise ValueError(f"nth must be at least 1, not {self.nth!r}.")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"chance must be between 0 and 1, not {self.chance!r}.")
        if self.point == "file" and self.event not in (None, *FILE_CALLS):
            raise ValueError(
                f"event must be one of {', '.join(FILE_CALLS)} at the point 'file', not"
                f" {self.event!r}."
            )
        if self.event is not None and self.point not in ("callback", "file"):
            raise ValueError(f"There is no event at the point {self.point!r}: leave out event=.")
        if self.point in ("step", "file") and not self._may_be_at(self.point):
            raise ValueError(f"A {type(self).__name__} cannot happen at the point {self.point!r}.")

    def _may_be_at(self, point: Literal["step", "file"]) -> bool:
        return False

    def fits(self, point: Point, component: str, event: Any) -> bool:
        """Return True if the fault may happen here."""
        return (
            self.point == point
            and self.component in (None, component)
            and (self.event is None or self.event == event)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crash(Fault):
    """Raise `error`, an exception or a class of exceptions."""

    error: BaseException | type[BaseException] = InjectedCrash

    def __post_init__(self) -> None:
        super().__post_init__()
        cls = self.error if isinstance(self.error, type) else type(self.error)
        if not issubclass(cls, BaseException):
            raise TypeError(
                f"error must be an exception or a class of exceptions, not {self.error!r}."
            )

    def _may_be_at(self, point: Literal["step", "file"]) -> bool:
        return point == "file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delay(Fault):
    """Wait `seconds`, or until the daemon stops if that is sooner."""

    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds(self.seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClockJump(Fault):
    """Set the wall clock forward by `seconds`, or back if they are negative."""

    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kill(Fault):
    """Kill the process, as `kill -9` does: memory is lost, and the files stay as they are.

    Needs a harness or a simulation. In a call of `write`, a part of the bytes is written; any other
    call takes effect, or it does not.

    Args:
        seconds: How long it is until the next start.
    """

    seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds(self.seconds)

    def _may_be_at(self, point: Literal["step", "file"]) -> bool:
        return True

    def fits(self, point: Point, component: str, event: Any) -> bool:
        """Return True if the process may die here; in calls that change nothing only if named."""
        if self.event is None and event in FILE_QUERIES and point == "file":
            return False
        return super().fits(point, component, event)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PowerFailure(Kill):
    """Cut the power: memory is lost, and what was not synced is kept, torn or lost, by chance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IncompleteCall(Fault):
    """A call of the files that succeeds, but does less."""

    point: Point = "file"

    def __post_init__(self) -> None:
        super().__post_init__()
        only = type(self).event
        if (self.point, self.event) != ("file", only):
            raise ValueError(
                f"A {type(self).__name__} happens in the call {only!r} of the files alone: leave"
                " out point= and event=."
            )

    def _may_be_at(self, point: Literal["step", "file"]) -> bool:
        return point == "file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShortWrite(IncompleteCall):
    """Write only the first bytes, at least one, and return how many. The seed chooses.

    It happens in the call `write` of virtual files.
    """

    event: Any = "write"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LostSync(IncompleteCall):
    """Return from an `fsync` as usual, but sync nothing: a `PowerFailure` may lose the data.

    It happens in the call `fsync` of virtual files. The next one syncs the data.
    """

    event: Any = "fsync"


class ProcessCrashed(BaseException):
    """The process has died of a `Kill` or `PowerFailure`. The call that let it run raises this.

    Args:
        fault: The fault.
    """

    def __init__(self, fault: Kill) -> None:
        self.fault = fault
        super().__init__(f"{in_words(fault)} at the point {fault.point!r}")


def in_words(fault: Kill) -> str:
    """Return what happens, as the trace shows it."""
    return "power failure" if isinstance(fault, PowerFailure) else "process killed"


def _check_seconds(seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"seconds must be finite and not negative, not {seconds!r}.")


class SteppableClock(Protocol):
    """A clock whose wall time can be changed."""

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        ...


class SteppedClock:
    """A clock that follows another, and whose wall time can be changed. Thread: any.

    Args:
        clock: The other clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.monotonic = clock.monotonic
        self._clock = clock
        self._ahead = 0.0
        self._lock = threading.Lock()

    def time(self) -> float:
        """Return the Unix time in seconds."""
        return self._clock.time() + self._ahead

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back by `seconds`, but not the monotonic clock."""
        with self._lock:
            self._ahead += seconds


class Faults:
    """Decide at each point which faults happen there. Thread: any.

    Args:
        faults: All faults that may happen.
        rng: Decides by chance.
        clock: The clock that a `ClockJump` changes; None: there is none.
        note: Called with the component and a text when a fault happens.

    Attributes:
        kill: Called when the process is to die; None: it cannot.
    """

    kill: Callable[[Kill], object] | None = None

    def __init__(
        self,
        faults: Sequence[Fault],
        rng: Random,
        clock: SteppableClock | None,
        note: Callable[[str, str], object],
    ) -> None:
        self._faults = list(faults)
        for fault in self._faults:
            if not isinstance(fault, Fault):
                raise TypeError(
                    "faults must be Crash, Delay, ClockJump, Kill, PowerFailure, ShortWrite or"
                    f" LostSync, not {fault!r}."
                )
        self._rng = rng
        self._clock = clock
        self._note = note
        self._passed: Counter[int] = Counter()
        self._lock = threading.Lock()
        if clock is None and any(isinstance(fault, ClockJump) for fault in self._faults):
            raise ValueError("A ClockJump needs a clock that can be changed; give one with step().")

    def __bool__(self) -> bool:
        return bool(self._faults)

    def any_at(self, point: Point) -> bool:
        """Return True if a fault may happen at this point."""
        return any(fault.point == point for fault in self._faults)

    def check(self, components: Collection[str], events: Collection[Any]) -> None:
        """Check that the components and events of the faults exist.

        Raises:
            ConfigurationError: One does not exist, so the fault would never happen.
        """
        for fault in self._faults:
            if fault.component is not None and fault.component not in components:
                hint = did_you_mean(fault.component, components)
                raise ConfigurationError(
                    f"{fault} never happens: no component is called {fault.component!r}{hint}"
                )
            if fault.point == "callback" and fault.event is not None and fault.event not in events:
                hint = did_you_mean(str(fault.event), map(str, events))
                raise ConfigurationError(
                    f"{fault} never happens: no component handles {fault.event!r}{hint}"
                )

    def at(
        self, point: Point, component: str, event: Any = None, daemon: Any = None
    ) -> list[Fault]:
        """Let the faults of a point happen: wait for a `Delay`, raise the error of a `Crash`.

        Returns:
            Those that have happened.
        """
        # All are counted before the first one happens, because a crash ends the loop.
        due = [
            fault
            for number, fault in enumerate(self._faults)
            if fault.fits(point, component, event) and self._is_due(number, fault)
        ]
        for fault in due:
            self._happen(fault, component, daemon)
        return due

    def _is_due(self, number: int, fault: Fault) -> bool:
        if fault.nth is None:
            return self._rng.random() < fault.chance
        with self._lock:
            self._passed[number] += 1
            return self._passed[number] == fault.nth

    def _happen(self, fault: Fault, component: str, daemon: Any) -> None:
        match fault:
            case Delay(seconds=seconds):
                self._note(component, f"delay of {seconds:g} s")
                if daemon is not None:
                    daemon.wait(seconds)
            case ClockJump(seconds=seconds):
                self._note(component, f"wall clock jumps by {seconds:+g} s")
                assert self._clock is not None
                self._clock.step(seconds)
            case Kill():
                self._note(component, in_words(fault))
                assert self.kill is not None
                self.kill(fault)
            case ShortWrite():
                self._note(component, "short write")
            case LostSync():
                self._note(component, "fsync is lost")
            case Crash(error=error):
                cause = error() if isinstance(error, type) else error
                self._note(component, f"crash: {cause!r}")
                raise cause

    # --- for runtimes -------------------------------------------------------------------------

    def handlers(self, component: str, handlers: list[Handler]) -> list[Handler]:
        """Return handlers with the faults of the point `"callback"`."""
        if not self._faults:
            return handlers
        return [{**handler, "callback": self._callback(component, handler)} for handler in handlers]

    def hook(self, component: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Return a hook with the faults of its point: `"setup"`, `"teardown"` or `"timer"`."""
        point = _HOOKS.get(getattr(callback, "__name__", ""), "timer")
        if not self._faults or point is None:
            return callback

        @functools.wraps(callback)
        def hook(daemon: Any) -> Any:
            self.at(point, component, daemon=daemon)
            return callback(daemon)

        return hook

    def _callback(self, component: str, handler: Handler) -> Callable[[Any, Any], Any]:
        callback, event = handler["callback"], handler["event"]

        @functools.wraps(callback)
        def faulty(daemon: Any, args: Any) -> Any:
            self.at("callback", component, event, daemon)
            return callback(daemon, args)

        return faulty


class FaultyRuntime(Runtime):
    """Real threads, with faults."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults

    def handlers(
        self, component: str, handlers: list[Handler], instead_of: list[Handler] | None = None
    ) -> list[Handler]:
        """Return handlers that may fail."""
        return self.faults.handlers(component, handlers)

    def hook(self, component: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Return a hook that may fail."""
        return self.faults.hook(component, callback)
