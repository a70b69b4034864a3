"""A trace as a picture of text: a lifeline for each who takes part, time from top to bottom.

    outside     dispatcher     deposit
       │──deposit#1─>│            │
       │             │─deposit#1─>│
       │             │            ┏ deposit#1
       │             │            ┠ deposit#1  interrupted at bank.py:12
       │──deposit#2─>│            ┇
       │             │            ┗ deposit#1

Pure functions of the entries. A callback during which nothing else happens is one row (`■`); any
other is a bar, so that a callback that was interrupted is seen to be open while others run.
"""

from __future__ import annotations

import dataclasses
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from zenactors.testing._trace.trace import DISPATCHER, OUTSIDE, Entry

WIDTH = 100
MIN_WIDTH = 60

IDLE, RUNS, PAUSED = "│", "┃", "┇"
_MARKS = {"call": "┏", "answer": "┗", "raise": "X", "interrupt": "┠"}
_MARKS |= dict.fromkeys(("schedule", "start", "cancel", "signal"), "")
_CROSSING = {IDLE: "┼", RUNS: "╂", PAUSED: "╂"}
_LEGEND = {
    "■": "a callback",
    "┏": "it begins",
    "┇": "is interrupted",
    "┗": "ends",
    "X": "raises",
    "●": "hook, log or fault",
}

# Characters between two lifelines at most, and at the end of a row at least: what is tried in turn.
_TRIES = (
    *((60, 36), (40, 32), (32, 30), (28, 28), (24, 28), (21, 26), (18, 26), (16, 24)),
    *((14, 22), (13, 20), (12, 20), (11, 20), (10, 18), (9, 18), (8, 16)),
)
_BESIDE = 4  # characters that an arrow or a mark takes beside its label
_SHORT = 24  # characters of payload that stand beside a label rather than at the end of the row
_LAST = 3  # characters between the last lifeline and what stands at the end of the row
_NOBODY = ("time", "daemon")  # who is no participant, though it stands where one does


@dataclasses.dataclass(slots=True, kw_only=True)
class _Row:
    """One row, before it is known how wide anything is.

    Attributes:
        time: Virtual seconds since the run began.
        marks: What stands on whose lifeline.
        source: Where an arrow begins; empty for none.
        target: Where it ends.
        label: Stands on the arrow or beside the mark.
        text: Stands behind the label if there is room, or at the end of the row.
        states: Who is in a callback, and how.
        passes: What passes meanwhile; then the row is a line across all.
    """

    time: float
    marks: dict[str, str] = dataclasses.field(default_factory=dict)
    source: str = ""
    target: str = ""
    label: str = ""
    text: str = ""
    states: dict[str, str] = dataclasses.field(default_factory=dict)
    passes: str = ""

    def involved(self) -> set[str]:
        return {*self.marks, self.source, self.target} - {""}


def draw(entries: Iterable[Entry], *, width: int | None = None, rows: int | None = None) -> str:
    """Return a text sequence diagram of the entries.

    Args:
        entries: What happened, in order. They may begin in the middle of a run.
        width: Characters a line may have, at least 60. Default: 100. If there are too many
            lifelines for it, those that take part least share one.
        rows: Draw the last so many rows only. Default: all.
    """
    width = WIDTH if width is None else width
    if width < MIN_WIDTH:
        raise ValueError(f"width must be at least {MIN_WIDTH}, not {width}.")
    found = list(_Reader([_plain_entry(entry) for entry in entries]).rows())
    if not found:
        return "(nothing happened)"
    shown = found[-rows:] if rows else found
    there = {name for row in shown for name in (*row.involved(), *row.states)}
    names = [name for name in _participants(found) if name in there]
    return "\n".join(_Picture(shown, names, width).lines())


def _plain_entry(entry: Entry) -> Entry:
    time, *words = entry
    who, kind, event, to, text = map(_plain, words)
    if kind in ("schedule", "call"):  # most events carry nothing: not worth a word
        text = "" if text == "None" else text.removeprefix("None ")
    return Entry(time, who, kind, event, to, text)


def _plain(text: str) -> str:
    """Return the text in one line, without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _participants(rows: Sequence[_Row]) -> list[str]:
    """Return who takes part: outside, the dispatcher, then the others as they appear."""
    seen: dict[str, None] = {}
    for row in rows:
        for name in (row.source, row.target, *row.marks):
            seen[name] = None
    first = [name for name in (OUTSIDE, DISPATCHER) if name in seen]
    return first + [name for name in seen if name not in ("", OUTSIDE, DISPATCHER)]


def _cut(text: str, room: int) -> str:
    """Return the text in so many characters at most."""
    if len(text) <= room:
        return text
    return text[: room - 1] + "…" if room > 0 else ""


def _cut_inside(text: str, room: int) -> str:
    """Return a name in so many characters at most: what differs is often its end."""
    if len(text) <= room:
        return text
    tail = min(6, (room - 1) // 2)
    return f"{text[: room - 1 - tail]}…{text[len(text) - tail :]}" if room > 1 else "…"[:room]


# --- from entries to rows -------------------------------------------------------------------------


class _Reader:
    """Turn entries into rows, and keep in mind who is in a callback."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._states = self._open_at_the_begin()

    def rows(self) -> Iterator[_Row]:
        number = 0
        while number < len(self._entries):
            taken = self._together(number)
            yield self._row(taken)
            number += len(taken)

    def _open_at_the_begin(self) -> dict[str, str]:
        """Return who is in a callback that began before the first entry."""
        states: dict[str, str] = {}
        known: set[str] = set()
        for entry in self._entries:
            if entry.kind in ("call", "answer", "raise", "interrupt") and entry.who not in known:
                known.add(entry.who)
                if entry.kind != "call":
                    states[entry.who] = RUNS
        return states

    def _together(self, number: int) -> Sequence[Entry]:
        """Return the entries that make one row: the one of this number, and what goes with it."""
        first = self._entries[number]
        end = number + 1
        if first.kind == "hook":
            end = self._after_hooks(end)
        elif first.kind == "passes":
            # Polls that came to nothing are time that passes, too.
            while (after := self._after_hooks(end)) < len(self._entries):
                if self._entries[after].kind != "passes":
                    break
                end = after + 1
        elif first.kind == "call" and end < len(self._entries):
            following = self._entries[end]
            ends = following.kind in ("answer", "raise")
            if ends and (following.who, following.event) == (first.who, first.event):
                end += 1
        return self._entries[number:end]

    def _after_hooks(self, number: int) -> int:
        while number < len(self._entries) and self._entries[number].kind == "hook":
            number += 1
        return number

    def _row(self, entries: Sequence[Entry]) -> _Row:
        entry = entries[-1]
        who, kind, to = entry.who, entry.kind, entry.to
        label, text = _written(entries)
        row = _Row(time=entries[0].time, label=label, text=text)
        if kind == "passes":
            row.passes, row.text = text, ""
            row.states = dict(self._states)
            return row
        mark = "■" if kind == "answer" and len(entries) > 1 else _MARKS.get(kind, "●")
        if to and to != who:
            row.source, row.target = who, to
        if kind == "hook":
            row.marks = {each.who: mark for each in entries}
        elif who not in _NOBODY and (mark or not row.source):
            row.marks = {who: mark or "●"}
        self._note_state(who, kind)
        row.states = dict(self._states)
        return row

    def _note_state(self, who: str, kind: str) -> None:
        if kind in ("answer", "raise"):
            self._states.pop(who, None)
        elif kind == "interrupt":
            self._states[who] = PAUSED
        elif kind == "call" or who in self._states:  # it begins, or goes on
            self._states[who] = RUNS


def _written(entries: Sequence[Entry]) -> tuple[str, str]:
    """Return a row's label and text."""
    entry = entries[-1]
    label, text = entry.event, entry.text
    match entry.kind:
        case "passes":
            return "", _passing(entries)
        case "hook":
            return label, ", ".join(dict.fromkeys(each.text for each in entries))
        case "answer" if len(entries) > 1:
            return label, " → ".join(words for words in (entries[0].text, text) if words)
        case "raise" if len(entries) > 1 and entries[0].text:
            return label, f"{text}; got {entries[0].text}"
        case "interrupt":
            return label, f"interrupted {text}"
        case "signal":
            return _signal_name(text), ""
        case "cancel":
            return label, f"cancelled {text}".rstrip()
        case _:
            return label, text  # what it is, its arrow, its mark or its words say


def _passing(entries: Sequence[Entry]) -> str:
    seconds = sum(float(entry.text) for entry in entries if entry.kind == "passes")
    hooks = [entry.text for entry in entries if entry.kind == "hook"]
    names = f", {', '.join(dict.fromkeys(hooks))}" if hooks else ""
    times = f" {len(hooks)} times" if len(hooks) > 1 else ""
    return f"{seconds:.9g} s pass{names}{times}"


def _signal_name(number: str) -> str:
    with suppress(ValueError):
        return signal.Signals(int(number)).name
    return f"signal {number}"


# --- from rows to lines ---------------------------------------------------------------------------


class _Words(NamedTuple):
    """What is written in a row.

    Attributes:
        beside: What stands on the arrow or beside the mark.
        where: Behind which lifeline.
        end: What stands at the end of the row.
    """

    beside: str
    where: int
    end: str


class _Picture:
    """Give everything its place."""

    def __init__(self, rows: Sequence[_Row], names: list[str], width: int) -> None:
        self._rows = rows
        self._width = width
        self._time_width = max(len(_seconds(row.time)) for row in rows)
        self._titles = names or [""]
        self._column = {name: number for number, name in enumerate(names)}
        self._shared: set[str] = set()
        self._positions: list[int] = []
        self._end = 0
        self._arrange(names)

    def lines(self) -> Iterator[str]:
        yield from self._header()
        shown = ""
        for row in self._rows:
            if row.passes:
                yield _cut(_dotted(row.passes, self._width), self._width).rstrip()
                shown = ""
                continue
            time = _seconds(row.time)
            yield self._line(row, "" if time == shown else time)
            shown = time
        if legend := self._legend():
            yield legend

    # --- where lifelines stand ----------------------------------------------------------------

    def _arrange(self, names: list[str]) -> None:
        """Choose where lifelines stand: as wide as there is room for, then who shares one."""
        involvement = Counter(name for row in self._rows for name in row.involved())
        # Who shares first: who takes part least; of those, who came last.
        others = [name for name in names if name not in (OUTSIDE, DISPATCHER)]
        others.sort(key=lambda name: -involvement[name])
        while not self._fits() and len(others) > 1:
            self._shared |= {others.pop(), others.pop()} if not self._shared else {others.pop()}
            alone = [name for name in names if name not in self._shared]
            self._titles = [*alone, f"{len(self._shared)} others"]
            self._column = {name: number for number, name in enumerate(alone)}
            self._column |= dict.fromkeys(self._shared, len(alone))

    def _fits(self) -> bool:
        wanted = self._wanted()
        for gap, notes in _TRIES:
            self._place(wanted, gap)
            longest = max(len(self._words(row).end) for row in self._rows)
            if self._end + min(longest, notes) <= self._width:
                return True
        return False

    def _wanted(self) -> list[int]:
        """Return how many characters there should be from each lifeline to the next."""
        gaps = [8] * len(self._titles)
        for one, (left, right) in enumerate(pairwise(self._titles)):
            gaps[one] = max(gaps[one], (len(left) + len(right)) // 2 + 3)
        gaps[-1] = _LAST
        for row in sorted(self._rows, key=lambda row: len(self._ways(row))):
            ways, text = self._ways(row), self._text(row)
            short = len(text) + 1 if 0 < len(text) <= _SHORT else 0
            needed = len(row.label) + short + _BESIDE
            if row.label and ways and all(gaps[way] < needed for way in ways):
                gaps[ways[0]] = needed
        return gaps

    def _place(self, wanted: list[int], most: int) -> None:
        """Place the lifelines, so many characters apart at most."""
        first = max(self._time_width + 2, len(self._titles[0]) // 2)
        self._positions = [first]
        for gap in wanted[:-1]:
            self._positions.append(self._positions[-1] + min(gap, most))
        self._end = self._positions[-1] + min(wanted[-1], most)

    def _ways(self, row: _Row) -> Sequence[int]:
        """Return behind which lifelines the label may stand, the best one first."""
        source, target = self._ends(row)
        if source < target:
            return range(source, target)
        if source > target:
            return range(source - 1, target - 1, -1)
        columns = {self._column[name] for name in row.marks} or {source}
        return list(columns) if len(columns) == 1 and columns != {-1} else []

    def _ends(self, row: _Row) -> tuple[int, int]:
        if not row.source:
            return -1, -1
        return self._column[row.source], self._column[row.target]

    def _room(self, way: int) -> int:
        """Return how many characters a label behind this lifeline may have."""
        following = [*self._positions[1:], self._end][way]
        return following - self._positions[way] - _BESIDE

    def _text(self, row: _Row) -> str:
        names = [name for name in (*row.marks, row.source, row.target) if name in self._shared]
        return " ".join((*(f"({name})" for name in dict.fromkeys(names)), row.text)).strip()

    def _words(self, row: _Row) -> _Words:
        if row.passes:
            return _Words("", 0, "")
        text = self._text(row)
        if not row.label:
            return _Words("", 0, text)
        both = f"{row.label} {text}".strip()
        ways = self._ways(row)
        for words, end in ((both, ""), (row.label, text)):
            for way in ways:
                if len(words) <= self._room(way):
                    return _Words(words, way, end)
        label = _cut_inside(row.label, max(_SHORT // 2, self._width - self._end))
        return _Words("", 0, f"{label} {text}".strip())

    # --- lines ----------------------------------------------------------------------------------

    def _header(self) -> Iterator[str]:
        """Yield the lifelines' names: in one line or, if they are too long, in two."""
        spans = [self._span(number) for number in range(len(self._titles))]
        step = 1 if all(left.stop < right.start for left, right in pairwise(spans)) else 2
        for first in range(step):
            canvas = [" "] * self._width
            if first:  # the lifelines whose names stand above
                for position in self._positions[::2]:
                    canvas[position] = IDLE
            for number in range(first, len(self._titles), step):
                self._write_title(canvas, number, step)
            yield "".join(canvas).rstrip()
        yield self._line(_Row(time=0.0), "")

    def _span(self, number: int, room: int = WIDTH) -> range:
        """Return where a lifeline's name stands."""
        length = min(len(self._titles[number]), room)
        begin = max(0, min(self._positions[number] - length // 2, self._width - length))
        return range(begin, begin + length)

    def _write_title(self, canvas: list[str], number: int, step: int) -> None:
        position = self._positions[number]
        around = [number - 1, number + 1] if number % 2 else [number - step, number + step]
        beside = [self._positions[other] for other in around if 0 <= other < len(self._positions)]
        # In the lower line it must not touch the lifelines beside it, else not the names.
        share = 2 if step > 1 and number % 2 else 1
        room = min((abs(other - position) for other in beside), default=self._width) * share - 1
        if step == 1:  # there is room for all
            room = self._width
        span = self._span(number, room)
        canvas[span.start : span.stop] = _cut_inside(self._titles[number], len(span))

    def _line(self, row: _Row, time: str) -> str:
        canvas = [" "] * self._width
        canvas[self._time_width - len(time) : self._time_width] = time
        states = self._lifelines(row.states)
        for position, state in zip(self._positions, states, strict=True):
            canvas[position] = state
        words = self._words(row)
        source, target = self._ends(row)
        begin = self._positions[words.where] + 2
        if source != target:
            self._write_arrow(canvas, states, source, target)
            begin += (self._room(words.where) - len(words.beside) + 1) // 2
        elif row.source:
            canvas[self._positions[source]] = "●"
        canvas[begin : begin + len(words.beside)] = words.beside
        for name, mark in row.marks.items():
            canvas[self._positions[self._column[name]]] = mark
        # What is too long for the end of the row may begin earlier, if nothing stands there.
        free = (
            self._end if words.beside and begin > self._positions[-1] else self._positions[-1] + 3
        )
        at = max(free, min(self._end, self._width - len(words.end)))
        return f"{''.join(canvas[:at])}{_cut(words.end, self._width - at)}".rstrip()

    def _lifelines(self, states: Mapping[str, str]) -> list[str]:
        """Return each lifeline's character."""
        found = [IDLE] * len(self._titles)
        for name, state in states.items():
            column = self._column.get(name)
            if column is not None and found[column] != RUNS:
                found[column] = state
        return found

    def _write_arrow(self, canvas: list[str], states: list[str], source: int, target: int) -> None:
        begin, end = self._positions[source], self._positions[target]
        for position in range(min(begin, end) + 1, max(begin, end)):
            canvas[position] = "─"
        for column in range(min(source, target) + 1, max(source, target)):
            canvas[self._positions[column]] = _CROSSING[states[column]]
        canvas[end - 1 if begin < end else end + 1] = ">" if begin < end else "<"

    def _legend(self) -> str:
        used = {mark for row in self._rows for mark in row.marks.values()}
        used |= {state for row in self._rows for state in row.states.values()}
        words = [f"{mark} {words}" for mark, words in _LEGEND.items() if mark in used]
        return _cut("   ".join(words), self._width)


def _dotted(words: str, width: int) -> str:
    dots = "· " * max(1, (width - len(words) - 2) // 4)
    return f"{dots}{words} {dots[::-1].lstrip()}"


def _seconds(time: float) -> str:
    return f"{time:.3f} s"
