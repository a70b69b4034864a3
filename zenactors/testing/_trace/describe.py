"""Text for any value that is the same in every process: no addresses, no order of hashes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from collections.abc import Set as AnySet
from typing import Any

MAX_TEXT = 120  # characters
_MAX_ITEMS = 20
_MAX_DEPTH = 4
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = (int, float, bool, type(None))


def describe(value: Any) -> str:
    """Return a value's text, like its `repr`, in at most 120 characters."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind is str and len(value) < MAX_TEXT:
        return repr(value)
    text = _describe(value, 0)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def without_addresses(text: str) -> str:
    """Return a text without the addresses in Python's own reprs."""
    return _ADDRESS.sub("", text)


def _describe(value: Any, depth: int) -> str:
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind is str or kind is bytes:
        return repr(value[:MAX_TEXT])
    if depth > _MAX_DEPTH:
        return "…"
    if kind is list:
        return f"[{_items(value, depth)}]"
    if kind is tuple:
        return f"({_items(value, depth)}{',' if len(value) == 1 else ''})"
    if isinstance(value, Mapping):
        shown = sorted(
            f"{_describe(key, depth + 1)}: {_describe(item, depth + 1)}"
            for key, item in list(value.items())
        )
        return f"{{{_cut(shown)}}}"
    if isinstance(value, AnySet):
        shown = sorted(_describe(item, depth + 1) for item in value)
        return f"{{{_cut(shown)}}}" if shown else "set()"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = zip(value._fields, value, strict=True)
        shown = [f"{name}={_describe(item, depth + 1)}" for name, item in fields]
        return f"{kind.__name__}({_cut(shown)})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [
            f"{field.name}={_describe(getattr(value, field.name, '?'), depth + 1)}"
            for field in dataclasses.fields(value)
            if field.repr
        ]
        return f"{kind.__name__}({_cut(shown)})"
    try:
        text = repr(value)
    except Exception as cause:
        return f"<{kind.__name__} whose repr raises {type(cause).__name__}>"
    return without_addresses(text)


def _items(values: Any, depth: int) -> str:
    shown = [_describe(value, depth + 1) for value in values[:_MAX_ITEMS]]
    return ", ".join(shown) + (", …" if len(values) > _MAX_ITEMS else "")


def _cut(shown: list[str]) -> str:
    return ", ".join(shown[:_MAX_ITEMS]) + (", …" if len(shown) > _MAX_ITEMS else "")
