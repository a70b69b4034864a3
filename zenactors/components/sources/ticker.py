"""Schedule an event at an interval, or at the times of a cron expression."""

from __future__ import annotations

import contextlib
import copy
import math
import zoneinfo
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from zenactors.components._options import check_positive
from zenactors.components.sources._timetable import CronTimetable, IntervalTimetable, Timetable
from zenactors.components.sources.base import AcknowledgingSource
from zenactors.core.daemon_api import Cancellable, Daemon
from zenactors.errors import ZenDaemonComponentException

MOST_MISSED = 1_000  # ticks that are looked for
_LONGEST_WAIT = 60.0  # seconds until a clock that was set is noticed
_PUNCTUAL = 10.0  # seconds that a tick may be late, and is not missed
_ROUNDING = 1e-6  # seconds: clocks round
_LEAST_DELAY = 1e-3


class Ticker(AcknowledgingSource):
    """Schedule a `tick` event every so many seconds, or at the times of a cron expression.

    `event_map` gives the event another name. Without `args`, a tick has a list with one record:
    `time` (when the tick was due, ISO 8601 in `timezone`), `number` (from 1 in each run) and
    `missed` (ticks that were left out before it). So it may be a `lines` event, too.

    An interval is measured: it does not matter if the clock is set, and the time that the machine
    sleeps does not count. The first tick comes after one interval. Cron times are times of the wall
    clock. At the end of daylight saving time, an expression with hours and minutes ticks in the
    first of the two hours; at its beginning, a tick in the hour that there is not comes right after
    it. Expressions with `*` or `*/n` as their minutes or hours go by elapsed time. If the clock is
    set forward, that is noticed within a minute. If it is set back by less than three hours, no
    tick comes again; otherwise the ticker begins anew.

    A tick is missed if the machine sleeps or the daemon does not run when it is due, or if the last
    one is not done. With a `state_dir`, the ticker knows in the next run which ones those are.

    If the daemon exits when idle, it ends once there were `count` ticks, and not before.

    Statistics: `ticks`, and `missed` ones that were left out.

    Promises:
        loss: Only ticks that `catch_up` leaves out, and those of a daemon without a `state_dir`
            that does not run.
        duplicates: With a `state_dir`, a tick that was not done when the process ended comes again,
            unless `catch_up` is `"none"`.
        order: In the order of their times.
        memory: At most 256 ticks are not done, and at most 1,000 missed ones are waiting.
        threads: None of its own.

    Args:
        interval: Seconds between two ticks. Either this or `cron` is required.
        cron: Five fields (minute, hour, day of the month, month, day of the week), or six with the
            seconds before them, such as `"*/5 * * * *"`. Needs the extra `cron`.
        timezone: The time zone of `cron`, such as `"Europe/Berlin"`.
        args: The args of each tick. None: a list with one record, as above.
        catch_up: What to do about missed ticks once one may come: schedule `"one"` for all of them,
            or `"all"`, up to 1,000, or `"none"`.
        overlap: Tick also while the last tick's event is not done.
        count: End after so many ticks of this run. 0: do not end.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "clock"

        [[component]]
        use = "zenactors.components:Ticker"
        [component.options]
        interval = 0.1
        count = 3
        [component.events]
        tick = "lines"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "ticks.jsonl"
    """

    emits = ("tick",)

    def __init__(
        self,
        *,
        interval: float | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        args: dict[str, Any] | list[Any] | str | int | float | bool | None = None,
        catch_up: Literal["one", "all", "none"] = "one",
        overlap: bool = False,
        count: int = 0,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        if (interval is None) == (cron is None):
            raise ValueError(
                f"interval is {interval!r} and cron is {cron!r}, but exactly one of them is"
                " expected: give interval = 60.0, or cron = '*/5 * * * *'."
            )
        if catch_up not in ("one", "all", "none"):
            raise ValueError(f"catch_up is {catch_up!r}, but 'one', 'all' or 'none' is expected.")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(
                f"count is {count!r}, but a whole number is expected: give how many ticks there"
                " are, or 0 for no end."
            )
        if not isinstance(overlap, bool):
            raise ValueError(f"overlap is {overlap!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.interval = (
            None if interval is None else check_positive("interval", interval, unit="seconds")
        )
        self.cron = cron
        self._zone = _zone(timezone)
        self.args = args
        self.catch_up = catch_up
        self.count = count
        self.max_unfinished = type(self).max_unfinished if overlap else 1
        if cron is not None:
            with contextlib.suppress(ImportError):  # `setup` says that the extra is missing
                CronTimetable(self.clock, cron, self._zone)
        self._timetable: Timetable | None = None
        self._looked_at = 0.0  # every tick up to here is waiting, or was dealt with
        self._waiting: deque[float] = deque()  # ticks that are due
        self._number = self._left_out = 0
        self._timer: Cancellable | None = None

    def setup(self, daemon: Daemon) -> None:
        """Begin, or go on behind the last tick that an earlier run has done."""
        super().setup(daemon)
        timetable = self._timetable = self._make_timetable()
        self.use_checkpoints(daemon)
        self._waiting.clear()
        self._number = self._left_out = 0
        self._looked_at = timetable.now()
        if self.checkpoints is not None:
            self.checkpoints.begin(timetable.to_wall(self._looked_at))
            last = self.checkpoints.resume()
            if isinstance(last, int | float):
                self._looked_at = timetable.from_wall(float(last))
        self._tick_if_due(daemon)

    def _make_timetable(self) -> Timetable:
        if self.interval is not None:
            return IntervalTimetable(self.clock, self.interval)
        assert self.cron is not None  # the constructor has checked that
        try:
            return CronTimetable(self.clock, self.cron, self._zone)
        except ImportError as cause:
            raise ZenDaemonComponentException(
                f"cron is {self.cron!r}, which needs an extra: pip install 'zenactors[cron]'."
            ) from cause

    def teardown(self, daemon: Daemon) -> None:
        """Stop, and save which ticks are done."""
        self._stop_timer()
        super().teardown(daemon)

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the time of the next tick, and how many wait."""
        following = None
        if self._timetable is not None:
            with contextlib.suppress(OverflowError, ValueError):  # no date is that late
                following = self._iso(self._timetable.after(self._looked_at))
        return {**super().get_state(), "next": following, "waiting": len(self._waiting)}

    def on_room(self) -> None:
        """The last tick is done: another one may come."""
        self._tick_if_due(self._daemon)

    # --- the way of a tick ------------------------------------------------------------------------

    def _tick_if_due(self, daemon: Daemon) -> None:
        """Schedule the ticks that are due, and come back for the next one."""
        assert self._timetable is not None  # after `setup`
        self._stop_timer()
        now = self._timetable.now()
        self._take_dues(self._timetable, now)
        while self._waiting and not self._is_over() and not self.is_full:
            self._tick_next(self._timetable, now)
        if self._is_over() or self.is_full or daemon.is_done():
            return
        delay = self._timetable.after(self._looked_at) - now
        longest = math.inf if self.cron is None else _LONGEST_WAIT
        delay = max(min(delay, longest), _LEAST_DELAY)
        self._timer = daemon.io.call_later(delay, self._tick_if_due)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _is_over(self) -> bool:
        return 0 < self.count <= self._number

    def _take_dues(self, timetable: Timetable, now: float) -> None:
        """Let the ticks that are due up to now wait."""
        if timetable.was_set_back(now):
            self.log.warning("The clock was set back: the ticks begin anew")
            self._looked_at = now
        while (due := timetable.after(self._looked_at)) <= now + _ROUNDING:
            if len(self._waiting) >= MOST_MISSED:
                self.log.warning("More than {most} ticks were missed", most=MOST_MISSED)
                self._looked_at = now
                return
            self._waiting.append(due)
            self._looked_at = due

    def _tick_next(self, timetable: Timetable, now: float) -> None:
        due = self._waiting.popleft()
        if self.catch_up != "all":
            while self._waiting:
                self._leave_out()
                due = self._waiting.popleft()
        if self.catch_up == "none" and not _is_punctual(timetable, due, now):
            self._leave_out()
            return
        self._number += 1
        missed, self._left_out = self._left_out, 0
        record = {"time": self._iso(due), "number": self._number, "missed": missed}
        # Each event gets its own args: a callback that changes them changes no later tick.
        args = [record] if self.args is None else copy.deepcopy(self.args)
        self.inc_statistic("ticks")
        self.hand_over(args, size=1, position=timetable.to_wall(due), event="tick")

    def _leave_out(self) -> None:
        self._left_out += 1
        self.inc_statistic("missed")

    def _iso(self, moment: float) -> str:
        assert self._timetable is not None  # after `setup`
        return datetime.fromtimestamp(self._timetable.to_wall(moment), self._zone).isoformat()


def _is_punctual(timetable: Timetable, due: float, now: float) -> bool:
    following = timetable.after(due)
    return now - due <= min(_PUNCTUAL, (following - due) / 10)


def _zone(timezone: Any) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError) as cause:
        raise ValueError(
            f"timezone is {timezone!r}, which this machine does not know: give a name such as"
            " 'Europe/Berlin', or install tzdata."
        ) from cause
