from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger

from tests.forked import ForkServer

from .forks import PRELOAD
from .tailing import Tail


class Logged:
    """The logged messages: `of("WARNING")` returns those of one level."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str]] = []

    def of(self, level: str) -> list[str]:
        return [message for name, message in self.records if name == level]


@pytest.fixture(scope="session")
def stock_forks() -> Iterator[ForkServer]:
    """Yield a server that has imported the command `run` and all stock components."""
    with ForkServer(PRELOAD) as server:
        yield server


@pytest.fixture
def logged() -> Iterator[Logged]:
    collected = Logged()

    def sink(message) -> None:
        record = message.record
        collected.records.append((record["level"].name, record["message"]))

    sink_id = logger.add(sink, level="DEBUG", format="{message}", catch=False)
    yield collected
    logger.remove(sink_id)


@pytest.fixture
def tail():
    tails = []

    def make(*patterns, **options) -> Tail:
        tails.append(Tail(*patterns, **options))
        return tails[-1]

    yield make
    for one in tails:
        one.tailer.teardown(one.daemon)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\n")
    return path
