"""The table of atomic operations names the modules that say that they rely on some."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "internals.md"
PACKAGE = ROOT / "zenactors"
PHRASE = "Atomic operations relied on"
HEAD = "| operation | relied on in | with the GIL | without it |"
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef


def relies(source: str) -> bool:
    """Return True if a docstring in a module names atomic operations."""
    if PHRASE.split(maxsplit=1)[0] not in source:
        return False  # without parsing it
    return any(
        PHRASE in " ".join((ast.get_docstring(node) or "").split())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, DOCUMENTED)
    )


def rows(page: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the table."""
    lines = page[page.index(HEAD) :].splitlines()[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def modules(page: str) -> set[str]:
    return {name for row in rows(page) for name in re.findall(r"`([\w/]+\.py)`", row[1])}


def relying() -> set[str]:
    paths = PACKAGE.rglob("*.py")
    return {str(path.relative_to(PACKAGE)) for path in paths if relies(path.read_text())}


def test_the_table_has_the_modules_that_say_so_and_no_other() -> None:
    assert modules(PAGE.read_text()) == relying()


def test_every_row_says_where_and_why() -> None:
    for row in rows(PAGE.read_text()):
        operation, where, with_gil, without_gil = row
        assert re.search(r"`[\w/]+\.py`", where), operation
        assert with_gil, operation
        assert without_gil, operation


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Head.\n\nAtomic operations relied on: those of a set.\n"""', True),
        ('class A:\n    """Head.\n\n    Atomic operations\n    relied on: a set.\n    """', True),
        ('def f():\n    """Head. Atomic operations relied on: a set."""', True),
        ("# Atomic operations relied on: this is no docstring\n", False),
        ('"""Replaces a file. Atomic."""', False),
    ],
)
def test_what_counts_is_the_phrase_in_a_docstring(source: str, *, expected: bool) -> None:
    assert relies(source) is expected


def test_a_table_names_modules_in_its_second_column_only() -> None:
    row = "| `a` | `x/y.py`, `_z.py` | `no.py` | `no.py` |"
    page = f"{HEAD}\n| --- | --- | --- | --- |\n{row}\n\n`no.py`\n"
    assert modules(page) == {"x/y.py", "_z.py"}
