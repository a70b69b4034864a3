from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger


@pytest.fixture
def logged() -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
    """Collect what is logged: level, message and bound fields."""
    records: list[tuple[str, str, dict[str, Any]]] = []

    def sink(message: Any) -> None:
        record = message.record
        records.append((record["level"].name, record["message"], dict(record["extra"])))

    sink_id = logger.add(sink, level="DEBUG", format="{message}", catch=False)
    yield records
    logger.remove(sink_id)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that do not block."""
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(0.0)
        other.settimeout(0.0)
        yield one, other
