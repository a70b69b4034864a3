"""Make one event of many."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from zenactors.components._options import check_count, check_positive
from zenactors.components.records import records_of, size_of
from zenactors.core.callbacks import FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon, Hold
from zenactors.core.tokens import TokenOutcome

_SHORT_WAIT = 0.05  # seconds that a daemon which is to end when it is idle waits for more


@dataclasses.dataclass(slots=True)
class _Batch:
    """The records of several events.

    Attributes:
        records: As they came, one event's after another's.
        events: The records of each event, and what keeps the event from counting as done.
        untracked: The records of the events that no source asks about, which are not in `events`.
        size: The bytes of the records, roughly.
    """

    records: list[Any] = dataclasses.field(default_factory=list)
    events: list[tuple[list[Any], Hold]] = dataclasses.field(default_factory=list)
    untracked: list[Any] = dataclasses.field(default_factory=list)
    size: int = 0

    def add(self, records: list[Any], size: int, hold: Hold) -> None:
        self.records += records
        self.size += size
        if hold.token is None:
            self.untracked += records
        else:
            self.events.append((records, hold))

    @property
    def holds(self) -> list[Hold]:
        return [hold for _, hold in self.events]

    def without_exact(self) -> _Batch:
        """Return a batch of the events that are not of an exactly-once source."""
        events = [(records, hold) for records, hold in self.events if not hold.is_exact]
        if len(events) == len(self.events):
            return self
        records = [*self.untracked, *(record for each, _ in events for record in each)]
        return _Batch(records, events, self.untracked)


class Batcher(ZenDaemonComponent):
    """Collect the records of several events, and send them on as one event `batch`.

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. A batch
    is sent when it has `batch_count` records or `batch_bytes` bytes, or when its first event has
    waited for `batch_time` seconds; an event is never split. Components behind this one handle
    `batch`: `events = { lines = "batch" }`. Sinks make batches of their own; this step is for
    callbacks that are costly for each event, such as a function that asks another machine.

    The events count as done when the batch is done, and as failed when it failed: then the dead
    letter has the whole batch. If it was left undone, because a sink was made anew, it is sent
    again; events of an exactly-once source are left undone, too, and their source sends them again.
    At a stop, what is waiting is sent at once, and so is all that still comes.

    Statistics: `records` that came, `batches` sent, and `resent` ones.

    Promises:
        loss: None with a source that acknowledges: its events are not done before their batch is.
            Records of other sources that wait while the process dies are lost; those that wait
            at a SIGTERM, which sends nothing more, become a dead letter.
        duplicates: A batch that was left undone is sent again as a whole, except for what came of
            an exactly-once source, which lets outputs be cut back.
        order: Records keep their order; a batch that is sent again comes behind later ones.
        memory: One batch waits, of at most the limits and one event. How many are under way is
            bounded by how many unfinished events the sources allow.
        threads: Works in its own thread; never waits.

    Args:
        batch_count: The most records of a batch, except if one event has more.
        batch_bytes: The most bytes of a batch, roughly, except if one event has more.
        batch_time: Seconds that an event waits for others at most. A source that allows fewer
            unfinished events than make up a batch waits that long each time.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "batcher"
        schedule = [["lines", [{ n = 1 }]], ["lines", [{ n = 2 }, { n = 3 }]]]

        [[component]]
        use = "zenactors.components:Batcher"
        options = { batch_count = 100, batch_time = 0.5 }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
        events = { lines = "batch" }
    """

    emits = ("batch",)

    def __init__(
        self,
        *,
        batch_count: int = 1_000,
        batch_bytes: int = 1 << 20,
        batch_time: float = 1.0,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.batch_count = check_count("batch_count", batch_count)
        self.batch_bytes = check_count("batch_bytes", batch_bytes)
        self.batch_time = check_positive("batch_time", batch_time, unit="seconds")
        self._waiting = _Batch()
        self._under_way = 0
        self._timer: Cancellable | None = None
        self._is_stopping = False

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the records that wait, and how many batches are under way."""
        waiting = {"waiting": len(self._waiting.records), "under_way": self._under_way}
        return {**super().get_state(), **waiting}

    def setup(self, daemon: Daemon) -> None:
        """Begin without a batch."""
        self._waiting, self._under_way, self._timer = _Batch(), 0, None
        self._is_stopping = False

    def teardown(self, daemon: Daemon) -> None:
        """Send what no source sends again; it is a dead letter if the daemon has stopped."""
        untracked = self._take_waiting().untracked
        if untracked and daemon.is_done():
            daemon.dead_letter(self.event("batch"), untracked, "The daemon stops: not sent")
        elif untracked:
            self._send(daemon, _Batch(untracked, untracked=untracked))

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> tuple[int, Any]:
        """Add the records to the batch that waits, and send it if there are enough."""
        records = records_of(args)
        if records:
            waiting = self._waiting
            waiting.add(records, size_of(args), daemon.hold())
            self.inc_statistic("records", len(records))
            if (
                self._is_stopping
                or len(waiting.records) >= self.batch_count
                or waiting.size >= self.batch_bytes
            ):
                self.flush(daemon)
            elif self._timer is None:
                seconds = self.batch_time
                if daemon.exit_when_idle:
                    seconds = min(seconds, _SHORT_WAIT)
                self._timer = daemon.io.call_later(seconds, self._waited)
        return FLAG_STOP, None

    @handles("stop")
    def cbk_event_stop(self, daemon: Daemon, args: Any) -> None:
        """Send what is waiting, and from now on each event at once: no timer fires any more."""
        self._is_stopping = True
        self.flush(daemon)

    def flush(self, daemon: Daemon) -> None:
        """Send the batch that waits, if there is one. Thread: own."""
        batch = self._take_waiting()
        if batch.records:
            self.inc_statistic("batches")
            self._send(daemon, batch)

    def _waited(self, daemon: Daemon) -> None:
        self._timer = None
        self.flush(daemon)

    def _take_waiting(self) -> _Batch:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        batch, self._waiting = self._waiting, _Batch()
        return batch

    def _send(self, daemon: Daemon, batch: _Batch) -> None:
        ended = functools.partial(self._ended, daemon, batch)
        # Not a part of the event under way, which is one of many: its hold says how it ends, as
        # those of the others do. A hold that has ended is a part of nothing. But components behind
        # this one must know that it has come of an exactly-once source.
        nothing = daemon.hold()
        nothing.release()
        whole = next((hold for hold in batch.holds if hold.is_exact), nothing)
        try:
            with daemon.part_of(whole):
                daemon.queue.schedule(self.event("batch"), batch.records, on_done=ended)
        except Exception as cause:
            daemon.dead_letter(self.event("batch"), batch.records, cause)
            for hold in batch.holds:
                hold.fail()
        else:
            self._under_way += 1

    def _ended(self, daemon: Daemon, batch: _Batch, outcome: TokenOutcome) -> None:
        self._under_way -= 1
        if outcome is TokenOutcome.DONE:
            for hold in batch.holds:
                hold.release()
        elif outcome is TokenOutcome.FAILED:
            for hold in batch.holds:
                hold.fail()
        elif not daemon.is_done():
            # A file may have the batch already. An exact source cuts that back, and sends anew.
            again = batch.without_exact()
            for hold in batch.holds:
                if hold.is_exact:
                    hold.leave()
            if again.records:
                self.inc_statistic("resent")
                self._send(daemon, again)
        # Otherwise the holds count as left, too, when this component is torn down.
