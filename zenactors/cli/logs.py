"""The log of a command: its level and file as the command line says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zenactors.daemon.command_line import choice
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from zenactors.daemon.logs import Logs


def check_level(doc: str, text: str) -> str:
    """Return the level as loguru spells it; raise a `UsageError` if there is none such."""
    from zenactors.daemon.logs import LEVELS  # noqa: PLC0415 - as below

    return text.upper() if text.upper() in LEVELS else choice(doc, "--log-level", text, LEVELS)


def set_up_logs(level: str, file: str | None = None) -> Logs:
    """Send log lines from `level` up to standard error and, if one is given, to a file.

    Returns:
        What can be reopened and closed. Who does not care lets go of it: loguru closes the file.

    Raises:
        ConfigurationError: If the file cannot be opened.
    """
    from loguru import logger  # noqa: PLC0415 - slow to import; --help is to be fast

    from zenactors.daemon.logs import LogOptions, Logs  # noqa: PLC0415

    logger.remove()  # the process is the command's own
    logs = Logs(LogOptions(level=level, file=None if file is None else Path(file)))
    try:
        logs.open()
    except ConfigurationError as cause:
        reason = getattr(cause.__cause__, "strerror", cause)
        raise ConfigurationError(f"--log-file {file!r} cannot be opened: {reason}") from cause
    return logs
