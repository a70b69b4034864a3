"""JSON with comments: what a text says, and the line of each of its keys.

`#` and `//` begin a comment that ends with its line, anywhere but inside a string. Pure functions
of a text; any thread.
"""

from __future__ import annotations

import bisect
import collections
import json
import re
from typing import Any, NoReturn

from zenactors.config.places import KeyPath, TextError

# A string that does not end on its line is none; `json` will say so, at its place.
_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"?|(?P<comment>(?:\#|//)[^\n]*)')
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def parse_json(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """Return what a text says, and the line of each key and array element in it.

    A text with nothing but comments says `{}`, as it would in TOML.

    Raises:
        TextError: If it is not JSON, even without its comments, or has a key twice.
        RecursionError: If it is nested too deeply.
    """
    # A comment ends with its line: so without it, all else stays at its line and column.
    plain = _COMMENT.sub(lambda found: "" if found["comment"] else found[0], text)
    if not plain.strip():
        return {}, {(): 1}
    try:
        data = json.loads(plain, parse_constant=_refuse)
    except json.JSONDecodeError as cause:
        reason = cause.msg[:1].lower() + cause.msg[1:]
        raise TextError([(cause.lineno, cause.colno, reason)]) from cause
    except ValueError as cause:
        raise TextError([_wrong_number(plain, cause)]) from cause
    locator = _Locator(plain)
    if locator.problems:
        raise TextError(locator.problems)
    return data, locator.lines


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _wrong_number(text: str, cause: ValueError) -> tuple[int, int, str]:
    """Find the number that Python does not take: it does not say itself where it stands."""
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
    """A walk through a valid text, to note where its keys stand and which are there twice."""

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
