"""`CutterRules`: how a file is cut into lines and records; made from a user's options."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Literal, get_args

from zenactors.components.tail.lines import unit_of

MAX_LINE_BYTES = 102_400
MAX_RECORD_LINES = 1_000
HEAD_BYTES = 4  # how many bytes of a file's beginning tell its byte order

LongLines = Literal["truncate", "split", "skip"]


@dataclass(frozen=True, slots=True)
class CutterRules:
    """How to cut a file; made by `rules_for`, which checks the values.

    Attributes:
        delimiter: The bytes that end a line.
        unit: Bytes of a code unit. A delimiter counts only at a multiple of it from the first byte
            of the file: 2 for UTF-16, 4 for UTF-32, otherwise 1.
        encoding: The codec of the text, with its byte order.
        max_line_bytes: The limit of a line, without its delimiter.
        long_lines: "truncate" cuts a longer line off, "split" returns it in pieces, "skip" leaves
            it out.
        multiline: A line that matches begins a record. None: each line is a record.
        max_record_lines: The limit of a multi-line record in lines.
        max_record_bytes: The limit of a multi-line record, without its last delimiter.
    """

    delimiter: bytes = b"\n"
    unit: int = 1
    encoding: str = "utf-8"
    max_line_bytes: int = MAX_LINE_BYTES
    long_lines: LongLines = "truncate"
    multiline: re.Pattern[str] | None = None
    max_record_lines: int = MAX_RECORD_LINES
    max_record_bytes: int = MAX_LINE_BYTES


# Codecs with shift sequences or escapes take some of these for such sequences. They cannot decode
# lines one by one.
_PLAIN = rb"\n\u0041 +AGE- ~{ & abc-" + b"\x0e\x0f\x1b$B\x1b(B"
_ALL = bytes(set(range(256)) - set(b"\\")) + _PLAIN
_BYTE_ORDERS = {
    "utf-16": (b"\xfe\xff", "utf-16-be", "utf-16-le"),
    "utf-32": (b"\x00\x00\xfe\xff", "utf-32-be", "utf-32-le"),
}


def rules_for(
    encoding: str = "utf-8",
    delimiter: str | None = None,
    head: bytes = b"",
    *,
    max_line_bytes: int = MAX_LINE_BYTES,
    long_lines: str = "truncate",
    multiline: str | None = None,
    max_record_lines: int = MAX_RECORD_LINES,
) -> CutterRules:
    r"""Check a user's options, and return the rules for a file.

    Args:
        encoding: A codec of Python for text. "utf-16" and "utf-32" have the byte order of their
            mark; without one they are little endian.
        delimiter: The text that ends a line. None: ``\n``.
        head: The first `HEAD_BYTES` of the file, or as many as it has. Only "utf-16" and "utf-32"
            depend on them; without them, the options are checked all the same.
        max_line_bytes: The limit of a line and of a multi-line record, without the delimiter.
        long_lines: "truncate", "split" or "skip".
        multiline: A regular expression. A line at whose beginning it matches begins a record.
        max_record_lines: The limit of a multi-line record in lines.

    Raises:
        ValueError: A value is wrong.
    """
    codec = _resolve(encoding, head)
    unit = unit_of(codec)
    limit = _positive("max_line_bytes", max_line_bytes)
    limit = max(limit - limit % unit, unit)  # so that a piece ends with a whole code unit
    return CutterRules(
        delimiter=_encode_delimiter("\n" if delimiter is None else delimiter, codec, encoding),
        unit=unit,
        encoding=codec,
        max_line_bytes=limit,
        long_lines=_check_long_lines(long_lines),
        multiline=None if multiline is None else _compile(multiline),
        max_record_lines=_positive("max_record_lines", max_record_lines),
        max_record_bytes=limit,
    )


def _resolve(encoding: str, head: bytes) -> str:
    """Return the name of the codec, with its byte order."""
    try:
        name = codecs.lookup(encoding).name
        if name in _BYTE_ORDERS:
            mark, big, little = _BYTE_ORDERS[name]
            return big if head and mark.startswith(head[: len(mark)]) else little
        if name == "utf-8-sig":
            return "utf-8"
        if unit_of(name) == 1 and not _decodes_bytes(name) and not _keeps_ascii(name):
            raise LookupError
    except (LookupError, TypeError, ValueError):
        raise ValueError(
            f"encoding is {encoding!r}, which lines of text cannot have."
            ' Use "utf-8", "latin-1", "utf-16" or another codec of Python for text.'
        ) from None
    return name


def _decodes_bytes(codec: str) -> bool:
    """Return whether each byte is a character, whatever is before it."""
    return len(_ALL.decode(codec, "replace")) == len(_ALL)


def _keeps_ascii(codec: str) -> bool:
    return len(_PLAIN.decode(codec)) == len(_PLAIN)


def _encode_delimiter(delimiter: str, codec: str, encoding: str) -> bytes:
    if not isinstance(delimiter, str) or not delimiter:
        raise ValueError(
            f"delimiter is {delimiter!r}, but at least one character is expected:"
            r' "\n" for lines, "\0" for the output of find -print0.'
        )
    try:
        encoded = delimiter.encode(codec)
    except UnicodeEncodeError:
        raise ValueError(
            f"delimiter is {delimiter!r}, which {encoding} does not have."
            " Change delimiter or encoding."
        ) from None
    several = unit_of(codec) == 1 and codec != "utf-8" and not _decodes_bytes(codec)
    if several and max(encoded) >= ord("0"):  # GB 18030 has digits in its characters
        raise ValueError(
            f"delimiter is {delimiter!r}, whose bytes can be parts of other characters in"
            f" {encoding}. Use a control character, a blank or one of !\"#$%&'()*+,-./"
        )
    return encoded


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}, but a whole number of at least 1 is expected.")
    return value


def _check_long_lines(value: str) -> LongLines:
    known: tuple[LongLines, ...] = get_args(LongLines)
    for name in known:
        if value == name:
            return name
    raise ValueError(f'long_lines is {value!r}, but "truncate", "split" or "skip" is expected.')


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as cause:
        raise ValueError(
            f"multiline is {pattern!r}, which is not a regular expression: {cause}."
            " Correct it, or leave it out."
        ) from None
