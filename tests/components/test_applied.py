"""Ranges of events that were applied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components.applied import Applied
from zenactors.core.tokens import Origin


def origin(begin: int, end: int, floor: int = 0, path: str = "source", key: str = "k") -> Origin:
    return Origin("lines", path, key, [begin], [end], [floor], end)


def applied(*ranges: tuple[int, int]) -> Applied:
    made = Applied()
    for begin, end in ranges:
        made.add(origin(begin, end))
    return made


def test_what_was_applied_is_covered_in_any_portions():
    one = applied((0, 5), (5, 9))

    assert all(one.covers(origin(*each)) for each in [(0, 5), (5, 9), (0, 9), (3, 7)])
    assert not one.covers(origin(8, 10))
    assert one.ranges("source", "k") == [([0], [9], 9)]


def test_what_was_overtaken_is_not_covered():
    one = applied((0, 5), (9, 12))

    assert not one.covers(origin(5, 9))
    one.add(origin(5, 9))
    assert one.ranges("source", "k") == [([0], [12], 12)]


def test_another_path_or_key_is_not_covered():
    one = applied((0, 5))

    assert not one.covers(origin(0, 5, key="other"))
    assert not one.covers(origin(0, 5, path="source/router:alarms"))


def test_what_never_comes_again_is_forgotten():
    one = applied((0, 5), (7, 9))
    one.add(origin(20, 21, floor=9))

    assert one.ranges("source", "k") == [([20], [21], 21)]


def test_a_begin_that_nobody_knows_comes_before_all():
    one = Applied()
    one.add(Origin("lines", "source", "k", [], [0, 5], [], None))

    assert one.covers(Origin("lines", "source", "k", [], [0, 5], [], None))
    assert one.covers(Origin("lines", "source", "k", [0, 0], [0, 5], [], None))


def test_ranges_are_found_by_the_source_on_all_paths():
    one = applied((0, 5))
    one.add(origin(5, 7, path="source/router:alarms"))
    one.add(origin(1, 2, path="source 2"))
    one.add(origin(1, 2, path="a%2Fb"))

    assert one.of_source("source") == {"k": [([0], [5], 5), ([5], [7], 7)]}
    assert one.of_source("a/b") == {"k": [([1], [2], 2)]}


def test_keys_that_the_source_has_forgotten_are_forgotten():
    one = applied((0, 5))
    one.add(origin(0, 5, key="gone"))
    one.add(origin(0, 5, key="gone", path="other"))

    assert one.keep_only("source", {"k"}) == [("source", "gone")]
    assert not one.covers(origin(0, 5, key="gone"))
    assert one.covers(origin(0, 5, key="gone", path="other"))


def test_what_was_added_is_put_back():
    one = applied((0, 5))
    copy = one.copy_of({("source", "k"), ("source", "new"), None})
    one.add(origin(5, 7))
    one.add(origin(0, 7, key="new"))
    one.put_back(copy)

    assert one.ranges("source", "k") == [([0], [5], 5)]
    assert not one.covers(origin(0, 7, key="new"))


def test_the_next_run_reads_it_from_json():
    one = applied((0, 5), (7, 9))

    two = Applied(json.loads(json.dumps(one.stored())))
    assert two.covers(origin(7, 9))
    assert two.ranges("source", "k") == one.ranges("source", "k")


@pytest.mark.parametrize("stored", [{"a": {"b": 1}}, {"a": {"b": [[1, 2]]}}, {"a": {"b": [[[1]]]}}])
def test_something_else_is_refused(stored: Any):
    with pytest.raises(ValueError, match=r"no ranges|not enough|unpack"):
        Applied(stored)


events = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=30)


@given(events, events)
def test_exactly_what_was_applied_is_covered(added: list[Any], asked: list[Any]):
    one, model = Applied(), set()
    for begin, size in added:
        one.add(origin(begin, begin + size))
        model |= {*range(begin, begin + size)}

    for begin, size in asked:
        assert one.covers(origin(begin, begin + size)) == ({*range(begin, begin + size)} <= model)


@given(events, st.integers(0, 30))
def test_a_floor_changes_nothing_above_it(added: list[Any], floor: int):
    one, model = Applied(), set()
    for number, (begin, size) in enumerate(added):
        one.add(origin(begin, begin + size, floor=floor if number % 2 else 0))
        model |= {*range(begin, begin + size)}

    for begin in range(floor, 40):
        assert one.covers(origin(begin, begin + 1)) == (begin in model)
