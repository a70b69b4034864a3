from __future__ import annotations

from zenactors.core.hangs import Hang, HangWatch


def watch() -> HangWatch:
    return HangWatch({0: 10.0, 1: 100.0})


def test_a_callback_is_reported_once_when_it_takes_longer_than_its_budget() -> None:
    one = watch()
    assert one.look(0.0, {0: "a"}) == []
    assert one.look(9.9, {0: "a"}) == []
    assert one.look(12.0, {0: "a"}) == [Hang(0, 12.0, over=False)]
    assert one.look(20.0, {0: "a"}) == []


def test_its_return_is_reported_too_whatever_follows() -> None:
    for after in ({}, {0: "b"}):
        one = watch()
        one.look(0.0, {0: "a"})
        one.look(10.0, {0: "a"})
        assert one.look(11.0, after) == [Hang(0, 11.0, over=True)]
        assert one.look(12.0, after) == []


def test_many_short_callbacks_in_a_row_are_no_hang() -> None:
    one = watch()
    for second in range(100):
        assert one.look(float(second), {0: second}) == []


def test_each_component_has_its_own_budget() -> None:
    one = watch()
    one.look(0.0, {0: "a", 1: "a"})
    assert one.look(50.0, {0: "a", 1: "a"}) == [Hang(0, 50.0, over=False)]
    assert one.look(100.0, {0: "a", 1: "a"}) == [Hang(1, 100.0, over=False)]


def test_the_time_counts_anew_for_each_callback() -> None:
    one = watch()
    one.look(0.0, {0: "a"})
    one.look(5.0, {0: "b"})
    assert one.look(14.0, {0: "b"}) == []
    assert one.look(15.0, {0: "b"}) == [Hang(0, 10.0, over=False)]
