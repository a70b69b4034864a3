"""The messages that the page on troubleshooting quotes are messages of the package.

A message is a string of the source with placeholders, and others may be put into these. So what is
compared is each word of a quotation with the one before it, between two punctuation marks.
"""

from __future__ import annotations

import ast
import errno
import functools
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zenactors

PACKAGE = Path(zenactors.__file__).parent
PAGE = Path(__file__).parents[2] / "docs/troubleshooting.md"
NO_MESSAGES = {"State 'stop-sigterm' timed out", "zenactors tail"}  # systemd's, and a command
VALUE = "{}"  # a placeholder in a message, and its value in a quotation
END = "|"  # of a clause
GAP = "…"  # in a quotation: anything may follow
VALUES = re.compile(r"\{[^{}]*\}|(?<!\w)'[^']*'|<[^<>]*>|%[sdr]|(?<!\w)-[\w-]+|\d[\d,.]*")


def clauses(text: str) -> Iterator[list[str]]:
    """Yield the words between two punctuation marks, with the ends. A value is one word."""
    for clause in re.split(r"[:;,.()](?:\s|$)|\s\(", VALUES.sub(VALUE, text)):
        yield [END, *re.findall(r"…|\{\}|[\w'-]+", clause), END]


def messages() -> Iterator[str]:
    """Yield the package's strings, except docstrings, and the system's errors."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", VALUE) for part in node.values)
                yield "".join(part if isinstance(part, str) else VALUE for part in parts)
                node.values = []
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = ""
            elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value
                yield text if isinstance(text, str) else text.decode(errors="replace")
    yield from map(os.strerror, errno.errorcode)


@functools.cache
def pairs() -> set[tuple[str, str]]:
    found = (clause for text in messages() for clause in clauses(text))
    return {pair for clause in found for pair in itertools.pairwise(clause)}


def follows(word: str, before: str) -> bool:
    """Return True if a word follows another in a message, or in one that is put into another."""
    possible = {(before, word)}
    for first, last in ((VALUE, END), (END, VALUE)):
        if (before, first) in pairs() and (last, word) in pairs():
            return True
    if is_value(word):
        possible |= {(before, VALUE), (before, END)}
    if is_value(before):
        possible |= {(VALUE, word), (END, word)}
    return GAP in (before, word) or {before, word} <= {END, VALUE} or bool(possible & pairs())


def is_value(word: str) -> bool:
    return "_" in word or word.isupper() or not (word.islower() or word.istitle())


def quotations(page: str) -> Iterator[str]:
    """Yield the messages in the first columns of a page's tables."""
    for row in re.findall(r"^\| (.*?[^\\]) \|", page, re.MULTILINE):
        yield from (each for each in re.findall(r"`([^`]+)`", row) if " " in each)


def stale(page: str) -> list[str]:
    """Return a quotation once for each word of it that follows no such word in the package."""
    return [
        text
        for text in quotations(page)
        if text not in NO_MESSAGES
        for clause in clauses(text)
        for before, word in itertools.pairwise(clause)
        if not follows(word, before)
    ]


def test_each_quoted_message_is_in_the_package() -> None:
    assert stale(PAGE.read_text()) == []


@pytest.mark.parametrize(
    "message",
    [
        "Cannot go back to its old options: …",
        "Events not worked off: 3",
        "Nothing moves any more, and no timer runs: the wait would never end.",
        "Component 'x' would take other events than now: that needs a restart.",
        "Busy too long: event 'stop' goes on without it",
    ],
)
def test_a_message_that_was_reworded_is_found(message: str) -> None:
    assert message in stale(f"| message | cause |\n| --- | --- |\n| `{message}` (75) | … |\n")
