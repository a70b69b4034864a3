"""Ctrl-C ends a program that embeds a dispatcher: its block is left, and every event counted."""

from __future__ import annotations

import pytest

from tests.attack.child import Attack, assert_nothing_broke
from tests.attack.ctrl_c import VARIANTS, interrupt_programs

FEW, MANY = 3, 300  # rounds
LIMIT = 120.0  # seconds: only hangs take them
LONG = 1_200.0  # seconds


@pytest.mark.parametrize("variant", VARIANTS)
def test_ctrl_c_ends_a_program_that_schedules(attack: Attack, variant: str) -> None:
    assert_nothing_broke(
        attack(interrupt_programs, limit=LIMIT, variant=variant, rounds=FEW, seed=1)
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_of_hundreds_of_ctrl_c_ends_a_program(attack: Attack, variant: str) -> None:
    assert_nothing_broke(
        attack(interrupt_programs, limit=LONG, variant=variant, rounds=MANY, seed=2)
    )


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(FEW, id="few"),
        pytest.param(MANY, id="many", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.parametrize("during", ["start", "body"])
def test_ctrl_c_during_the_start_and_a_second_one_during_the_stop_do_no_harm(
    attack: Attack, during: str, signals: int, rounds: int
) -> None:
    assert_nothing_broke(
        attack(
            interrupt_programs,
            limit=LONG,
            variant="schedule",
            rounds=rounds,
            seed=3,
            signals=signals,
            during=during,
        )
    )
