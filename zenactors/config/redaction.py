"""Redact secrets before values are written: in states, runlogs, logs and views."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from zenactors.core.text import short_repr
from zenactors.secret_text import REDACTED, SECRET, redacted, without_arguments

MAX_DEPTH = 20  # deeper values are cut
_SHORTEST_SECRET = 4  # a shorter one would also be found inside of other words
MAX_BITS = 8192  # of an integer; Python refuses to print much longer ones


def plain(value: Any, depth: int = MAX_DEPTH, *, redact: Callable[[str], str] = redacted) -> Any:
    """Turn any value into one that JSON can hold, with secrets redacted.

    A secret is recognized by its name: the key or the option that it belongs to, or the word before
    it in a text. A value that contains itself, or is deeper than `depth`, is cut.

    Args:
        value: Any object.
        depth: How many levels of tables and lists are kept.
        redact: Redacts each text.
    """
    return _plain(value, depth, (), redact)


def _plain(value: Any, depth: int, inside: tuple[int, ...], redact: Callable[[str], str]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, os.PathLike):
        value = str(value)
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and value.bit_length() <= MAX_BITS:
        return value
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return redact(short_repr(value))
    if depth <= 0 or id(value) in inside:
        return "…"
    inside = (*inside, id(value))
    if isinstance(value, Mapping):
        found = {}
        for key, each in value.items():
            name = str(key)
            hidden = SECRET.search(name)
            found[redact(name)] = REDACTED if hidden else _plain(each, depth - 1, inside, redact)
        return found
    return [_plain(each, depth - 1, inside, redact) for each in without_arguments(value)]


def without_secrets(text: str, table: Any) -> str:
    """Return a text without the secrets of a table: an exception may name one in its own words.

    Args:
        text: The text.
        table: Options, by name. Only texts that are secret by their names are looked for.
    """
    for secret in sorted(set(_secrets(table)), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return redacted(text)


def _secrets(value: Any, *, hidden: bool = False, depth: int = MAX_DEPTH) -> Iterator[str]:
    if isinstance(value, str) and hidden and len(value) >= _SHORTEST_SECRET:
        yield value
    elif depth <= 0:
        return
    elif isinstance(value, Mapping):
        for key, each in value.items():
            is_secret = hidden or bool(SECRET.search(str(key)))
            yield from _secrets(each, hidden=is_secret, depth=depth - 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _secrets(each, hidden=hidden, depth=depth - 1)


def json_text(value: Any) -> str:
    """Return a value as indented JSON, with secrets redacted as by `plain`."""
    # Escaped to ASCII, because a str may hold lone surrogates, which no file can.
    return json.dumps(plain(value), indent=2) + "\n"
