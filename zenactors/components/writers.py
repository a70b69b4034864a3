"""Sinks that write their events to a file or to standard output."""

from __future__ import annotations

import json
import math
import os
import select
from collections.abc import Callable, Mapping
from typing import Any

from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import check_name
from zenactors.components._output import can_block, is_regular, open_output
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.errors import EXIT_IO_ERROR, EXIT_OK, ZenDaemonComponentException

_STANDARD_OUTPUT = "standard output"
_LOOK_INTERVAL = 0.1  # seconds between two looks for an interrupt
_PIPE_BUF = select.PIPE_BUF  # bytes: a pipe that can be written to takes as many without blocking


class _Writer(ZenDaemonComponent):
    """The base class of writers: each event is written completely, or not at all.

    Attributes:
        files: The file system of the output; a simulation sets its own before `setup`.
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        path: str | None = None,
        append: bool = True,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        if path is not None and (not isinstance(path, str) or not path):
            raise ValueError(
                f"path is {path!r}, but the path of a file is expected, or '-' for standard output."
            )
        if not isinstance(append, bool):
            raise ValueError(f"append is {append!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        if path is not None:
            check_name("path", path)
        self.path = None if path == "-" else path
        self.append = append
        self._place = self.path or _STANDARD_OUTPUT
        self._fd: int | None = None
        self._blocks = False  # the output is one whose reader may not read
        self._is_interrupted = False
        self._unwritten = b""  # the rest of what an interrupt has broken off
        self._write_some: Callable[[memoryview], int] | None = None
        self._reported = False

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and the path of the output."""
        return {**super().get_state(), "path": self.path or "-"}

    def setup(self, daemon: Daemon) -> None:
        """Open the file."""
        self._reported = False
        if self.path is not None:
            self._place = located(self.path, daemon)
            fd = self._fd = open_output(self._place, self.files, append=self.append)
            self._write_some = lambda data: self.files.write(fd, data)
            self._prepare_interrupt()
            return
        standard_output = self.files.open_standard_output()
        if standard_output is None:
            raise ZenDaemonComponentException(
                "Cannot write to standard output: there is none. Give this writer a path."
            )
        self._fd, self._write_some = standard_output
        self._prepare_interrupt()

    def _prepare_interrupt(self) -> None:
        self._unwritten = b""
        self._blocks = self._fd is not None and can_block(self._fd, self.files)

    def interrupt(self) -> None:
        """Break off a write to a pipe, a socket or a terminal that nothing reads. Thread: any.

        Its event fails. If a part of it was written, the rest is written before the next one.
        """
        self._is_interrupted = True

    def teardown(self, daemon: Daemon) -> None:
        """Close the file; standard output stays open."""
        fd, self._fd = self._fd, None
        self._write_some = None
        if self._unwritten:
            self.log.warning(
                "{bytes} bytes of a record were not written to {path}: its reader does not read",
                bytes=len(self._unwritten),
                path=self._place,
            )
        if fd is not None and self.path is not None:
            self.files.close(fd)

    def _write(self, data: bytes, lines: int) -> None:
        """Write all of `data`; if that fails, remove the written part from the file, and exit."""
        if self._write_some is None:
            raise ValueError(f"{self} is not open: setup() comes first.")
        begin = self._position()
        rest = memoryview(self._unwritten + data if self._unwritten else data)
        try:
            self._is_interrupted = False  # that one came too late
            while rest:
                if self._blocks and not self._may_write():
                    self._break_off(rest, len(data))
                some = rest[:_PIPE_BUF] if self._blocks else rest
                try:
                    rest = rest[self._write_some(some) :]
                except BlockingIOError:
                    if not self._blocks:
                        raise
                    # Another program has made the shared terminal or pipe non-blocking.
            self._unwritten = b""
        except BrokenPipeError:
            if self.path is not None:
                self._failed("its reader has left", lines, begin, max(0, len(data) - len(rest)))
                raise SystemExit(EXIT_IO_ERROR) from None
            if not self._reported:
                self._reported = True
                self.log.info("The reader of standard output has left; ending")
            raise SystemExit(EXIT_OK) from None
        except OSError as cause:
            reason = cause.strerror or str(cause)
            self._failed(reason, lines, begin, max(0, len(data) - len(rest)))
            raise SystemExit(EXIT_IO_ERROR) from cause
        self.inc_statistic("lines", lines)
        self.inc_statistic("bytes", len(data))

    def _may_write(self) -> bool:
        """Wait until the output takes data. False: the wait was interrupted."""
        assert self._fd is not None
        while not self.files.wait_writable(self._fd, _LOOK_INTERVAL):
            if self._is_interrupted:
                return False
        return True

    def _break_off(self, rest: memoryview, size: int) -> None:
        """Fail an event of `size` bytes. What was begun is written before the next one."""
        self._unwritten = bytes(rest if len(rest) < size else rest[: len(rest) - size])
        raise ZenDaemonComponentException(
            f"The write to {self._place} was interrupted: its reader does not read."
        )

    def _position(self) -> int | None:
        """Return the offset of the next write; None if the output cannot be truncated to it."""
        if self._fd is None or not is_regular(self._fd, self.files):
            return None
        if self.files.is_append(self._fd):
            return self.files.fstat(self._fd).st_size
        return self.files.lseek(self._fd, 0, os.SEEK_CUR)

    def _failed(self, reason: str, lines: int, begin: int | None, written: int) -> None:
        left = 0 if self._take_back(begin, written) else written
        if self._reported:
            return
        self._reported = True
        self.log.error(
            "Cannot write to {path}: {reason}. {lines} lines were not written; {left} bytes of them"
            " are in the output. Free some space or repair the output, then start again",
            path=self._place,
            reason=reason,
            lines=lines,
            left=left,
        )

    def _take_back(self, begin: int | None, written: int) -> bool:
        """Cut off the incomplete end of the file; return True if nothing of it is left."""
        if not written:
            return True
        if self._fd is None or begin is None:
            return False
        # If the file is longer than this writer made it, another program wrote to it: leave it.
        if self.files.fstat(self._fd).st_size != begin + written:
            return False
        try:
            self.files.ftruncate(self._fd, begin)
            self.files.lseek(self._fd, begin, os.SEEK_SET)
        except OSError:
            return False
        return True


class JsonLinesWriter(_Writer):
    """Write records as JSON, one compact object per line, in UTF-8.

    Takes `lines` events with a list of dicts, or with `Lines`: these become objects with `file`,
    `offset` and `line` (decoded with replacement), and `partial` for a piece of a line.
    Values that JSON cannot hold are written as their `str()`; NaN and infinities as null.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    The page "Guarantees" (docs/guarantees.md) says what is promised about loss, order and memory.

    Statistics: `lines` and `bytes` written.

    Args:
        path: The file; None or "-" is standard output. It is created if necessary, but not its
            directory. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        append: Keep the content of the file. False: truncate it at the start.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.
    """

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the records."""
        if isinstance(args, Lines):
            records = _records_of(args)
        elif isinstance(args, list):
            records = args
        else:
            raise TypeError(
                f"{self} takes a list of dicts or Lines, but got {type(args).__name__}."
            )
        if not records:
            return
        text = "\n".join(map(_encode, records)) + "\n"
        # A lone surrogate cannot be encoded as UTF-8; escaped, it is valid JSON.
        self._write(text.encode("utf-8", errors="backslashreplace"), len(records))


class RawWriter(_Writer):
    """Write the data of `Lines` exactly as it was read.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    The page "Guarantees" (docs/guarantees.md) says what is promised about loss, order and memory.

    Statistics: `lines` (a piece of a line counts as one) and `bytes` written.

    Args:
        path: The file; None or "-" is standard output. It is created if necessary, but not its
            directory. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        append: Keep the content of the file. False: truncate it at the start.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.
    """

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the data."""
        if not isinstance(args, Lines):
            raise TypeError(
                f"{self} takes Lines, but got {type(args).__name__}:"
                " use JsonLinesWriter for records, or put RawWriter before the parser."
            )
        self._write(args.data, len(args))


def _records_of(lines: Lines) -> list[dict[str, Any]]:
    more = {} if lines.complete else {"partial": True}
    return [
        {"file": lines.path, "offset": offset, "line": line.decode("utf-8", "replace"), **more}
        for offset, line in zip(lines.offsets(), lines.lines(), strict=True)
    ]


_STRICT = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False
).encode


def _encode(record: Any) -> str:
    try:
        return _STRICT(record)
    except (TypeError, ValueError):  # a key that is no string, or NaN
        return _STRICT(_made_fit(record))


def _made_fit(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _made_fit(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_made_fit(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
