"""Types and values in the words of TOML."""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from zenactors.spec.toml_words import type_in_toml, value_in_toml


class Table(pydantic.BaseModel):
    """A table."""


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (str, "string"),
        (int, "integer"),
        (float, "number"),
        (bool, "true or false"),
        (Any, "any value"),
        (object, "any value"),
        (None, "any value"),
        ("Unknown", "any value"),
        (Path, "string"),
        (float | None, "number"),
        (str | int | None, "string or integer"),
        (str | bool | list[str], "string, true, false or array of strings"),
        (Literal["a", "b", 3], '"a", "b" or 3'),
        (Literal["a"] | None, '"a"'),
        (Annotated[int | None, "a note"], "integer"),
        (list, "array"),
        (list[float], "array of numbers"),
        (Iterable[str], "array of strings"),
        (tuple[Path, ...], "array of strings"),
        (list[list[int]], "array of arrays of integers"),
        (list[Any], "array"),
        (list[bool], "array of true or false"),
        (list[Annotated[int, {}]], "array of integers"),
        (dict, "table"),
        (Mapping[str, str], "table of strings"),
        (dict[str, Any], "table"),
        (dict[str, list[str]], "table of arrays of strings"),
        (list[dict[str, int]], "array of tables of integers"),
        (Table, "table"),
        (list[Table], "array of tables"),
        (Callable[[int], bool] | str, '"module:function"'),
        (str | Callable[[int], bool] | None, '"module:function"'),
        (Callable[[int], bool], '"module:function"'),
        (re.Pattern, "pattern"),
    ],
)
def test_a_type_is_described(type_: Any, words: str) -> None:
    assert type_in_toml(type_) == words


class Color(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (102_400, "102_400"),
        (-2.5, "-2.5"),
        (float("inf"), "inf"),
        ("end", '"end"'),
        ("", '""'),
        ("größer", '"größer"'),
        (r"^\S+", r"'^\S+'"),
        ('say "x"', "'say \"x\"'"),
        ("it's \\d", '"it\'s \\\\d"'),
        ("\n\x7f", r'"\n\u007f"'),
        (PurePosixPath("/a"), '"/a"'),
        (Color.RED, '"red"'),
        ([1, "x"], '[1, "x"]'),
        ((), "[]"),
        ({}, "{}"),
        ({"a-b": 1, "a b": [True]}, '{ a-b = 1, "a b" = [true] }'),
        (None, None),
        ([None], None),
        ({"a": None}, None),
        (object(), None),
    ],
)
def test_a_value_is_written(value: Any, text: str | None) -> None:
    assert value_in_toml(value) == text


_TEXTS = some.text(some.characters(exclude_categories=["Cs"]))
_VALUES = some.recursive(
    some.booleans() | some.integers(-(2**63), 2**63 - 1) | some.floats(allow_nan=False) | _TEXTS,
    lambda inner: some.lists(inner) | some.dictionaries(_TEXTS, inner),
)


@pytest.mark.parametrize("examples", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_what_is_written_is_read_back(examples: int) -> None:
    @settings(max_examples=examples)
    @given(_VALUES)
    def check(value: Any) -> None:
        assert tomllib.loads(f"key = {value_in_toml(value)}")["key"] == value

    check()
