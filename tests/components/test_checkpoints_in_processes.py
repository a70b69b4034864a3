"""Checkpoints in processes that are killed, or die of a record."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.components.forks import killed
from tests.forked import ForkServer
from tests.running import ROOT, run_python
from tests.sweeps import seeds
from zenactors.errors import EXIT_DATA_ERROR

PROGRAM = "tests.components.numbering_program"


def run(forks: ForkServer, directory: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run the daemon to its end. Return its status, and the lines about dead letters."""
    done = forks.run("-m", PROGRAM, directory, *arguments)
    return done.returncode, [each for each in done.stdout.splitlines() if "dead" in each]


def written(directory: Path) -> list[int]:
    return [int(line) for line in (directory / "out").read_text().split()]


def run_until_it_ends_in_order(
    forks: ForkServer, directory: Path, *arguments: str, most: int
) -> tuple[int, list[str]]:
    """Run the daemon until it does not die. Return the number of deaths, and its last lines."""
    for deaths in range(most + 1):
        status, lines = run(forks, directory, *arguments)
        if status == EXIT_DATA_ERROR:
            return deaths, lines
        assert status == 1
    pytest.fail(f"it has died {most + 1} times")


def test_a_record_that_ends_the_process_is_passed_when_four_have_died_of_it(
    stock_forks: ForkServer, tmp_path: Path
) -> None:
    # Some die of it and have made progress, which is saved after each quarter of the bound.
    arguments = ("200", "20", "exit=1", "exit=77", "exit=140")
    deaths, lines = run_until_it_ends_in_order(
        stock_forks, tmp_path, *arguments, most=4 + 2 * (4 + 5)
    )
    assert deaths >= 4 + 2 * (4 + 1)
    assert lines == ["dead 140: the process died here 4 times"]
    numbers = written(tmp_path)
    assert {*numbers} == {*range(1, 201)} - {1, 77, 140}
    assert len(numbers) - 197 <= deaths * 20


def test_a_record_that_raises_system_exit_is_passed_at_last(
    stock_forks: ForkServer, tmp_path: Path
) -> None:
    arguments = ("50", "10", "raise=5")
    for _ in range(5):  # the first one makes progress, and saves it at its end
        assert run(stock_forks, tmp_path, *arguments) == (1, ["dead 5: 1"])
    assert run(stock_forks, tmp_path, *arguments) == (
        EXIT_DATA_ERROR,
        ["dead 5: the process died here 4 times"],
    )
    assert {*written(tmp_path)} == {*range(1, 51)} - {5}


@seeds(2, soak=20)
def test_no_number_is_lost_by_kills_at_random_moments(
    stock_forks: ForkServer, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    kills, bound, limit = 5, 25, 3_000
    for _ in range(kills):
        count = random.randrange(100, 400)  # more than the bound: it is progress
        arguments = ("-m", PROGRAM, tmp_path, str(limit), str(bound))
        with killed(stock_forks, *arguments, cwd=ROOT) as output:
            for _ in range(count):
                assert output.readline()
    assert run(stock_forks, tmp_path, str(limit), str(bound)) == (0, [])

    numbers = written(tmp_path)
    assert {*numbers} == {*range(1, limit + 1)}
    assert len(numbers) - len({*numbers}) <= kills * bound


def test_two_processes_with_one_directory_are_refused_until_the_first_is_killed(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", PROGRAM, str(tmp_path), "100000000", "10"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        second = run_python("-m", PROGRAM, tmp_path, "1", "10")
        assert second.returncode == 69
        assert "state_dir: another daemon uses" in second.stderr
        process.kill()
    assert run_python("-m", PROGRAM, tmp_path, "1", "10").returncode == 0
