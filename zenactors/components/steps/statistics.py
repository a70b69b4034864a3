"""Count records by their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenactors.components._options import check_count, check_positive, check_strings
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon

OTHER = "(other)"
NONE = "(none)"
_MAX_CHARACTERS = 200


class Statistics(ZenDaemonComponent):
    """Count records by the values of some of their keys, and log the most frequent.

    Takes `lines` events with a list of dicts, and passes them on unchanged. Values are counted as
    text, cut to 200 characters; a key that a record lacks counts as "(none)".

    Statistics: `records`, and `by` with a counter for each value of each key.

    Promises:
        loss: Every event is passed on. The counts are in memory, and begin at zero in each run.
        duplicates: None of its own; an event that comes again, after a crash say, is counted again.
        order: That of the events.
        memory: `max_values` values of each key, up to 200 characters of each. Further ones share
            one counter.
        threads: Its own. It never waits.

    Args:
        by: The keys, such as `["status", "path"]`.
        top: How many values of each key the log and the summary show.
        interval: Seconds between log lines. None: log only at the event `log_statistics`. Ignored
            if the daemon exits when idle, because a timer would keep it from being idle.
        max_values: How many values of each key are counted; further ones count as "(other)".
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "count"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:AccessLogParser"

        [[component]]
        use = "zenactors.components:Statistics"
        [component.options]
        by = ["status", "path"]
    """

    def __init__(
        self,
        *,
        by: list[str],
        top: int = 10,
        interval: float | None = None,
        max_values: int = 10_000,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.by = check_strings("by", by, of="keys", example='["status", "path"]')
        self.top = check_count("top", top)
        self.interval = (
            None if interval is None else check_positive("interval", interval, unit="seconds")
        )
        self.max_values = check_count("max_values", max_values)
        self._timer: Cancellable | None = None
        self.statistics_cur = {"records": 0, "by": {key: {} for key in self.by}}

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and the summary."""
        return {**super().get_state(), "summary": self.summary()}

    def setup(self, daemon: Daemon) -> None:
        """Start the timer, if there is an interval."""
        if self.interval is not None and not daemon.exit_when_idle:
            self._timer = daemon.io.call_every(self.interval, self._log)

    def teardown(self, daemon: Daemon) -> None:
        """Stop the timer."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Count the records."""
        if not isinstance(args, list):
            raise TypeError(
                f"{self} takes a list of dicts, but got {type(args).__name__}:"
                " put a parser such as AccessLogParser before it."
            )
        self.inc_statistic("records", len(args))
        for key in self.by:
            counts = self._counts(key)
            for record in args:
                value = record.get(key)
                text = NONE if value is None else str(value)[:_MAX_CHARACTERS]
                if text not in counts and len(counts) >= self.max_values:
                    text = OTHER
                counts[text] = counts.get(text, 0) + 1

    @handles("log_statistics")
    def cbk_event_log_statistics(self, daemon: Daemon, args: Any) -> None:
        """Log the total, the rate and the most frequent values in one line."""
        self._log(daemon)

    def summary(self) -> list[tuple[str, list[tuple[str, int]]]]:
        """Return for each key its most frequent values and their counts. Thread: own."""
        return [(key, self._top(self._counts(key))) for key in self.by]

    def _counts(self, key: str) -> dict[str, int]:
        # The counters may be those of a component that this one has replaced, with other keys.
        counts: dict[str, int] = self.statistics_cur["by"].setdefault(key, {})
        return counts

    def _top(self, counts: Mapping[str, int]) -> list[tuple[str, int]]:
        # Equal counts are sorted by text, so that equal input gives an equal summary.
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: self.top]

    def _log(self, daemon: Daemon) -> None:
        records = self.get_statistics(reader="log")["records"]
        self.log.info(
            "{records} records ({rate:.1f}/s); {top}",
            records=records["cnt"],
            rate=records["spd"],
            top="; ".join(
                f"{key}: " + ", ".join(f"{value} {count}" for value, count in values)
                for key, values in self.summary()
            ),
        )
