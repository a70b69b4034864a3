"""The planted bugs of examples/races: plain tests pass, and the simulation finds them."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.running import run_python
from zenactors.testing import SimulationFailure, explore, simulate

RACES = Path(__file__).parents[1] / "examples/races"
SEEDS = 1000
PLAIN_RUNS = 2  # the documentation's figure is of 1,000
RATES = {"lost_update": 40, "impatient_parent": 313, "clock_jump": 899}  # about, as documented
MANY_ROUNDS = 400_000  # of the example's key stretching: a busy machine makes no difference

TWICE = """
import importlib, sys
from contextlib import suppress
from loguru import logger
from zenactors.testing import SimulationFailure, simulate

def trace(seed):
    lines = []
    with suppress(SimulationFailure):
        simulate(scenario, seed=seed, sink=lines.append)
    return lines

logger.remove()
scenario = importlib.import_module(sys.argv[1]).scenario
seeds = range(9, 29)
first = [trace(seed) for seed in seeds]
again = [trace(seed) for seed in reversed(seeds)][::-1]
assert any(" interrupt " in line for lines in first for line in lines), first[0]
assert first == again
"""


@pytest.fixture(params=["lost_update", "impatient_parent", "clock_jump"])
def race(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RACES))
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    return importlib.import_module(request.param)


def test_the_simulation_finds_it_and_finds_it_again(race: ModuleType) -> None:
    with pytest.raises(SimulationFailure) as found:
        explore(race.scenario, seeds=range(SEEDS))
    traces = []
    for _ in range(2):
        with pytest.raises(SimulationFailure) as again:
            simulate(race.scenario, seed=found.value.seed)
        traces.append(again.value.harness.trace.text())
        assert again.value.reason == found.value.reason
    assert traces[0] == traces[1]


def test_what_a_seed_does_depends_on_no_earlier_run() -> None:
    assert run_python("-c", TWICE, "lost_update", cwd=RACES).stderr == ""


@pytest.mark.slow
def test_the_documented_rates_hold_on_each_version_of_python(race: ModuleType) -> None:
    found = 0
    for seed in range(SEEDS):
        try:
            simulate(race.scenario, seed=seed)
        except SimulationFailure:
            found += 1
    # Versions compile to different instructions, so a few seeds differ.
    assert found == pytest.approx(RATES[race.__name__], rel=0.1)


def test_its_plain_test_passes(race: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "STRETCHING", MANY_ROUNDS, raising=False)
    for _ in range(PLAIN_RUNS):
        race.test_plain()


def test_without_interruptions_the_lost_update_stays_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(RACES))
    scenario = importlib.import_module("lost_update").scenario
    uninterrupted = dataclasses.replace(scenario, interrupt=0.0)
    assert explore(uninterrupted, seeds=range(50)) == 50


def test_the_figures_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_python(RACES / "figures.py", "lost_update", "100")
    plain, found = done.stdout.splitlines()
    assert plain == "lost_update: 100 of 100 plain test runs pass"
    figures = re.fullmatch(r"lost_update: (\d+) of 100 seeds fail, the first is (\d+)", found)
    assert figures
    monkeypatch.syspath_prepend(str(RACES))
    scenario = importlib.import_module("lost_update").scenario
    failed = []
    for seed in range(100):
        try:
            simulate(scenario, seed=seed)
        except SimulationFailure:
            failed.append(seed)
    assert failed  # otherwise there is nothing to count
    assert (int(figures[1]), int(figures[2])) == (len(failed), failed[0])
