"""When the next turn is. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components.tail.wakeups import IDLE_SHARE, LONGEST, SHORTEST, Next, WakeUps

IDLE = Next(watch=True, delay=None)
ONCE_MORE = Next(watch=True, delay=0.0)


def test_at_first_it_is_idle_and_watches():
    wake_ups = WakeUps()
    assert wake_ups.ended(found=False, cost=0.0) == IDLE


def test_a_lone_line_takes_one_turn_two_empty_ones_and_a_last_look():
    wake_ups = WakeUps()
    turns = [wake_ups.ended(found=True, cost=0.0)]
    turns += [wake_ups.ended(found=False, cost=0.0) for _ in range(3)]

    assert turns == [Next(watch=False, delay=SHORTEST)] * 2 + [ONCE_MORE, IDLE]


def test_what_came_before_it_watches_again_is_found_by_the_last_look():
    wake_ups = WakeUps()
    wake_ups.ended(found=True, cost=0.0)
    wake_ups.ended(found=False, cost=0.0)
    assert wake_ups.ended(found=False, cost=0.0) == ONCE_MORE

    assert wake_ups.ended(found=True, cost=0.0).watch is False


@pytest.mark.parametrize(
    ("cost", "delay"),
    [(0.0, SHORTEST), (0.000_2, 0.000_2 * IDLE_SHARE), (0.01, LONGEST), (5.0, LONGEST)],
)
def test_the_delay_is_in_proportion_to_the_cost(cost, delay):
    assert WakeUps().ended(found=True, cost=cost) == Next(watch=False, delay=delay)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=50))
def test_busy_turns_are_never_closer_than_the_shortest_delay(turns):
    wake_ups = WakeUps()
    looks_in_a_row = 0
    for found, cost in turns:
        following = wake_ups.ended(found=found, cost=cost)
        if following.watch:
            assert not found
            looks_in_a_row = looks_in_a_row + 1 if following.delay == 0.0 else 0
            assert looks_in_a_row <= 1
        else:
            assert following.delay is not None
            assert SHORTEST <= following.delay <= LONGEST
            looks_in_a_row = 0
