"""Parse lines that are JSON objects into records."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from zenactors.components.parsers.base import LineParser
from zenactors.components.parsers.format import BEFORE, Format

_MAX_DEPTH = 100


def parse_json(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is; None if it is none that means the same everywhere."""
    if text[:1] in BEFORE:
        text = text.lstrip(BEFORE)
    try:
        value = _decode(text)
        if "\\u" in text and ("\\ud" in text or "\\uD" in text):  # perhaps half a pair
            _encode(value).encode()
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    # A line has at least as many brackets as levels: few lines must be looked at closely.
    if text.count("[") + text.count("{") > _MAX_DEPTH and _is_too_deep(value):
        return None
    return value


JSON = Format("a JSON object", parse_json)


class JsonParser(LineParser):
    r"""Turn lines that are JSON objects (JSON Lines, NDJSON) into records.

    Takes `lines` events with `Lines` or a list of bytes, and passes on a list of dicts: the
    objects, with their keys in the order of the line.

    A line is a record only if it means the same to every reader. Not so, and left out, are an
    object in which a key comes twice, `NaN` and `Infinity`, a number that is too large for a
    float or an integer of more than 4,300 digits, half of a surrogate pair (`"\ud800"`), and what
    is nested more than 100 deep; and any JSON value but an object.

    Lines that are no records are counted and left out; the state has the last 100 of them. If no
    record remains, the chain ends here. A piece of a line (`Lines.complete` is False, or
    `Lines.truncated` True) is never taken for a record. If the daemon exits when idle, and not one
    line of a file was a record, its exit status is 65.

    Statistics: `lines`, `records`, `unmatched`, `pieces` (of lines that were cut off or too long),
    `bad_utf8` (lines decoded with replacement) and `rejects_failed` (lines that could not be
    written to `rejects`).

    Promises:
        loss: Lines that are no records, and pieces of lines, are left out, and counted; `rejects`
            keeps them.
        duplicates: None of its own: a line that comes twice becomes two records.
        order: That of the lines.
        memory: One event, the last 100 lines that were left out, up to 200 characters of each, and
            the path of each file.
        threads: Its own. It waits only for the disk of `rejects`.

    Example:
        name = "events"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["events.jsonl"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:JsonParser"
        [component.options]
        rejects = "rejects.jsonl"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "good.jsonl"
    """

    _format = JSON


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_finite, parse_constant=_refuse
).decode


_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [each for outer in level for each in _containers_in(outer)]
        if not level:
            return False
    return True


def _containers_in(outer: Any) -> Iterator[Any]:
    inner = outer.values() if isinstance(outer, dict) else outer
    return (each for each in inner if isinstance(each, dict | list))
