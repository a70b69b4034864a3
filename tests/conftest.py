"""Settings for every test: no leak, and hypothesis without deadlines or a database.

zenactors' own plugin checks for leaked threads, descriptors and children (`zen_leaks = all`). It
is loaded by name, so it also works where zenactors is not installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pykka
import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "zenactors.testing.plugin"]

LEAVE_TIMEOUT = 2.0  # seconds an actor may take to leave its loop after a stop

# Shared machines may stall at any moment, so the time of an example means nothing.
_SLOW = (HealthCheck.too_slow,)
settings.register_profile("local", deadline=None, database=None, suppress_health_check=_SLOW)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def no_actor_left_behind() -> Iterator[None]:
    """Fail a test that leaves actors running. Actors that are stopping get a moment."""
    yield
    deadline = time.monotonic() + LEAVE_TIMEOUT
    for ref in pykka.ActorRegistry.get_all():
        ref.actor_stopped.wait(max(0.0, deadline - time.monotonic()))
    actors = pykka.ActorRegistry.get_all()
    for ref in actors:
        ref.stop(block=False)
    assert not actors, f"still running after the test: {', '.join(map(str, actors))}"
