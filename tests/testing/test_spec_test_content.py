"""What a test of a SPEC expects of a file or a stub: when it fits, and the report if not."""

from __future__ import annotations

from typing import Any

import pytest

from zenactors.spec.cases import Content
from zenactors.testing._cases.content import Found, differences, fits

AB = b'{"a": 1, "b": 2}\n{"a": 2, "b": 3}\n'


def report(data: bytes | list[Any], **expected: Any) -> list[str]:
    found = Found.in_file(data) if isinstance(data, bytes) else Found(data)
    return list(differences("out", Content(**expected), found))


@pytest.mark.parametrize(
    "expected",
    [
        {"text": AB.decode()},
        {"lines": AB.decode().splitlines()},
        {"lines": AB.decode().splitlines()[::-1], "ordered": False},
        {"records": [{"a": 1, "b": 2}, {"a": 2}]},
        {"records": [{"b": 3}, {"b": 2}], "ordered": False},
        {"records": [{}, {"a": 1}], "ordered": False},
        {"contains": ['"a": 2', '"b": 2']},
        {"count": 2},
        {},
    ],
)
def test_content_as_expected_gives_no_report(expected: dict[str, Any]) -> None:
    assert report(AB, **expected) == []
    assert report(AB * 2, **{**expected, "repeats": True}) == [] or "text" in expected


@pytest.mark.parametrize(
    ("expected", "lines"),
    [
        ({"text": "other\n"},
         ["out: the text is not as expected", "  - other", '  + {"a": 1, "b": 2}',
          '  + {"a": 2, "b": 3}']),
        ({"text": AB.decode().rstrip()},
         ["out: the text is not as expected", "  only the line ends differ"]),
        ({"lines": ["one"]},
         ["out: expected 1 line, got 2", "  - one", '  + {"a": 1, "b": 2}',
          '  + {"a": 2, "b": 3}']),
        ({"records": [{"a": 1}, {"a": 3}]},
         ["out: expected 2 records, but others", '    {"a": 1}', '  - {"a": 3}', '  + {"a": 2}']),
        ({"records": [{"a": 2}, {"a": 1}]},
         ["out: expected 2 records, but others", '  + {"a": 1}', '    {"a": 2}', '  - {"a": 1}']),
        ({"records": [{"a": 2}, {"a": 4}, {"a": 1}], "ordered": False},
         ["out: expected 3 records, got 2", '  - {"a": 4}']),
        ({"records": []},
         ["out: expected 0 records, got 2", '  + {"a": 1, "b": 2}', '  + {"a": 2, "b": 3}']),
        ({"contains": ["five"]},
         ["out: expected to contain 'five', but it has 2 lines", '  {"a": 1, "b": 2}',
          '  {"a": 2, "b": 3}']),
        ({"count": 3}, ["out: expected 3 lines, got 2"]),
    ],
)  # fmt: skip
def test_a_report_shows_what_was_expected_and_what_came(
    expected: dict[str, Any], lines: list[str]
) -> None:
    assert report(AB, **expected) == lines


def test_repeats_are_allowed_only_if_the_test_says_so() -> None:
    twice = b"a\na\nb\n"
    assert report(twice, lines=["a", "b"])[0] == "out: expected 2 lines, got 3"
    assert report(twice, lines=["a", "b"], repeats=True) == []
    assert report(twice, count=2, repeats=True) == []
    assert report(twice, lines=["a"], repeats=True) == [
        "out: expected 1 line, got 2",
        "    a",
        "  + b",
    ]


def test_lines_that_are_no_records_are_named() -> None:
    assert report(b'{"a": 1}\n{"a"\n', records=[{"a": 1}]) == [
        'out: expected records, but line 2 is none: {"a"'
    ]
    assert report(b"3\n", records=[{}]) == ["out: expected records, but line 1 is none: 3"]


def test_a_last_line_without_an_end_counts_as_a_line() -> None:
    assert report(b"a\nb", lines=["a", "b"]) == []
    assert report(b"", lines=[]) == []


def test_what_a_stub_received_is_compared_as_records_or_lines() -> None:
    assert report([{"a": b"x"}, {"a": "y"}], records=[{"a": "x"}, {"a": "y"}]) == []
    assert report(["one", "two"], lines=["one", "two"]) == []
    assert report(["one"], text="one\n") == []
    assert report([{"a": 1}, "two"], lines=['{"a": 1}', "two"]) == []
    assert report(["one"], records=[{}]) == ["out: expected records, but line 1 is none: one"]


def test_a_long_report_is_cut() -> None:
    lines = report([f"line {number}" for number in range(100)], lines=["x" * 200])
    assert len(lines) == 14
    assert lines[1] == f"  - {'x' * 157}…"
    assert lines[-1] == "  … and 89 more"


def test_many_equal_lines_are_paired_in_any_order() -> None:
    assert report(["same"] * 1500, lines=["same"] * 1500, ordered=False) == []


def test_records_are_paired_so_that_as_many_as_possible_fit() -> None:
    found = [{"x": 1, "y": 2}, {"x": 1}]
    assert report(found, records=[{"x": 1}, {"y": 2}], ordered=False) == []


@pytest.mark.parametrize(
    ("expected", "found", "result"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (True, True, True),
        (True, 1, False),
        ("1", 1, False),
        ([1, {"a": 2}], [1, {"a": 2, "b": 3}], True),
        ([1], [1, 2], False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"a": {"b": 1}}, {"a": 1}, False),
        ({"a": 1}, {}, False),
    ],
)
def test_values_fit(expected: Any, found: Any, *, result: bool) -> None:
    assert fits(expected, found) is result
