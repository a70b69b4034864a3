"""The base of parsers: lines in, records out; lines that are no records are counted and kept."""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Mapping
from typing import Any

from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import check_name
from zenactors.components.sinks._output import open_output
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.errors import EXIT_DATA_ERROR

_KEPT_LINES = 100
_KEPT_CHARACTERS = 200

BEFORE = "\ufeff\0"
"""A byte order mark, and what a writer leaves behind that goes on in a truncated file."""


class LineParser(ZenDaemonComponent, abc.ABC):
    """The base of parsers. A subclass says what a record is: `_parse` and `_expected`.

    Attributes:
        files: The file system of `rejects`; a simulation sets its own before `setup`.
    """

    files: Files = SYSTEM_FILES
    _expected = ""  # completes "A line of FILE is not ..."

    def __init__(
        self,
        *,
        add_source: bool = False,
        rejects: str | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=dict((event_map or {}).items()))
        if not isinstance(add_source, bool):
            raise ValueError(f"add_source is {add_source!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        if rejects is not None and (not isinstance(rejects, str) or not rejects):
            raise ValueError(f"rejects is {rejects!r}, but the path of a file is expected.")
        if rejects is not None:
            check_name("rejects", rejects)
        self.add_source = add_source
        self.rejects = rejects
        self._rejects_fd: int | None = None
        self._unmatched: deque[str] = deque(maxlen=_KEPT_LINES)
        self._warned = False
        self._warned_of_pieces = False
        self._sources: dict[str, bool] = {}  # of each file, whether a line was a record
        self._rejects_failed = False

    def get_state(self) -> dict[str, Any]:
        """Return the statistics and the last lines that did not match."""
        return {**super().get_state(), "unmatched": list(self._unmatched)}

    def setup(self, daemon: Daemon) -> None:
        """Open the file for rejected lines, if there is one."""
        if self.rejects is not None:
            self._rejects_fd = open_output(located(self.rejects, daemon), self.files)

    def teardown(self, daemon: Daemon) -> None:
        """Close the file for rejected lines; log their number; report files without a record."""
        unmatched = self.statistics_cur.get("unmatched", 0)
        if unmatched > 1:  # the first one has been logged already
            self.log.warning(
                "{count} lines were not {expected}", count=unmatched, expected=self._expected
            )
        self._report_sources(daemon)
        fd, self._rejects_fd = self._rejects_fd, None
        if fd is not None:
            self.files.close(fd)

    @handles("lines")
    def cbk_event_lines(
        self, daemon: Daemon, args: Lines | list[bytes]
    ) -> tuple[int, list[dict[str, Any]]]:
        """Parse the lines."""
        if isinstance(args, Lines) and (args.truncated or not args.complete):
            self._leave_out(args)
            return FLAG_STOP, []
        texts = self._texts_of(args)
        self.inc_statistic("lines", len(texts))
        records: list[dict[str, Any]] = []
        unmatched: list[int] = []
        for number, text in enumerate(texts):
            record = self._parse(text)
            if record is None:
                unmatched.append(number)
            else:
                records.append(record)
        if self.add_source and isinstance(args, Lines):
            _add_source(records, args, unmatched)
        if unmatched:
            self._reject(texts, args, unmatched)
        self.inc_statistic("records", len(records))
        if texts:
            source = _source_of(args)
            self._sources[source] = bool(records) or self._sources.get(source, False)
        return (FLAG_CONTINUE, records) if records else (FLAG_STOP, [])

    @abc.abstractmethod
    def _parse(self, text: str) -> dict[str, Any] | None:
        """Return the record that a line is, in a new dict; None if it is none. Never raises."""

    def _texts_of(self, args: Lines | list[bytes]) -> list[str]:
        if isinstance(args, Lines):
            if bad := args.bad_lines():
                self.inc_statistic("bad_utf8", bad)
            return args.texts()
        try:
            return [line.decode() for line in args]
        except UnicodeDecodeError:
            pass
        texts = []
        for line in args:
            try:
                texts.append(line.decode())
            except UnicodeDecodeError:
                self.inc_statistic("bad_utf8")
                texts.append(line.decode(errors="replace"))
        return texts

    def _leave_out(self, piece: Lines) -> None:
        self.inc_statistic("pieces")
        if not self._warned_of_pieces:
            self._warned_of_pieces = True
            self.log.warning(
                "A piece of a line of {path}, at byte {offset}, is left out: the line has no end,"
                " or its beginning was not read, or it is longer than max_line_bytes. Further"
                " pieces are only counted",
                path=piece.path,
                offset=piece.offset,
            )

    def _report_sources(self, daemon: Daemon) -> None:
        sources, self._sources = self._sources, {}
        for path, has_records in sources.items():
            if not has_records:
                self.log.error(
                    "Not one line of {path} is {expected}", path=path, expected=self._expected
                )
                if daemon.exit_when_idle:
                    daemon.set_exit_status(EXIT_DATA_ERROR)

    def _reject(self, texts: list[str], args: Lines | list[bytes], unmatched: list[int]) -> None:
        self.inc_statistic("unmatched", len(unmatched))
        self._unmatched += [texts[number][:_KEPT_CHARACTERS] for number in unmatched[-_KEPT_LINES:]]
        if not self._warned:
            self._warned = True
            self.log.warning(
                "A line of {path} is not {expected} and is left out:"
                " {line!r}. Further lines are only counted; the state has the last of them",
                path=_source_of(args),
                expected=self._expected,
                line=texts[unmatched[0]][:_KEPT_CHARACTERS],
            )
        if self._rejects_fd is not None:
            self._write_rejects(_raw_of(args, unmatched), len(unmatched))

    def _write_rejects(self, data: bytes, lines: int) -> None:
        assert self._rejects_fd is not None  # checked by the caller
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.files.write(self._rejects_fd, rest) :]
        except OSError as cause:  # go on: rejects only help to find errors
            self.inc_statistic("rejects_failed", lines)
            if not self._rejects_failed:
                self._rejects_failed = True
                self.log.error(  # noqa: TRY400 - a full disk is no bug: no traceback
                    "Cannot write rejected lines to {path}: {reason}. They are only counted now"
                    " (rejects_failed). Free some space or choose another file",
                    path=self.rejects,
                    reason=cause.strerror,
                )


def _source_of(args: Lines | list[bytes]) -> str:
    return args.path if isinstance(args, Lines) else "the input"


def _raw_of(args: Lines | list[bytes], numbers: list[int]) -> bytes:
    """Return the lines with these numbers as they are in the file, each with its end."""
    if not isinstance(args, Lines):
        return b"".join(args[number] + b"\n" for number in numbers)
    begins = [offset - args.offset for offset in args.offsets()]
    ends = [*begins[1:], len(args.data)]
    return b"".join(
        line if line.endswith(args.delimiter) else line + args.delimiter
        for line in (args.data[begins[number] : ends[number]] for number in numbers)
    )


def _add_source(records: list[dict[str, Any]], lines: Lines, unmatched: list[int]) -> None:
    left_out = set(unmatched)
    offsets = [offset for n, offset in enumerate(lines.offsets()) if n not in left_out]
    for record, offset in zip(records, offsets, strict=True):
        record["file"] = lines.path
        record["offset"] = offset
        record["id"] = lines.file_id
        record["generation"] = lines.generation
