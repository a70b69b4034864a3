"""Random cases and sweeps: few of them in each run of the suite, and all in `make soak`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def seeds(few: int, *, soak: int) -> pytest.MarkDecorator:
    """Parametrize a test by its argument `seed`.

    Args:
        few: How many seeds each run of the suite tests.
        soak: How many there are. The others are for `make soak`.
    """
    return swept("seed", range(few), soak=range(few, soak))


def swept(name: str, few: Iterable[object], *, soak: Iterable[object]) -> pytest.MarkDecorator:
    """Parametrize a test by one argument.

    Args:
        name: The name of the argument.
        few: Its values in each run of the suite.
        soak: More values, for `make soak`.
    """
    more = [pytest.param(value, marks=pytest.mark.slow) for value in soak]
    return pytest.mark.parametrize(name, [*few, *more])
