"""Readers of log files, and a loguru without sinks for each test."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

Capture = pytest.CaptureFixture[str]
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"


@pytest.fixture(autouse=True)
def clean_process() -> Iterator[None]:
    """Run the test with a loguru without sinks, and leave `logging` as it was."""
    sources = (logging.getLogger(), logging.getLogger("pykka"))
    before = [(list(each.handlers), each.level, each.propagate) for each in sources]
    logger.remove()
    yield
    logger.remove()
    for source, (handlers, level, propagate) in zip(sources, before, strict=True):
        source.handlers[:] = handlers
        source.setLevel(level)
        source.propagate = propagate


def objects(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in lines(file)]


def lines(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def messages(file: Path) -> list[str]:
    return [line.split(maxsplit=3)[3] for line in lines(file)]


@pytest.fixture
def full_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe that is full and is not read."""
    monkeypatch.setattr("zenactors.logs.patience.PATIENCE", 0.05)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)
    os.close(writer)
