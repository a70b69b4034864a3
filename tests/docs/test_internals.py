"""The map of the code: its files and names exist, and the modules of the large rooms are on it."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "internals.md"
PACKAGE = ROOT / "zenactors"
ROOMS = (
    *("core", "actors", "daemon", "components"),
    *("components/parsers", "components/sinks", "components/sources", "components/steps"),
    "components/tail",
)
ROOTS = (ROOT, PACKAGE, *(PACKAGE / room for room in (*ROOMS, "testing")))
PRIVATE = "testing"

# Names of other projects, of packages, of arguments and events, or of what users write.
FOREIGN = {
    *("application", "supervisor", "core", "zenactors", "x"),
    *(
        "args",
        "daemon",
        "on_rollback",
        "reconfigure",
        "setup",
        "setup_dump",
        "start",
        "stop",
        "teardown",
    ),
    *("SystemExit", "terminate"),
}


def quoted(text: str) -> list[str]:
    """Return everything in backquotes, outside of blocks of code."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", prose)


def names_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that a class or module defines: functions, classes, variables, attributes."""
    for each in nodes:
        if isinstance(each, ast.ClassDef | ast.FunctionDef):
            yield each.name
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            yield each.attr


@functools.cache
def defined() -> dict[str, set[str]]:
    """Return the names inside each class, by its name; under "" those of all modules."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        found[""].update(names_in(nodes))
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                found[node.name].update(names_in(ast.walk(node)))
    return found


def problem_of(word: str) -> str | None:
    """Return what is wrong with a word in backquotes, or None."""
    if re.fullmatch(r"[\w/.]+(\.py|\.md|\.template|/)", word):
        return None if any((root / word).exists() for root in ROOTS) else f"no file {word}"
    if owner_and_name := re.fullmatch(r"([A-Z]\w+)\.(\w+)", word):
        owner, name = owner_and_name.groups()
        return None if name in defined().get(owner, ()) else f"{owner} has no {name}"
    if re.fullmatch(r"[A-Za-z_]\w*", word) and word not in FOREIGN:
        return None if word in defined()[""] else f"no name {word}"
    return None


def problems(text: str) -> list[str]:
    return [problem for word in quoted(text) if (problem := problem_of(word))]


def test_every_file_and_name_on_the_page_exists() -> None:
    assert problems(PAGE.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "`core/no_such_file.py`",
        "`no_such_room/`",
        "`DispatchState.no_such_method`",
        "`NoSuchClass.admit`",
        "`NoSuchClass`",
        "`no_such_function`",
    ],
)
def test_a_word_that_exists_nowhere_is_found(text: str) -> None:
    assert len(problems(text)) == 1


def test_every_module_of_the_large_rooms_is_on_the_page() -> None:
    words = {Path(word).name for word in quoted(PAGE.read_text())}
    modules = {
        path.name for room in ROOMS for path in (PACKAGE / room).glob("*.py") if path.stem[0] != "_"
    }
    assert modules - words == set()
