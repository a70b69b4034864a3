"""Random programs on real threads keep the promises of docs/model.md."""

from __future__ import annotations

import math
import os

import pytest

from tests.attack.child import assert_nothing_broke, attack
from tests.attack.random_programs import FAULTS, find_fault, run_seeds

SECONDS = 5.0
ENOUGH = 20.0  # seconds: a fault is found in less
LIMIT = 180.0  # seconds beyond: only hangs take them

# `make soak` as a whole takes an hour by default.
SOAK = float(os.environ.get("ZENACTORS_SOAK_SECONDS", "2700"))
ROUND = 50.0  # seconds: pytest takes a test of a minute for one that hangs
ROUNDS = math.ceil(SOAK / ROUND)
SEEDS = 1_000_000  # seeds for a round, more than it needs


def test_random_programs_keep_every_promise() -> None:
    assert_nothing_broke(attack(run_seeds, limit=LIMIT, first=0, seconds=SECONDS))


@pytest.mark.parametrize("fault", FAULTS)
def test_they_find_a_planted_fault(fault: str) -> None:
    assert attack(find_fault, limit=LIMIT, fault=fault, seconds=ENOUGH), "not found"


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_random_programs_keep_every_promise_for_long(number: int) -> None:
    assert_nothing_broke(attack(run_seeds, limit=LIMIT, first=number * SEEDS, seconds=ROUND))
