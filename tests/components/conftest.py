from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger


class Logged:
    """What was logged: `of("WARNING")` gives the messages of one level."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str]] = []

    def of(self, level: str) -> list[str]:
        return [message for name, message in self.records if name == level]


@pytest.fixture
def logged() -> Iterator[Logged]:
    collected = Logged()

    def sink(message) -> None:
        record = message.record
        collected.records.append((record["level"].name, record["message"]))

    sink_id = logger.add(sink, level="DEBUG", format="{message}", catch=False)
    yield collected
    logger.remove(sink_id)
