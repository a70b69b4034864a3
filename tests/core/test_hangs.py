from __future__ import annotations

from typing import Any

from zenactors.core.hangs import (
    INTERRUPT_GRACE,
    MAX_ABANDONED,
    MAX_ABANDONED_IN_ALL,
    HangWatch,
    Stage,
    may_be_replaced,
)


def watch(hard_limit: float | None = None) -> HangWatch:
    return HangWatch({0: (10.0, hard_limit), 1: (100.0, None)})


def look(one: HangWatch, now: float, **places: Any) -> list[tuple[int, float, Stage]]:
    """Look at the components `c0`, `c1`; return what is to be done."""
    seen = {int(name[1:]): place for name, place in places.items()}
    return [(hang.component, hang.seconds, hang.stage) for hang in one.look(now, seen)]


def test_a_callback_is_reported_once_when_it_takes_longer_than_its_budget() -> None:
    one = watch()
    assert look(one, 0.0, c0="a") == []
    assert look(one, 9.9, c0="a") == []
    assert look(one, 12.0, c0="a") == [(0, 12.0, Stage.REPORT)]
    assert look(one, 20.0, c0="a") == []


def test_its_return_is_reported_too_whatever_follows() -> None:
    for after in ({}, {"c0": "b"}):
        one = watch()
        look(one, 0.0, c0="a")
        look(one, 10.0, c0="a")
        assert look(one, 11.0, **after) == [(0, 11.0, Stage.OVER)]
        assert look(one, 12.0, **after) == []


def test_many_short_callbacks_in_a_row_are_no_hang() -> None:
    one = watch(5.0)
    for second in range(100):
        assert look(one, float(second), c0=second) == []


def test_each_component_has_its_own_budget() -> None:
    one = watch()
    look(one, 0.0, c0="a", c1="a")
    assert look(one, 50.0, c0="a", c1="a") == [(0, 50.0, Stage.REPORT)]
    assert look(one, 100.0, c0="a", c1="a") == [(1, 100.0, Stage.REPORT)]


def test_the_time_counts_anew_for_each_callback() -> None:
    one = watch()
    look(one, 0.0, c0="a")
    look(one, 5.0, c0="b")
    assert look(one, 14.0, c0="b") == []
    assert look(one, 15.0, c0="b") == [(0, 10.0, Stage.REPORT)]


def test_past_the_hard_limit_it_is_interrupted_and_then_abandoned() -> None:
    one = watch(30.0)
    look(one, 0.0, c0="a")
    look(one, 10.0, c0="a")
    assert look(one, 29.9, c0="a") == []
    assert look(one, 30.0, c0="a") == [(0, 30.0, Stage.INTERRUPT)]
    assert look(one, 30.0 + INTERRUPT_GRACE / 2, c0="a") == []
    assert look(one, 30.0 + INTERRUPT_GRACE, c0="a") == [(0, 31.0, Stage.ABANDON)]
    # It could not be abandoned at that moment: the next look tries again.
    assert look(one, 32.0, c0="a") == [(0, 32.0, Stage.ABANDON)]


def test_what_an_interrupt_ends_is_not_abandoned() -> None:
    one = watch(5.0)
    look(one, 0.0, c0="a")
    assert look(one, 5.0, c0="a") == [(0, 5.0, Stage.INTERRUPT)]
    assert look(one, 5.5, c0="b") == [(0, 5.5, Stage.OVER)]
    assert look(one, 9.0, c0="b") == []


def test_a_budget_and_a_hard_limit_may_pass_at_one_look() -> None:
    one = watch(20.0)
    look(one, 0.0, c0="a")
    assert look(one, 50.0, c0="a") == [(0, 50.0, Stage.REPORT), (0, 50.0, Stage.INTERRUPT)]


def test_the_call_of_an_abandoned_thread_is_forgotten() -> None:
    one = watch(5.0)
    look(one, 0.0, c0="a")
    look(one, 5.0, c0="a")
    assert look(one, 6.0, c0="a") == [(0, 6.0, Stage.ABANDON)]
    one.forget(0)
    assert look(one, 7.0) == []
    assert look(one, 8.0, c0="b") == []


def test_no_more_than_some_threads_are_abandoned() -> None:
    assert may_be_replaced(MAX_ABANDONED - 1, MAX_ABANDONED - 1)
    assert not may_be_replaced(MAX_ABANDONED, MAX_ABANDONED)
    assert may_be_replaced(0, MAX_ABANDONED_IN_ALL - 1)
    assert not may_be_replaced(0, MAX_ABANDONED_IN_ALL)
