"""Random programs on real threads keep the promises of docs/model.md."""

from __future__ import annotations

import math
import os

import pytest

from tests.attack.child import Attack, assert_nothing_broke
from tests.attack.random_programs import FAULTS, find_fault, run_seeds

FIRST, FEW = 4, 20  # seeds
ENOUGH = 200  # seeds: a fault is found by fewer
LIMIT = 180.0  # seconds: only hangs take them

# `make soak` as a whole takes an hour by default.
SOAK = float(os.environ.get("ZENACTORS_SOAK_SECONDS", "2700"))
ROUND = 40.0  # seconds, about: pytest takes a test of a minute for one that hangs
ROUNDS = math.ceil(SOAK / ROUND)
SEEDS = 200  # of a round


def test_random_programs_keep_every_promise(attack: Attack) -> None:
    assert_nothing_broke(attack(run_seeds, limit=LIMIT, first=FIRST, count=FEW))


@pytest.mark.parametrize("fault", FAULTS)
def test_they_find_a_planted_fault(attack: Attack, fault: str) -> None:
    assert attack(find_fault, limit=LIMIT, fault=fault, count=ENOUGH), "not found"


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_random_programs_keep_every_promise_for_long(attack: Attack, number: int) -> None:
    assert_nothing_broke(attack(run_seeds, limit=LIMIT, first=number * SEEDS, count=SEEDS))
