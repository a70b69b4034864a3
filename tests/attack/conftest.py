"""A server for the attacks: it has imported what they need, and forks a process for each."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from tests.attack.child import Attack, run_attack
from tests.forking import ForkServer

ATTACKS = (
    "bytecodes ctrl_c floods injuries interruptions killed random_programs reentry strangers tailed"
    " timers"
)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer(*(f"tests.attack.{name}" for name in ATTACKS.split())) as server:
        yield server


@pytest.fixture
def attack(fork_server: ForkServer) -> Attack:
    """Run an attack in a process of its own; see `run_attack`."""
    return functools.partial(run_attack, fork_server)
