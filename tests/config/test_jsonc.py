"""JSON with comments: comments anywhere but in strings, and a line for every key."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenactors.config.jsonc import parse_json
from zenactors.config.places import TextError
from zenactors.config.toml import parse_toml


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('# a\n{"a": 1}\n// b\n', {"a": 1}),
        ('{"a": 1, # b\n "c": 2 // d\n}', {"a": 1, "c": 2}),
        ('{"a": "# no // no", "b#": "\\"#", "c//": "\\\\"} # yes "', {
            "a": "# no // no", "b#": '"#', "c//": "\\"}),
        ('{"u": "http://x/#y"}', {"u": "http://x/#y"}),
        ('{"a": [1, // "one"\n 2]}', {"a": [1, 2]}),
        ('{"a": 1}//', {"a": 1}),
        ('{"a": "\\u0022#"}', {"a": '"#'}),
        ("", {}),
        ("# nothing\n\n// is set\n", {}),
        ('/* a\n"b" */ {"c" /**/ : "/* d */"}', {"c": "/* d */"}),
        ("[1]", [1]),
    ],
)  # fmt: skip
def test_comments_are_no_part_of_the_text(text: str, data: Any) -> None:
    assert parse_json(text)[0] == data


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ('{"a": 1,\n"b": 2}', ("b",), 2),
        ('// "b": 0\n{\n"a": {\n\n"b": 1}}', ("a", "b"), 5),
        ('{"a": [\n1,\n{"b": 2}]}', ("a", 1, "b"), 3),
        ('{"a": [\n1,\n2], "b": {}}', ("b",), 3),
        ('{"a":\n1}', ("a",), 1),
        ('{"\\u00e4": 1}', ("ä",), 1),
        ('{"a": {}, "b": [], \n"c": [[], {}, [{\n"d": 1}]]}', ("c", 2, 0, "d"), 3),
    ],
)
def test_each_key_is_located_at_its_line(text: str, path: tuple[str | int, ...], line: int) -> None:
    assert parse_json(text)[1][path] == line


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"a": 1,\n "a": 2}', [(2, 2, "key 'a' is given twice; first in line 1")]),
        ('{"a": {"b": 1, "b": 2},\n "c": [{"d": 1, "d": 2}]}',
         [(1, 16, "key 'b' is given twice; first in line 1"),
          (2, 17, "key 'd' is given twice; first in line 2")]),
        ('{"a": 1\n "b": 2}', [(2, 2, "expecting ',' delimiter")]),
        ('{"a": 1} x', [(1, 10, "extra data")]),
        ('{ # c\n "a" 1}', [(2, 6, "expecting ':' delimiter")]),
        ('{"a": "x # y\n}', [(1, 13, "invalid control character at")]),
        ('{"a": 1,\n "b": NaN}', [(2, 7, "NaN is not a number in JSON")]),
        ('{"a": -Infinity}', [(1, 7, "-Infinity is not a number in JSON")]),
        ('{/* no end "a": 1}', [(1, 2, "expecting property name enclosed in double quotes")]),
        ('{/* c\n\n */ "a" 1}', [(3, 9, "expecting ':' delimiter")]),
        ('{"a": [1,\n]\n,\n}', [(1, 9, "a comma too many before ']'")]),
        ('{"a": 1\n,\n}', [(2, 1, "a comma too many before '}'")]),
    ],
)  # fmt: skip
def test_an_error_has_its_line_and_column(text: str, problems: list[tuple[int, int, str]]) -> None:
    with pytest.raises(TextError) as caught:
        parse_json(text)
    assert caught.value.problems == problems


def test_a_number_with_too_many_digits_is_named_with_its_place() -> None:
    digits = "1" * 5000
    with pytest.raises(TextError, match="4300") as caught:
        parse_json(f'{{"a": 1,\n"b": {digits}}}')
    assert caught.value.problems[0][:2] == (2, 6)
    with pytest.raises(TextError, match="4300"):
        parse_toml(f"a = {digits}")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
styles = st.sampled_from([{"indent": 1}, {"ensure_ascii": False}, {}])


def paths_in(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    pairs = data.items() if isinstance(data, dict) else ()
    for key, value in enumerate(data) if isinstance(data, list) else pairs:
        yield from paths_in(value, (*path, key))


def check_with_comments(data: Any, style: dict[str, Any]) -> None:
    text = json.dumps(data, **style)
    comments = "".join(f'{line} # "{{ // \n' for line in text.split("\n"))
    found, lines = parse_json(comments)
    assert found == data
    assert set(lines) == set(paths_in(data))


@settings(max_examples=25)
@given(values, styles)
def test_every_json_text_means_the_same_with_comments_and_is_located(
    data: Any, style: dict[str, Any]
) -> None:
    check_with_comments(data, style)


@pytest.mark.slow
@given(values, styles)
def test_more_json_texts_mean_the_same_with_comments_and_are_located(
    data: Any, style: dict[str, Any]
) -> None:
    check_with_comments(data, style)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\nb = \n", (2, 5, "Invalid value: one is missing here")),
        ("a = 1\na = 2\n", (2, 6, "Cannot overwrite a value: the same key is given before")),
        ("a = [1,", (1, 8, "Invalid value: one is missing here")),
    ],
)
def test_an_error_in_toml_has_its_line_and_column(text: str, problem: tuple[int, int, str]) -> None:
    with pytest.raises(TextError) as caught:
        parse_toml(text)
    assert caught.value.problems == [problem]
    assert isinstance(caught.value.__cause__, tomllib.TOMLDecodeError)
