from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture(scope="package", autouse=True)
def no_logs_on_standard_error() -> Iterator[None]:
    """Remove loguru's own sink, which takes seconds to print some hundred failures."""
    with contextlib.suppress(ValueError):
        logger.remove(0)
    yield
    logger.add(sys.stderr)
