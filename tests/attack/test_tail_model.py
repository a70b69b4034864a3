"""Random sequences of things that happen to followed files, against a model of what must come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.attack.tail_model import PATTERNS, run
from zenactors.testing import Kill, PowerFailure

NUMBERS = st.integers(0, 1)
COUNTS = st.integers(1, 4)
FEW = st.integers(0, 3)
SIZES = st.sampled_from([0, 20, 400])
PAUSES = st.sampled_from([0.001, 0.1, 0.3, 1.1, 3.5, 12.0, 25.0])
DOWN = st.sampled_from([0.1, 2.0, 9.0])
MOMENTS = [0.0, 0.0, 0.1, 1.5, 4.0, -0.3, -1.5]  # from a copy to the truncation, or before it
ROTATED = st.sampled_from(["", "", ".1", ".2"])


def step(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *args)


WAITING = step("wait", PAUSES)
WRITING = step("write", NUMBERS, COUNTS, SIZES)
STEPS = st.one_of(
    WRITING,
    WAITING,
    WRITING,
    WAITING,
    step("tear", NUMBERS, SIZES),
    step("rotate", NUMBERS, FEW, SIZES),
    step("rotate", NUMBERS, FEW, SIZES),
    step("late", NUMBERS, COUNTS, SIZES),
    step("linger", NUMBERS, COUNTS, SIZES, st.sampled_from([0.3, 1.1, 3.5])),
    step("date", NUMBERS),
    step("copytruncate", NUMBERS, FEW, st.sampled_from(MOMENTS), SIZES),
    step("truncate", NUMBERS, FEW, SIZES),
    step("delete", NUMBERS, ROTATED),
    step("compress", NUMBERS),
    step("swap"),
    step("steps", st.integers(1, 30)),
    step("restart"),
    step("kill", DOWN),
    step("power", DOWN),
    step("stop", DOWN),
    step("error", st.sampled_from(["read", "open", "disk"])),
    step("no_error"),
    step("hints", st.sampled_from(["drop", "give", "overflow"])),
)
DEATHS = st.lists(
    st.builds(
        lambda kind, point, nth: kind(point=point, nth=nth),
        st.sampled_from([Kill, PowerFailure]),
        st.sampled_from(["file", "step"]),
        st.integers(1, 150),
    ),
    max_size=2,
).map(tuple)
WORLDS = st.fixed_dictionaries(
    {
        "patterns": st.sampled_from(sorted(PATTERNS)),
        "memory": st.sampled_from(["state", "exact", "none"]),
        "notifications": st.booleans(),
        "sink_seconds": st.sampled_from([0.0, 0.0, 0.2]),
        "seed": st.sampled_from([None, 1, 2, 3]),
        "deaths": DEATHS,
    }
)


PARTS = 5  # pytest takes a test of a minute for one that hangs
ROUNDS = 125
SHORT, LONG = 25, 100  # sequences of a part


@pytest.mark.parametrize(
    ("part", "count"),
    [
        *((part, SHORT) for part in range(2)),
        *(pytest.param(part, LONG, marks=pytest.mark.slow) for part in range(PARTS)),
    ],
)
def test_what_must_come_comes_once_and_in_order(part, count):
    @seed(part)
    @given(WORLDS, st.lists(STEPS, min_size=3, max_size=20))
    @settings(max_examples=count)
    def sequences(options, steps):
        run(options, steps)

    sequences()


@pytest.mark.slow
@pytest.mark.parametrize("_round", range(ROUNDS))
def test_what_must_come_comes_for_long(_round):
    @given(WORLDS, st.lists(STEPS, min_size=5, max_size=25))
    @settings(max_examples=400, derandomize=False)
    def sequences(options, steps):
        run(options, steps)

    sequences()
