"""The log levels, by name and by number."""

from __future__ import annotations

from loguru import logger

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def level_number(name: str) -> int:
    """Return loguru's number of a level, whose name may be in any case."""
    return logger.level(name.upper()).no


def level_name(number: int) -> str:
    """Return the highest level that is not above a number of the standard library's `logging`."""
    return LEVELS[max(0, min(number // 10, len(LEVELS) - 1))]
