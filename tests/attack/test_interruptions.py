"""An event that is scheduled in the middle of `schedule()` disturbs neither order nor number."""

from __future__ import annotations

import pytest

from tests.attack.child import Attack, assert_nothing_broke
from tests.attack.interruptions import BEFORE, interrupt_callback, interrupt_outside

LIMIT = 60.0  # seconds: only a hang takes that long


@pytest.mark.parametrize("before", BEFORE)
def test_a_thread_outside_may_be_interrupted_at_each_line(attack: Attack, before: str) -> None:
    assert_nothing_broke(attack(interrupt_outside, limit=LIMIT, before=before))


@pytest.mark.parametrize("before", range(4))
def test_a_callback_may_be_interrupted_at_each_line(attack: Attack, before: int) -> None:
    assert_nothing_broke(attack(interrupt_callback, limit=LIMIT, before=before))
