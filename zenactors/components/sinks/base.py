"""The base of sinks that write in batches, and release each event when it is where it belongs."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, TypedDict

import tenacity

from zenactors.components._options import check_count, check_positive
from zenactors.components.records import records_of, size_of
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Cancellable, Daemon, Hold
from zenactors.errors import RestartComponent, RetryInterruptedError, ZenDaemonStopException

_FIRST_DELAY = 0.2  # seconds between the first two attempts, doubled each time
_LAST_DELAY = 30.0
# They end the component, or the daemon, so that the other events of the batch are not tried.
_NOT_OF_THE_BATCH = (
    RestartComponent,
    RetryInterruptedError,
    SystemExit,
    ZenDaemonStopException,
)


@dataclasses.dataclass(slots=True)
class TakenEvent:
    """An event that a sink has taken, and not written.

    Attributes:
        args: As they came.
        records: The records in them.
        hold: Keeps the event from counting as done.
    """

    args: Any
    records: list[Any]
    hold: Hold
    _has_source: bool = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self._has_source = self.hold.token is not None

    @property
    def is_left(self) -> bool:
        """True if the event has counted as left: a source was told so, and sends it again."""
        return self._has_source and self.hold.token is None


class BatchingOptions(TypedDict, total=False):
    """The options of `BatchingSink`, for the `**` argument of a subclass's constructor."""

    batch_count: int
    batch_bytes: int
    batch_time: float
    attempts: int
    name: str | None
    event_map: Mapping[str, str] | None


class BatchingSink(ZenDaemonComponent, abc.ABC):
    """The base of sinks that write several events at once.

        class Printer(BatchingSink):
            def write_batch(self, daemon, records):
                sys.stdout.writelines(f"{record}\\n" for record in records)

    Takes `lines` events with a list of records, or with `Lines`, whose lines become dicts. A batch
    is written as soon as no event waits for this component: so what comes while one is written is
    the next one. While events come all the time, it is written when it has `batch_count` records or
    `batch_bytes` bytes, or when its first event has waited for `batch_time`. An event is never
    split. The events count as done after `write_batch` has returned, so a source that acknowledges
    loses nothing.

    If `write_batch` raises one of `temporary`, the batch is tried again, up to `attempts` times,
    0.2 s later at first, then twice as long each time, up to 30 s. Meanwhile this component takes
    no events. After another exception each event is tried alone, because the others need not suffer
    for it. An event that is not written in the end becomes a dead letter, and its source hears that
    it failed.

    Statistics: `records` and `batches` written, `retries`, and `failed` records.

    Args:
        batch_count: The most records of a batch, except if one event has more.
        batch_bytes: The most bytes of a batch, roughly, except if one event has more.
        batch_time: Seconds that an event waits at most, while others come all the time.
        attempts: How often a batch is tried.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        temporary: Exceptions after which another attempt makes sense.
    """

    temporary: tuple[type[BaseException], ...] = ()

    def __init__(
        self,
        *,
        batch_count: int = 1_000,
        batch_bytes: int = 1 << 20,
        batch_time: float = 1.0,
        attempts: int = 8,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        self.batch_count = check_count("batch_count", batch_count)
        self.batch_bytes = check_count("batch_bytes", batch_bytes)
        self.batch_time = check_positive("batch_time", batch_time, unit="seconds")
        self.attempts = check_count("attempts", attempts)
        self._taken: list[TakenEvent] = []
        self._count = self._bytes = 0
        self._waits: list[Cancellable] = []
        self._handled: TakenEvent | None = None  # in the callback under way

    # --- for subclasses -------------------------------------------------------------------------

    @abc.abstractmethod
    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Write records; when this returns, they are where this sink promises them to be.

        It may be called again with the same records after it has raised. Thread: own.
        """

    def write_events(self, daemon: Daemon, events: list[TakenEvent]) -> None:
        """Write the records of events: by default, in one call of `write_batch`."""
        if len(events) == 1:
            records = events[0].records
        else:
            records = [record for event in events for record in event.records]
        self.write_batch(daemon, records)

    def retry_delay(self, cause: BaseException, attempt: int) -> float:
        """Return the seconds until a batch is tried again.

        Args:
            cause: What `write_batch` has raised.
            attempt: How often it was called for this batch, from 1.
        """
        delay: float = min(_FIRST_DELAY * 2 ** min(attempt - 1, 30), _LAST_DELAY)
        return delay

    # --- the way of an event --------------------------------------------------------------------

    def setup(self, daemon: Daemon) -> None:
        """Begin without a batch. A subclass calls this, too."""
        self._taken = []
        self._count = self._bytes = 0
        self._waits = []

    def teardown(self, daemon: Daemon) -> None:
        """Write what waits. A subclass calls this before it releases anything.

        At a restart, events have counted as left before this is called. They come again, and would
        be written twice.
        """
        self._taken = [event for event in self._taken if not event.is_left]
        self.flush(daemon)

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and the records that are not written yet."""
        return {**super().get_state(), "waiting": self._count}

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Take the records, and write them if there are enough."""
        records = records_of(args)
        if not records:
            return
        self._handled = TakenEvent(args, records, daemon.hold())
        try:
            self.take(daemon, self._handled)
        except BaseException:  # this event's end is up to its exception alone
            self._handled.hold.release()
            raise
        finally:
            self._handled = None

    def take(self, daemon: Daemon, event: TakenEvent) -> None:
        """Add an event to the batch, and write the batch if it is full. Thread: own."""
        self._taken.append(event)
        self._count += len(event.records)
        self._bytes += size_of(event.args)
        if self._count >= self.batch_count or self._bytes >= self.batch_bytes:
            self.flush(daemon)
        elif not self._waits:
            wait, is_idle = daemon.io.call_later, daemon.io.call_when_idle
            self._waits = [is_idle(self.flush), wait(self.batch_time, self.flush)]

    def flush(self, daemon: Daemon) -> None:
        """Write the batch now, if there is one. Blocks. Thread: own."""
        waits, self._waits = self._waits, []
        for wait in waits:
            wait.cancel()
        events, self._taken = self._taken, []
        self._count = self._bytes = 0
        if events:
            self._write(daemon, events)

    def _write(self, daemon: Daemon, events: list[TakenEvent]) -> None:
        try:
            self._try_to_write(daemon, events)
        except _NOT_OF_THE_BATCH as cause:
            self._give_up_untracked(daemon, events, cause)
            raise
        except Exception as cause:
            temporary = isinstance(cause, self.temporary)
            if temporary:
                _drop_traceback(cause)
            if len(events) == 1 or temporary:
                self._give_up(daemon, events, cause)
                return
            self._write_each(daemon, events)
        else:
            self.inc_statistic("batches")
            self.inc_statistic("records", sum(len(event.records) for event in events))
            for event in events:
                event.hold.release()

    def _write_each(self, daemon: Daemon, events: list[TakenEvent]) -> None:
        for number, event in enumerate(events):
            try:
                self._write(daemon, [event])
            except _NOT_OF_THE_BATCH as cause:
                self._give_up_untracked(daemon, events[number + 1 :], cause)
                raise

    def _try_to_write(self, daemon: Daemon, events: list[TakenEvent]) -> None:
        if not self.temporary:
            self.write_events(daemon, events)
            return
        retrying = daemon.retrying(
            retry=tenacity.retry_if_exception_type(self.temporary),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait_before,
            before_sleep=self._tell_of_retry,
        )
        retrying(self.write_events, daemon, events)

    def _wait_before(self, state: tenacity.RetryCallState) -> float:
        return self.retry_delay(_cause_of(state), state.attempt_number)

    def _tell_of_retry(self, state: tenacity.RetryCallState) -> None:
        self.inc_statistic("retries")
        if state.attempt_number == 1:
            self.log.warning("A batch is tried again: {reason}", reason=_cause_of(state))

    def _give_up_untracked(
        self, daemon: Daemon, events: list[TakenEvent], cause: BaseException
    ) -> None:
        """Make dead letters of the events that no source sends again, nor this exception ends."""
        lost = [each for each in events if each.hold.token is None and each is not self._handled]
        self._give_up(daemon, lost, cause)

    def _give_up(self, daemon: Daemon, events: list[TakenEvent], cause: BaseException) -> None:
        for event in events:
            self.inc_statistic("failed", len(event.records))
            self._dead_letter(daemon, event, event.args, cause)
            event.hold.fail()

    def _dead_letter(
        self, daemon: Daemon, event: TakenEvent, args: Any, cause: BaseException
    ) -> None:
        """Make a dead letter of an event, or of some of its records."""
        with daemon.part_of(event.hold):
            daemon.dead_letter(self.event("lines"), args, cause, callback=self.cbk_event_lines)


def _drop_traceback(cause: BaseException) -> None:
    """Keep a refused connection, say, to one line in the log: it is no bug in the code."""
    cause.__traceback__ = cause.__cause__ = cause.__context__ = None


def _cause_of(state: tenacity.RetryCallState) -> BaseException:
    assert state.outcome is not None  # an attempt has ended
    cause = state.outcome.exception()
    assert cause is not None  # and it has failed
    return cause
