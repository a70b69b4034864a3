"""`daemon.logger`: takes `%s` arguments, as the standard library's, and writes to loguru."""

from __future__ import annotations

import sys
from typing import Any

from loguru import logger

from zenactors.actors.tracebacks import log_failure


class PercentLogger:
    """The logging methods of the standard library, on top of loguru. Thread: any.

    As in the standard library, arguments that do not fit the message are no error, and
    `exc_info=True` adds the traceback of the exception being handled.
    """

    def debug(self, message: Any, *args: Any, **options: Any) -> None:
        """Log at DEBUG."""
        self._log("DEBUG", message, args, options)

    def info(self, message: Any, *args: Any, **options: Any) -> None:
        """Log at INFO."""
        self._log("INFO", message, args, options)

    def warning(self, message: Any, *args: Any, **options: Any) -> None:
        """Log at WARNING."""
        self._log("WARNING", message, args, options)

    def error(self, message: Any, *args: Any, **options: Any) -> None:
        """Log at ERROR."""
        self._log("ERROR", message, args, options)

    def critical(self, message: Any, *args: Any, **options: Any) -> None:
        """Log at CRITICAL."""
        self._log("CRITICAL", message, args, options)

    def exception(self, message: Any, *args: Any, **options: Any) -> None:
        """Log at ERROR, with the traceback of the exception being handled."""
        self._log("ERROR", message, args, {"exc_info": True, **options})

    @staticmethod
    def _log(level: str, message: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        # The text is an argument, because loguru takes braces in a message for fields.
        text = _formatted(str(message), args)
        cause = _exception(options.get("exc_info"))
        log_failure(logger, level, "{}", cause, text, depth=2)


def _exception(given: Any) -> BaseException | None:
    """Return the exception that the standard library's `exc_info` means."""
    if isinstance(given, BaseException):
        return given
    return (given[1] if isinstance(given, tuple) else sys.exception()) if given else None


def _formatted(message: str, args: tuple[Any, ...]) -> str:
    if not args:
        return message
    # As in the standard library, a single mapping provides named values.
    values = args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args
    try:
        return message % values
    except (TypeError, ValueError, KeyError):
        return f"{message} {args!r}"
