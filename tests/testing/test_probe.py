from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from zenactors import Dispatcher
from zenactors.testing import ANY, Harness, Probe, Received


@contextmanager
def under_harness(*components: Any) -> Iterator[Any]:
    with Harness(components) as harness:
        yield harness.queue


@contextmanager
def on_threads(*components: Any) -> Iterator[Any]:
    with Dispatcher(components) as dispatcher:
        yield dispatcher.queue


Place = Callable[..., AbstractContextManager[Any]]
PLACES = pytest.mark.parametrize("place", [under_harness, on_threads])
SOON = 0.01  # seconds


# --- the same under the harness and on threads --------------------------------------------------


@PLACES
def test_expect_takes_one_event_after_the_other(place: Place) -> None:
    probe = Probe("x", "y")
    with place(probe) as queue:
        queue.schedule("x", 1)
        queue.schedule("y", [2])
        queue.schedule("x", 3)
        assert probe.expect("x", 1) == 1
        assert probe.expect("y") == [2]
        assert probe.expect() == 3
        assert probe.received == [("x", 1), ("y", [2]), ("x", 3)]


@PLACES
def test_expect_waits_for_what_comes_later(place: Place) -> None:
    probe = Probe("x")
    with place(probe) as queue:
        queue.schedule_after(SOON, "x", 1)
        assert probe.expect("x", 1) == 1


@PLACES
def test_expect_fails_if_something_else_comes_first(place: Place) -> None:
    probe = Probe("x", "y", name="peer")
    with place(probe) as queue:
        queue.schedule("x", 1)
        queue.schedule("y", 2)
        with pytest.raises(AssertionError, match=r"^peer: expected y, but got x with 1"):
            probe.expect("y")
        with pytest.raises(AssertionError, match=r"^peer: expected y with 3, but got y with 2"):
            probe.expect("y", 3)


@PLACES
def test_expect_fails_if_nothing_comes_in_time(place: Place) -> None:
    probe = Probe("x")
    with (
        place(probe),
        pytest.raises(AssertionError, match=r"expected x with 1 within 0.01 s, but nothing came"),
    ):
        probe.expect("x", 1, within=SOON)


@PLACES
def test_expect_none_fails_if_the_event_comes(place: Place) -> None:
    probe = Probe("x", "y")
    with place(probe) as queue:
        queue.schedule("x", 1)
        probe.expect_none("y", within=SOON)
        with pytest.raises(AssertionError, match="expected no x within 5 s, but got x with 1"):
            probe.expect_none("x", within=5.0)
        with pytest.raises(AssertionError, match="expected nothing within 5 s, but got x with 1"):
            probe.expect_none(within=5.0)
        probe.expect("x")
        probe.expect_none(within=SOON)


@PLACES
def test_receive_n_returns_the_next_events(place: Place) -> None:
    probe = Probe("x", "y")
    with place(probe) as queue:
        for number in range(4):
            queue.schedule("x" if number % 2 else "y", number)
        assert probe.receive_n(3) == [("y", 0), ("x", 1), ("y", 2)]
        assert probe.receive_n(1) == [Received("x", 3)]
        with pytest.raises(AssertionError, match=r"expected 2 events within 0.01 s, but got 0"):
            probe.receive_n(2, within=SOON)


@PLACES
def test_what_comes_along_goes_on_unchanged(place: Place) -> None:
    args = [1]
    first, second = Probe("x"), Probe("x")
    with place(first, second) as queue:
        queue.schedule("x", args)
        assert first.expect() is args
        assert second.expect() is args


# --- under the harness --------------------------------------------------------------------------


def test_waits_are_of_virtual_time() -> None:
    probe = Probe("x")
    with Harness([probe]) as harness:
        harness.queue.schedule_after(3600.0, "x")
        probe.expect_none(within=3599.0)
        assert harness.now == 3599.0
        probe.expect("x")
        assert harness.now == 3600.0


def test_an_expectation_that_has_come_true_takes_no_time() -> None:
    probe = Probe("x")
    with Harness([probe]) as harness:
        harness.queue.schedule("x")
        probe.expect("x", None, within=60.0)
        assert harness.now == 0.0


def test_a_failure_shows_the_last_twenty_events_and_where_each_is() -> None:
    probe = Probe("x", "y")
    with Harness([probe], seed=3) as harness:
        for number in range(25):
            harness.queue.schedule("x", number)
        probe.receive_n(25)
        harness.queue.schedule_after(60.0, "y", {"late"})
        with pytest.raises(AssertionError) as failure:
            probe.expect("y", within=1.0)
    lines = str(failure.value).splitlines()
    assert lines[0] == "probe: expected y within 1 s, but nothing came."
    assert lines[1].startswith("The last 20 events, 1 s after the start, seed 3:")
    assert lines[2:] == [
        *(f"  {f'x#{number + 1}':<4}  {number}: completed" for number in range(6, 25)),
        "  y#1   {'late'}: queued in 60 s",
    ]


# --- on threads ---------------------------------------------------------------------------------


def test_a_failure_on_threads_shows_what_came_along() -> None:
    probe = Probe("x")
    with Dispatcher([probe]) as dispatcher:
        for number in range(25):
            dispatcher.queue.schedule("x", number)
        probe.receive_n(25)
        with pytest.raises(AssertionError) as failure:
            probe.expect("x", within=SOON)
    lines = str(failure.value).splitlines()
    assert lines[1] == "The last of 25 events that came:"
    assert lines[2:] == [f"  x with {number}" for number in range(5, 25)]


def test_anything_fits_any() -> None:
    assert repr(ANY) == "ANY"
    probe = Probe("x")
    with Harness([probe]) as harness:
        harness.queue.schedule("x", 1)
        assert probe.expect(ANY, 1) == 1
