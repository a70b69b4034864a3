"""The only module that reads a clock. All other code receives a `Clock`."""

from __future__ import annotations

import math
import time as _time
from typing import Any, Protocol

# Seconds. The system bounds the time of a wait, so a longer one wakes up once a day.
LONGEST_SLEEP = 86_400.0


class Clock(Protocol):
    """Two time bases: the monotonic clock for delays, the wall clock for calendar times."""

    def time(self) -> float:
        """Return the Unix time in seconds. It may step in either direction."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment. It never goes back."""
        ...


class SystemClock:
    """The machine's clocks. Thread: any."""

    time = staticmethod(_time.time)
    monotonic = staticmethod(_time.monotonic)

    def cpu_time(self) -> float:
        """Return the CPU seconds that the process has used. Other clocks need not have it."""
        return _time.process_time()


class VirtualClock:
    """A clock that moves only by `advance` and `step`. Thread: one.

    Args:
        now: The start of both time bases, in seconds. The monotonic one is never below 0.
    """

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._wall = now
        self._monotonic = max(0.0, now)

    def time(self) -> float:
        """Return the virtual Unix time in seconds."""
        return self._wall

    def monotonic(self) -> float:
        """Return the virtual monotonic time in seconds."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` (not negative) pass on both time bases."""
        if seconds < 0:
            raise ValueError(f"Time cannot go back by {-seconds} s; use step() for the wall clock.")
        self._monotonic += seconds
        self._wall += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back by `seconds`; the monotonic one stays."""
        self._wall += seconds


def to_seconds(name: str, value: Any) -> float:
    """Return a number of seconds as a float. It may be negative, and as large as a float can be.

    Args:
        name: The argument's name, for the error.
        value: A number of any type: `Decimal` and `Fraction` are numbers too.

    Raises:
        TypeError: `value` is no number.
        ValueError: It is NaN or infinite, or too large for a float.
    """
    if isinstance(value, str | bytes | bytearray):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}.")
    try:
        seconds = float(value)
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds, not {value!r}.") from None
    except OverflowError:
        raise ValueError(f"{name} is too large for a number of seconds.") from None
    if not math.isfinite(seconds):
        raise ValueError(f"{name} must be a finite number of seconds, not {value!r}.")
    return seconds


class Deadline:
    """A moment on the monotonic clock, `timeout` seconds from now. None: never."""

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        self._clock = clock
        self._end = None if timeout is None else clock.monotonic() + timeout

    def remaining(self) -> float | None:
        """Return the seconds that remain, at least 0. None: there is no limit."""
        return None if self._end is None else max(0.0, self._end - self._clock.monotonic())

    def over(self) -> bool:
        """Return True if no time remains."""
        return self.remaining() == 0.0

    def less(self, share: float) -> Deadline:
        """Return a deadline earlier by `share` seconds, but at most by half the remaining time."""
        remaining = self.remaining()
        if remaining is None:
            return self
        return Deadline(self._clock, max(remaining - share, remaining / 2))

    def at_most(self, timeout: float) -> Deadline:
        """Return the deadline `timeout` seconds from now, or this one if it is earlier."""
        remaining = self.remaining()
        return Deadline(self._clock, timeout if remaining is None else min(timeout, remaining))

    def at_least(self, timeout: float) -> Deadline:
        """Return the deadline `timeout` seconds from now, or this one if it is later."""
        remaining = self.remaining()
        return Deadline(self._clock, None if remaining is None else max(timeout, remaining))
