"""A directory with a module in it, and functions that load TOML texts there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from tests.spec.sample import PARTS
from zenactors import spec
from zenactors.errors import ConfigurationError


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a directory with a module `parts`, which is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    write(tmp_path / "parts.py", PARTS)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def problems_of(app: Path) -> Callable[[str], list[str]]:
    """Return a function that loads a TOML text and returns the lines of the error."""

    def problems(text: str) -> list[str]:
        write(app / "x.toml", text)
        with pytest.raises(ConfigurationError) as caught:
            spec.load("x.toml", app)
        return str(caught.value).splitlines()

    return problems


@pytest.fixture
def load_text(app: Path) -> Callable[[str], Any]:
    def load(text: str) -> Any:
        write(app / "x.toml", text)
        return spec.load("x.toml", app)

    return load
