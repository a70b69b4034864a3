"""Recognize secrets by their names, and hide them in texts.

For what zenactors writes itself (states, runlogs, logs, views), and for the step that redacts
records. Pure functions; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

_WORDS = r"passw|passphrase|pwd|secret|token|api[_-]?key|credential|private|authorization"
SECRET = re.compile(rf"{_WORDS}|(?<![a-z])pass$", re.IGNORECASE)
REDACTED = "***"
# Each of `_WORDS` contains one of these.
_STEMS = (
    *("passw", "passphrase", "pwd", "secret", "token"),
    *("api", "credential", "private", "authorization"),
)

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
    if text.isascii():  # in other texts, letters may match that only look like these
        lowered = text.lower()
        if not any(stem in lowered for stem in _STEMS):  # much faster than the search below
            return text
    return _IN_TEXT.sub(rf"\1{REDACTED}", text)


def redacted_to_last_at(text: str) -> str:
    """Return a text without passwords, even if that hides too much of a URL.

    Unlike `redacted`, it hides a password with an unescaped "/", but also the path of a URL with a
    port and an "@". For configuration values: the time may be quadratic in the text's length.
    """
    return _TO_LAST_AT.sub(rf"\1{REDACTED}", redacted(text))


def without_arguments(values: Iterable[Any]) -> Iterator[Any]:
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
