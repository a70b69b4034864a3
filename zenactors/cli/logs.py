"""The log of a command: its level as the command line says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenactors.daemon.command_line import choice

if TYPE_CHECKING:
    from zenactors.logs.sinks import Logs


def check_level(doc: str, text: str) -> str:
    """Return the level as loguru spells it; raise a `UsageError` if there is none such."""
    from zenactors.logs.levels import LEVELS  # noqa: PLC0415 - as below

    return text.upper() if text.upper() in LEVELS else choice(doc, "--log-level", text, LEVELS)


def set_up_logs(level: str) -> Logs:
    """Send log lines from `level` up to standard error. Return what can be closed."""
    from loguru import logger  # noqa: PLC0415 - slow to import; --help is to be fast

    from zenactors.logs.sinks import LogOptions, Logs  # noqa: PLC0415

    logger.remove()  # the process is the command's own
    logs = Logs(LogOptions(level=level))
    logs.open()
    return logs
