"""Sinks that write their events to a file or to standard output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zenactors.components._json_text import encode_json, encode_strict_json
from zenactors.components.sinks._file_writer import FileWriter
from zenactors.components.sinks._output import repair_json_lines
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import handles
from zenactors.core.daemon_api import Daemon


class JsonLinesWriter(FileWriter):
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

    Statistics: `lines` and `bytes` written, `bad_lines` (lines decoded with replacement) and
    `reopened` (how many times the file was opened anew).

    Promises:
        loss: An event counts as done when the system has its data, which is not yet on the disk.
            With a source that takes checkpoints, such as `FileTailer` with `exactly_once`, nothing
            is lost by a crash or a power failure.
        duplicates: None in a file, with a source that takes checkpoints. Otherwise an event that
            its source hands on again after a crash is written again.
        order: That of the events. Each is written whole before the next.
        memory: One event, and its JSON.
        threads: Its own, which waits while the output takes no data. `interrupt` ends the wait for
            a pipe that nothing reads.

    Args:
        path: The file; None or "-" is standard output. It is created if necessary, but not its
            directory. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        append: Keep the content of the file. False: truncate it at the start.
        repair: At the start, cut off a last line without a line end if it is the beginning of a
            record, up to 1 MiB, and give any other one its line end.
        reopen_interval: Look at the path before a write, but not again for this many seconds, and
            open the file anew if it was renamed or deleted. None: only at SIGHUP.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "to-json"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        [component.options]
        path = "lines.jsonl"
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        append: bool = True,
        repair: bool = True,
        reopen_interval: float | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            path=path,
            append=append,
            reopen_interval=reopen_interval,
            name=name,
            event_map=event_map,
        )
        if not isinstance(repair, bool):
            raise ValueError(f"repair is {repair!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.repair = repair

    def _repair(self, fd: int) -> None:
        if self.repair:
            repair_json_lines(fd, self._place, self.files, self.log)

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> None:
        """Write the records."""
        if isinstance(args, Lines):
            records = _records_of(args)
            bad = args.bad_lines()
        elif isinstance(args, list):
            records = [encode_json(record) for record in args]
            bad = 0
        else:
            raise TypeError(
                f"{self} takes a list of dicts or Lines, but got {type(args).__name__}."
            )
        if not records:
            return
        text = "\n".join(records) + "\n"
        # A lone surrogate cannot be encoded as UTF-8; escaped, it is valid JSON.
        self._write(daemon, text.encode("utf-8", errors="backslashreplace"), len(records))
        if bad:
            self.inc_statistic("bad_lines", bad)


class RawWriter(FileWriter):
    """Write the data of `Lines` exactly as it was read.

    Each event is written completely before the next begins. If a write fails, an incomplete end is
    cut off, and the daemon stops at once with status 74; if the reader of standard output has left,
    with status 0. Let only one writer write to a file.

    If the file is renamed or deleted, the writer opens a new one at SIGHUP, or by itself (see
    `reopen_interval`). An event is written completely to the old file or completely to the new one.
    If no new one can be opened, the old one is used until one can.

    It takes `checkpoint` events, for outputs with each line exactly once.

    Its data may end in the middle of a line, so the end of the file is not repaired at the start.

    Statistics: `lines` (a piece of a line counts as one) and `bytes` written, and `reopened` (how
    many times the file was opened anew).

    Promises:
        loss: An event counts as done when the system has its data, which is not yet on the disk.
            With a source that takes checkpoints, such as `FileTailer` with `exactly_once`, nothing
            is lost by a crash or a power failure.
        duplicates: None in a file, with a source that takes checkpoints. Otherwise an event that
            its source hands on again after a crash is written again.
        order: That of the events. Each is written whole before the next.
        memory: One event.
        threads: Its own, which waits while the output takes no data. `interrupt` ends the wait for
            a pipe that nothing reads.

    Args:
        path: The file; None or "-" is standard output. It is created if necessary, but not its
            directory. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        append: Keep the content of the file. False: truncate it at the start.
        reopen_interval: Look at the path before a write, but not again for this many seconds, and
            open the file anew if it was renamed or deleted. None: only at SIGHUP.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Example:
        name = "copy"

        [[component]]
        use = "zenactors.components:FileTailer"
        [component.options]
        patterns = ["access.log"]
        start = "beginning"

        [[component]]
        use = "zenactors.components:RawWriter"
        [component.options]
        path = "copy.log"
        reopen_interval = 10.0
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
