"""What happened in a run, in order; and where each event is.

The journal's text is the same, byte for byte, for the same seed in every process.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from zenactors.core.messages import GONE
from zenactors.core.producer_queue import EventRun
from zenactors.testing._trace.describe import describe, without_addresses

KEPT = 2_000  # entries and events that are remembered, if not all are asked for
SHOWN = 20  # events that a failure shows
MAX_DEATHS = 20  # callbacks that raised of which is remembered how things stood
KEPT_AT_DEATH = 200  # entries

OUTSIDE = "outside"
DISPATCHER = "dispatcher"


class Entry(NamedTuple):
    """One thing that happened.

    Attributes:
        time: Virtual seconds since the run began.
        who: The component that did it; `dispatcher`, `outside`, or the daemon's name.
        kind: `schedule` (of an event), `cancel`, `start` (the dispatcher sends it on its way),
            `call`, `answer` and `raise` (of a callback), `interrupt` (of one, in the middle),
            `hook` (setup, teardown, or the callback of a timer or descriptor), `passes` (time),
            `signal`, `fault`, `log`.
        event: The event and its number, as `line#3`; empty if none is concerned.
        to: Whom it goes to, if anybody.
        text: What it carries: args, an answer, a message.
    """

    time: float
    who: str
    kind: str
    event: str
    to: str
    text: str

    def line(self) -> str:
        """Return it as one line of the trace."""
        where = f"{self.who} -> {self.to}" if self.to else self.who
        words = " ".join(word for word in (self.kind, self.event, self.text) if word)
        return f"{self.time:.6f} {where}: {words}".replace("\n", "\\n")


class Death(NamedTuple):
    """How things stood when a callback raised.

    Attributes:
        cause: What it raised.
        entries: What had happened before, and that.
        events: The last events, and where each was.
    """

    cause: BaseException
    entries: list[Entry]
    events: str


class Tracked:
    """One event on its way.

    Attributes:
        label: Its name and number, as `line#3`.
        place: Where it is, in words.
        followed: False: another stands for it, as it is with several replicas at a time.
    """

    __slots__ = ("args", "event", "followed", "label", "place", "position", "scheduled")

    def __init__(self, event: Any, label: str, args: Any, scheduled: Any) -> None:
        self.event = event
        self.label = label
        self.args = args
        self.position = -1  # -1: not started; then the callback of the chain it comes to next
        self.place = "queued"
        self.followed = True
        self.scheduled = scheduled  # held on to, as its identity stands for it


class Trace:
    """Note what happens.

    Args:
        now: Returns the virtual seconds since the run began.
        keep: Remember all entries; otherwise the last 2,000.
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
        self._under_way: dict[tuple[Any, int, int], deque[Tracked]] = {}
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

    # --- the way of an event ------------------------------------------------------------------

    def scheduled(self, who: str, scheduled: Any, how: str) -> None:
        """Note that an event was scheduled; once, whoever tells first."""
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
        """Note that an event was taken back."""
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

    def started(self, event: Any, items: list[Any], to: str) -> None:
        """Note that the dispatcher sends a batch to the first component of its chain."""
        batch = []
        for args in items:
            tracked = self._take_from_queue(event, args)
            if tracked is None:  # the life-cycle's own: nobody scheduled it
                self._numbers[event] += 1
                tracked = Tracked(event, f"{event}#{self._numbers[event]}", args, None)
                self._last.append(tracked)
            tracked.position = 0
            tracked.place = f"on its way to {to}"
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
            tracked: What `called` returned.
            args: What goes on.
            after: The position of the callback that comes next.
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
        text = format_error(cause)
        tracked.place = f"dead in {who}: {text}"
        self.note(who, "raise", tracked.label, "", text)
        if len(self.deaths) < MAX_DEATHS:
            before = list(itertools.islice(reversed(self.entries), KEPT_AT_DEATH))
            self.deaths.append(Death(cause, before[::-1], self.last_events()))

    def _add(self, key: tuple[Any, int, int], tracked: Tracked) -> None:
        self._under_way.setdefault(key, deque()).append(tracked)

    def _take(self, key: tuple[Any, int, int]) -> Tracked | None:
        found = self._under_way.get(key)
        if found is None:
            return None
        tracked = found.popleft()
        if not found:
            del self._under_way[key]
        return tracked

    def _again(self, event: Any, args: Any) -> Tracked:
        """Return what stands for an event that another replica has taken already."""
        labels = (each.label for each in reversed(self._last) if each.args is args)
        mine = (label for label in labels if label.rpartition("#")[0] == str(event))
        tracked = Tracked(event, next(mine, f"{event}#?"), args, None)
        tracked.followed = False
        return tracked

    def _take_from_queue(self, event: Any, args: Any) -> Tracked | None:
        """Take what has left the queue: others with the same args may wait in it, before it."""
        found = self._under_way.get((event, id(args), -1), ())
        for tracked in found:
            if not _is_queued(tracked.scheduled):
                self._remove(tracked)
                self._by_scheduled.pop(id(tracked.scheduled), None)
                tracked.scheduled = None
                return tracked
        return None

    def _remove(self, tracked: Tracked) -> None:
        key = (tracked.event, id(tracked.args), tracked.position)
        found = self._under_way.get(key)
        if found is not None and tracked in found:
            found.remove(tracked)
            if not found:
                del self._under_way[key]


def format_error(cause: BaseException) -> str:
    """Return an exception in words."""
    return without_addresses(f"{type(cause).__name__}: {cause}")


def _is_queued(scheduled: Any) -> bool:
    location = scheduled.location
    if isinstance(location, EventRun):
        return bool(scheduled.number >= location.taken)
    return location is not GONE


def _others(batch: list[str]) -> str:
    if len(batch) < 2:  # noqa: PLR2004 - a batch of one is named already
        return ""
    return f"and {', '.join(batch[1:])}"
