"""The locator knows the line of everything that is in a TOML text."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from zenactors.config.places import TextError, line_of
from zenactors.config.toml import locate, parse_toml


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2", ("b",), 2),
        ("\n\n# a = 0\na = 1", ("a",), 4),
        ("[t]\n\nx = 1", ("t", "x"), 3),
        ("[t.u]\nx = 1", ("t", "u"), 1),
        ("[t]\na.b = 1", ("t", "a", "b"), 2),
        ('x = """\ny = 1\n"""\ny = 2', ("y",), 4),
        ("x = '''\n[[t]]\n'''\n[[t]]", ("t", 0), 4),
        ('x = "a # b" # c\ny = 1', ("y",), 2),
        ('x = "\\"" \ny = 1', ("y",), 2),
        ('x = """a""""\ny = 1', ("y",), 2),
        ('"a.b" = 1', ("a.b",), 1),
        ('\n"\\u00e4" = 1', ("ä",), 2),
        ("'a b' . c = 1", ("a b", "c"), 1),
        ("[[t]]\n[[t]]\nx = 1", ("t", 1, "x"), 3),
        ("[[t]]\n[t.o]\nx = 1\n[[t]]\n[t.o]\nx = 1", ("t", 1, "o", "x"), 6),
        ("[[t]]\n[[t.u]]\n[[t.u]]\nx = 1\n[[t]]\n[[t.u]]\nx = 1", ("t", 1, "u", 0, "x"), 7),
        ("t = { a = 1, b = { c = 2 } }\n", ("t", "b", "c"), 1),
        ("t = [\n  1,\n  # two\n  2,\n]\nx = 1", ("t", 1), 4),
        ("t = [\n  1,\n  # two\n  2,\n]\nx = 1", ("x",), 6),
        ("t = [\n  [1, 2],\n  { a = 1,\n b = 2 }]", ("t", 1, "b"), 4),
        ("d = 1979-05-27 07:32:00\ne = 1.5\nf = +inf", ("f",), 3),
        ("a = 1\r\nb = 2\r\n", ("b",), 2),
    ],
)
def test_each_key_is_located_at_its_line(text: str, path: tuple[str | int, ...], line: int) -> None:
    assert locate(text)[path] == line


def paths_in(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    pairs = data.items() if isinstance(data, dict) else ()
    for key, value in enumerate(data) if isinstance(data, list) else pairs:
        yield from paths_in(value, (*path, key))


@pytest.mark.parametrize(
    "text",
    [
        'a = 1\n[b.c]\nd.e = "x"\n[[f]]\n[f.g]\nh = [[], {}, [{ i = 1 }]]\n[[f]]\n[f.g.j]\n',
        "a = [ # [\n  'x]', \"y}\", { \"k=\" = ''' } ''' },\n]\n['q.r'.s]\nt = {}\nu = []\n",
        "x = 0x1F\ny = 1_000.5e-3\nz = [true,false,\n07:32:00, 1979-05-27T07:32:00Z]\n-1 = 2\n",
        "",
        "# only a comment",
    ],
)
def test_everything_that_is_in_a_text_has_a_line(text: str) -> None:
    assert set(paths_in(tomllib.loads(text))) == set(locate(text))


def test_a_key_that_is_not_in_the_text_has_the_line_of_its_table() -> None:
    lines = locate("a = 1\n[[t]]\n[[t]]\nb = 2\n")
    assert line_of(lines, ("t", 1, "options", "x")) == 3
    assert line_of(lines, ("missing",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("a = hello", 1, 5, "Invalid value 'hello': if it is a text, put it in quotes"),
        ("x = 1\na = /var/x.log # c", 2, 5,
         "Invalid value '/var/x.log': if it is a text, put it in quotes"),
        ("a = [1, two, 3]", 1, 9, "Invalid value 'two': if it is a text, put it in quotes"),
        ("a = { b = two words }", 1, 11,
         "Invalid value 'two words': if it is a text, put it in quotes"),
        ("a = True", 1, 5, "Invalid value 'True': write true"),
        ("a = FALSE", 1, 5, "Invalid value 'FALSE': write false"),
        ("a =\nb = 1", 1, 4, "Invalid value: one is missing here"),
        ("a = [1,", 1, 8, "Invalid value: one is missing here"),
        ("a = # none", 1, 5, "Invalid value: one is missing here"),
        ("password = hunter2", 1, 12, "Invalid value ***: if it is a text, put it in quotes"),
        ("x = { 'api-key' = hunter2 }", 1, 19,
         "Invalid value ***: if it is a text, put it in quotes"),
        ("a = http://me:hunter2@host/", 1, 5,
         "Invalid value 'http://me:***@host/': if it is a text, put it in quotes"),
        ("[private]\nkey = hunter2", 2, 7,
         "Invalid value ***: if it is a text, put it in quotes"),
        ("words = [\n  hunter2\n]", 2, 3,
         "Invalid value ***: if it is a text, put it in quotes"),
        ("a = 1\na = 2", 2, 6, "Cannot overwrite a value: the same key is given before"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_the_next_step(
    text: str, line: int, column: int, expected: str
) -> None:
    with pytest.raises(TextError) as caught:
        parse_toml(text)
    assert caught.value.problems == [(line, column, expected)]
