"""A daemon that follows a log under kills and rotations: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.tailed import kill_again_and_again, rotate_again_and_again
from tests.forking import ForkServer

RATE, FAST = 4_000, 20_000  # lines a second
LATE = 4  # seconds: without checkpoints, each kill would double all that was written before


def check_kills(
    server: ForkServer, directory: Path, how: str, *, kills: int, rate: float, seed: int
) -> None:
    outcome = kill_again_and_again(server, directory, how, kills=kills, rate=rate, seed=seed)
    assert outcome.letters == []
    assert outcome.lost == 0
    if how == "exact":
        assert (outcome.duplicates, outcome.torn, outcome.out_of_order) == (0, False, 0)
    else:
        # A checkpoint is due each second, and comes later if other programs have the processors.
        assert outcome.duplicates <= LATE * kills * rate


@pytest.mark.parametrize("how", ["plain", "exact"])
def test_nothing_is_lost_by_kills_while_the_log_is_rotated(
    fork_server: ForkServer, how: str, tmp_path: Path
) -> None:
    check_kills(fork_server, tmp_path, how, kills=5, rate=RATE, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "exact"])
def test_nothing_is_lost_by_many_kills_while_the_log_is_rotated(
    fork_server: ForkServer, how: str, tmp_path: Path
) -> None:
    check_kills(fork_server, tmp_path, how, kills=200, rate=FAST, seed=2)


def check_rotations(
    server: ForkServer, directory: Path, *options: str, rotations: int, rate: float
) -> None:
    outcome = rotate_again_and_again(
        server, directory, *options, rotations=rotations, rate=rate, every=0.1
    )
    assert (outcome.lost, outcome.duplicates, outcome.out_of_order) == (0, 0, 0)
    assert not outcome.torn


@pytest.mark.parametrize("options", [(), ("polling",)])
def test_rotations_lose_nothing_and_keep_the_order(
    fork_server: ForkServer, options: tuple[str, ...], tmp_path: Path
) -> None:
    check_rotations(fork_server, tmp_path, *options, rotations=20, rate=RATE)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("polling",)])
def test_a_thousand_rotations_lose_nothing_and_keep_the_order(
    fork_server: ForkServer, options: tuple[str, ...], tmp_path: Path
) -> None:
    check_rotations(fork_server, tmp_path, *options, rotations=1_000, rate=FAST / 2)
