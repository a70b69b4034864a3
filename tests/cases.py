"""Random cases: a few of them run in each run of the suite, and all of them in `make soak`."""

from __future__ import annotations

from typing import Any

import pytest


def few_and_slow(few: int, *, of: int) -> list[Any]:
    """Return the seeds below `of`, for `parametrize`. All but the first few are slow tests."""
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(few, of))]
