"""`WindowedCounter`: how many records of each kind there are in each window of time."""

from __future__ import annotations

import itertools
import math
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from zenactors.components._options import check_bool, check_count, check_positive, check_strings
from zenactors.components.applied import Applied
from zenactors.components.output_checkpoint import OutputCheckpoint, checked_checkpoint
from zenactors.components.records import records_of
from zenactors.components.steps._outbox import Outbox
from zenactors.components.steps._record_times import RecordTimes
from zenactors.components.steps._windows import Key, Row, WindowRules, Windows, top_of
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon, Hold, Store
from zenactors.errors import ConfigurationError, StateStoreError

NONE = "(none)"
_NO_VALUE = str(None)
_MAX_CHARACTERS = 200
_LOOK_INTERVAL = 1.0  # seconds between two looks for windows whose time is over
_RETRY = 1.0
_PATIENCE = 10.0  # seconds until rows are scheduled again, although no source has asked
_OWN_FIELDS = {"begin", "end", "count"}


class WindowedCounter(ZenDaemonComponent):
    """Count records by some of their fields, in windows of time.

    Takes `lines` events with records, and passes them on unchanged. With a `slide` shorter than
    `size`, windows overlap. When a window is closed, an event `counts` has a list of records with
    `begin` and `end` of the window (ISO 8601, UTC), the fields of `by`, and `count`. With
    `updates`, the windows that have changed are reported before, too, each time with the whole
    count: let the sink replace rows by `key = ["begin", …]`. With `threshold`, an event `alarm` has
    such a record as soon as a key has that many in a window, and again only when it was below in
    between.

    A window is closed when the latest time of a record, and the time that has passed since, are
    behind its end and `lateness`. Records that come later than that are counted as `late`.

    With a `state_dir`, the counts survive the process: an event counts as done when it is saved
    there. With a `FileTailer` with `exactly_once`, each line is counted once, even if the process
    is killed. At a stop, open windows then stay open for the next run; without a `state_dir`, they
    are closed and reported. The event `close_windows` does that at any time.

    Statistics: `records`, `windows` closed, `late`, `bad_times` (records without a valid time),
    `alarms`, and `left_out` (records that had been counted before).

    Promises:
        loss: None from sources that acknowledge, if there is a `state_dir`. Late records are in no
            window, and counted.
        duplicates: None of the lines of a `FileTailer` with `exactly_once`. The rows of a window
            may be reported again, with the same or with larger counts.
        order: Records pass in order. Rows are sorted by window and key, with `top` by count.
        memory: `max_keys` counters, and 10,000 slides; a longer text counts as its first 200
            characters.
        threads: Its own; it blocks there while the state is saved.

    Args:
        by: The fields that are counted by, such as `["status"]`. Empty: all records together.
        size: Seconds that a window lasts.
        slide: Seconds from one window to the next; `size` is a whole number of them. None: as
            `size`, so that windows do not overlap.
        time: The field with a record's time: ISO 8601, in UTC if it has no offset, or Unix time in
            seconds. None: the time when it is counted.
        lateness: Seconds that a window stays open for records that come late.
        max_ahead: Seconds that a record's time may be ahead of the clock; one that is further is
            invalid. None: any may, so one record with a wrong time closes windows early.
        updates: Seconds between reports of open windows that have changed. None: only closed ones.
        top: How many keys of each window are reported, the most frequent first. None: all.
        threshold: The count at which an alarm is raised. None: none is.
        report: Report windows. False: only raise alarms.
        max_keys: How many counters there are at most. Further values count as "(other)".
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "errors-per-minute"

        [[component]]
        use = "zenactors.components:Generate"
        options = { kind = "access", count = 1000 }

        [[component]]
        use = "zenactors.components:AccessLogParser"

        [[component]]
        use = "zenactors.components:WindowedCounter"
        options = { by = ["status"], size = 60.0, time = "time" }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        events = { lines = "counts" }
    """

    no_replicas = "each would count a part of the records. Take one."

    def __init__(
        self,
        *,
        by: list[str],
        size: float,
        slide: float | None = None,
        time: str | None = None,
        lateness: float = 60.0,
        max_ahead: float | None = None,
        updates: float | None = None,
        top: int | None = None,
        threshold: int | None = None,
        report: bool = True,
        max_keys: int = 100_000,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.by = check_strings("by", by, of="fields", example='["status"]')
        for field in _OWN_FIELDS.intersection(self.by):
            raise ValueError(f"by has {field!r}, which is a field of each row: rename it before.")
        self.size = check_positive("size", size, unit="seconds")
        self.slide = self.size if slide is None else check_positive("slide", slide, unit="seconds")
        if not math.isclose(self.size / self.slide, round(self.size / self.slide)):
            raise ValueError(
                f"slide is {slide!r}, but size ({size!r}) must be a whole number of slides."
            )
        self.time = time
        self.lateness = (
            0.0 if lateness == 0 else check_positive("lateness", lateness, unit="seconds")
        )
        self.max_ahead = (
            None if max_ahead is None else check_positive("max_ahead", max_ahead, unit="seconds")
        )
        self.updates = (
            None if updates is None else check_positive("updates", updates, unit="seconds")
        )
        self.top = None if top is None else check_count("top", top)
        self.threshold = None if threshold is None else check_count("threshold", threshold)
        self.max_keys = check_count("max_keys", max_keys)
        self.report = check_bool("report", report)
        if not report and (threshold is None or updates is not None):
            raise ValueError("report is false: set threshold and not updates, or leave it out.")
        self.emits = ("counts",) * report + ("alarm",) * (threshold is not None)
        self._rules = WindowRules(self.size, self.slide, self.lateness, self.max_keys)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._windows = Windows(self._rules, len(self.by))
        self._applied = Applied()
        self._outbox = Outbox(self, self._plan_save, lambda: bool(self._checkpoints))
        self._holds: list[Hold] = []
        self._latest: float | None = None  # when the latest record has come, by the clock
        self._times = None if self.time is None else RecordTimes(self.max_ahead)
        self._store: Store | None = None
        self._save_timer: Cancellable | None = None
        self._look_timer: Cancellable | None = None
        self._update_timer: Cancellable | None = None
        self._resend_timer: Cancellable | None = None
        self._checkpoints: list[tuple[int, Any]] = []  # the last two, each with what it had
        self._asked: OutputCheckpoint | None = None  # the last one that was taken
        self._saves_fail = False

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and how many events are not saved."""
        return {**super().get_state(), "unsaved": len(self._holds)}

    def setup(self, daemon: Daemon) -> None:
        """Go on with the counts of an earlier run, if there is a `state_dir`."""
        self._begin_anew()
        try:
            self._store = daemon.state_store()
        except ConfigurationError:  # there is no state_dir
            return
        stored = self._store.value
        if stored is not None:
            self._read(stored)
        if self._checkpoints:  # a source is about to ask for one of them
            if self._store.generation > 1:  # or it is not, because this object alone is anew
                self._outbox.forget_exact()
            self._resend_timer = daemon.io.call_later(_PATIENCE, self._resend)
        else:
            self._resend(daemon)
        self._plan(daemon)

    def _resend(self, daemon: Daemon) -> None:
        """Schedule again what an earlier run has scheduled, and what has perhaps not arrived."""
        self._resend_timer = None
        self._outbox.send_again(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """Save the counts."""
        timers = (self._save_timer, self._look_timer, self._update_timer, self._resend_timer)
        for timer in timers:
            if timer is not None:
                timer.cancel()
        self._save_timer = self._look_timer = self._update_timer = self._resend_timer = None
        self._save(daemon)

    # --- counting -------------------------------------------------------------------------------

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Count the records."""
        records = records_of(args)
        # If that fails, nothing is counted, and there is no hold that nobody would release.
        found = self._found_in(records)
        hold = daemon.hold()
        origin = hold.origin
        if origin is not None and self._applied.covers(origin):
            self.inc_statistic("left_out", len(records))
            hold.release()
            return
        self._count(daemon, found)
        if self._store is None:
            hold.release()
        else:
            if origin is not None:
                self._applied.add(origin)
                self._end_checkpoint()
            self._holds.append(hold)
            self._plan_save(daemon)
        self._plan(daemon)

    def _found_in(self, records: list[Any]) -> list[tuple[float | None, Key, int]]:
        """Return each time and key of the records, and how many have them.

        The time is None if it is no valid one. Equal ones are put together, in the main, by C.
        """
        times, now = self._times, self.clock.time()
        found: Iterable[tuple[Sequence[Any], int]]
        try:
            found = Counter(zip(*self._columns_of(records), strict=True)).items()
            if any(_NO_VALUE in each for each, _ in found):
                raise KeyError  # perhaps it is None, and not this text
        except (KeyError, TypeError):  # a record has no such field, or a list for a time
            found = [((self._time_in(record), *self._texts_in(record)), 1) for record in records]
        return [
            (
                now if times is None else times.read(value, now),
                tuple(text[:_MAX_CHARACTERS] for text in texts),
                count,
            )
            for (value, *texts), count in found
        ]

    def _columns_of(self, records: list[Any]) -> Iterator[Iterable[Any]]:
        """Yield the times of the records, and for each field its texts."""
        if self.time is None:
            yield itertools.repeat(None, len(records))
        else:
            yield map(operator.itemgetter(self.time), records)
        for field in self.by:
            yield map(str, map(operator.itemgetter(field), records))

    def _time_in(self, record: Any) -> Any:
        return None if self.time is None else record.get(self.time)

    def _texts_in(self, record: Any) -> Iterator[str]:
        for field in self.by:
            value = record.get(field)
            yield NONE if value is None else str(value)

    def _count(self, daemon: Daemon, found: list[tuple[float | None, Key, int]]) -> None:
        windows, threshold = self._windows, self.threshold
        latest = windows.watermark
        late = bad_times = 0
        alarms: list[Row] = []
        for time, key, count in found:
            if time is None:
                bad_times += count
                continue
            number = windows.number_of(time)
            if not windows.takes(number):
                late += count
                continue
            counted = windows.add(number, key, count)
            latest = max(latest, time)
            if threshold is not None and (
                row := windows.reached(number, counted, count, threshold)
            ):
                alarms.append(row)
        self.inc_statistic("records", sum(count for _, _, count in found))
        if late:
            self.inc_statistic("late", late)
        if bad_times:
            self.inc_statistic("bad_times", bad_times)
        if alarms:
            self.inc_statistic("alarms", len(alarms))
            self._outbox.send(daemon, "alarm", self._records_of(alarms))
        if latest > windows.watermark:
            self._latest = self.clock.monotonic()
            self._close(daemon, windows.advance(latest))
        self._close(daemon, windows.bound())

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon: Daemon, args: Any) -> None:
        """Go back to what belongs to the outputs that others cut back; answer what is counted.

        Raises:
            StateStoreError: The counts cannot be saved.
            TypeError: The args are no `OutputCheckpoint`.
        """
        args = checked_checkpoint(self, args)
        if self._store is None:
            args.refused[self.name] = "has no state_dir, in which it would keep its counts"
            return
        if args.restore is not None:
            self._go_back(daemon, args.restore.get(self.name))
        elif self._resend_timer is not None:  # no sink cuts anything back
            self._resend_timer.cancel()
            self._resend(daemon)
        if args.keys is not None:
            self._applied.keep_only(args.source, args.keys)
        args.applied[self.name] = self._applied.of_source(args.source)
        # The source may die before it has saved this one, so the last one is kept, too.
        number = 1 + max((each for each, _ in self._checkpoints), default=0)
        self._checkpoints = [*self._checkpoints[-1:], (number, self._counts())]
        self._asked = args
        self._store.save(self._stored())
        args.states[self.name] = number

    def _end_checkpoint(self) -> None:
        """Forget the checkpoints if the source has no outputs that are cut back: see `applied`."""
        asked, self._asked = self._asked, None
        if asked is not None and not asked.taken:
            self._checkpoints = []

    def _go_back(self, daemon: Daemon, number: Any) -> None:
        """Restore the counts of a checkpoint: what came later comes again."""
        if self._resend_timer is not None:
            self._resend_timer.cancel()
        for each, counts in self._checkpoints:
            if each == number:
                kept = self._checkpoints
                self._restore(counts)
                self._checkpoints = kept
                break
        else:
            self.log.warning(
                "Checkpoint {number} of the source is not known: the counts stay as they are",
                number=number,
            )
        # Not now: the sinks behind this component have yet to cut their outputs back.
        self._resend_timer = daemon.io.call_later(_RETRY, self._resend)
        self._plan(daemon)

    # --- closing and reporting ------------------------------------------------------------------

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: Any) -> None:
        """Report what would be lost: without a `state_dir`, the windows that are open."""
        if self._store is None:
            # Behind what other components hand on because of the stop.
            daemon.queue.schedule(self.event("close_windows"))
        elif self.updates is not None:
            self._update(daemon)

    @handles("close_windows")
    def cbk_event_close_windows(self, daemon: Daemon, args: Any) -> None:
        """Close and report all windows. Records that come later for them are late."""
        self._close(daemon, self._windows.close_all())

    def _close(self, daemon: Daemon, rows: list[Row]) -> None:
        """Report windows that were closed."""
        if rows:
            self.inc_statistic("windows", len({row[0] for row in rows}))
            if self.report:
                self._outbox.send(daemon, "counts", self._records_of(self._top_of(rows)))

    def _top_of(self, rows: list[Row]) -> list[Row]:
        return rows if self.top is None else top_of(rows, self.top)

    def _records_of(self, rows: list[Row]) -> list[dict[str, Any]]:
        return [
            {
                "begin": _iso(begin),
                "end": _iso(end),
                **dict(zip(self.by, key, strict=True)),
                "count": count,
            }
            for begin, end, key, count in rows
        ]

    # --- timers ---------------------------------------------------------------------------------

    def _plan(self, daemon: Daemon) -> None:
        """See to it that windows are closed and reported in time."""
        if self._windows.is_empty or daemon.is_done():
            return
        # A daemon that is to end when it is idle would wait for the end of the windows.
        if self._look_timer is None and not daemon.exit_when_idle:
            self._look_timer = daemon.io.call_later(min(self.slide, _LOOK_INTERVAL), self._look)
        if self._update_timer is None and self.updates is not None and self._windows.has_changed:
            self._update_timer = daemon.io.call_later(self.updates, self._update)

    def _look(self, daemon: Daemon) -> None:
        """Close the windows whose time is over, although no record has come since."""
        self._look_timer = None
        if self._latest is not None:
            now = self.clock.monotonic()
            self._close(daemon, self._windows.advance(self._windows.watermark + now - self._latest))
            self._latest = now
        self._plan(daemon)

    def _update(self, daemon: Daemon) -> None:
        """Report the open windows that have changed."""
        timer, self._update_timer = self._update_timer, None
        if timer is not None:
            timer.cancel()
        rows = self._windows.changed()
        if rows:
            daemon.queue.schedule(self.event("counts"), self._records_of(self._top_of(rows)))

    # --- the state ------------------------------------------------------------------------------

    def _plan_save(self, daemon: Daemon) -> None:
        if self._store is None or self._save_timer is not None:
            return
        if self._saves_fail:
            self._save_timer = daemon.io.call_later(_RETRY, self._save_is_due)
        else:
            self._save_timer = daemon.io.call_when_idle(self._save_is_due)

    def _save_is_due(self, daemon: Daemon) -> None:
        self._save_timer = None
        self._save(daemon)

    def _save(self, daemon: Daemon) -> None:
        """Save the counts, and let the events that are in them count as done."""
        if self._store is None:
            return
        try:
            self._store.save(self._stored())
        except StateStoreError as cause:
            if not self._saves_fail:
                self.log.error("{reason} Trying again until it works", reason=str(cause))  # noqa: TRY400 - of the system's doing
            self._saves_fail = True
            if not daemon.is_done():
                self._plan_save(daemon)
            return
        self._saves_fail = False
        holds, self._holds = self._holds, []
        for hold in holds:
            hold.release()

    def _stored(self) -> dict[str, Any]:
        return {"counts": self._counts(), "checkpoints": self._checkpoints}

    def _counts(self) -> dict[str, Any]:
        return {
            "rules": self._identity,
            "windows": self._windows.stored(),
            "applied": self._applied.stored(),
            "outbox": self._outbox.stored(),
        }

    @property
    def _identity(self) -> list[Any]:
        """What counts must have in common with those that are saved."""
        return [self.by, self.size, self.slide]

    def _read(self, stored: Any) -> None:
        try:
            counts, checkpoints = stored["counts"], stored["checkpoints"]
            self._restore(counts)
            self._checkpoints = [(int(number), counts) for number, counts in checkpoints]
        except (AttributeError, KeyError, TypeError, ValueError) as cause:
            store = self._store
            self._begin_anew()
            self._store = store
            self.log.warning(
                "The state store holds other counts ({reason}): counting begins anew",
                reason=str(cause),
            )

    def _restore(self, stored: Any) -> None:
        """Go on with what `_counts` has returned."""
        if stored["rules"] != self._identity:
            raise ValueError("other fields or windows")
        self._windows = Windows(self._rules, len(self.by))
        self._windows.restore(stored["windows"])
        self._applied = Applied(stored["applied"])
        self._outbox.restore(stored["outbox"])
        self._latest = self.clock.monotonic()


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()
