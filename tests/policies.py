"""A policy for tests that differs from the default one wherever events decide what happens."""

from __future__ import annotations

from zenactors import EventPolicy

OTHER = EventPolicy(
    unknown_events="fail",
    on_failure="stop",
    answers="unpacked",
    control_events="ordinary",
    maintenance="busy",
)
