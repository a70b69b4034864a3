"""Tests of the command line run in one process: each leaves logs and imports as they were."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger


@pytest.fixture(autouse=True)
def clean_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty directory; restore sinks, handlers and the path of imports."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    pykka = logging.getLogger("pykka")
    handlers, propagate = list(pykka.handlers), pykka.propagate
    yield
    # A sink must not outlive the captured stream that it writes to.
    logger.remove()
    pykka.handlers[:], pykka.propagate = handlers, propagate
