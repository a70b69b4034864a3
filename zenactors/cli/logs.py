"""Where log lines go. The library only emits them; the command line adds the sinks, here."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zenactors.cli.arguments import choice
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from loguru import Record

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def check_level(doc: str, text: str) -> str:
    """Return the level as loguru spells it; raise a `UsageError` if there is none such."""
    return text.upper() if text.upper() in LEVELS else choice(doc, "--log-level", text, LEVELS)


def _format(record: Record) -> str:
    component = "{extra[component]}: " if "component" in record["extra"] else ""
    return (
        "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <8}</level> "
        f"<cyan>{component}</cyan>" + "{message}\n{exception}"
    )


class _ToLoguru(logging.Handler):
    """Hand records of the standard library's logging on: pykka logs there."""

    def emit(self, record: logging.LogRecord) -> None:
        from loguru import logger  # noqa: PLC0415

        level = record.levelname if record.levelname in LEVELS else "WARNING"
        logger.opt(exception=record.exc_info).log(
            level, "{name}: {text}", name=record.name, text=record.getMessage()
        )


def set_up_logs(level: str, file: str | None = None) -> None:
    """Send log lines from `level` up to standard error and, if one is given, to a file.

    Raises:
        ConfigurationError: If the file cannot be opened.
    """
    from loguru import logger  # noqa: PLC0415 - slow to import; --help is to be fast

    logger.remove()
    # Without `diagnose`: it writes the values of variables, so secrets, into the log.
    if sys.stderr is not None:
        logger.add(sys.stderr, level=level, format=_format, backtrace=False, diagnose=False)
    if file is not None:
        try:
            Path(file).parent.stat()  # loguru would make the folders of a mistyped path
            # It would also fill in what stands in braces.
            path = file.replace("{", "{{").replace("}", "}}")
            logger.add(path, level=level, format=_format, backtrace=False, diagnose=False)
        except OSError as cause:
            raise ConfigurationError(
                f"--log-file {file!r} cannot be opened: {cause.strerror}"
            ) from cause
    pykka = logging.getLogger("pykka")
    for handler in [h for h in pykka.handlers if isinstance(h, _ToLoguru)]:
        pykka.removeHandler(handler)
    pykka.addHandler(_ToLoguru(logging.WARNING))
    pykka.propagate = False
