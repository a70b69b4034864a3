"""Everything works under `python -O` and `python -OO`, which drop asserts and docstrings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.forked import PRELOAD, ForkServer
from tests.running import run_python

SPEC = """\
name = "copy"
[[component]]
use = "zenactors.components:FileTailer"
options = { patterns = ["in.log"], start = "beginning" }
[[component]]
use = "zenactors.components:RawWriter"
options.path = "out.log"
"""

LINES = {
    "--version": "0.",
    "--help": "Commands:",
    "run --help": "--stop-timeout SECONDS",
    "tail --help": "--parse FORMAT",
    "check --help": "--app-dir DIR",
    "simulate --help": "--seeds N",
    "components": "FileTailer",
    "components FileTailer": "patterns: array of strings; required",
    "new FileTailer RawWriter": 'use = "zenactors.components:RawWriter"',
    "tail in.log --from beginning --exit-when-idle": "one",
    "check copy.toml": "FileTailer",
    "run copy.toml --exit-when-idle": "",
    "run copy.toml --action config-view": "stop_timeout",
    "simulate copy.toml --seeds 1 --exit-when-idle": "",
}


LEVELS = ["1", "2"]


@pytest.fixture(scope="module", params=LEVELS)
def optimized(request: pytest.FixtureRequest) -> Iterator[ForkServer]:
    with ForkServer(PRELOAD, PYTHONOPTIMIZE=request.param) as python:
        yield python


@pytest.mark.parametrize("line", LINES)
def test_a_command_works_optimized(line: str, optimized: ForkServer, tmp_path: Path) -> None:
    write(tmp_path / "in.log", "one\n")
    write(tmp_path / "copy.toml", SPEC)

    done = optimized.run("-m", "zenactors", *line.split(), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert LINES[line] in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--help", "--action=config-view"])
def test_a_program_works_optimized(option: str, optimized: ForkServer, tmp_path: Path) -> None:
    done = optimized.run("-m", "zenactors.demo", option, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("level", LEVELS)
def test_a_program_starts_optimized(level: str, tmp_path: Path) -> None:
    argv = ("-m", "zenactors.demo", "--work-units=1")
    done = run_python(*argv, cwd=tmp_path, PYTHONOPTIMIZE=level)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
