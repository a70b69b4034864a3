"""Sinks that write their events to a file or to standard output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from zenactors.components._json_text import encode_json, encode_strict_json
from zenactors.components.sinks._file_writer import FileWriter
from zenactors.components.sinks._output import end_last_line, repair_json_lines
from zenactors.components.sinks._rotating_writer import RotatingOptions, RotatingWriter
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import handles
from zenactors.core.daemon_api import Daemon


class JsonLinesWriter(RotatingWriter):
    """Write records as JSON, one compact object per line, in UTF-8.

    Takes `lines` events with a list of dicts, or with `Lines`: these become objects with `file`,
    `id` and `generation` (see `Lines`; only if the source sets them), `offset` and `line` (decoded
    with replacement), `partial` for a piece of a line, and `truncated` for a line without its end.
    Values that JSON cannot hold are written as their `str()`; NaN and infinities as null.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    If the file is renamed or deleted, the writer opens a new one at SIGHUP, or by itself (see
    `reopen_interval`). An event is written completely to the old file or completely to the new one.
    If no new one can be opened, the old one is used until one can.

    It takes `checkpoint` events, for outputs with each line exactly once.

    The page "Guarantees" (docs/guarantees.md) says what is promised about loss, order and memory.

    Statistics: `lines` and `bytes` written, `bad_lines` (lines decoded with replacement),
    `reopened` (how many times the file was opened anew), `rotated`, and old files that were
    `compressed` and `removed`.

    Promises:
        loss: With `fsync = "always"`, an event that is done survives a power failure. Otherwise it
            survives a kill -9, and a power failure may take the last seconds.
        duplicates: None of its own. After a crash, what was not done comes again, except with an
            exactly-once source: then the file is cut back first, also if it was rotated.
        order: As events come, through all files.
        memory: One event, and with `gzip` a block of 256 KiB.
        threads: None of its own. It blocks its own thread for the disk.

    Args:
        repair: At the start, cut off a last line without a line end if it is the beginning of a
            record, up to 1 MiB, and give any other one its line end.

    Example:
        name = "json-lines"

        [[component]]
        use = "zenactors.components:Generate"
        options = { count = 1000, kind = "records" }

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "out.jsonl", rotate_bytes = 20_000, keep = 5, gzip = true }
    """

    def _repair(self, fd: int) -> None:
        if self.repair:
            repair_json_lines(fd, self._place, self.files, self.log)

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the records."""
        if isinstance(args, Lines):
            self._write_json(daemon, _records_of(args), self._write)
            if bad := args.bad_lines():
                self.inc_statistic("bad_lines", bad)
        elif isinstance(args, list):
            self._write_json(daemon, list(map(encode_json, args)), self._write)
        else:
            raise TypeError(
                f"{self} takes a list of dicts or Lines, but got {type(args).__name__}."
            )

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Write records, for a sink that has this one, such as `Fallback`.

        Raises:
            ZenDaemonComponentException: They were not written.
        """
        self._write_json(daemon, list(map(encode_json, records)), self._append)

    def _write_json(
        self, daemon: Daemon, lines: list[str], write: Callable[[Daemon, bytes, int], None]
    ) -> None:
        if lines:
            text = "\n".join(lines) + "\n"
            # A lone surrogate cannot be encoded as UTF-8; escaped, it is valid JSON.
            write(daemon, text.encode("utf-8", errors="backslashreplace"), len(lines))


class LineWriter(RotatingWriter):
    r"""Write each record as one line of text, in UTF-8.

    Takes `lines` events with a list of dicts, of which it writes the value of one key; with a list
    of texts or bytes, which it writes as they are; or with `Lines`. A line end inside a line is
    written as `\n` or `\r`, so that each record is one line. If a dict lacks the key, the event
    becomes a dead letter, and nothing of it is written.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    If the file is renamed or deleted, the writer opens a new one at SIGHUP, or by itself (see
    `reopen_interval`). It takes `checkpoint` events, for outputs with each line exactly once.

    Statistics: `lines` and `bytes` written, `reopened` (how many times the file was opened anew),
    `rotated`, and old files that were `compressed` and `removed`.

    Promises:
        loss: With `fsync = "always"`, an event that is done survives a power failure. Otherwise it
            survives a kill -9, and a power failure may take the last seconds.
        duplicates: None of its own. After a crash, what was not done comes again, except with an
            exactly-once source: then the file is cut back first, also if it was rotated.
        order: As events come, through all files.
        memory: One event, and with `gzip` a block of 256 KiB.
        threads: None of its own. It blocks its own thread for the disk.

    Args:
        field: The key of dicts whose value is the line.
        repair: At the start, give a last line without a line end its line end.
        **rotating: The other options of `RotatingWriter`.

    Example:
        name = "text-lines"

        [[component]]
        use = "zenactors.components:Generate"
        options = { count = 1000, kind = "access" }

        [[component]]
        use = "zenactors.components:LineWriter"
        options = { path = "access.log", rotate_bytes = 20_000, keep = 5, gzip = true }
    """

    def __init__(
        self,
        *,
        field: str = "line",
        **rotating: Unpack[RotatingOptions],
    ) -> None:
        super().__init__(**rotating)
        if not isinstance(field, str):
            raise ValueError(f"field is {field!r}, but a key of the records is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.field = field

    def _repair(self, fd: int) -> None:
        if self.repair:
            end_last_line(fd, self._place, self.files, self.log)

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the lines."""
        if isinstance(args, Lines):
            self._write_lines(daemon, _lines_of(args), self._write)
        elif isinstance(args, list):
            self._write_lines(daemon, args, self._write)
        else:
            raise TypeError(f"{self} takes a list or Lines, but got {type(args).__name__}.")

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Write records, for a sink that has this one, such as `Fallback`.

        Raises:
            ZenDaemonComponentException: They were not written.
        """
        self._write_lines(daemon, records, self._append)

    def _write_lines(
        self, daemon: Daemon, records: list[Any], write: Callable[[Daemon, bytes, int], None]
    ) -> None:
        if records:
            lines = [self._line_of(record) for record in records]
            write(daemon, b"\n".join(lines) + b"\n", len(lines))

    def _line_of(self, record: Any) -> bytes:
        if isinstance(record, dict):
            if self.field not in record:
                raise ValueError(
                    f"A record has no key {self.field!r}, but {', '.join(map(repr, record))}:"
                    " set the option field to one of them."
                )
            record = record[self.field]
        is_raw = isinstance(record, bytes)
        line: bytes = record if is_raw else str(record).encode("utf-8", errors="backslashreplace")
        if b"\n" in line or b"\r" in line:
            line = line.replace(b"\r", b"\\r").replace(b"\n", b"\\n")
        return line


class RawWriter(FileWriter):
    """Write the data of `Lines` exactly as it was read.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    If the file is renamed or deleted, the writer opens a new one at SIGHUP, or by itself (see
    `reopen_interval`). An event is written completely to the old file or completely to the new one.
    If no new one can be opened, the old one is used until one can.

    It takes `checkpoint` events, for outputs with each line exactly once.

    The page "Guarantees" (docs/guarantees.md) says what is promised about loss, order and memory.

    Its data may end in the middle of a line, so the end of the file is not repaired at the start.

    Statistics: `lines` (a piece of a line counts as one) and `bytes` written, and `reopened` (how
    many times the file was opened anew).

    Promises:
        loss: An event that is done survives a kill -9. A power failure may take the last seconds.
        duplicates: None of its own. After a crash, what was not done comes again, except with an
            exactly-once source: then the file is cut back first.
        order: As events come.
        memory: One event.
        threads: None of its own. It blocks its own thread for the disk, or for the reader of a pipe
            until `interrupt()`.

    Example:
        name = "copy"

        [[component]]
        use = "zenactors.components:FileTailer"
        options = { patterns = ["*.toml"], start = "beginning" }

        [[component]]
        use = "zenactors.components:RawWriter"
        options = { path = "copy.txt" }
    """

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the data."""
        if not isinstance(args, Lines):
            raise TypeError(
                f"{self} takes Lines, but got {type(args).__name__}:"
                " use JsonLinesWriter for records, or put RawWriter before the parser."
            )
        self._write(daemon, args.data, len(args))

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Write records that are bytes, one behind the other.

        Raises:
            ZenDaemonComponentException: They were not written.
        """
        self._append(daemon, b"".join(records), len(records))


def _lines_of(lines: Lines) -> list[Any]:
    """Return the lines: as they are, if that is UTF-8, and otherwise decoded."""
    return lines.lines() if lines.encoding == "utf-8" else lines.texts()


def _records_of(lines: Lines) -> list[str]:
    """Return the lines as JSON. What they have in common is encoded once."""
    source: dict[str, Any] = {"file": lines.path}
    if lines.file_id:
        source |= {"id": lines.file_id, "generation": lines.generation}
    marks = {"partial": not lines.complete, "truncated": lines.truncated}
    before = encode_strict_json(source)[:-1]
    after = "".join(f',"{mark}":true' for mark, applies in marks.items() if applies)
    return [
        f'{before},"offset":{offset},"line":{encode_strict_json(text)}{after}}}'
        for offset, text in zip(lines.offsets(), lines.texts(), strict=True)
    ]
