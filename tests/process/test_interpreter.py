"""The interpreter, as the state and the runlog show it."""

from __future__ import annotations

import platform
import sys

import pytest

from zenactors.process.interpreter import describe_interpreter


@pytest.mark.parametrize("enabled", [True, False])
def test_the_gil_is_as_the_interpreter_says(
    monkeypatch: pytest.MonkeyPatch, *, enabled: bool
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: enabled, raising=False)
    assert describe_interpreter() == {"version": platform.python_version(), "gil": enabled}


def test_an_interpreter_that_does_not_say_has_the_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "_is_gil_enabled", raising=False)
    assert describe_interpreter()["gil"] is True
