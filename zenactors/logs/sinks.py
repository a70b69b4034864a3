"""The sinks of an application: options, and opening, reopening and closing.

The library only emits log lines. An application opens sinks after its fork, so that descriptors
and locks belong to its own process. loguru's `enqueue` is not used, because its queue is unbounded
and its thread does not survive a fork. Nor is `diagnose`, because it writes the values of
variables, and so secrets, into the log.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from loguru import logger

from zenactors.actors.tracebacks import DEFAULT_SINK, makes_default_sink
from zenactors.advice import advice_for, reason
from zenactors.errors import ConfigurationError, did_you_mean
from zenactors.logs.console import Console, CurrentStderr
from zenactors.logs.feed import Feed
from zenactors.logs.file import LogFile
from zenactors.logs.formats import no_format
from zenactors.logs.levels import LEVELS, level_number
from zenactors.logs.standard_logging import Route


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """The levels and the targets of the log.

    Levels are those of `LEVELS`, in any case.

    Args:
        level: The lowest level that is logged.
        console: Log to standard error.
        console_level: The lowest level on the console. Default: `level`.
        file: Append to this file too; create it, but not its directory. A relative path is
            relative to the current directory at this moment, even if the daemon changes it later.
        file_level: The lowest level in the file. Default: `level`.
        json: Write the file's lines as JSON objects.
        root: Take in all records of the standard library's `logging`, instead of only pykka's
            warnings and errors.

    Raises:
        ConfigurationError: A level is unknown.
    """

    level: str = "INFO"
    console: bool = True
    console_level: str | None = None
    file: Path | None = None
    file_level: str | None = None
    json: bool = False
    root: bool = False

    def __post_init__(self) -> None:
        problems = []
        for name in ("level", "console_level", "file_level"):
            value = getattr(self, name)
            if value is not None and value.upper() not in LEVELS:
                problems.append(
                    f"{name} {value!r} is not a log level{did_you_mean(value.upper(), LEVELS)}"
                    f" (levels: {', '.join(LEVELS)})"
                )
        if problems:
            raise ConfigurationError("\n".join(problems))
        if self.file is not None:
            object.__setattr__(self, "file", Path(self.file).absolute())


class Logs:
    """The log of an application: opened once, reopened on request, closed at the end.

        with Logs(LogOptions(file=Path("app.log"))) as logs:
            ...
            logs.reopen()  # logrotate has moved the file away

    Only an application makes one. Sinks that other code has added to loguru stay, except for
    loguru's default sink, which `open` removes. `close` removes the sinks that `open` has added. If
    there was a default sink, the console's lines go on in the same format, without the values of
    variables.

    Args:
        options: The levels and the targets.

    Thread: any; usually main.
    """

    def __init__(self, options: LogOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._is_open = False
        self._had_default = False
        self._console: tuple[Console, Feed] | None = None
        self._file: tuple[LogFile, Feed] | None = None
        self._pykka = Route(logging.getLogger("pykka"))
        self._root = Route(logging.getLogger())

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Send log lines to the targets of the options from now on.

        Raises:
            ConfigurationError: The file cannot be opened. Nothing has changed.
            RuntimeError: The log is open already.
        """
        with self._lock:
            if self._is_open:
                raise RuntimeError("These logs are open already: use reopen() to change them.")
            self._change(self.options)
            self._is_open = True
            self._had_default = remove_default_sink()

    def replace_default(self) -> None:
        """Open a log in place of loguru's default sink, which was removed before."""
        self.open()
        self._had_default = True

    def reopen(self, options: LogOptions | None = None) -> None:
        """Open the file again, and apply other options. No line is lost or duplicated meanwhile.

        Args:
            options: The levels and the targets from now on. Default: unchanged.

        Raises:
            ConfigurationError: The file cannot be opened. The log continues as before.
            RuntimeError: The log is not open.
        """
        with self._lock:
            if not self._is_open:
                raise RuntimeError("These logs are not open: use open() first.")
            self._change(options or self.options)

    def close(self) -> None:
        """Stop logging; the class says which sinks are left. Harmless if the log is not open."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._root.close()
            self._pykka.close()
            for feed in self._feeds():
                feed.close()
            self._console = self._file = None
            if self._had_default:
                sink = Console(CurrentStderr())
                level = self.options.console_level or self.options.level
                Feed(sink, no_format).set_level(level_number(level))
            self._had_default = False

    def _feeds(self) -> list[Feed]:
        return [each[1] for each in (self._console, self._file) if each is not None]

    def _change(self, options: LogOptions) -> None:
        level = level_number(options.level)
        file_level = level_number(options.file_level) if options.file_level else level
        console_level = level_number(options.console_level) if options.console_level else level
        self._change_file(options, file_level)  # first, because only this can fail
        self._change_console(console_level if options.console else None)
        self._pykka.open(logging.WARNING)
        if options.root:
            taken = [file_level] * bool(self._file) + [console_level] * bool(self._console)
            self._root.open(min(taken, default=level))
        else:
            self._root.close()
        self.options = options

    def _change_file(self, options: LogOptions, level: int) -> None:
        if options.file is None:
            if self._file is not None:
                self._file[1].close()
                self._file = None
            return
        try:
            if self._file is None:
                sink = LogFile(options.file, level, json=options.json)
                self._file = sink, Feed(sink, no_format)
            else:
                self._file[0].replace(options.file, level, json=options.json)
        except OSError as cause:
            raise ConfigurationError(_refusal(options.file, cause)) from cause
        self._file[1].set_level(level)

    def _change_console(self, level: int | None) -> None:
        if level is None or sys.stderr is None:
            if self._console is not None:
                self._console[1].close()
                self._console = None
            return
        if self._console is None:
            sink = Console(sys.stderr)
            self._console = sink, Feed(sink, no_format)
        self._console[0].level = level
        self._console[1].set_level(level)


def remove_default_sink() -> bool:
    """Remove loguru's default sink; return False if there is none (any more)."""
    if not makes_default_sink():
        return False  # the sink with its number is another one
    try:
        logger.remove(DEFAULT_SINK)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def replaced_default_sink(level: str) -> Iterator[None]:
    """Log to standard error in zenactors' format, if loguru's default sink would do it otherwise.

    The default sink shows the values of variables in tracebacks, and so secrets. A program that has
    removed it has chosen its own sinks: they stay as they are, and nothing is added.

    Args:
        level: The lowest level that is logged, unless the environment has `LOGURU_LEVEL`. INFO if
            there is no such level.
    """
    if not remove_default_sink():
        yield
        return
    wanted = os.environ.get("LOGURU_LEVEL", level).upper()
    logs = Logs(LogOptions(level=wanted if wanted in LEVELS else "INFO"))
    logs.replace_default()
    try:
        yield
    finally:
        logs.close()


def _refusal(path: Path, cause: OSError) -> str:
    # Opening refuses an unsafe path with EPERM; permission to write there would not help.
    otherwise = "Choose another file"
    is_unsafe = cause.errno == errno.EPERM
    step = otherwise if is_unsafe else advice_for(cause, path, "write", otherwise)
    return f"Log file {str(path)!r} cannot be opened: {reason(cause)}. {step}."
