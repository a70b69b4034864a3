"""Settings for every test: no leak, and hypothesis without deadlines or a database.

zenactors' own plugin checks for leaked threads, descriptors and children (`zen_leaks = all`). It
is loaded by name, so it also works where zenactors is not installed.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import sysconfig
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.forked import PRELOAD, ForkServer

pytest_plugins = ["pytester", "tests.sharing", "zenactors.testing.plugin"]

# Shared machines may stall at any moment, so the time of an example means nothing.
_SLOW = (HealthCheck.too_slow,)
settings.register_profile("local", deadline=None, database=None, suppress_health_check=_SLOW)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Without files of bytecode, each process that a test starts compiles the package, and each run of
# the suite rewrites the assertions of all tests. Images of containers often forbid such files.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Loguru asks for three dozen paths of the interpreter for each sink, and each harness adds a sink.
sysconfig.get_path = functools.cache(sysconfig.get_path)  # type: ignore[assignment]


def pytest_collection_finish() -> None:
    """Let no garbage collection look at the tests again: they are many, and none is garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Yield a server that has imported what most programs import."""
    with ForkServer(PRELOAD) as server:
        yield server
