"""Run the command line in the tests' own process, and leave that as it was."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger


@contextlib.contextmanager
def clean_process(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a directory; afterwards restore sinks, handlers and the path of imports."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(directory)
    pykka = logging.getLogger("pykka")
    handlers, propagate = list(pykka.handlers), pykka.propagate
    yield
    # A sink must not outlive the captured stream that it writes to.
    logger.remove()
    pykka.handlers[:], pykka.propagate = handlers, propagate
