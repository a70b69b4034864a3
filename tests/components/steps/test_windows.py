"""Windows of time: which counts they have, and when they are closed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components.steps._windows import OTHER, Row, WindowRules, Windows, top_of


def made(size: float = 60.0, slide: float = 60.0, lateness: float = 0.0, **others: int) -> Windows:
    return Windows(WindowRules(size, slide, lateness, **{"max_keys": 1_000, **others}), parts=1)


def count(windows: Windows, *times: float, key: str = "a") -> None:
    for time in times:
        windows.add(windows.number_of(time), (key,))


def test_a_window_has_what_is_in_its_time():
    windows = made()
    count(windows, 0, 59.9, 60, 119)

    assert windows.advance(120) == [(0, 60, ("a",), 2), (60, 120, ("a",), 2)]
    assert windows.is_empty


def test_a_window_is_closed_only_when_its_time_is_over():
    windows = made()
    count(windows, 10, 70)

    assert windows.advance(59.9) == []
    assert windows.advance(60) == [(0, 60, ("a",), 1)]
    assert windows.advance(60) == []
    assert not windows.takes(0)
    assert windows.takes(1)


def test_a_window_of_many_slides_is_closed_at_each_slide():
    windows = made(size=400.0, slide=1.0)
    closed: list[Row] = []
    for second in range(1_000):  # looks at no windows but those that it closes
        count(windows, second)
        closed += windows.advance(second)

    assert [(begin, counted) for begin, _, _, counted in closed] == [
        (end - 400, min(end, 400)) for end in range(1, 1_000)
    ]


def test_a_window_stays_open_for_what_comes_late():
    windows = made(lateness=30.0)
    count(windows, 10)

    assert windows.advance(89) == []
    assert windows.takes(0)
    assert windows.advance(90) == [(0, 60, ("a",), 1)]


def test_the_watermark_never_goes_back():
    windows = made()
    windows.advance(500)

    assert windows.advance(100) == []
    assert windows.watermark == 500


def test_sliding_windows_overlap():
    windows = made(size=60, slide=20)
    count(windows, 5, 25, 45)

    assert windows.advance(20) == [(-40, 20, ("a",), 1)]
    assert windows.takes(0)  # it is still in two windows that are open
    assert windows.advance(60) == [(-20, 40, ("a",), 2), (0, 60, ("a",), 3)]
    assert not windows.takes(0)
    assert windows.close_all() == [(20, 80, ("a",), 2), (40, 100, ("a",), 1)]
    assert windows.is_empty


def test_a_count_is_reached_once_in_each_window():
    windows = made()
    reached = []
    for time in (5, 65, 25, 66, 26, 27, 67):
        count(windows, time)
        reached.append(windows.reached(windows.number_of(time), ("a",), 1, 3))
    first, second = (0, 60, ("a",), 3), (60, 120, ("a",), 3)
    assert reached == [None, None, None, None, first, None, second]


def test_a_count_is_reached_in_the_latest_of_several_windows():
    windows = made(size=60, slide=20)
    count(windows, 5, 65)

    count(windows, 45)  # late: the window up to 80 has it, too
    assert windows.reached(2, ("a",), 1, 2) == (20, 80, ("a",), 2)
    count(windows, 46)
    assert windows.reached(2, ("a",), 1, 3) == (20, 80, ("a",), 3)
    assert windows.reached(2, ("a",), 1, 4) is None
    windows.add(2, ("a",), 5)
    assert windows.reached(2, ("a",), 5, 6) == (20, 80, ("a",), 6)


def test_only_what_has_changed_is_reported():
    windows = made()
    count(windows, 10)
    assert windows.changed() == [(0, 60, ("a",), 1)]
    assert not windows.has_changed
    assert windows.changed() == []
    count(windows, 20, 70)
    assert windows.changed() == [(0, 60, ("a",), 2), (60, 120, ("a",), 1)]


def test_further_keys_count_as_other():
    windows = made(max_keys=2)
    for key in "abcb":
        count(windows, 10, key=key)
    count(windows, 70, key="a")

    assert windows.advance(60) == [
        (0, 60, (OTHER,), 1),
        (0, 60, ("a",), 1),
        (0, 60, ("b",), 2),
    ]
    assert windows.advance(120) == [(60, 120, (OTHER,), 1)]
    count(windows, 130, key="a")  # there is room again
    assert windows.close_all() == [(120, 180, ("a",), 1)]


def test_the_oldest_windows_are_closed_if_there_are_too_many():
    windows = made(max_slides=3)
    count(windows, *range(0, 300, 60))

    assert [row[0] for row in windows.bound()] == [0, 60]
    assert windows.bound() == []
    assert not windows.takes(1)
    assert windows.takes(2)


def test_top_has_the_most_frequent_keys_of_each_window():
    rows: list[Row] = [
        (60, 120, ("a",), 1),
        (0, 60, ("c",), 2),
        (0, 60, ("a",), 2),
        (0, 60, ("b",), 3),
    ]
    assert top_of(rows, 2) == [(0, 60, ("b",), 3), (0, 60, ("a",), 2), (60, 120, ("a",), 1)]


def test_the_next_run_goes_on_with_all_of_it():
    windows = made(size=60, slide=20)
    count(windows, 5, 25)
    windows.advance(30)
    windows.changed()
    again = made(size=60, slide=20)
    again.restore(json.loads(json.dumps(windows.stored())))

    assert again.watermark == 30
    assert again.changed() == [(-20, 40, ("a",), 2), (0, 60, ("a",), 2), (20, 80, ("a",), 1)]
    assert again.close_all() == windows.close_all()


def test_an_empty_one_is_restored_as_such():
    again = made()
    again.restore(json.loads(json.dumps(made().stored())))
    count(again, 5)
    assert again.advance(60) == [(0, 60, ("a",), 1)]


@pytest.mark.parametrize(
    "stored",
    [
        {},
        [],
        {"slides": {"1": [["a", "b", 1]]}, "open_from": None, "watermark": None},
        {"slides": {"x": []}, "open_from": None, "watermark": None},
        {"slides": {"1": 5}, "open_from": None, "watermark": None},
    ],
)
def test_something_else_is_refused(stored: Any):
    with pytest.raises(ValueError, match=r"."):
        made().restore(stored)


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from("ab")), max_size=40),
    st.sampled_from([(10, 10), (30, 10), (40, 20)]),
    st.sampled_from([0, 15]),
    st.booleans(),
)
def test_each_event_is_in_each_of_its_windows_once(
    events: list[Any],
    lengths: tuple[int, int],
    lateness: int,
    restarts: bool,  # noqa: FBT001 - of hypothesis
):
    size, slide = lengths
    windows = made(size=size, slide=slide, lateness=lateness)
    wanted: Counter[Any] = Counter()
    closed_to = float("-inf")
    found: Counter[Any] = Counter()
    for time, key in events:
        number = windows.number_of(time)
        begins = [
            begin
            for begin in range(number * slide - size + slide, number * slide + 1, slide)
            if begin + size > closed_to
        ]
        assert windows.takes(number) == bool(begins)
        if begins:
            windows.add(number, (key,))
            wanted.update((begin, key) for begin in begins)
        closed_to = max(closed_to, (time - lateness) // slide * slide)
        for begin, _, (each,), total in windows.advance(time):
            assert (begin, each) not in found
            found[begin, each] = total
        if restarts:
            again = made(size=size, slide=slide, lateness=lateness)
            again.restore(json.loads(json.dumps(windows.stored())))
            windows = again
    for begin, _, (each,), total in windows.close_all():
        assert (begin, each) not in found
        found[begin, each] = total
    assert found == wanted
