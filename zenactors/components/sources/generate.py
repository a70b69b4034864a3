"""Make up data: log lines and records that depend on a seed and a number alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from zenactors.components._options import check_count, check_positive
from zenactors.components.sources.base import AcknowledgingSource
from zenactors.core.daemon_api import Cancellable, Daemon

_Value = TypeVar("_Value")

_START = datetime(2026, 1, 1, tzinfo=UTC)
_CENTURY = 36_525 * 86_400.0  # seconds: no item is so late that there is no such date
_LEAST_DELAY = 0.02  # seconds between two events, if there is a rate
_ROUNDING = 1e-6  # of an item: a timer is on time although its clock has rounded
_RECORD_BYTES = 400  # of memory

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
_PATHS = (
    "/",
    "/index.html",
    "/style.css",
    "/logo.png",
    "/about.html",
    "/articles/1",
    "/articles/2",
    "/articles/3?page=2",
    "/search?q=actors",
    "/api/items",
    "/feed.xml",
)
_MISSING = ("/wp-login.php", "/.env", "/favicon.ico", "/old/page.html", "/phpmyadmin/")
_STATUSES = (*[200] * 36, *[304] * 6, *[301] * 2, *[404] * 5, 500)  # as frequent as they are here
_NOT_FOUND = 404
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "curl/8.14.1",
    "ExampleBot/2.1 (+https://bot.example/)",
)
_PROGRAMS = ("sshd", "cron", "kernel", "backup")


class Generate(AcknowledgingSource):
    """Generate access-log lines, syslog lines, JSON lines, plain lines or records.

    For trying a daemon out, and for tests and measurements. Item number n, from 1 on, depends only
    on `seed`, `kind`, `step` and n, so that every run has the same data. Lines are bytes without a
    line end:

    - `"access"`: Combined Log Format, with a few 404s and 500s, as `AccessLogParser` takes it;
    - `"syslog"`: RFC 5424, as `SyslogParser` takes it;
    - `"json"`: the records as JSON, as `JsonParser` takes it;
    - `"lines"`: `line 1`, `line 2` and so on.

    Records are dicts with `number`, `time` (ISO 8601 with offset), `user` and `value` (0 to 999).
    The first item has the time 2026-01-01 00:00:00 UTC; after a hundred years, times begin again.

    If the daemon exits when idle, it ends once `count` items are done. With `count = 0` it does
    not end.

    Statistics: `items` handed over.

    Promises:
        loss: None: an item is behind the checkpoint only when its event is done.
        duplicates: With a `state_dir`, items that were not done when the process ended come again.
            Without one, each start begins with item 1.
        order: Items are handed over in the order of their numbers.
        memory: At most 64 events, or 8 MiB, are handed over and not done.
        threads: None of its own.

    Args:
        count: How many items there are, over all runs if there is a `state_dir`. 0: endless.
        rate: Items a second, on average. None: as fast as the rest of the daemon takes them.
        kind: What is generated.
        batch: The most items of an event.
        seed: The random seed.
        step: Seconds between the times of two items.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "generate"

        [[component]]
        use = "zenactors.components:Generate"
        [component.options]
        count = 1_000
        kind = "records"
        seed = 7

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "records.jsonl"
    """

    max_unfinished = 64

    def __init__(
        self,
        *,
        count: int = 0,
        rate: float | None = None,
        kind: Literal["access", "json", "lines", "records", "syslog"] = "access",
        batch: int = 100,
        seed: int = 0,
        step: float = 1.0,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(
                f"count is {count!r}, but a whole number is expected: give how many items to"
                " generate, or 0 for no end."
            )
        if kind not in _GENERATORS:
            kinds = ", ".join(map(repr, _GENERATORS))
            raise ValueError(f"kind is {kind!r}, but one of {kinds} is expected.")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ValueError(f"seed is {seed!r}, but a whole number is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.count = count
        self.rate = None if rate is None else check_positive("rate", rate, unit="items a second")
        self.kind = kind
        self.batch = check_count("batch", batch)
        self.seed = seed
        self.step = check_positive("step", step, unit="seconds")
        self._number = 0  # of the last item that was handed over
        self._begun = 0.0  # when the rate has begun to count, on the monotonic clock
        self._since = 0  # the items since then
        self._timer: Cancellable | None = None

    def setup(self, daemon: Daemon) -> None:
        """Begin, behind the last item that an earlier run has done."""
        super().setup(daemon)
        self.use_checkpoints(daemon)
        done = self.checkpoints.resume() if self.checkpoints is not None else None
        self._number = done if isinstance(done, int) else 0
        self._timer = None
        self._begin_rate()
        self._generate(daemon)

    def teardown(self, daemon: Daemon) -> None:
        """Stop, and save which items are done."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        super().teardown(daemon)

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and the number of the last item that was handed over."""
        return {**super().get_state(), "number": self._number}

    def on_room(self) -> None:
        """Go on. Time in which there was no room is not made up for."""
        if self._next_at() < self.clock.monotonic():
            self._begin_rate()
        self._generate(self._daemon)

    def _begin_rate(self) -> None:
        self._begun = self.clock.monotonic()
        self._since = 0

    def _generate(self, daemon: Daemon) -> None:
        """Hand over what is due, until this source is full, and come back for the rest."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        while not self.is_full and (due := min(self._due(), self.batch)) > 0:
            self._hand_over_next(due)
        if self.rate is None or self.is_full or self._left() == 0 or daemon.is_done():
            return
        delay = max(self._next_at() - self.clock.monotonic(), _LEAST_DELAY)
        self._timer = daemon.io.call_later(delay, self._generate)

    def _next_at(self) -> float:
        """Return when the next item is due, on the monotonic clock."""
        return self._begun + (self._since / self.rate if self.rate else 0.0)

    def _left(self) -> float:
        """Return how many items are still to come."""
        return max(0, self.count - self._number) if self.count else float("inf")

    def _due(self) -> int:
        """Return how many items may be handed over now, at most a batch without a rate."""
        if self.rate is None:
            return int(min(self._left(), self.batch))
        elapsed = self.clock.monotonic() - self._begun
        return int(min(self._left(), elapsed * self.rate + _ROUNDING + 1 - self._since))

    def _hand_over_next(self, items: int) -> None:
        generate = _GENERATORS[self.kind]
        numbers = range(self._number + 1, self._number + items + 1)
        made = [
            generate(_Choices(self.seed, number), number, _START + self._age(number))
            for number in numbers
        ]
        self._number += items
        self._since += items
        self.inc_statistic("items", items)
        size = sum(len(each) if isinstance(each, bytes) else _RECORD_BYTES for each in made)
        self.hand_over(made, size=size, position=self._number)

    def _age(self, number: int) -> timedelta:
        return timedelta(seconds=(number - 1) * self.step % _CENTURY)


class _Choices:
    """Random choices that depend on a seed and an item's number alone. Not for secrets."""

    def __init__(self, seed: int, number: int) -> None:
        digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=32).digest()
        self._left = int.from_bytes(digest, "big")

    def below(self, limit: int) -> int:
        """Return a number from 0 on that is less than `limit`."""
        self._left, chosen = divmod(self._left, limit)
        return chosen

    def one_of(self, values: tuple[_Value, ...]) -> _Value:
        """Return one of some values."""
        return values[self.below(len(values))]


def _access_line(choices: _Choices, _number: int, time: datetime) -> bytes:
    status = choices.one_of(_STATUSES)
    path = choices.one_of(_MISSING if status == _NOT_FOUND else _PATHS)
    method = "POST" if path.startswith("/api/") and choices.below(2) else "GET"
    size = "-" if status == 304 else str(200 + choices.below(20_000))  # noqa: PLR2004 - "Not Modified" has no body
    user = choices.one_of(_USERS) if choices.below(4) == 0 else "-"
    address = f"192.0.2.{1 + choices.below(254)}"  # an address for documentation
    iso = time.isoformat()  # formatting by strftime would take half of the time
    at = f"{iso[8:10]}/{_MONTHS[time.month - 1]}/{iso[:4]}:{iso[11:19]} +0000"
    return (
        f'{address} - {user} [{at}] "{method} {path} HTTP/1.1" {status} {size}'
        f' "-" "{choices.one_of(_AGENTS)}"'
    ).encode()


def _syslog_line(choices: _Choices, number: int, time: datetime) -> bytes:
    priority = choices.below(24) * 8 + choices.below(8)
    program = choices.one_of(_PROGRAMS)
    process = 300 + choices.below(30_000)
    user = choices.one_of(_USERS)
    return (
        f"<{priority}>1 {time.isoformat()} host{1 + choices.below(5)}.example {program} {process}"
        f" ID{choices.below(50)} - message {number} about {user}"
    ).encode()


def _plain_line(_choices: _Choices, number: int, _time: datetime) -> bytes:
    return b"line %d" % number


def _record(choices: _Choices, number: int, time: datetime) -> dict[str, Any]:
    return {
        "number": number,
        "time": time.isoformat(),
        "user": choices.one_of(_USERS),
        "value": choices.below(1_000),
    }


def _json_line(choices: _Choices, number: int, time: datetime) -> bytes:
    return json.dumps(_record(choices, number, time)).encode()


_GENERATORS: dict[str, Callable[[_Choices, int, datetime], Any]] = {
    "access": _access_line,
    "json": _json_line,
    "lines": _plain_line,
    "records": _record,
    "syslog": _syslog_line,
}
