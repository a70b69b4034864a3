"""What every test gets: no leaked thread, and hypothesis without deadlines or a database."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pykka
import pytest
from hypothesis import HealthCheck, settings

LEAVE_TIMEOUT = 2.0  # seconds an actor's thread may take to leave its loop after its stop

# Shared machines stall at any moment: how long an example takes says nothing.
_SLOW = (HealthCheck.too_slow,)
settings.register_profile("local", deadline=None, database=None, suppress_health_check=_SLOW)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def no_actor_left_behind() -> Iterator[None]:
    """Fail a test that leaves actors or their threads behind."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LEAVE_TIMEOUT
    for thread in _actor_threads(before):
        thread.join(max(0.0, deadline - time.monotonic()))
    threads = _actor_threads(before)
    actors = pykka.ActorRegistry.get_all()
    for ref in actors:
        ref.stop(block=False)
    for thread in threads:
        thread.join(LEAVE_TIMEOUT)
    names = [*map(str, actors), *(thread.name for thread in threads)]
    assert not names, f"still running after the test: {', '.join(names)}"


def _actor_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("zenactors:") and thread not in before
    ]
