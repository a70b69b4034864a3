"""Redact secrets before values are written: in states, runlogs, logs and views."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from zenactors.core.text import short_repr

_WORDS = r"passw|passphrase|pwd|secret|token|api[_-]?key|credential|private|authorization"
SECRET = re.compile(rf"{_WORDS}|(?<![a-z])pass$", re.IGNORECASE)
REDACTED = "***"
MAX_DEPTH = 20  # deeper values are cut
_SHORTEST_SECRET = 4  # a shorter one would also be found inside of other words
MAX_BITS = 8192  # of an integer; Python refuses to print much longer ones

# Secrets inside a text. `short_repr` may have cut the text anywhere, so its end may replace a
# closing quote. Repetitions are bounded: the time stays linear in the text's length.
_IN_URL = re.compile(r"(//[^/\s:@]*:)[^/\s]*(?:@|…$)")
# To the last "@", over any "/": perhaps more than the password, but never less.
_TO_LAST_AT = re.compile(r"(//[^/?#\s:@]*:)\S*(?=@)")
_IN_TEXT = re.compile(
    rf"""(
        (?:{_WORDS})[\w-]{{0,64}} ['"]?\s{{0,8}} [=:]\s{{0,8}}           # password=, 'token':
      | (?<![\w-])--[\w-]{{0,64}}(?:{_WORDS})[\w-]{{0,64}} \s{{1,8}}    # --password
    )(
        b?'[^']*(?:'|$) | b?"[^"]*(?:"|$) | [^\s&;,)}}\]]+
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_OPTION = re.compile(r"--?[\w-]+")


def redacted(text: str) -> str:
    """Return a text without the passwords in URLs and in phrases like `password=x`."""
    if "//" in text:
        text = _IN_URL.sub(rf"\1{REDACTED}@", text)
    return _IN_TEXT.sub(rf"\1{REDACTED}", text)


def redacted_to_last_at(text: str) -> str:
    """Return a text without passwords, even if that hides too much of a URL.

    Unlike `redacted`, it hides a password with an unescaped "/", but also the path of a URL with a
    port and an "@". For configuration values: the time may be quadratic in the text's length.
    """
    return _TO_LAST_AT.sub(rf"\1{REDACTED}", redacted(text))


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
    return [_plain(each, depth - 1, inside, redact) for each in _without_arguments(value)]


def _without_arguments(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values; the one after an option like `--password` is redacted."""
    hide = False
    for value in values:
        yield REDACTED if hide else _without_value(value)
        is_option = isinstance(value, str) and _OPTION.fullmatch(value)
        hide = not hide and bool(is_option and SECRET.search(value))


def _without_value(word: Any) -> Any:
    """Return a word; `KEY=***` if it assigns to a secret key. The value may have spaces."""
    if isinstance(word, str) and "=" in word:
        key, _, value = word.removeprefix("--set=").partition("=")
        if SECRET.search(key):
            return f"{word.removesuffix(value)}{REDACTED}"
    return word


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
