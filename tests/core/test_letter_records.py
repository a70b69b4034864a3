from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.core.dead_letters import DeadLetter
from zenactors.core.letter_records import (
    NotReplayable,
    from_json,
    gone_line,
    has_field,
    is_replayable,
    letter_line,
    matching,
    read_records,
    to_json,
)

KEYS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.just("$tuple"),
    st.tuples(st.integers(), st.text()), st.frozensets(st.integers()),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        KEYS, st.floats(allow_nan=False), st.binary().map(bytearray), st.sets(KEYS),
        st.integers(min_value=-(2**5000), max_value=2**5000),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(KEYS, inner),
        st.dictionaries(st.text(), inner),
    ),
    max_leaves=20,
)  # fmt: skip


def exactly(value: Any) -> Any:
    """Return something equal only for the same values of the same types."""
    if isinstance(value, dict):
        return dict, [(exactly(key), exactly(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [exactly(each) for each in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(exactly(each)) for each in value)
    if isinstance(value, float):
        return float, value.hex()
    return type(value), value


@given(VALUES)
def test_what_can_be_recorded_is_read_back_as_it_was(value: Any) -> None:
    written = json.dumps(to_json(value), allow_nan=False)
    assert exactly(from_json(json.loads(written))) == exactly(value)
    assert is_replayable(value)


def test_not_a_number_is_recorded_too() -> None:
    assert math.isnan(from_json(to_json(math.nan)))
    assert to_json(-math.inf) == {"$float": "-inf"}


class Point(NamedTuple):
    x: int


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Shout(str):
    __slots__ = ()


@pytest.mark.parametrize("value", [object(), Point(1), Mute(), Shout("hey"), 1j])
def test_any_other_object_is_recorded_but_cannot_be_replayed(value: Any) -> None:
    for args in (value, [value], {"key": (value,)}, {1: value}):
        found = from_json(json.loads(json.dumps(to_json(args))))
        assert not is_replayable(found)
    assert isinstance(from_json(to_json(value)), NotReplayable)


def test_a_value_that_holds_itself_has_an_end() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    assert not is_replayable(from_json(to_json(ring)))


def test_a_tree_whose_nodes_know_their_parents_is_written_in_no_time() -> None:
    root: dict[str, Any] = {"parent": None, "children": []}
    for _ in range(20):
        child: dict[str, Any] = {"parent": root, "children": []}
        child["children"] = [{"parent": child} for _ in range(20)]
        root["children"].append(child)
    written = to_json(root)
    assert written["children"][0]["parent"] == {"$repr": "<dict that holds itself>"}
    assert len(json.dumps(written)) < 100_000
    assert is_replayable(root)


@pytest.mark.parametrize("levels", [30, 90])
def test_a_value_that_would_be_huge_as_json_is_cut(levels: int) -> None:
    value: list[Any] = ["lol"]
    for _ in range(levels):
        value = [value, value]
    assert len(json.dumps(to_json(value))) < 10_000_000
    assert is_replayable(value)


def test_an_object_that_occurs_several_times_is_written_each_time() -> None:
    point = (1, {"x": 2})
    assert exactly(from_json(to_json([point] * 1_000))) == exactly([point] * 1_000)


class Cruel(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


def test_args_in_memory_can_be_replayed_whatever_they_are() -> None:
    ring: list[Any] = []
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert all(map(is_replayable, (ring, deep, Cruel(a=1))))


class Key:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_a_key_without_a_text_costs_only_itself() -> None:
    assert to_json({Key(): 1}) == {
        "$dict": [[{"$repr": "<Key whose repr raises RuntimeError>"}, 1]]
    }


@pytest.mark.parametrize(
    "wrong",
    [{"$new": 1}, {"$bytes": "?"}, {"$bytes": 5}, {"$tuple": 5}, {"$set": [[1]]}, {"$int": "x"}],
)
def test_what_no_record_holds_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"mark|content|literal"):
        from_json(wrong)


def letter(number: int = 1, **changes: Any) -> DeadLetter:
    values: dict[str, Any] = {
        "event": "line", "args": {"n": number}, "component": "sink", "callback": "cbk",
        "cause": LookupError("gone"), "position": ("file", 7),
    }  # fmt: skip
    return DeadLetter(**(values | changes)).kept(number, 1_000.0 + number)


def test_a_letter_is_read_back_with_all_that_it_had() -> None:
    before = letter(3, incarnation=2, attempts=4, deliveries=5)
    records = read_records([letter_line(before)])
    (after,) = records.letters.values()
    for name in (
        "event", "args", "component", "callback", "incarnation", "attempts", "deliveries",
        "first", "last", "position", "id", "traceback", "cause_text",
    ):  # fmt: skip
        assert getattr(after, name) == getattr(before, name), name


def test_a_later_line_takes_the_place_of_an_earlier_one_and_gone_letters_are_gone() -> None:
    first, second, third = letter(1), letter(2), letter(3)
    again = DeadLetter("line", 5, "sink", "cbk", ValueError("still"), id=first.id, deliveries=2)
    lines = [
        *map(letter_line, (first, second, third)),
        gone_line("purged", third.id, 1.0),
        letter_line(again.kept(4, 2_000.0)),
        gone_line("replayed", second.id, 2.0),
        gone_line("replayed", "unknown", 2.0),
    ]
    records = read_records(lines)
    assert list(records.letters) == [first.id]
    assert records.letters[first.id].deliveries == 2
    assert (records.lines, records.broken) == (7, [])


def test_torn_and_foreign_lines_are_noted_and_left_out() -> None:
    whole = letter_line(letter(1))
    odd = [b'{"record": "other", "id": "x"}\n', b"[]\n", b"5\n", b"\xff\xfe\n", b"[" * 100_000]
    records = read_records([whole[:40] + b"\n", b"\n", whole, *odd, whole[:-10]])
    assert list(records.letters) == [letter(1).id]
    assert records.broken == [1, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "wrong",
    [
        {"last": "x"},
        {"first": None},
        {"deliveries": [1]},
        {"attempts": True},
        {"last": 1e999},
        {"first": -math.inf},
        {"last": math.nan},
        {"deliveries": 10**400},
        {"id": 5},
        {"id": ""},
    ],
)
def test_a_line_with_wrong_numbers_is_left_out(wrong: dict[str, Any]) -> None:
    line = json.dumps(json.loads(letter_line(letter(1))) | wrong).encode()
    records = read_records([line])
    assert (records.letters, records.broken) == ({}, [1])


def test_whole_objects_that_are_no_known_records_are_kept_apart_from_torn_lines() -> None:
    newer = b'{"record": "later", "id": "x"}\n'
    assert read_records([newer, b'{"record": "let\n', b"5\n"]).foreign == [newer]


def test_letters_are_chosen_by_all_conditions() -> None:
    letters = [letter(1), letter(2, component="other"), letter(3, event="x"), letter(4)]
    assert matching(letters) == letters
    assert matching(letters, event="line", component="sink") == [letters[0], letters[3]]
    assert matching(letters, event="line", where=lambda each: each.args["n"] > 1) == [
        letters[1],
        letters[3],
    ]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("n", "3", True),
        ("n", "4", False),
        ("component", "sink", True),
        ("cause", "LookupError", True),
        ("cause", "gone", False),
        ("deliveries", "1", True),
        ("no_such", "1", False),
        ("__class__", "x", False),
    ],
)
def test_a_key_of_the_args_or_a_field_is_compared_as_text(
    key: str, text: str, *, expected: bool
) -> None:
    assert has_field(letter(3), key, text) is expected


def test_a_number_too_long_for_text_has_none() -> None:
    assert not has_field(letter(1, args={"n": 16**5000}), "n", "1")
    assert not has_field(letter(1, args=16**5000), "args", "1")


def test_the_args_come_before_the_fields() -> None:
    found = letter(1, args={"component": "mine"})
    assert has_field(found, "component", "mine")
    assert not has_field(found, "component", "sink")
