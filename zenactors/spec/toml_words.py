"""Types and values as a user of a SPEC writes them, in TOML.

Pure functions of types and values; any thread.
"""

from __future__ import annotations

import collections.abc
import enum
import json
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from zenactors.core.text import harmless

_SIMPLE: dict[Any, tuple[str, ...]] = {
    Any: ("any value",),
    bool: ("true", "false"),
    float: ("number",),
    int: ("integer",),
    object: ("any value",),
    str: ("string",),
    types.NoneType: (),
}
_FUNCTION = '"module:function"'


def type_in_toml(type_: Any) -> str:
    """Describe the values of a type, as in `array of strings` or `"beginning" or "end"`."""
    found = list(dict.fromkeys(_alternatives(type_)))
    if _FUNCTION in found and "string" in found:
        found.remove("string")  # that is how it is written
    *most, last = found or ["any value"]
    return f"{', '.join(most)} or {last}" if most else last


def _alternatives(type_: Any) -> Iterator[str]:
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is typing.Annotated:
        yield from _alternatives(arguments[0])
    elif origin in {types.UnionType, typing.Union}:
        for each in arguments:
            yield from _alternatives(each)
    elif origin is typing.Literal:
        yield from (value_in_toml(each) or str(each) for each in arguments)
    elif origin is None and type_ in _SIMPLE:
        yield from _SIMPLE[type_]
    else:
        yield _of_class(origin or type_, arguments)


def _of_class(cls: Any, arguments: tuple[Any, ...]) -> str:
    if cls in {Callable, collections.abc.Callable}:
        return _FUNCTION
    if not isinstance(cls, type):
        return "any value"
    if issubclass(cls, str | os.PathLike):
        return "string"
    if issubclass(cls, Mapping) or hasattr(cls, "model_fields"):
        return f"table{_of(arguments[1])}" if len(arguments) > 1 else "table"
    if issubclass(cls, Iterable) and not issubclass(cls, enum.Enum):
        return f"array{_of(arguments[0])}" if arguments else "array"
    return cls.__name__.lower()


def _of(type_: Any) -> str:
    words = type_in_toml(type_)
    if words == "any value":
        return ""
    plural = f"{words}s" if words.isalpha() else re.sub("^(array|table) ", r"\1s ", words)
    return f" of {plural}"


def value_in_toml(value: Any) -> str | None:
    """Return a value in TOML, on one line; None if TOML has no such value."""
    match value:
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return value_in_toml(value.value)
        case int():
            return f"{value:_}"
        case float():
            return repr(value)
        case str() | os.PathLike():
            return _string(os.fspath(value))
        case list() | tuple() | set() | frozenset():
            found = [value_in_toml(each) for each in value]
            return None if None in found else f"[{', '.join(map(str, found))}]"
        case Mapping():
            pairs = {key_in_toml(key): value_in_toml(each) for key, each in value.items()}
            inner = ", ".join(f"{key} = {each}" for key, each in pairs.items())
            return None if None in pairs.values() else f"{{ {inner} }}" if inner else "{}"
        case _:
            return None


def key_in_toml(key: object) -> str:
    """Return a key in TOML, with quotes if it needs them."""
    text = str(key)
    is_bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if is_bare else _string(text)


def _string(text: Any) -> str:
    text = str(text)
    if ("\\" in text or '"' in text) and "'" not in text and text.isprintable():
        return f"'{text}'"  # as it is: patterns stay readable
    return harmless(json.dumps(text, ensure_ascii=False), "\\u{:04x}")
