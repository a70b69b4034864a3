"""Drop records that were seen before."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from zenactors.components._options import check_count, check_positive, check_strings
from zenactors.components.output_checkpoint import checked_checkpoint
from zenactors.components.steps._fallible import FallibleStep
from zenactors.components.steps._selection import digest_of
from zenactors.core.callbacks import handles
from zenactors.core.daemon_api import Cancellable, Daemon, Store
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import StateStoreError

_VERSION = 1


class _UnderWay:
    """The keys of an event that is not done."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []


class _Done(NamedTuple):
    """A key whose record is done: when, and after how many checkpoints."""

    time: float
    checkpoints: int


class _Mark(NamedTuple):
    """A checkpoint of a source."""

    name: str
    number: int


class Deduplicator(FallibleStep):
    """Drop records whose key was seen before; send the others to the event `unique`.

    Takes `lines` events with a list of dicts, or with `Lines`, whose lines become dicts. A record's
    key is the values of the fields in `keys`; records that lack one of them are unique. Components
    behind this one handle `unique`: `events = { lines = "unique" }`.

    It is an event of its own, and not the rest of the chain, because a key must count as seen only
    if its record is done, and only the end of an event says so. While the record is under way,
    others with its key are dropped, too. If it fails or is left undone, its key is forgotten, so
    that the record passes when its source sends it again.

    With `remember`, keys survive the process, in the `state_dir`. They are saved at most every
    `save_interval` seconds, and at a stop. A crash forgets the keys since: these records may come
    twice, but a record that was not done when the process died is never taken for a duplicate.
    Nor is one that was, if an exactly-once source cuts it off the outputs, and sends it again.

    Statistics: `records` that came, `passed_on`, `duplicates`, `without_key`, `failed` (a key that
    is nested too deep; the record becomes a dead letter), `evicted` keys, and `save_failures`.

    Promises:
        loss: Only records are dropped whose key belongs to a record that is done, or is under way
            since. If that one fails later and its source does not send it again, both are gone.
        duplicates: None within `window` seconds and `max_keys` keys of one run. With `remember`
            also across runs, but for those done in the last `save_interval` seconds before a crash.
        order: Records keep their order.
        memory: `max_keys` digests of 16 bytes, about 200 bytes each, however long the keys are.
            Beyond that, the oldest are forgotten and counted.
        threads: Works in its own thread. A save blocks it: about a second for 100,000 keys.

    Args:
        keys: The fields that make up the key.
        window: Seconds for which a key is remembered, from the moment its record is done. None:
            until `max_keys` others came.
        max_keys: How many keys are remembered.
        remember: Keep the keys from one run to the next. The daemon needs a `state_dir`.
        save_interval: Seconds between two saves.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "deduplicator"
        schedule = [["lines", [{ id = 1 }, { id = 2 }, { id = 1, again = true }]]]

        [[component]]
        use = "zenactors.components:Deduplicator"
        options = { keys = ["id"] }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
        events = { lines = "unique" }
    """

    emits = ("unique",)
    no_replicas = "each would know a part of the keys. Take one."

    def __init__(
        self,
        *,
        keys: list[str],
        window: float | None = None,
        max_keys: int = 100_000,
        remember: bool = False,
        save_interval: float = 10.0,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=event_map)
        self.keys = check_strings("keys", keys, of="fields", example='["id"]')
        if not self.keys:
            raise ValueError('keys is empty, but a list of fields is expected, such as ["id"].')
        self.window = None if window is None else check_positive("window", window, unit="seconds")
        self.max_keys = check_count("max_keys", max_keys)
        if not isinstance(remember, bool):
            raise ValueError(f"remember is {remember!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.remember = remember
        self.save_interval = check_positive("save_interval", save_interval, unit="seconds")
        self._done: dict[bytes, _Done] = {}  # the oldest first
        self._marks: dict[str, list[_Mark]] = {}  # the last two checkpoints of each source
        self._checkpoints = 0
        self._life = ""  # no other object has checkpoints of the same names
        self._under_way: dict[bytes, _UnderWay] = {}
        self._current = _UnderWay()
        self._store: Store | None = None
        self._has_changed = False
        self._last_save = 0.0
        self._timer: Cancellable | None = None
        self._cannot_save = False

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and how many keys are remembered."""
        return {**super().get_state(), "done": len(self._done), "under_way": len(self._under_way)}

    def setup(self, daemon: Daemon) -> None:
        """Load the keys of the last run, if they are to be remembered."""
        self._done, self._under_way, self._timer = {}, {}, None
        self._marks, self._checkpoints = {}, 0
        self._life = f"{self.random.getrandbits(64):016x}"
        if self.remember:
            self._store = daemon.state_store()
            self._load(self._store.value)
            self._last_save = self.clock.monotonic()

    def teardown(self, daemon: Daemon) -> None:
        """Save the keys."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._save()

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Send the records whose keys are new to `unique`."""
        current = self._current = _UnderWay()
        try:
            unique = super().apply(daemon, records)
            if unique:
                ended = functools.partial(self._ended, daemon, current)
                daemon.queue.schedule(self.event("unique"), unique, on_done=ended)
        except BaseException:
            self._take_out(current)
            raise
        self.inc_statistic("passed_on", len(unique))
        return []

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append a record whose key is new."""
        digest = digest_of(record, self.keys)
        if digest is None:
            self.inc_statistic("without_key")
        elif self._is_known(digest):
            self.inc_statistic("duplicates")
            return
        else:
            self._make_room()
            self._under_way[digest] = self._current
            self._current.digests.append(digest)
        passed_on.append(record)

    def _is_known(self, digest: bytes) -> bool:
        done = self._done.get(digest)
        if done is not None and self.window is not None:
            if self.clock.monotonic() - done.time < self.window:
                return True
            del self._done[digest]
            done = None
        return done is not None or digest in self._under_way

    def _make_room(self) -> None:
        while len(self._done) + len(self._under_way) >= self.max_keys:
            oldest: dict[bytes, Any] = self._done or self._under_way
            del oldest[next(iter(oldest))]
            self.inc_statistic("evicted")

    def _take_out(self, event: _UnderWay) -> list[bytes]:
        """Return the keys of an event that are still remembered for it, and forget them."""
        # A key that was evicted may have come again in the same event.
        digests = dict.fromkeys(event.digests)
        mine = [digest for digest in digests if self._under_way.get(digest) is event]
        for digest in mine:
            del self._under_way[digest]
        return mine

    def _ended(self, daemon: Daemon, event: _UnderWay, outcome: TokenOutcome) -> None:
        mine = self._take_out(event)
        if outcome is not TokenOutcome.DONE:
            return
        self._done |= dict.fromkeys(mine, _Done(self.clock.monotonic(), self._checkpoints))
        if mine:
            self._changed(daemon)

    # --- exactly once ---------------------------------------------------------------------------

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon: Daemon, args: Any) -> None:
        """Forget the keys of the records that are cut off the outputs, because they come again.

        Raises:
            TypeError: The args are no `OutputCheckpoint`.
        """
        args = checked_checkpoint(self, args)
        marks = self._marks.get(args.source, [])
        if args.restore is not None and self.name in args.restore:
            self._go_back(marks, args.restore[self.name])
        self._checkpoints += 1
        mark = _Mark(f"{self._life}-{self._checkpoints}", self._checkpoints)
        # The source may die before it has saved this one, so the last one is kept, too.
        self._marks[args.source] = [*marks[-1:], mark]
        args.states[self.name] = mark.name
        self._changed(daemon)

    def _go_back(self, marks: list[_Mark], name: str) -> None:
        """Forget the keys since a checkpoint; if it is not known, since the last known ones."""
        found = [each for each in marks if each.name == name] or marks
        since = found[0].number if found else 0
        kept = {key: done for key, done in self._done.items() if done.checkpoints < since}
        self._done = kept

    def _changed(self, daemon: Daemon) -> None:
        if self._store is not None:
            self._has_changed = True
            self._save_in_time(daemon, self.clock.monotonic())

    # --- the store ------------------------------------------------------------------------------

    def _save_in_time(self, daemon: Daemon, now: float) -> None:
        seconds = self._last_save + self.save_interval - now
        if seconds <= 0:
            self._save()
        elif self._timer is None and not daemon.exit_when_idle:  # a timer would keep it from that
            self._timer = daemon.io.call_later(seconds, self._waited)

    def _waited(self, daemon: Daemon) -> None:
        self._timer = None
        self._save()

    def _save(self) -> None:
        if self._store is None or not self._has_changed:
            return
        now = self._last_save = self.clock.monotonic()
        value = {
            "version": _VERSION,
            "fields": self.keys,
            "time": self.clock.time(),
            "keys": [digest.hex() for digest in self._done],
            "ages": [round(now - done.time, 3) for done in self._done.values()],
        }
        if self._marks:
            value["checkpoints"] = [done.checkpoints for done in self._done.values()]
            value["marks"] = self._marks
        try:
            self._store.save(value)
        except StateStoreError as cause:
            self.inc_statistic("save_failures")
            if not self._cannot_save:
                self.log.error("{cause} Keys since then would come twice", cause=cause)  # noqa: TRY400 - a full disk is no bug: no traceback
            self._cannot_save = True
        else:
            self._has_changed = self._cannot_save = False

    def _load(self, value: Any) -> None:
        if value is None:
            return
        if not isinstance(value, dict) or value.get("version") != _VERSION:
            self.log.warning("The keys of the last run are of another version: it begins anew")
            return
        if value["fields"] != self.keys:
            self.log.warning("The keys of the last run are of other fields: it begins anew")
            return
        # The wall clock may have been set back. A key is at most as old as it seems then.
        now, passed = self.clock.monotonic(), max(0.0, self.clock.time() - value["time"])
        self._done = dict(_entries(value, now - passed))
        for source, marks in value.get("marks", {}).items():
            self._marks[source] = [_Mark(*each) for each in marks]
            self._checkpoints = max(self._checkpoints, self._marks[source][-1].number)
        while len(self._done) > self.max_keys:
            del self._done[next(iter(self._done))]


def _entries(value: Mapping[str, Any], saved: float) -> Iterable[tuple[bytes, _Done]]:
    keys, ages = value["keys"], value["ages"]
    for key, age, number in zip(keys, ages, value.get("checkpoints", [0] * len(keys)), strict=True):
        yield bytes.fromhex(key), _Done(saved - age, number)
