"""Records as lines of JSON: no record is refused, whatever it holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

encode_strict_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False
).encode


def encode_json(record: Any) -> str:
    """Return a record as one line of JSON.

    Keys become strings, numbers that JSON does not have become null, and values that it does not
    have become their text.
    """
    try:
        return encode_strict_json(record)
    except (TypeError, ValueError):  # a key that is no string, or NaN
        return encode_strict_json(_made_fit(record))


def _made_fit(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _made_fit(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_made_fit(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
