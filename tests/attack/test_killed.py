"""A daemon that is killed at random moments: nothing is lost, and little comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.killed import kill_again_and_again
from tests.forking import ForkServer


@pytest.mark.parametrize("how", ["plain", "holding"])
def test_nothing_is_lost_by_kills(fork_server: ForkServer, how: str, tmp_path: Path) -> None:
    kill_again_and_again(fork_server, tmp_path, how, kills=4, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "holding"])
@pytest.mark.parametrize("seed", [10, 11])
def test_nothing_is_lost_by_many_kills(
    fork_server: ForkServer, how: str, seed: int, tmp_path: Path
) -> None:
    kill_again_and_again(fork_server, tmp_path, how, kills=50, seed=seed)
