"""Tests of the command line run in one process: each leaves logs and imports as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import in_process


@pytest.fixture(autouse=True)
def clean_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty directory; restore sinks, handlers and the path of imports."""
    with in_process.clean_process(tmp_path, monkeypatch):
        yield
