"""When is the next tick? Timetables on the clock that they go by. Pure, but for reading it."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Protocol

from zenactors.core.clock import Clock

_LARGE_STEP = 3 * 3600.0  # seconds: a clock that is set back by more was wrong before


class Timetable(Protocol):
    """The moments of ticks, in seconds of a clock of its own."""

    def now(self) -> float:
        """Return the present moment."""
        ...

    def after(self, moment: float) -> float:
        """Return the first tick behind a moment."""
        ...

    def to_wall(self, moment: float) -> float:
        """Return a moment as Unix time."""
        ...

    def from_wall(self, time: float) -> float:
        """Return the moment of a Unix time of an earlier run."""
        ...

    def was_set_back(self, now: float) -> bool:
        """Return True if the clock has gone back by much since the last call."""
        ...


class IntervalTimetable:
    """A tick each `interval` seconds of the monotonic clock."""

    def __init__(self, clock: Clock, interval: float) -> None:
        self._clock = clock
        self._interval = interval

    def now(self) -> float:
        """Return the present moment."""
        return self._clock.monotonic()

    def after(self, moment: float) -> float:
        """Return the first tick behind a moment, at which there was a tick."""
        return moment + self._interval

    def to_wall(self, moment: float) -> float:
        """Return a moment as Unix time."""
        return self._clock.time() + moment - self._clock.monotonic()

    def from_wall(self, time: float) -> float:
        """Return the moment of a Unix time of an earlier run; it is not in the future."""
        return self._clock.monotonic() - max(0.0, self._clock.time() - time)

    def was_set_back(self, now: float) -> bool:
        """Return False: it never goes back."""
        return False


class CronTimetable:
    """The times of a cron expression in a time zone, on the wall clock.

    Raises:
        ImportError: cronsim is not installed.
        ValueError: The expression is wrong.
    """

    def __init__(self, clock: Clock, expression: str, zone: tzinfo) -> None:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - an extra

        self._clock = clock
        self._expression = expression
        self._zone = zone
        self._seen = clock.time()
        self._cronsim = CronSim
        try:
            following = next(CronSim(expression, datetime.fromtimestamp(self._seen, zone)), None)
        except (CronSimError, AttributeError) as cause:
            raise ValueError(
                f"cron is {expression!r}, but a cron expression is expected, such as"
                f" '*/5 * * * *': {cause}."
            ) from cause
        if following is None:
            raise ValueError(f"cron is {expression!r}, but there is no such time in 50 years.")

    def now(self) -> float:
        """Return the present moment."""
        return self._clock.time()

    def after(self, moment: float) -> float:
        """Return the first tick behind a moment."""
        times = self._cronsim(self._expression, datetime.fromtimestamp(moment, self._zone))
        # In the hour that comes twice, and behind the one that is left out, a time may repeat.
        return next(due for each in times if (due := each.timestamp()) > moment)

    def to_wall(self, moment: float) -> float:
        """Return a moment as Unix time, which it is."""
        return moment

    def from_wall(self, time: float) -> float:
        """Return the moment of a Unix time, or now if that is far in the future."""
        now = self._clock.time()
        return now if time > now + _LARGE_STEP else time

    def was_set_back(self, now: float) -> bool:
        """Return True if the clock has gone back by much since the last call."""
        seen, self._seen = self._seen, now
        return now < seen - _LARGE_STEP
