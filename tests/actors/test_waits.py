"""`Dispatcher.wait`: periods of any size, and none."""

from __future__ import annotations

import math
import threading
from decimal import Decimal
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake
from zenactors import Dispatcher
from zenactors.actors.notifier import Flag, ThreadNotifier
from zenactors.actors.runtime import Runtime


class Immediate(Flag):
    """A flag whose waits are noted and last no time."""

    def __init__(self) -> None:
        super().__init__(ThreadNotifier())
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


class Impatient(Runtime):
    def event(self) -> Immediate:
        return Immediate()


def waits_of(period: Any) -> list[float | None]:
    dispatcher = Dispatcher([Fake()], runtime=Impatient())
    assert dispatcher.wait(period) is False
    done: Any = dispatcher._engine.done
    return list(done.waits)


def test_a_period_may_be_a_number_of_any_type() -> None:
    assert waits_of(Decimal(2)) == [2.0]
    assert waits_of(None) == [None]


@pytest.mark.parametrize("period", [0, -1, -1e300, -math.inf, Decimal("-Infinity")])
def test_a_negative_period_returns_at_once(period: Any) -> None:
    assert waits_of(period) == [0.0]


def test_a_period_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        waits_of(math.nan)
    with pytest.raises(TypeError, match="number of seconds"):
        waits_of("1")


@pytest.mark.parametrize("period", [None, math.inf, 1e10])
def test_a_wait_without_an_end_ends_when_it_is_time_to_stop(period: Any) -> None:
    results: list[bool] = []
    with Dispatcher([Fake()]) as dispatcher:
        waiting = threading.Thread(target=lambda: results.append(dispatcher.wait(period)))
        waiting.start()
        dispatcher.set_done()
        waiting.join(DEADLINE)
    assert results == [True]
