"""From the answer of an HTTP server to records or lines. Pure."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

from zenactors.components._http import Answer

Format = Literal["auto", "json", "ndjson", "lines"]
FORMATS = get_args(Format)

_NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class AnswerError(ValueError):
    """An answer is not what it is expected to be."""


def items_of(answer: Answer, format_: Format, path: list[str]) -> tuple[list[Any], int]:
    """Return the records or lines of an answer, and how many bad lines were left out.

    Args:
        answer: The answer.
        format_: What it is; `"auto"` goes by its content type.
        path: The keys that lead to the records in a JSON answer.

    Raises:
        AnswerError: It is not of this format, or has nothing at that path.
    """
    if format_ == "auto":
        format_ = _format_of(answer.headers.get("content-type", ""))
    if format_ == "lines":
        return _lines_of(answer.body), 0
    if format_ == "ndjson":
        return _records_of_lines(answer.body)
    return _records_of_json(answer.body, path), 0


def _format_of(content_type: str) -> Format:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NDJSON:
        return "ndjson"
    return "lines" if kind.startswith("text/") else "json"


def _lines_of(body: bytes) -> list[bytes]:
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def _records_of_lines(body: bytes) -> tuple[list[Any], int]:
    records = []
    bad = 0
    for line in _lines_of(body):
        if not line.strip():
            continue
        try:
            records.append(_record(_parsed(line)))
        except AnswerError:
            bad += 1
    if bad and not records:
        raise AnswerError("the answer is no NDJSON: not one of its lines is JSON")
    return records, bad


def _records_of_json(body: bytes, path: list[str]) -> list[Any]:
    value = _parsed(body)
    for depth, key in enumerate(path, 1):
        if not isinstance(value, dict) or key not in value:
            raise AnswerError(f"the answer has no {'.'.join(path[:depth])!r}")
        value = value[key]
    return [_record(each) for each in value] if isinstance(value, list) else [_record(value)]


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"value": value}


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as cause:
        place = (
            f", from character {cause.pos} on" if isinstance(cause, json.JSONDecodeError) else ""
        )
        raise AnswerError(f"the answer is no JSON{place}") from cause
