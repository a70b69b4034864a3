"""A daemon that follows a log under kills and rotations: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.tailed import RATE, kill_again_and_again, rotate_again_and_again

LATE = 4  # seconds: without checkpoints, each kill would double all that was written before


def check_kills(directory: Path, how: str, *, kills: int, seed: int) -> None:
    outcome = kill_again_and_again(directory, how, kills=kills, seed=seed)
    assert outcome.letters == []
    assert outcome.lost == 0
    if how == "exact":
        assert (outcome.duplicates, outcome.torn, outcome.out_of_order) == (0, False, 0)
    else:
        # A checkpoint is due each second, and comes later if other programs have the processors.
        assert outcome.duplicates <= LATE * kills * RATE


@pytest.mark.parametrize("how", ["plain", "exact"])
def test_nothing_is_lost_by_kills_while_the_log_is_rotated(how: str, tmp_path: Path) -> None:
    check_kills(tmp_path, how, kills=5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "exact"])
def test_nothing_is_lost_by_many_kills_while_the_log_is_rotated(how: str, tmp_path: Path) -> None:
    check_kills(tmp_path, how, kills=200, seed=2)


def check_rotations(directory: Path, *options: str, rotations: int) -> None:
    outcome = rotate_again_and_again(
        directory, *options, rotations=rotations, rate=10_000, every=0.1
    )
    assert (outcome.lost, outcome.duplicates, outcome.out_of_order) == (0, 0, 0)
    assert not outcome.torn


@pytest.mark.parametrize("options", [(), ("polling",)])
def test_rotations_lose_nothing_and_keep_the_order(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    check_rotations(tmp_path, *options, rotations=20)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("polling",)])
def test_a_thousand_rotations_lose_nothing_and_keep_the_order(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    check_rotations(tmp_path, *options, rotations=1_000)
