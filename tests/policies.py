"""A policy for tests that differs from the default one wherever events decide what happens."""

from __future__ import annotations

from zenactors import EventPolicy, Supervision

OTHER = EventPolicy(
    unknown_events="fail",
    answers="unpacked",
    control_events="ordinary",
    maintenance="busy",
)

STOPS = Supervision(on_error="stop", status=1)
"""The first failure ends everything, with status 1."""
