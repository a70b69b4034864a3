"""Whatever asks the queue from within is answered or refused: nothing hangs."""

from __future__ import annotations

import pytest

from tests.attack.child import Attack, assert_nothing_broke
from tests.attack.reentry import WAYS, intrude, refuse_a_stop

LIMIT = 30.0  # seconds: only a hang takes that long


@pytest.mark.parametrize("way", WAYS)
def test_what_asks_the_queue_from_within_is_answered(attack: Attack, way: str) -> None:
    assert_nothing_broke(attack(intrude, limit=LIMIT, way=way))


def test_a_stop_from_within_is_refused(attack: Attack) -> None:
    assert_nothing_broke(attack(refuse_a_stop, limit=LIMIT))
