from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forked import ForkServer
from zenactors.errors import EXIT_CONFIG


@pytest.fixture
def run_spec(stock_forks: ForkServer) -> Callable[[str, Path], tuple[int, list[Any]]]:
    """Return a function that runs a SPEC in a process.

    It returns the status and the JSON lines that the process prints.
    """

    def run(text: str, directory: Path) -> tuple[int, list[Any]]:
        spec = directory / "spec.toml"
        spec.write_text(text)
        argv = ("-m", "zenactors", "run", spec, "--exit-when-idle")
        result = stock_forks.run(*argv, cwd=directory)
        assert result.returncode != EXIT_CONFIG, result.stderr
        return result.returncode, [*map(json.loads, result.stdout.splitlines())]

    return run
