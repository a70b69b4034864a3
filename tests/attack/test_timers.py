"""Timed events that come due at any moment make neither a drain nor a stop fail."""

from __future__ import annotations

import pytest

from tests.attack.child import Attack, assert_nothing_broke
from tests.attack.timers import drain_and_stop

LIMIT = 90.0  # seconds: only hangs take them


def test_a_drain_and_a_graceful_stop_among_timers_do_not_fail_early(attack: Attack) -> None:
    assert_nothing_broke(
        attack(drain_and_stop, limit=LIMIT, rounds=10, drains=20, seed=1, seconds=5.0)
    )


@pytest.mark.slow
def test_thousands_of_drains_and_hundreds_of_stops_among_timers_do_not_fail_early(
    attack: Attack,
) -> None:
    assert_nothing_broke(
        attack(drain_and_stop, limit=LIMIT * 2, rounds=300, drains=10, seed=2, seconds=50.0)
    )
