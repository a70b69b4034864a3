"""What every test gets: no leak, and hypothesis without deadlines or a database.

Threads, descriptors and children are looked after by zenactors' own plugin (`zen_leaks = all`).
It is asked for by name, so that it is there too where zenactors is not installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pykka
import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "zenactors.testing.plugin"]

LEAVE_TIMEOUT = 2.0  # seconds an actor may take to leave its loop after its stop

# Shared machines stall at any moment: how long an example takes says nothing.
_SLOW = (HealthCheck.too_slow,)
settings.register_profile("local", deadline=None, database=None, suppress_health_check=_SLOW)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def no_actor_left_behind() -> Iterator[None]:
    """Fail a test that leaves actors behind; those that leave get a moment."""
    yield
    deadline = time.monotonic() + LEAVE_TIMEOUT
    for ref in pykka.ActorRegistry.get_all():
        ref.actor_stopped.wait(max(0.0, deadline - time.monotonic()))
    actors = pykka.ActorRegistry.get_all()
    for ref in actors:
        ref.stop(block=False)
    assert not actors, f"still running after the test: {', '.join(map(str, actors))}"
