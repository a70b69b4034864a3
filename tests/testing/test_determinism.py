"""One seed gives one trace, byte for byte, with any hash seed of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.testing.rich_daemon import traces
from zenactors.testing._trace.describe import describe

SEEDS = 8
TIMEOUT = 60.0


@pytest.fixture(scope="module")
def printed() -> list[Any]:
    """Return the output of two processes with different hash seeds, run at the same time."""
    command = [sys.executable, "-m", "tests.testing.rich_daemon", str(SEEDS)]
    programs = [
        subprocess.Popen(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
        )
        for seed in ("1", "2")
    ]
    outputs = [program.communicate(timeout=TIMEOUT)[0] for program in programs]
    assert [program.returncode for program in programs] == [0, 0]
    return [json.loads(output) for output in outputs]


def test_a_seed_gives_the_same_trace_in_every_process(printed: list[Any]) -> None:
    one, other = (each["sound"] for each in printed)
    for seed in one:
        for here, there in zip(one[seed].splitlines(), other[seed].splitlines(), strict=False):
            assert here == there, f"seed {seed}"
    assert one == other
    assert len(one) == SEEDS


def test_the_traces_are_those_of_runs_in_which_much_happens(printed: list[Any]) -> None:
    text = "\n".join(printed[0]["sound"].values())
    kinds = {line.split(": ", 1)[-1].split(" ")[0] for line in text.splitlines()}
    assert kinds >= {"schedule", "start", "call", "answer", "raise", "cancel", "hook", "signal"}
    assert kinds >= {"passes", "interrupt", "fault", "log"}
    for fault in ("InjectedCrash", "not there", "delay of 0.5 s", "wall clock jumps"):
        assert fault in text
    for seen in ("hook tick", "hook _log", '{"text":"line 2"}', "status 65", "Plain object>"):
        assert seen in text
    assert "#?" not in text  # every event is known by its number
    assert len(set(printed[0]["sound"].values())) == SEEDS  # the seeds differ


def test_a_choice_by_the_hash_of_a_text_would_be_noticed(printed: list[Any]) -> None:
    assert printed[0]["broken"] != printed[1]["broken"]


def test_nothing_of_a_run_lives_on_in_the_next() -> None:
    first = traces([3])
    traces([4])
    assert traces([3]) == first


def test_no_address_and_no_order_of_a_set_is_in_a_text() -> None:
    class Thing:
        pass

    value = {"b": {Thing(): {"z", "y"}}, "a": [Thing()]}
    assert " at 0x" not in describe(value)
    assert describe({"y", "z", "x"}) == "{'x', 'y', 'z'}"
    assert describe(value).startswith("{'a': [<")
