"""A trace as a picture of text: a lifeline for each participant, time from top to bottom.

           outside
           │    dispatcher
           │    │    deposit
    0.000 s│───>│    │    deposit#1
           │    │───>│    deposit#1
           │    │    ┏    deposit#1
           │    │    ┠    deposit#1 interrupted at bank.py:12
           │───>│    ┇    deposit#2
           │    │    ┗    deposit#1

Lifelines are always the same distance apart, and all words are at the end of the row. A callback
during which nothing else happens is one row (`■`). Any other is a bar, which shows that an
interrupted callback is open while others run. Pure functions of the entries.
"""

from __future__ import annotations

import dataclasses
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from zenactors.core.text import printable
from zenactors.testing._trace.trace import DISPATCHER, OUTSIDE, Entry

WIDTH = 100
MIN_WIDTH = 60
IDLE, RUNS, PAUSED, PASSES = "│", "┃", "┇", "·"
_GAP = 5  # characters from one lifeline to the next
_WORDS = 24  # characters that are left for the words of a row, at least
_MARKS = {"call": "┏", "answer": "┗", "raise": "X", "interrupt": "┠"}
_ARROWS = ("schedule", "start", "cancel", "signal")  # kinds that an arrow shows, without a mark
_NOT_PARTICIPANTS = ("time", "daemon")
_LEGEND = {
    "■": "a callback",
    "┏": "it begins",
    "┇": "is interrupted",
    "┗": "ends",
    "X": "raises",
    "●": "hook, log or fault",
}


@dataclasses.dataclass(slots=True, kw_only=True)
class _Row:
    time: float
    event: str
    text: str
    marks: dict[str, str] = dataclasses.field(default_factory=dict)  # on each one's lifeline
    source: str = ""  # where an arrow begins
    target: str = ""
    states: dict[str, str] = dataclasses.field(default_factory=dict)  # of those in a callback
    idle: str = IDLE  # the character of all other lifelines

    def involved(self) -> list[str]:
        """Return the participants that do something, each once."""
        return [name for name in dict.fromkeys((self.source, self.target, *self.marks)) if name]


def draw(entries: Iterable[Entry], *, width: int | None = None, rows: int | None = None) -> str:
    """Return a text sequence diagram of the entries.

    Args:
        entries: The entries in order. They may begin in the middle of a run.
        width: Characters per line, at least 60. Default: 100. If there are too many participants
            for it, those that do least share one lifeline.
        rows: Draw only the last rows, this many. Default: all.
    """
    width = WIDTH if width is None else width
    if width < MIN_WIDTH:
        raise ValueError(f"width must be at least {MIN_WIDTH}, not {width}.")
    found = list(_rows([_plain_entry(entry) for entry in entries]))
    if not found:
        return "(nothing happened)"
    shown = found[-rows:] if rows else found
    there = {name for row in shown for name in (*row.involved(), *row.states)}
    names = [name for name in _participants(found) if name in there]
    return "\n".join(line.rstrip() for line in _lines(shown, names, width))


def _plain_entry(entry: Entry) -> Entry:
    time, *words = entry
    who, kind, event, to, text = map(printable, words)
    if kind in ("schedule", "call"):  # most events carry no arguments: None is not worth a word
        text = "" if text == "None" else text.removeprefix("None ")
    return Entry(time, who, kind, event, to, text)


def _participants(rows: Sequence[_Row]) -> list[str]:
    """Return the participants: outside, the dispatcher, then the others as they appear."""
    seen = dict.fromkeys(name for row in rows for name in row.involved())
    first = [name for name in (OUTSIDE, DISPATCHER) if name in seen]
    return first + [name for name in seen if name not in first]


# --- from entries to rows -------------------------------------------------------------------------


def _rows(entries: Sequence[Entry]) -> Iterator[_Row]:
    states = _open_at_the_beginning(entries)
    number = 0
    while number < len(entries):
        taken = entries[number : _end_of_row(entries, number)]
        number += len(taken)
        row = _row(taken)
        who, kind = taken[-1].who, taken[-1].kind
        if kind in ("answer", "raise"):
            states.pop(who, None)
        elif kind == "interrupt":
            states[who] = PAUSED
        elif kind == "call" or who in states:  # it begins, or goes on
            states[who] = RUNS
        row.states = dict(states)
        yield row


def _open_at_the_beginning(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the participants whose callback began before the first entry."""
    first: dict[str, str] = {}
    for entry in entries:
        if entry.kind in _MARKS:
            first.setdefault(entry.who, entry.kind)
    return {who: RUNS for who, kind in first.items() if kind != "call"}


def _end_of_row(entries: Sequence[Entry], number: int) -> int:
    """Return the number of the first entry that is not in the same row as this one."""
    first, end = entries[number], number + 1
    if first.kind in ("hook", "passes"):  # a poll that found nothing belongs to the passing time
        while end < len(entries) and entries[end].kind in ("hook", first.kind):
            end += 1
        while entries[end - 1].kind != first.kind:
            end -= 1
    elif first.kind == "call" and end < len(entries):
        following = entries[end]
        ends = following.kind in ("answer", "raise")
        end += ends and (following.who, following.event) == (first.who, first.event)
    return end


def _row(entries: Sequence[Entry]) -> _Row:
    entry = entries[-1]
    who, kind, to = entry.who, entry.kind, entry.to
    row = _Row(time=entries[0].time, event=entry.event, text=_text(entries))
    if kind == "passes":
        row.idle = PASSES
        return row
    if to and to != who:
        row.source, row.target = who, to
    if kind == "hook":
        row.marks = {each.who: "●" for each in entries}
    elif who not in _NOT_PARTICIPANTS and not (row.source and kind in _ARROWS):
        row.marks = {who: "■" if len(entries) > 1 and kind == "answer" else _MARKS.get(kind, "●")}
    return row


def _text(entries: Sequence[Entry]) -> str:
    first, last = entries[0], entries[-1]
    match last.kind:
        case "passes":
            return _passing(entries)
        case "hook":
            return ", ".join(dict.fromkeys(each.text for each in entries))
        case "answer" if len(entries) > 1:
            return " → ".join(words for words in (first.text, last.text) if words)
        case "raise" if len(entries) > 1 and first.text:
            return f"{last.text}; got {first.text}"
        case "interrupt":
            return f"interrupted {last.text}"
        case "signal":
            with suppress(ValueError):
                return signal.Signals(int(last.text)).name
            return f"signal {last.text}"
        case "cancel":
            return f"cancelled {last.text}"
        case _:
            return last.text  # its arrow or mark says the rest


def _passing(entries: Sequence[Entry]) -> str:
    seconds = sum(float(entry.text) for entry in entries if entry.kind == "passes")
    hooks = [entry.text for entry in entries if entry.kind == "hook"]
    names = f", {', '.join(dict.fromkeys(hooks))}" if hooks else ""
    times = f" {len(hooks)} times" if len(hooks) > 1 else ""
    return f"{seconds:.9g} s pass{names}{times}"


# --- from rows to lines ---------------------------------------------------------------------------


def _lines(rows: Sequence[_Row], names: Sequence[str], width: int) -> Iterator[str]:
    times = [f"{row.time:.3f} s" for row in rows]
    margin = max(map(len, times)) + 2
    titles, column = _columns(rows, names, (width - margin - _WORDS) // _GAP)
    shared = {name for name in names if titles[column[name]] != name}
    for number, title in enumerate(titles):
        yield _cut(f"{'':{margin}}{f'{IDLE:{_GAP}}' * number}{title}", width)
    for number, row in enumerate(rows):
        time = "" if number and times[number] == times[number - 1] else times[number]
        whose = (f"({name})" for name in row.involved() if name in shared)
        words = " ".join(word for word in (row.event, *whose, row.text) if word)
        line = f"{time:>{margin - 2}}  {_lifelines(row, column, len(titles))}"
        yield _cut(f"{line}{words}", width)
    used = {mark for row in rows for mark in (*row.marks.values(), *row.states.values())}
    if legend := [f"{mark} {words}" for mark, words in _LEGEND.items() if mark in used]:
        yield _cut("   ".join(legend), width)


def _columns(
    rows: Sequence[_Row], names: Sequence[str], most: int
) -> tuple[list[str], dict[str, int]]:
    """Return the lifelines' titles, and the number of each participant's lifeline."""
    titles, column = list(names), {name: number for number, name in enumerate(names)}
    if len(names) > most:
        done = Counter(name for row in rows for name in row.involved())
        keep = sorted(names, key=lambda name: -done[name])[: most - 1]
        alone = [name for name in names if name in keep]
        titles = [*alone, f"{len(names) - len(alone)} others"]
        column = {name: alone.index(name) if name in alone else len(alone) for name in names}
    return titles, column


def _lifelines(row: _Row, column: dict[str, int], count: int) -> str:
    states = [row.idle] * count
    for name, state in row.states.items():
        if name in column and states[column[name]] != RUNS:
            states[column[name]] = state
    canvas = list("".join(f"{state:{_GAP}}" for state in states))
    if row.source:
        source, target = column[row.source] * _GAP, column[row.target] * _GAP
        left, right = min(source, target), max(source, target)
        for position in range(left + 1, right):
            canvas[position] = {" ": "─", IDLE: "┼"}.get(canvas[position], "╂")
        if source < target:
            canvas[target - 1] = ">"
        elif source > target:
            canvas[target + 1] = "<"
        else:
            canvas[source] = "●"
    for name, mark in row.marks.items():
        canvas[column[name] * _GAP] = mark
    return "".join(canvas)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
