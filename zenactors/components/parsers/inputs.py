"""What the args of a `lines` event give a parser: texts, and what becomes of the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from zenactors.components.parsers.format import is_unicode
from zenactors.components.records import records_of
from zenactors.components.tail.lines import Lines

NO_TEXT = "(none)"

Record = dict[str, Any]


class Batch(Protocol):
    """The texts of one event."""

    @property
    def texts(self) -> Sequence[str | None]:
        """The texts, without lone surrogates; None where a record has no text to parse."""
        ...

    @property
    def bad(self) -> int:
        """How many of the texts were decoded with replacement."""
        ...

    @property
    def source(self) -> str:
        """Where the texts come from, for the log."""
        ...

    def raw(self, numbers: Sequence[int]) -> bytes:
        """Return the texts with these numbers as lines of a file of rejects."""
        ...

    def finish(self, parsed: list[Record], left_out: Sequence[int]) -> list[Record]:
        """Return what goes on, in order.

        Args:
            parsed: The records of the texts that are records, in order.
            left_out: The numbers of all others, in order.
        """
        ...


class LineBatch:
    """Lines of a file, or a list of lines, each of them bytes or a text.

    Raises:
        TypeError: The args are something else.
    """

    __slots__ = ("_add_source", "_args", "bad", "texts")

    def __init__(self, args: Any, *, add_source: bool) -> None:
        self._args = args
        self._add_source = add_source
        if isinstance(args, Lines):
            is_good = args.encoding == "utf-8" and args.data.isascii()  # known at once
            self.bad = 0 if is_good else args.bad_lines()
            self.texts = args.texts()
        else:
            self.texts, self.bad = _decoded(args)

    @property
    def source(self) -> str:
        """The path of the file."""
        return self._args.path if isinstance(self._args, Lines) else "the input"

    def raw(self, numbers: Sequence[int]) -> bytes:
        """Return the lines as they are in the file, each with its end."""
        if isinstance(self._args, Lines):
            return _raw_lines(self._args, numbers)
        lines = (self._args[number] for number in numbers)
        return b"".join(
            (line.encode("utf-8", "surrogatepass") if isinstance(line, str) else bytes(line))
            + b"\n"
            for line in lines
        )

    def finish(self, parsed: list[Record], left_out: Sequence[int]) -> list[Record]:
        """Add their source to the records, if they are to have it."""
        if self._add_source and isinstance(self._args, Lines):
            _add_source(parsed, self._args, left_out)
        return parsed


class FieldBatch:
    """A field of records. What is parsed is merged into copies of them.

    Raises:
        TypeError: The args are no records.
    """

    source = "the input"

    def __init__(self, args: Any, *, field: str, keep_unmatched: bool) -> None:
        self._records = records_of(args)
        self._field = field
        self._keep_unmatched = keep_unmatched
        self.bad = args.bad_lines() if isinstance(args, Lines) else 0
        self.texts = [self._text_of(record) for record in self._records]

    def _text_of(self, record: Any) -> str | None:
        if not isinstance(record, dict):
            raise TypeError(
                f"With the option field, a list of records (dicts) is expected, but got one of"
                f" {type(record).__name__}: put a parser without field first."
            )
        decoded = decode(record.get(self._field))
        if decoded is None:
            return None
        text, is_bad = decoded
        self.bad += is_bad
        return text

    def raw(self, numbers: Sequence[int]) -> bytes:
        """Return the records as JSON, one per line."""
        return "".join(
            _json_of(self._records[number], self.texts[number]) + "\n" for number in numbers
        ).encode()

    def finish(self, parsed: list[Record], left_out: Sequence[int]) -> list[Record]:
        """Merge what was parsed into copies of the records."""
        not_parsed = set(left_out)
        found = iter(parsed)
        finished = []
        for number, record in enumerate(self._records):
            if number not in not_parsed:
                finished.append(self._merged(record, next(found)))
            elif self._keep_unmatched:
                finished.append(record)
        return finished

    def _merged(self, record: Record, parsed: Record) -> Record:
        # Text from outside must not replace what the record has from elsewhere: its source, say.
        merged = record | parsed | record
        if self._field in parsed:
            merged[self._field] = parsed[self._field]
        return merged


def decode(value: Any) -> tuple[str, bool] | None:
    """Return a text and whether something in it was replaced; None if it is no text."""
    if isinstance(value, str):
        if is_unicode(value):
            return value, False
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), True
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode(), False
        except UnicodeDecodeError:
            return value.decode(errors="replace"), True
    return None


def _decoded(args: Any) -> tuple[list[str], int]:
    if not isinstance(args, list):
        raise TypeError(f"A parser takes Lines or a list of lines, but got {type(args).__name__}.")
    try:
        return [line.decode() for line in args], 0
    except (UnicodeDecodeError, AttributeError):
        pass
    texts = []
    bad = 0
    for line in args:
        decoded = decode(line)
        if decoded is None:
            what = type(line).__name__
            advice = " To parse a field of records, use Parse with the option field."
            raise TypeError(
                f"A parser takes lines, but got a list with a {what}."
                + (advice if isinstance(line, dict) else "")
            )
        texts.append(decoded[0])
        bad += decoded[1]
    return texts, bad


def _raw_lines(lines: Lines, numbers: Sequence[int]) -> bytes:
    begins = [offset - lines.offset for offset in lines.offsets()]
    ends = [*begins[1:], len(lines.data)]
    return b"".join(
        line if line.endswith(lines.delimiter) else line + lines.delimiter
        for line in (lines.data[begins[number] : ends[number]] for number in numbers)
    )


def _add_source(records: list[Record], lines: Lines, left_out: Sequence[int]) -> None:
    without = set(left_out)
    offsets = [offset for n, offset in enumerate(lines.offsets()) if n not in without]
    for record, offset in zip(records, offsets, strict=True):
        record["file"] = lines.path
        record["offset"] = offset
        record["id"] = lines.file_id
        record["generation"] = lines.generation


def _json_of(record: Record, text: str | None) -> str:
    try:
        return json.dumps(record, default=str)
    except (TypeError, ValueError, RecursionError):  # JSON cannot hold it: keep its text at least
        return json.dumps({"text": text})
