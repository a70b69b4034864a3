"""`daemon.logger`: takes the seed's `%s` arguments and writes to loguru."""

from __future__ import annotations

from typing import Any

from loguru import logger


class PercentLogger:
    """The logging methods of the standard library, led into loguru. Thread: any."""

    def debug(self, message: Any, *args: Any) -> None:
        """Log at DEBUG."""
        self._log("DEBUG", message, args)

    def info(self, message: Any, *args: Any) -> None:
        """Log at INFO."""
        self._log("INFO", message, args)

    def warning(self, message: Any, *args: Any) -> None:
        """Log at WARNING."""
        self._log("WARNING", message, args)

    def error(self, message: Any, *args: Any) -> None:
        """Log at ERROR."""
        self._log("ERROR", message, args)

    def critical(self, message: Any, *args: Any) -> None:
        """Log at CRITICAL."""
        self._log("CRITICAL", message, args)

    def exception(self, message: Any, *args: Any) -> None:
        """Log at ERROR, with the traceback of the exception being handled."""
        self._log("ERROR", message, args, exception=True)

    @staticmethod
    def _log(level: str, message: Any, args: tuple[Any, ...], *, exception: bool = False) -> None:
        text = str(message) % args if args else str(message)
        # The text is an argument, not the message: its braces are nobody's fields.
        logger.opt(depth=2, exception=exception).log(level, "{}", text)
