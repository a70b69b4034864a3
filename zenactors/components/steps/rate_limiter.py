"""Let only so many records pass in a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from zenactors.components._options import check_choice, check_count, check_positive, check_strings
from zenactors.components.steps._fallible import FallibleStep
from zenactors.components.steps._selection import digest_of
from zenactors.core.daemon_api import Daemon

_ALL = b""  # the key of all records, if there are no fields
_NO_KEY = b"\0"  # the key of records that lack one of the fields
_OTHERS = b"\1"  # the key of all keys beyond the limit


class RateLimiter(FallibleStep):
    """Pass on `limit` records in `interval` seconds on average, of all records or of each key.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. Each key
    has a bucket of `limit` tokens, which fills again evenly: after a pause, `limit` records pass at
    once, and then one every `interval / limit` seconds. So in no interval there are more than twice
    the limit. What is over is dropped and counted, or sent to the event `excess`. Nothing is
    delayed: to slow a source down, let its sink be slow.

    Statistics: `records` that came, `passed_on`, `excess`, `shared` (records whose key has no
    bucket of its own, because there are too many), and `failed`.

    Promises:
        loss: What is over the limit is dropped, by intention, and counted; with
            `on_excess = "route"` it goes to `excess` as a part of the event that came.
        duplicates: None of its own. A record that comes again after a crash counts again.
        order: Records keep their order.
        memory: At most `max_keys` buckets, about 250 bytes each, however long the keys are. Further
            keys share one bucket, so a flood of keys cannot get around the limit.
        threads: Works in its own thread, on the monotonic clock; never waits.

    Args:
        limit: How many records pass in an interval, on average, and at once after a pause.
        interval: Its seconds.
        keys: The fields that make up the key. Empty: one limit for all records. Records that lack
            one of the fields share a limit.
        max_keys: How many keys have a bucket of their own. One that was not used for an interval is
            full, and is forgotten.
        on_excess: What becomes of the records that are over: "drop", or "route", to `excess`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "rate-limiter"
        schedule = [["lines", [{ user = "a" }, { user = "a" }, { user = "b" }, { user = "a" }]]]

        [[component]]
        use = "zenactors.components:RateLimiter"
        options = { limit = 2, interval = 60.0, keys = ["user"] }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    def __init__(
        self,
        *,
        limit: int,
        interval: float = 1.0,
        keys: list[str] | None = None,
        max_keys: int = 10_000,
        on_excess: Literal["drop", "route"] = "drop",
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=event_map)
        self.limit = check_count("limit", limit)
        self.interval = check_positive("interval", interval, unit="seconds")
        self.keys = check_strings("keys", keys or [], of="fields", example='["user"]')
        self.max_keys = check_count("max_keys", max_keys)
        self.on_excess = check_choice("on_excess", on_excess, ("drop", "route"))
        self.emits = ("excess",) if on_excess == "route" else ()
        # Each key's tokens, and when that was; the one that was used last is the last.
        self._buckets: dict[bytes, tuple[float, float]] = {}
        self._excess: list[Any] = []
        self._now = 0.0

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and how many keys have a bucket."""
        return {**super().get_state(), "keys": len(self._buckets)}

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Return the records that pass; send the others to `excess`, if that is wanted."""
        self._now = self.clock.monotonic()
        self._forget_full_ones()
        self._excess = []
        passed_on = super().apply(daemon, records)
        excess, self._excess = self._excess, []
        if excess:
            self.inc_statistic("excess", len(excess))
            if self.on_excess == "route":
                daemon.queue.schedule(self.event("excess"), excess)
        return passed_on

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Take a token from the bucket of the record's key, if it has one."""
        key = (digest_of(record, self.keys) or _NO_KEY) if self.keys else _ALL
        bucket = self._buckets.pop(key, None)
        if bucket is None and len(self._buckets) >= self.max_keys:
            self.inc_statistic("shared")
            key = _OTHERS
            bucket = self._buckets.pop(key, None)
        tokens = float(self.limit)
        if bucket is not None:
            before, when = bucket
            tokens = min(tokens, before + (self._now - when) * self.limit / self.interval)
        if tokens >= 1.0:
            tokens -= 1.0
            passed_on.append(record)
        else:
            self._excess.append(record)
        self._buckets[key] = (tokens, self._now)

    def _forget_full_ones(self) -> None:
        while self._buckets:
            oldest = next(iter(self._buckets))
            if self._now - self._buckets[oldest][1] < self.interval:
                break
            del self._buckets[oldest]
