"""A part of the records."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from zenactors import TokenOutcome
from zenactors.components import Sample
from zenactors.testing import Crash, Harness, Probe

from .stepping import Sender, example_of, run_step

NUMBERS = [{"n": n, "group": n % 500} for n in range(10_000)]
DAEMON: Any = None


def sample(**options: Any) -> list[int]:
    step = Sample(**options)
    step.random = Random(1)
    return [record["n"] for record in step.apply(DAEMON, NUMBERS)]


def test_about_one_in_so_many_passes_in_order():
    chosen = sample(one_in=10)

    assert 900 < len(chosen) < 1_100
    assert chosen == sorted(chosen)
    assert len(sample(one_in=1)) == len(sample(one_in=1, keys=["n"])) == 10_000


def test_a_key_is_in_the_sample_or_not():
    chosen = sample(one_in=10, keys=["n"])

    assert 900 < len(chosen) < 1_100
    assert {*sample(one_in=20, keys=["n"])} < {*chosen}
    groups = {n % 500 for n in sample(one_in=10, keys=["group"])}
    assert sample(one_in=10, keys=["group"]) == [n for n in range(10_000) if n % 500 in groups]
    assert 20 < len(groups) < 80


def test_records_without_the_key_are_dropped_and_lists_are_keys():
    seen = run_step(Sample(one_in=1, keys=["n"]), [{"m": 1}, {"n": [1]}, 7])

    assert seen.passed_on == [[{"n": [1]}]]
    assert [letter.args for letter in seen.letters] == [[7]]
    assert seen.outcomes == [TokenOutcome.DONE]


def chosen_under(seed: int, **options: Any) -> list[Any]:
    sender, probe = Sender(*[[{"n": n}] for n in range(50)]), Probe("lines")
    crash = Crash(component="Sample", event="lines", nth=3)
    with Harness(
        [sender, Sample(one_in=2, **options), probe], seed=seed, faults=[crash]
    ) as harness:
        harness.run_until_idle()
        assert len(harness.dead_letters()) == 1
    return [args[0]["n"] for _, args in probe.received]


def test_chance_is_that_of_the_seed_and_a_key_s_is_not():
    assert chosen_under(1) == chosen_under(1)
    assert chosen_under(1) != chosen_under(2)
    assert chosen_under(1, keys=["n"]) == chosen_under(2, keys=["n"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"one_in": 0}, "one_in is 0"),
        ({"one_in": 0.1}, "one_in is 0.1"),
        ({"keys": "user"}, r"write \['user'\]"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Sample(**options)


def test_the_example_runs(run_spec, tmp_path):
    status, records = run_spec(example_of(Sample), tmp_path)

    assert status == 0
    assert records == [{"user": "lee"}, {"user": "max"}]
