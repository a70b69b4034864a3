from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from zenactors.actors.percent_logger import PercentLogger


@pytest.fixture
def lines() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{level} {message} {function}", backtrace=False)
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("plain", (), "plain"),
        ("%s of %d", ("a", 2), "a of 2"),
        ("{braces} %s", ("{too}",), "{braces} {too}"),
        ("%(name)s", ({"name": "n"},), "n"),
        ("100 % sure", (), "100 % sure"),
        ("no place", (1,), "no place (1,)"),
        ("%d", ("text",), "%d ('text',)"),
    ],
)
def test_messages_are_formatted_as_in_pyzenkit(
    lines: list[str], message: str, args: tuple[Any, ...], expected: str
) -> None:
    PercentLogger().warning(message, *args)

    assert lines == [f"WARNING {expected} test_messages_are_formatted_as_in_pyzenkit\n"]


def test_every_level_has_its_method(lines: list[str]) -> None:
    log = PercentLogger()
    for method in (log.debug, log.info, log.warning, log.error, log.critical):
        method("x")

    assert [line.split()[0] for line in lines] == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def test_exception_adds_the_traceback(lines: list[str]) -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        PercentLogger().exception("outer %s", 1)
        PercentLogger().error("again", exc_info=True)

    assert all("ValueError: inner" in line for line in lines)
    assert lines[0].startswith("ERROR outer 1")
