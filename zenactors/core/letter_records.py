"""Dead letters as lines of JSON: a file to which lines are only appended. Pure: no I/O, no clock.

Each line is an object with the keys `record` and `id`. A `letter` line is a whole letter; a later
one with the same id takes its place. A `replayed` or `purged` line says that it is gone.

Values that JSON does not have are objects with one key, which begins with `$`:

    {"$bytes": "aGk="} {"$bytearray": "aGk="} {"$tuple": […]} {"$set": […]} {"$frozenset": […]}
    {"$dict": [[key, value], …]} {"$float": "nan"} {"$int": "0x…"} {"$repr": "…"}

All can be read back but the last one, which stands for any other object: a letter with one in its
args can be shown, but not replayed.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

from zenactors.core.dead_letters import DeadLetter
from zenactors.core.text import short_repr

MAX_DEPTH = 50
"""How deep values may be nested. What is deeper becomes a `$repr`, and so does what is a ring."""

_PLAIN_BITS = 63  # of a whole number that every reader of JSON takes
_MOST_AGAIN = 100_000  # values in collections that are written more than once, and of these
_AGAIN_EACH = 10  # further ones for each value that is written for the first time
_COLLECTIONS: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}
_LARGEST = 1 << _PLAIN_BITS
_NUMBERS = ("incarnation", "attempts", "deliveries", "first", "last")


@dataclasses.dataclass(frozen=True, slots=True)
class NotReplayable:
    """Stands for an object that could not be written as JSON.

    Attributes:
        text: Its `repr`.
    """

    text: str

    def __repr__(self) -> str:
        return self.text


class RecordedError(Exception):
    """Stands for an exception that was read from a file. Its class has the name of the original."""


def to_json(value: Any) -> Any:
    """Return what a value is as JSON. It never raises, unless the value's own `repr` is fatal.

    An object that occurs in several places is written in each. What holds itself, or would become
    huge by that, is a `$repr` there.
    """
    return _Writer().write(value, MAX_DEPTH)


class _Writer:
    """Write one value as JSON, and see to it that this has an end.

    In a graph, the ways to an object can be far more than the objects.
    """

    def __init__(self) -> None:
        self._around: set[int] = set()  # the collections that the current one is in, by `id`
        self._seen: set[int] = set()
        self._room = _MOST_AGAIN  # values in collections that may be written once more

    def write(self, value: Any, depth: int) -> Any:
        """Return a value as JSON."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if value.bit_length() <= _PLAIN_BITS else {"$int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"$float": str(value)}
        if kind is bytes or kind is bytearray:
            return {f"${kind.__name__}": base64.b64encode(value).decode()}
        if kind is list or kind is dict or kind in _COLLECTIONS:
            return self._collection(value, depth - 1)
        return {"$repr": short_repr(value)}

    def _collection(self, value: Any, depth: int) -> Any:
        kind, mark = type(value), id(value)
        problem = self._problem(mark, len(value), depth)
        if problem:  # its `repr` has the same problem
            return {"$repr": f"<{kind.__name__} that {problem}>"}
        self._around.add(mark)
        try:
            if kind is dict:
                return self._table(value, depth)
            items = [self.write(each, depth) for each in value]
        finally:
            self._around.discard(mark)
        return items if kind is list else {_COLLECTIONS[kind]: items}

    def _problem(self, mark: int, size: int, depth: int) -> str:
        if mark in self._around:
            return "holds itself"
        if depth < 0:
            return "is nested too deep"
        if mark not in self._seen:
            self._seen.add(mark)
            self._room += size * _AGAIN_EACH
            return ""
        self._room -= size
        return "occurs too often" if self._room < 0 else ""

    def _table(self, value: dict[Any, Any], depth: int) -> Any:
        is_plain = all(type(key) is str for key in value)
        if not is_plain or (len(value) == 1 and next(iter(value)).startswith("$")):
            pairs = [
                [self.write(key, depth), self.write(each, depth)] for key, each in value.items()
            ]
            return {"$dict": pairs}
        return {key: self.write(each, depth) for key, each in value.items()}


def from_json(value: Any) -> Any:
    """Return the value that `to_json` was given, as far as it can be known.

    Raises:
        ValueError: A mark is unknown, or its content is wrong.
    """
    if isinstance(value, list):
        return [from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, content),) = value.items()
        if mark.startswith("$"):
            return _marked(mark, content)
    return {key: from_json(each) for key, each in value.items()}


def _marked(mark: str, content: Any) -> Any:
    read = _MARKS.get(mark)
    if read is None:
        raise ValueError(f"unknown mark {mark!r}")
    try:
        return read(content)
    except (TypeError, AttributeError, binascii.Error) as cause:
        raise ValueError(f"wrong content of {mark!r}: {cause}") from cause


_MARKS: dict[str, Callable[[Any], Any]] = {
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$bytearray": lambda text: bytearray(base64.b64decode(text, validate=True)),
    "$tuple": lambda items: tuple(map(from_json, items)),
    "$set": lambda items: set(map(from_json, items)),
    "$frozenset": lambda items: frozenset(map(from_json, items)),
    "$dict": lambda pairs: {from_json(key): from_json(each) for key, each in pairs},
    "$float": float,
    "$int": lambda text: int(text, 16),
    "$repr": lambda text: NotReplayable(str(text)),
}


def is_replayable(value: Any) -> bool:
    """Return False if a part of a value could not be written as JSON when it was recorded."""
    left, seen = [value], set[int]()
    while left:
        each = left.pop()
        kind = type(each)
        if kind is NotReplayable:
            return False
        if (kind is list or kind is dict or kind in _COLLECTIONS) and id(each) not in seen:
            seen.add(id(each))  # it may hold itself, if it was not read from a file
            left.extend(each)
            if kind is dict:
                left.extend(each.values())
    return True


# --- lines ------------------------------------------------------------------------------------


def letter_line(letter: DeadLetter) -> bytes:
    """Return the line of a letter, with its newline."""
    record: dict[str, Any] = {"record": "letter", "id": letter.id}
    record |= {"event": to_json(letter.event), "args": to_json(letter.args)}
    record |= {"component": letter.component, "callback": letter.callback}
    record["cause"] = {"type": type(letter.cause).__name__, "text": _text_of(letter.cause)}
    record |= {name: getattr(letter, name) for name in _NUMBERS}
    record |= {"position": to_json(letter.position), "traceback": letter.traceback}
    return _line(record)


def gone_line(how: Literal["replayed", "purged"], letter_id: str, now: float) -> bytes:
    """Return the line that says since when a letter is gone, with its newline."""
    return _line({"record": how, "id": letter_id, "time": now})


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def _text_of(cause: BaseException) -> str:
    try:
        return str(cause)
    except Exception as problem:
        return f"<its text raises {type(problem).__name__}>"


def fields_of(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter as a value of JSON: what its line holds."""
    fields: dict[str, Any] = json.loads(letter_line(letter))
    del fields["record"]
    return fields


@dataclasses.dataclass(slots=True)
class Records:
    """The content of a file.

    Attributes:
        letters: The letters that are not gone, by id, in the order in which they first failed.
        newest: The line of each of these.
        lines: How many lines it has.
        broken: The numbers of the lines that are no records, from 1: a line that a crash has torn,
            say.
        foreign: Of these, the lines that are whole objects: of a newer version, perhaps.
    """

    letters: dict[str, DeadLetter] = dataclasses.field(default_factory=dict)
    newest: dict[str, bytes] = dataclasses.field(default_factory=dict)
    lines: int = 0
    broken: list[int] = dataclasses.field(default_factory=list)
    foreign: list[bytes] = dataclasses.field(default_factory=list)


def read_records(lines: Iterable[bytes]) -> Records:
    """Return what lines hold. Lines that are no records are noted and left out; it never raises."""
    records = Records()
    for line in lines:
        records.lines += 1
        if not line.strip():
            continue  # it repairs a torn one
        record = None
        try:
            record = json.loads(line)
            _take(records, line, record)
        except (ValueError, TypeError, KeyError, RecursionError):
            records.broken.append(records.lines)
            if isinstance(record, dict):
                records.foreign.append(line)
    return records


def _take(records: Records, line: bytes, record: dict[str, Any]) -> None:
    letter_id = record["id"]
    if type(letter_id) is not str or not letter_id:
        raise ValueError("wrong id")
    if record["record"] == "letter":
        records.letters[letter_id] = _letter(record)
        records.newest[letter_id] = line
    elif record["record"] in ("replayed", "purged"):
        records.letters.pop(letter_id, None)
        records.newest.pop(letter_id, None)
    else:
        raise ValueError("unknown record")


def _letter(record: dict[str, Any]) -> DeadLetter:
    cause = record["cause"]
    kind = type(str(cause["type"]), (RecordedError,), {})
    numbers = {name: record[name] for name in _NUMBERS}
    for name, number in numbers.items():
        if type(number) not in (int, float) or not abs(number) < _LARGEST:
            raise ValueError(f"wrong {name}")
    return DeadLetter(
        from_json(record["event"]),
        from_json(record["args"]),
        str(record["component"]),
        str(record["callback"]),
        kind(str(cause["text"])),
        **numbers,
        position=from_json(record["position"]),
        trace=str(record["traceback"]),
        id=record["id"],
    )


# --- filters ----------------------------------------------------------------------------------

Where = Callable[[DeadLetter], Any]


def matching(
    letters: Iterable[DeadLetter],
    *,
    event: Any = None,
    component: str | None = None,
    where: Where | None = None,
) -> list[DeadLetter]:
    """Return the letters that meet all conditions.

    Args:
        letters: From these.
        event: The name of their event. None: of any.
        component: The component that failed. None: any.
        where: Called with a letter; the result is true for those to return.
    """
    return [
        letter
        for letter in letters
        if (event is None or letter.event == event)
        and (component is None or letter.component == component)
        and (where is None or where(letter))
    ]


def has_field(letter: DeadLetter, key: str, text: str) -> bool:
    """Return True if a key of a letter's args, or else a field of the letter, has this text.

    For the command line. The field `cause` is the class of the exception.
    """
    if isinstance(letter.args, dict) and key in letter.args:
        return _has_text(letter.args[key], text)
    if key == "cause":
        return type(letter.cause).__name__ == text
    fields = ("id", "event", "args", "component", "callback", "position", *_NUMBERS)
    return key in fields and _has_text(getattr(letter, key), text)


def _has_text(value: Any, text: str) -> bool:
    try:
        return str(value) == text
    except ValueError:  # a whole number with so many digits that Python does not show them
        return False
