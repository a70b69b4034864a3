"""Exceptions from other threads, and a full stack, leave the engine whole."""

from __future__ import annotations

import pytest

from tests.attack.child import Attack, assert_nothing_broke
from tests.attack.injuries import call_on_a_full_stack, strike_producers

SECONDS, LONG = 2.0, 50.0
LIMIT = 60.0  # seconds beyond: only hangs take them


def test_an_exception_from_another_thread_breaks_nothing(attack: Attack) -> None:
    assert_nothing_broke(attack(strike_producers, limit=LIMIT, seconds=SECONDS, seed=1))


@pytest.mark.slow
def test_thousands_of_exceptions_from_another_thread_break_nothing(attack: Attack) -> None:
    assert_nothing_broke(attack(strike_producers, limit=LIMIT + LONG, seconds=LONG, seed=2))


def test_a_call_on_a_full_stack_raises_or_is_done_and_breaks_nothing(attack: Attack) -> None:
    assert_nothing_broke(attack(call_on_a_full_stack, limit=LIMIT))
