"""JSON with comments: parse a text and locate its keys.

`#` and `//` begin a comment, except inside a string; it ends with its line. `/* … */` is a comment,
too, of several lines if need be. Pure functions of a text; any thread.
"""

from __future__ import annotations

import bisect
import collections
import json
import re
from typing import Any, NoReturn

from zenactors.config.places import KeyPath, TextError

# A string that does not end on its line is an error, which `json` reports with its place.
_COMMENT = re.compile(
    r'"(?:\\.|[^"\\\n])*"?|(?P<comment>(?:\#|//)[^\n]*|/\*[\s\S]*?\*/)',
)
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def parse_json(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """Return the value of a text, and the line of each key and array element.

    A text that has only comments is `{}`, as in TOML.

    Raises:
        TextError: The text without its comments is not JSON, or has a key twice.
        RecursionError: It is nested too deeply.
    """
    # Blanks instead, so that no other text moves to another line or column.
    plain = _COMMENT.sub(lambda found: _blank(found[0]) if found["comment"] else found[0], text)
    if not plain.strip():
        return {}, {(): 1}
    try:
        data = json.loads(plain, parse_constant=_refuse)
    except json.JSONDecodeError as cause:
        raise TextError([_explain(plain, cause)]) from cause
    except ValueError as cause:
        raise TextError([_wrong_number(plain, cause)]) from cause
    locator = _Locator(plain)
    if locator.problems:
        raise TextError(locator.problems)
    return data, locator.lines


def _blank(comment: str) -> str:
    return re.sub(r"[^\n]", " ", comment)


def _explain(text: str, cause: json.JSONDecodeError) -> tuple[int, int, str]:
    """Return the place of an error and its reason: a comma too many is named as such."""
    before = text[: cause.pos].rstrip()
    comma = cause.pos if text[cause.pos : cause.pos + 1] == "," else len(before) - 1
    if _TRAILING_COMMA.match(text, comma):  # Python's message depends on its version
        end = text[comma + 1 :].lstrip()[0]
        return (*_Places(text).of(comma), f"a comma too many before {end!r}")
    return (cause.lineno, cause.colno, cause.msg[:1].lower() + cause.msg[1:])


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _wrong_number(text: str, cause: ValueError) -> tuple[int, int, str]:
    """Find the number that Python refuses: its error does not name the place."""
    places = _Places(text)
    for found in _TOKEN.finditer(text):
        try:
            json.loads(found[0], parse_constant=_refuse)
        except json.JSONDecodeError:
            continue  # a bracket, a comma
        except ValueError:
            return (*places.of(found.start()), str(cause))
    return (1, 1, str(cause))


class _Places:
    """Lines and columns of offsets in a text."""

    def __init__(self, text: str) -> None:
        self._ends = [index for index, character in enumerate(text) if character == "\n"]

    def of(self, offset: int) -> tuple[int, int]:
        line = bisect.bisect_left(self._ends, offset)
        begin = self._ends[line - 1] + 1 if line else 0
        return line + 1, offset - begin + 1


class _Locator:
    """A walk through a valid text that notes the line of each key, and keys given twice."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {(): 1}
        self.problems: list[tuple[int, int, str]] = []
        self._places = _Places(text)
        self._tokens = collections.deque((t[0], t.start()) for t in _TOKEN.finditer(text))
        self._value(())

    def _value(self, path: KeyPath) -> None:
        opening, _ = self._tokens.popleft()
        if opening not in {"{", "["}:
            return
        index = 0
        while self._tokens[0][0] not in {"}", "]"}:
            word, offset = self._tokens[0]
            if word == ",":
                self._tokens.popleft()
                continue
            key: str | int = index
            if opening == "{":
                key = json.loads(word)
                del self._tokens[0], self._tokens[0]  # the key and its colon
                self._note_twice((*path, key), offset)
            self.lines[(*path, key)] = self._places.of(offset)[0]
            self._value((*path, key))
            index += 1
        self._tokens.popleft()

    def _note_twice(self, path: KeyPath, offset: int) -> None:
        if path in self.lines:
            reason = f"key {path[-1]!r} is given twice; first in line {self.lines[path]}"
            self.problems.append((*self._places.of(offset), reason))
