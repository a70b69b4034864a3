"""What programs get and give: a record for each line, as JSON or as text."""

from __future__ import annotations

import json
from typing import Any, Literal

from zenactors.components._json_text import encode_json

TextFormat = Literal["json", "text"]


def encode_record(record: Any, text_format: TextFormat) -> bytes:
    """Return a record as a line with its end.

    Args:
        record: For "text": bytes, a text, or a dict with a text as `line`. For "json": anything;
            bytes become a dict with `line`.
        text_format: "json" or "text".

    Raises:
        TypeError: It cannot be a line of text.
        ValueError: It has several lines, which a program would take for several records.
    """
    if text_format == "json":
        if isinstance(record, bytes):
            record = {"line": record.decode("utf-8", "replace")}
        # A lone surrogate cannot be encoded as UTF-8; escaped, it is valid JSON.
        return encode_json(record).encode("utf-8", errors="backslashreplace") + b"\n"
    line = record.get("line") if isinstance(record, dict) else record
    if isinstance(line, str):
        line = line.encode("utf-8", errors="surrogateescape")
    if not isinstance(line, bytes):
        raise TypeError(
            f"A {type(record).__name__} without a text as 'line' cannot be a line of text:"
            ' use format = "json".'
        )
    if b"\n" in line:
        raise ValueError('A record of several lines cannot be given as text: use format = "json".')
    return line + b"\n"


def decode_line(line: bytes, text_format: TextFormat) -> Any:
    """Return the record in a line without its end: bytes for "text".

    Raises:
        ValueError: It is no JSON.
    """
    if text_format == "text":
        return line
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise ValueError(f"An answer is no JSON: {cause}: {line[:200]!r}") from cause
