"""Compare what a file holds, or a stub has received, with what a test expects.

Pure functions of texts and records; any thread.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from zenactors.spec.cases import Content

ROWS = 12  # of a difference, at most
WIDTH = 160  # of a row, at most

T = TypeVar("T")


class Found:
    """What was found.

    Args:
        items: A line or a record each.
        text: The whole text.
    """

    def __init__(self, items: Sequence[Any], text: str | None = None) -> None:
        self.items = items
        self.lines = [item if isinstance(item, str) else as_json(item) for item in items]
        self.text = "".join(f"{line}\n" for line in self.lines) if text is None else text

    @classmethod
    def in_file(cls, data: bytes) -> Found:
        """Return what a file holds."""
        text = data.decode("utf-8", "backslashreplace")
        lines = text.split("\n")
        return cls(lines if lines[-1] else lines[:-1], text)

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each item.

        Raises:
            ValueError: An item is none.
        """
        return [self._record(number, item) for number, item in enumerate(self.items, 1)]

    @staticmethod
    def _record(number: int, item: Any) -> dict[str, Any]:
        record = item
        if isinstance(item, str):
            with contextlib.suppress(ValueError):
                record = json.loads(item)
        if isinstance(record, dict):
            return record
        raise ValueError(f"expected records, but line {number} is none: {_cut(str(item))}")


def as_json(value: Any) -> str:
    """Return a value as the JSON of a line."""
    return json.dumps(value, ensure_ascii=False, default=_as_text)


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def differences(subject: str, expected: Content, found: Found) -> Iterator[str]:
    """Yield the lines of a report; none if it is as expected.

    Args:
        subject: The file or the stub, as the report names it.
        expected: What it must hold.
        found: What it holds.
    """
    if expected.text is not None and found.text != expected.text:
        yield f"{subject}: the text is not as expected"
        yield from _diff(expected.text.splitlines(), found.text.splitlines())
        if expected.text.splitlines() == found.text.splitlines():
            yield "  only the line ends differ"
    if expected.lines is not None:
        yield from _compare(subject, expected, expected.lines, found.lines, _LINE)
    if expected.records is not None:
        try:
            records = found.records()
        except ValueError as cause:
            yield f"{subject}: {cause}"
        else:
            yield from _compare(subject, expected, expected.records, records, _RECORD)
    for text in expected.contains:
        if text not in found.text:
            yield f"{subject}: expected to contain {_cut(text)!r}, but it has {_size(found.lines)}"
            yield from _rows("  ", found.lines)
    if expected.count is not None:
        lines = _distinct(found.lines, _LINE) if expected.repeats else found.lines
        if len(lines) != expected.count:
            yield f"{subject}: expected {_number(expected.count, 'line')}, got {len(lines)}"


class _Kind(NamedTuple):
    """How items are called, compared and shown.

    Attributes:
        noun: Their name in reports.
        fits: Returns True if an item (the second) is the expected one (the first).
        shown: Returns an item for a report, with the keys that the expected items have.
    """

    noun: str
    fits: Callable[[Any, Any], bool]
    shown: Callable[[Any, Sequence[Any]], str]


def fits(expected: Any, found: Any) -> bool:
    """Return True if a value is as expected; a table may have more keys."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and fits(value, found[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list | tuple)
            and len(expected) == len(found)
            and all(map(fits, expected, found))
        )
    if isinstance(found, bytes):
        found = found.decode("utf-8", "backslashreplace")
    return isinstance(expected, bool) is isinstance(found, bool) and bool(expected == found)


def _as_expected(record: dict[str, Any], like: Sequence[dict[str, Any]]) -> str:
    keys = {key for each in like for key in each}
    return as_json({key: value for key, value in record.items() if key in keys or not keys})


_LINE = _Kind("line", operator.eq, lambda line, _: str(line))
_RECORD = _Kind("record", fits, _as_expected)


def _compare(
    subject: str, content: Content, expected: list[Any], found: list[Any], kind: _Kind
) -> Iterator[str]:
    if content.repeats:
        found = _distinct(found, kind)
    pairs = (_in_order if content.ordered else _matched)(expected, found, kind.fits)
    if len(pairs) == len(expected) == len(found):
        return
    others = ", but others" if len(expected) == len(found) else f", got {len(found)}"
    yield f"{subject}: expected {_number(len(expected), kind.noun)}{others}"
    before = [kind.shown(item, expected) for item in expected]
    after = [kind.shown(item, expected) for item in found]
    if content.ordered:
        yield from _diff(before, [before[pairs.get(n, -1)] if n in pairs else text
                                  for n, text in enumerate(after)])  # fmt: skip
        return
    taken = set(pairs.values())
    yield from _rows("  - ", [text for n, text in enumerate(before) if n not in taken])
    yield from _rows("  + ", [text for n, text in enumerate(after) if n not in pairs])


def _distinct(items: Sequence[T], kind: _Kind) -> list[T]:
    return list({kind.shown(item, []): item for item in reversed(items)}.values())[::-1]


def _in_order(
    expected: Sequence[Any], found: Sequence[Any], fit: Callable[[Any, Any], bool]
) -> dict[int, int]:
    """Return the positions at which the items are as expected, as `_matched` does."""
    pairs = enumerate(zip(expected, found, strict=False))
    return {number: number for number, (wanted, item) in pairs if fit(wanted, item)}


def _matched(
    expected: Sequence[Any], found: Sequence[Any], fit: Callable[[Any, Any], bool]
) -> dict[int, int]:
    """Return as many pairs as possible: which item found is which one expected."""
    pairs: dict[int, int] = {}

    def place(wanted: int, seen: set[int]) -> bool:
        fitting = [
            n for n, item in enumerate(found) if n not in seen and fit(expected[wanted], item)
        ]
        for number in sorted(fitting, key=pairs.__contains__):  # the free ones first
            seen.add(number)
            if number not in pairs or place(pairs[number], seen):
                pairs[number] = wanted
                return True
        return False

    for wanted in range(len(expected)):
        place(wanted, set())
    return pairs


def _diff(expected: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    rows = list(difflib.unified_diff(expected, found, n=1, lineterm=""))[2:]
    shown = ["…" if row.startswith("@@") else f"{row[:1]} {row[1:]}" for row in rows]
    yield from _rows("  ", shown[1:] if rows and rows[0].startswith(("@@ -1", "@@ -0")) else shown)


def _rows(before: str, rows: Sequence[str]) -> Iterator[str]:
    for row in rows[:ROWS]:
        yield before + _cut(row)
    if len(rows) > ROWS:
        yield f"{before}… and {len(rows) - ROWS} more"


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _size(lines: Sequence[str]) -> str:
    return _number(len(lines), "line")


def _number(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
