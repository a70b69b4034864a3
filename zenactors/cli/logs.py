"""Set up the log of a command, with the level that the command line gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenactors.daemon.command_line import choice

if TYPE_CHECKING:
    from zenactors.logs.sinks import Logs


def check_level(doc: str, text: str) -> str:
    """Return the level in loguru's spelling.

    Raises:
        UsageError: There is no such level.
    """
    from zenactors.logs.levels import LEVELS  # noqa: PLC0415 - as below

    return text.upper() if text.upper() in LEVELS else choice(doc, "--log-level", text, LEVELS)


def set_up_logs(level: str) -> Logs:
    """Write log lines from `level` up to standard error. Return the logs, to be closed."""
    from loguru import logger  # noqa: PLC0415 - slow to import; --help must be fast

    from zenactors.logs.sinks import LogOptions, Logs  # noqa: PLC0415

    logger.remove()  # all sinks: the process belongs to the command
    logs = Logs(LogOptions(level=level))
    logs.open()
    return logs
