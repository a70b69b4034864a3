"""The trace of a run: everything that happened, in order, and where each event is.

Its text is the same, byte for byte, for the same seed in every process.
"""

from __future__ import annotations

import itertools
import traceback
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from zenactors.core.messages import GONE
from zenactors.core.producer_queue import EventRun
from zenactors.core.text import format_error
from zenactors.testing._trace.describe import describe, without_addresses

KEPT = 2_000  # entries and events that are remembered, unless all are asked for
SHOWN = 20  # events that a failure shows
MAX_DEATHS = 20  # callbacks that raised, of which the situation is remembered
KEPT_AT_DEATH = 200  # entries

OUTSIDE = "outside"
DISPATCHER = "dispatcher"


class Entry(NamedTuple):
    """One thing that happened.

    Attributes:
        time: Virtual seconds since the run began.
        who: The component that did it; or `dispatcher`, `outside`, the daemon's name.
        kind: `schedule` (of an event), `cancel`, `start` (the dispatcher sends it to its chain),
            `call`, `answer`, `raise` and `interrupt` (of a callback), `hook` (setup, teardown,
            or the callback of a timer or descriptor), `passes` (time), `signal`, `fault`, `log`.
        event: The event and its number, as `line#3`; empty if there is none.
        to: The receiver; empty if there is none.
        text: Args, an answer or a message.
    """

    time: float
    who: str
    kind: str
    event: str
    to: str
    text: str

    def line(self) -> str:
        """Return the entry as one line."""
        where = f"{self.who} -> {self.to}" if self.to else self.who
        words = " ".join(word for word in (self.kind, self.event, self.text) if word)
        return f"{self.time:.6f} {where}: {words}".replace("\n", "\\n")


class Death(NamedTuple):
    """The situation when a callback raised.

    Attributes:
        cause: The exception.
        summary: The same as text, with the frames that a dead letter's cause loses. None: its own
            code raises.
        entries: The entries before it, and its own.
        events: The last events, and where each was.
    """

    cause: BaseException
    summary: traceback.TracebackException | None
    entries: list[Entry]
    events: str


class Tracked:
    """One event, from the queue to its end.

    Attributes:
        label: Its name and number, as `line#3`.
        place: Where it is, in words.
        followed: False for a second entry of an event that several replicas handle at once.
    """

    __slots__ = ("args", "event", "followed", "label", "place", "position", "scheduled")

    def __init__(self, event: Any, label: str, args: Any, scheduled: Any) -> None:
        self.event = event
        self.label = label
        self.args = args
        self.position = -1  # -1: not started; later the next callback's position in the chain
        self.place = "queued"
        self.followed = True
        self.scheduled = scheduled  # kept alive, because its identity is a key


class Trace:
    """Collect the entries, and follow the events.

    Args:
        now: Returns the virtual seconds since the run began.
        keep: Remember all entries; otherwise only the last 2,000.
        sink: Called with each line of the trace.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        keep: bool = False,
        sink: Callable[[str], object] | None = None,
    ) -> None:
        self.entries: deque[Entry] = deque(maxlen=None if keep else KEPT)
        self.count = 0
        self.deaths: list[Death] = []
        self._now = now
        self._sink = sink
        self._numbers: Counter[Hashable] = Counter()
        self._by_scheduled: dict[int, Tracked] = {}
        self._in_flight: dict[tuple[Any, int, int], deque[Tracked]] = {}
        self._last: deque[Tracked] = deque(maxlen=KEPT)

    def note(self, who: str, kind: str, event: str = "", to: str = "", text: str = "") -> None:
        """Add an entry."""
        entry = Entry(self._now(), who, kind, event, to, text)
        self.entries.append(entry)
        self.count += 1
        if self._sink is not None:
            self._sink(entry.line())

    def text(self) -> str:
        """Return the remembered entries, a line each."""
        return "".join(entry.line() + "\n" for entry in self.entries)

    def last_events(self, count: int = SHOWN) -> str:
        """Return the last events and where each is, a line each, the oldest first."""
        chosen = list(self._last)[-count:]
        if not chosen:
            return "  no event was scheduled"
        width = max(len(tracked.label) for tracked in chosen)
        return "\n".join(
            f"  {tracked.label:<{width}}  {describe(tracked.args)}: {tracked.place}"
            for tracked in chosen
        )

    # --- following events ---------------------------------------------------------------------

    def scheduled(self, who: str, scheduled: Any, how: str) -> None:
        """Note that an event was scheduled. A second call for it does nothing."""
        if id(scheduled) in self._by_scheduled:
            return
        event = scheduled.event
        self._numbers[event] += 1
        tracked = Tracked(event, f"{event}#{self._numbers[event]}", scheduled.args, scheduled)
        self._by_scheduled[id(scheduled)] = tracked
        self._add((event, id(scheduled.args), -1), tracked)
        self._last.append(tracked)
        if how:
            tracked.place = f"queued {how}"
        text = describe(scheduled.args)
        self.note(who, "schedule", tracked.label, DISPATCHER, f"{text} {how}" if how else text)

    def cancelled(self, who: str, scheduled: Any) -> None:
        """Note that an event was cancelled."""
        tracked = self._by_scheduled.pop(id(scheduled), None)
        if tracked is not None:
            self._remove(tracked)
            tracked.place = "cancelled"
            self.note(who, "cancel", tracked.label, DISPATCHER)

    def taken_out(self, who: str, event: Any, args: Any) -> None:
        """Note that an event was taken out of the queue instead of being started."""
        tracked = self._take_from_queue(event, args)
        if tracked is not None:
            tracked.place = f"taken out by {who}"
            self.note(who, "cancel", tracked.label, DISPATCHER, "taken out")

    def started(self, event: Any, items: list[Any], to: str, *, ends: bool = False) -> None:
        """Note that the dispatcher sends a batch to the first component of its chain.

        Args:
            event: The event.
            items: The args of each.
            to: The component.
            ends: True: the events end at once, because only best-effort components handle them.
        """
        batch = []
        for args in items:
            tracked = self._take_from_queue(event, args)
            if tracked is None:  # a control event, which was never in the queue
                self._numbers[event] += 1
                tracked = Tracked(event, f"{event}#{self._numbers[event]}", args, None)
                self._last.append(tracked)
            tracked.position = 0
            tracked.place = f"on its way to {to}"
            if ends:
                tracked.place = "completed"
            else:
                self._add((event, id(args), 0), tracked)
            batch.append(tracked.label)
        self.note(DISPATCHER, "start", batch[0] if batch else "", to, _others(batch))

    def called(self, who: str, event: Any, position: int, args: Any) -> Tracked:
        """Note that a callback begins."""
        tracked = self._take((event, id(args), position))
        if tracked is None:
            tracked = self._again(event, args)
        tracked.place = f"in {who}"
        self.note(who, "call", tracked.label, "", describe(args))
        return tracked

    def answered(
        self, who: str, tracked: Tracked, args: Any, *, after: int, to: str, stopped: bool
    ) -> None:
        """Note that a callback has returned.

        Args:
            who: The component.
            tracked: The return value of `called`.
            args: The args for the next callback.
            after: The next callback's position in the chain.
            to: Its component; empty at the end of the chain.
            stopped: True if the event goes no further.
        """
        text = "" if args is tracked.args else describe(args)
        tracked.args = args
        if stopped:
            tracked.place = f"stopped by {who}"
            text = f"stops {text}".rstrip()
        elif to:
            tracked.place = f"on its way to {to}" if to != who else f"in {who}"
            tracked.position = after
            if tracked.followed:
                self._add((tracked.event, id(args), after), tracked)
        else:
            tracked.place = "completed"
        next_one = "" if stopped or to == who else to
        self.note(who, "answer", tracked.label, next_one, text)

    def raised(self, who: str, tracked: Tracked, cause: BaseException) -> None:
        """Note that a callback has raised."""
        text = stable_error(cause)
        tracked.place = f"dead in {who}: {text}"
        self.note(who, "raise", tracked.label, "", text)
        if len(self.deaths) < MAX_DEATHS:
            before = list(itertools.islice(reversed(self.entries), KEPT_AT_DEATH))
            self.deaths.append(Death(cause, _summary(cause), before[::-1], self.last_events()))

    def crashed(self) -> None:
        """Note that the process is dead, with all events that were on their way."""
        for tracked in self._last:
            if tracked.place.startswith(("queued", "on its way", "in ")):
                tracked.place += " when the process died"
        self._by_scheduled.clear()
        self._in_flight.clear()

    def _add(self, key: tuple[Any, int, int], tracked: Tracked) -> None:
        self._in_flight.setdefault(key, deque()).append(tracked)

    def _take(self, key: tuple[Any, int, int]) -> Tracked | None:
        found = self._in_flight.get(key)
        if found is None:
            return None
        tracked = found.popleft()
        if not found:
            del self._in_flight[key]
        return tracked

    def _again(self, event: Any, args: Any) -> Tracked:
        """Return a second entry for an event that another replica has taken already."""
        labels = (each.label for each in reversed(self._last) if each.args is args)
        mine = (label for label in labels if label.rpartition("#")[0] == str(event))
        tracked = Tracked(event, next(mine, f"{event}#?"), args, None)
        tracked.followed = False
        return tracked

    def _take_from_queue(self, event: Any, args: Any) -> Tracked | None:
        """Take the event that has left the queue, among those with the same args in it."""
        found = self._in_flight.get((event, id(args), -1), ())
        for tracked in found:
            if not _is_queued(tracked.scheduled):
                self._remove(tracked)
                self._by_scheduled.pop(id(tracked.scheduled), None)
                tracked.scheduled = None
                return tracked
        return None

    def _remove(self, tracked: Tracked) -> None:
        key = (tracked.event, id(tracked.args), tracked.position)
        found = self._in_flight.get(key)
        if found is not None and tracked in found:
            found.remove(tracked)
            if not found:
                del self._in_flight[key]


def _summary(cause: BaseException) -> traceback.TracebackException | None:
    try:
        return traceback.TracebackException.from_exception(cause, lookup_lines=False)
    except Exception:  # of the exception's own code
        return None


def stable_error(cause: BaseException) -> str:
    """Return an exception's class and text, without what differs between two runs."""
    return without_addresses(format_error(cause))


def _is_queued(scheduled: Any) -> bool:
    location = scheduled.location
    if isinstance(location, EventRun):
        return bool(scheduled.number >= location.taken)
    return location is not GONE


def _others(batch: list[str]) -> str:
    if len(batch) < 2:  # noqa: PLR2004 - a batch of one is named already
        return ""
    return f"and {', '.join(batch[1:])}"
