"""TOML: parse a text and locate its keys; `tomllib` only parses.

Pure functions of a text; any thread.
"""

from __future__ import annotations

import collections
import re
import tomllib
from typing import Any

from zenactors.config.places import KeyPath, TextError
from zenactors.core.text import short_repr
from zenactors.secret_text import REDACTED, SECRET, redacted_to_last_at

_TOKEN = re.compile(
    r"""
    (?P<space> [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<text> \"{3} (?: \\[\s\S] | [^\\] )*? \"{3,5} | '{3} [\s\S]*? '{3,5}
            | "(?: \\. | [^"\\\n] )*" | '[^'\n]*' )
  | (?P<mark> [\[\]{}=.,] )
  | (?P<word> [^\s\[\]{}=.,\#"']+ )
    """,
    re.VERBOSE,
)


def parse_toml(text: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Return the value of a TOML text, and the line of each key.

    Raises:
        TextError: It is not TOML.
        RecursionError: It is nested too deeply.
    """
    try:
        return tomllib.loads(text), locate(text)
    except tomllib.TOMLDecodeError as cause:
        reason, _, place = str(cause).partition(" (at ")
        numbers = [int(number) for number in re.findall(r"\d+", place)]
        # "at end of document" has no numbers.
        line, column = numbers or (text.count("\n") + 1, len(text) - text.rfind("\n"))
        raise TextError([(line, column, _explain(reason, text, line, column))]) from cause
    except ValueError as cause:  # a number that Python refuses; the error does not name the place
        raise TextError([(1, 1, str(cause))]) from cause


def _explain(reason: str, text: str, line: int, column: int) -> str:
    """Return a reason of `tomllib`, with the value that is wrong and the next step if it is short.

    A value is shown only if its key is on the same line, and neither that nor its table looks
    secret.
    """
    if reason == "Cannot overwrite a value":
        return f"{reason}: the same key is given before"
    if reason != "Invalid value":
        return reason
    lines = text.split("\n")
    before, rest = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    word = re.split(r"[,\]}#]", rest, maxsplit=1)[0].strip()
    if not word:
        return f"{reason}: one is missing here"
    headers = [each for each in lines[: line - 1] if each.lstrip().startswith("[")]
    keys = (before.rpartition("=")[0].strip(" \"'"), headers[-1].strip("[] \r") if headers else "")
    hidden = "=" not in before or any(map(SECRET.search, keys))
    shown = REDACTED if hidden else redacted_to_last_at(short_repr(word))
    if word.lower() in {"true", "false"}:
        return f"{reason} {shown}: write {word.lower()}"
    return f"{reason} {shown}: if it is a text, put it in quotes"


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line of each key, table and array element of a valid TOML text.

    The third key `use` of an array of tables is at `("component", 2, "use")`. Lines count
    from 1; a table that is opened in several places has the line where it is first named.
    """
    return _Locator(text).lines


class _Locator:
    """A walk through a valid TOML text that notes the line of each key."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {(): 1}
        self._counts: dict[KeyPath, int] = {}  # tables so far in each array of tables
        self._tokens: collections.deque[tuple[str, int]] = collections.deque()
        line = 1
        for found in _TOKEN.finditer(text):
            if found.lastgroup != "space":
                self._tokens.append((found[0], line))
            line += found[0].count("\n")
        table: KeyPath = ()
        while self._skip("\n"):
            if self._peek() == "[":
                table = self._header()
            else:
                self._value(self._key(table, "="))

    def _peek(self) -> str:
        return self._tokens[0][0] if self._tokens else ""

    def _skip(self, marks: str) -> bool:
        """Skip all these marks; return False at the end of the text."""
        while self._tokens and self._peek() in marks:
            self._tokens.popleft()
        return bool(self._tokens)

    def _key(self, table: KeyPath, end: str, *, array: bool = False) -> KeyPath:
        parts: list[tuple[str, int]] = []
        while self._tokens and self._peek() != end:
            part, line = self._tokens.popleft()
            if part[0] in "\"'":
                part = tomllib.loads(f"key = {part}")["key"]
            elif part == ".":
                continue
            parts.append((part, line))
        path = table
        for index, (part, line) in enumerate(parts, 1):
            path = (*path, part)
            if array and index == len(parts):
                self._counts[path] = self._counts.get(path, 0) + 1
            self.lines.setdefault(path, line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self.lines.setdefault(path, line)
        self._skip(end)
        return path

    def _header(self) -> KeyPath:
        self._tokens.popleft()
        array = self._peek() == "["
        self._skip("[")
        return self._key((), "]", array=array)

    def _value(self, path: KeyPath) -> None:
        opening = self._peek()
        if opening not in {"[", "{"}:
            while self._tokens and self._peek() not in ",]}\n":
                self._tokens.popleft()
            return
        self._tokens.popleft()
        index = 0
        while self._skip(",\n") and self._peek() not in "]}":
            if opening == "{":
                self._value(self._key(path, "="))
            else:
                self.lines[(*path, index)] = self._tokens[0][1]
                self._value((*path, index))
                index += 1
        if self._tokens:
            self._tokens.popleft()
