"""Supervisors for tests of the core: without chance, and without tenacity."""

from __future__ import annotations

from zenactors.core.supervision import DEFAULT, Supervision, Supervisor


def unsupervised() -> Supervisor:
    """Return the supervisor of a component that declares nothing."""
    return supervised(DEFAULT)


def supervised(policy: Supervision, *, chance: float = 0.0) -> Supervisor:
    """Return a supervisor whose waits are `delay`, twice that, four times that, and so on."""
    return Supervisor(
        policy,
        lambda number: policy.delay * 2 ** (number - 1),
        lambda: chance,
        lambda retry, attempts: attempts >= retry.get("stop", 1_000),
    )
