"""Where log lines go. The library only emits them; an application opens sinks for them, here.

It does so after the fork: what a sink holds (a descriptor, a lock) is this process's own. There is
no `enqueue`, for loguru's queue has no bound and its thread does not survive a fork; and never
`diagnose`, for that writes the values of variables, so secrets, into the log.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import select
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from loguru import logger

from zenactors.core.text import short_repr
from zenactors.errors import ConfigurationError, did_you_mean
from zenactors.logs.file import LogFile, Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from loguru import Message, Record

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEFAULT_SINK = 0  # loguru promises that its own, to standard error, has this number

_ADVICE = {
    errno.ENOENT: "Make its folder first",
    errno.EACCES: "Let this user write there",
    errno.EROFS: "Mount it writable",
    errno.EISDIR: "Give the path of a file",
    errno.EMFILE: "Raise the limit of open files (ulimit -n)",
}


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """What is logged, and where to.

    Levels are those of `LEVELS`, in any case. A relative `file` counts from the folder that is the
    current one now, wherever a daemon goes later.

    Args:
        level: The lowest level that is logged.
        console: Log to standard error.
        console_level: The same for the console. Default: `level`.
        file: Log to the end of this file too; it is made, its folder is not.
        file_level: The same for the file. Default: `level`.
        json: Let the file's lines be JSON objects.
        root: Take in all that is logged by the standard library's `logging`, not only warnings
            of pykka.

    Raises:
        ConfigurationError: If there is no such level.
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
                    f"{name} {value!r} is no log level{did_you_mean(value.upper(), LEVELS)}"
                    f" (there are {', '.join(LEVELS)})"
                )
        if problems:
            raise ConfigurationError("\n".join(problems))
        if self.file is not None:
            object.__setattr__(self, "file", Path(self.file).absolute())


class Logs:
    """The log of an application: opened once, reopened at will, closed at its end.

        with Logs(LogOptions(file=Path("app.log"))) as logs:
            ...
            logs.reopen()  # logrotate has moved the file away

    Only an application makes one. What others have added to loguru stays as it is, but for
    loguru's default sink, which `open` takes away. `close` takes away what `open` has added, and
    puts a default sink back if there was one: as before, lines go to standard error (but without
    the values of variables).

    Args:
        options: What is logged, and where to.

    Thread: any; main, as a rule.
    """

    def __init__(self, options: LogOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._is_open = False
        self._had_default = False
        self._console: tuple[_Console, _Feed] | None = None
        self._file: tuple[LogFile, _Feed] | None = None
        self._pykka = _Lead(logging.getLogger("pykka"))
        self._root = _Lead(logging.getLogger())

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Send log lines to where the options say, from now on.

        Raises:
            ConfigurationError: If the file cannot be opened. Nothing has changed then.
            RuntimeError: If it is open already.
        """
        with self._lock:
            if self._is_open:
                raise RuntimeError("These logs are open already: use reopen() to change them.")
            self._change(self.options)
            self._is_open = True
            # Without a default sink (LOGURU_AUTOINIT=0) the first of ours may have its number.
            if not any(feed.has(DEFAULT_SINK) for feed in self._feeds()):
                with contextlib.suppress(ValueError):  # removed already
                    logger.remove(DEFAULT_SINK)
                    self._had_default = True

    def reopen(self, options: LogOptions | None = None) -> None:
        """Open the file anew, and let other options hold; no line is lost or doubled meanwhile.

        Args:
            options: What is logged from now on, and where to. Default: as before.

        Raises:
            ConfigurationError: If the file cannot be opened. All goes on as before then.
            RuntimeError: If it is not open.
        """
        with self._lock:
            if not self._is_open:
                raise RuntimeError("These logs are not open: use open() first.")
            self._change(options or self.options)

    def close(self) -> None:
        """Log no more; see the class for what is left. Harmless if it is not open."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._root.undo()
            self._pykka.undo()
            for feed in self._feeds():
                feed.close()
            self._console = self._file = None
            if self._had_default and sys.stderr is not None:
                logger.add(sys.stderr, backtrace=False, diagnose=False)
            self._had_default = False

    def _feeds(self) -> list[_Feed]:
        return [each[1] for each in (self._console, self._file) if each is not None]

    def _change(self, options: LogOptions) -> None:
        level = _number(options.level)
        file_level = _number(options.file_level) if options.file_level else level
        console_level = _number(options.console_level) if options.console_level else level
        self._change_file(options, file_level)  # first: it is what may fail
        self._change_console(console_level if options.console else None)
        self._pykka.take_from(logging.WARNING)
        if options.root:
            taken = [file_level] * bool(self._file) + [console_level] * bool(self._console)
            self._root.take_from(min(taken, default=level))
        else:
            self._root.undo()
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
                self._file = sink, _Feed(sink, lambda _: "{exception}")
            else:
                self._file[0].replace(options.file, level, json=options.json)
        except OSError as cause:
            advice = _ADVICE.get(cause.errno or 0, "Choose another file")
            raise ConfigurationError(
                f"Log file {str(options.file)!r} cannot be opened: {cause.strerror}. {advice}."
            ) from cause
        self._file[1].take_from(level)

    def _change_console(self, level: int | None) -> None:
        if level is None or sys.stderr is None:
            if self._console is not None:
                self._console[1].close()
                self._console = None
            return
        if self._console is None:
            sink = _Console(sys.stderr)
            self._console = sink, _Feed(sink, _format)
        self._console[0].level = level
        self._console[1].take_from(level)


def _number(level: str) -> int:
    return logger.level(level.upper()).no


def _format(record: Record) -> str:
    component = "{extra[component]}: " if "component" in record["extra"] else ""
    return (
        "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <8}</level> "
        f"<cyan>{component}</cyan>" + "{message}\n{exception}"
    )


class _Sink(Protocol):
    def write(self, message: Message) -> None: ...

    def isatty(self) -> bool: ...


class _Console:
    """Standard error as a sink. If nobody reads it, or can, that is no reason to fail or wait."""

    def __init__(self, stream: Any) -> None:
        self.level = 0
        self._stream = stream
        self._lock = threading.RLock()  # a stream is not safe to use from several threads
        self._patience: Patience | None = None
        with contextlib.suppress(AttributeError, OSError, ValueError):  # it has no descriptor
            self._patience = Patience(stream.fileno())

    def write(self, message: Message) -> None:
        if message.record["level"].no >= self.level:
            with self._lock, contextlib.suppress(OSError, ValueError):
                text = str(message)
                while text:
                    # As many characters as fit in any case, each of up to four bytes.
                    piece = text[: select.PIPE_BUF // 4] if self._patience else text
                    if self._patience:
                        self._patience.wait(b"")
                    self._stream.write(piece)
                    self._stream.flush()
                    text = text[len(piece) :]

    def isatty(self) -> bool:
        return bool(self._stream.isatty())


class _Lent:
    """A sink that outlives a handler: without `stop`, which loguru would call."""

    def __init__(self, sink: _Sink) -> None:
        self.write = sink.write
        self.isatty = sink.isatty


class _Feed:
    """Brings a sink its records, from a level up that may change.

    A handler of loguru's has one level for life, and to exchange it for another would lose or
    double the lines that other threads are just writing. So the first handler stays, and each
    further one brings only what is too low for those before. The sink refuses what is below its
    own level.
    """

    def __init__(self, sink: _Sink, form: Callable[[Record], str]) -> None:
        self._sink = sink
        self._form = form
        self._handlers: list[tuple[int, int]] = []  # its number, and the lowest level it brings

    def take_from(self, level: int) -> None:
        """Bring what has this level or a higher one, and perhaps some that is lower."""
        while len(self._handlers) > 1 and self._handlers[-2][1] <= level:
            self._remove_last()
        if not self._handlers or level < self._handlers[-1][1]:
            above = self._handlers[-1][1] if self._handlers else None
            number = logger.add(
                self._sink if above is None else _Lent(self._sink),
                level=level,
                format=self._form,
                filter=None if above is None else lambda record: record["level"].no < above,
                backtrace=False,
                diagnose=False,
                catch=True,
            )
            self._handlers.append((number, level))

    def has(self, number: int) -> bool:
        """Return True if one of its handlers has this number."""
        return any(each == number for each, _ in self._handlers)

    def close(self) -> None:
        """Bring nothing more, and stop the sink."""
        while self._handlers:
            self._remove_last()

    def _remove_last(self) -> None:
        number, _ = self._handlers.pop()
        with contextlib.suppress(ValueError):  # somebody has removed all there was
            logger.remove(number)


class _Lead:
    """Leads what a logger of the standard library gets into loguru."""

    def __init__(self, source: logging.Logger) -> None:
        self._source = source
        self._handler: _ToLoguru | None = None
        self._before = (logging.NOTSET, True)

    def take_from(self, level: int) -> None:
        """Lead in what has this level or a higher one; once, whoever else does it too."""
        if self._handler is None:
            if any(isinstance(each, _ToLoguru) for each in self._source.handlers):
                return
            self._before = (self._source.level, self._source.propagate)
            self._handler = _ToLoguru()
            self._source.addHandler(self._handler)
            self._source.propagate = False
        self._handler.setLevel(level)
        if self._source.parent is None:  # the root's level holds for whoever has none
            self._source.setLevel(level)

    def undo(self) -> None:
        """Leave the logger as it was."""
        if self._handler is not None:
            self._source.removeHandler(self._handler)
            level, self._source.propagate = self._before
            self._source.setLevel(level)
            self._handler = None


class _ToLoguru(logging.Handler):
    """Hands records of the standard library's logging on."""

    def __init__(self) -> None:
        super().__init__()
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        # Somebody may lead loguru's lines into logging: they would go in circles. Those that come
        # through a `logging.Handler` as a sink have an attribute `extra`.
        if getattr(self._inside, "flag", False) or hasattr(record, "extra"):
            return
        self._inside.flag = True
        try:
            # The name is in the message already, and in JSON a field that can be asked for.
            logger.bind(logger=record.name).opt(
                exception=record.exc_info if record.exc_info and record.exc_info[0] else None,
                capture=False,
            ).log(_level_of(record.levelno), "{}: {}", record.name, _message_of(record))
        finally:
            self._inside.flag = False


def _level_of(number: int) -> str:
    """Return the highest level that is not above a number of the standard library's."""
    return LEVELS[max(0, min(number // 10, len(LEVELS) - 1))]


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as cause:  # its arguments do not fit: who logs is not to fail for that
        return f"{record.msg} {short_repr(record.args)} ({type(cause).__name__})"
