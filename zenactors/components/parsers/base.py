"""The base of parsers: lines in, records out; lines that are no records are counted and kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import check_name
from zenactors.components.parsers.format import Format
from zenactors.components.parsers.inputs import NO_TEXT, Batch, LineBatch
from zenactors.components.sinks._output import open_output
from zenactors.components.tail.lines import Lines
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.errors import EXIT_DATA_ERROR

_KEPT_LINES = 100
_KEPT_CHARACTERS = 200

_MOST_SOURCES = 10_000  # files; whether further ones had a record is not noted


class ParserOptions(TypedDict, total=False):
    """The options of `LineParser`, for the `**` argument of a subclass's constructor."""

    add_source: bool
    rejects: str | None
    name: str | None
    event_map: Mapping[str, str] | None


class LineParser(ZenDaemonComponent):
    """The base of parsers. A subclass sets `_format`, for the class or in its constructor.

    Args:
        add_source: Add `file`, `offset`, `id` and `generation` to each record that came from
            `Lines`, in place of fields with these names. The last three together identify a line
            for ever.
        rejects: Append lines that are no records to this file, unchanged. A relative path is
            relative to the directory in which the daemon was started, or to its `work_dir`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of `rejects`; a simulation sets its own before `setup`.
    """

    files: Files = SYSTEM_FILES
    _format: Format
    _fate = "left out"  # what becomes of a line that does not match

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
        self._format.setup(self, daemon)
        if self.rejects is not None:
            self._rejects_fd = open_output(located(self.rejects, daemon), self.files)

    def teardown(self, daemon: Daemon) -> None:
        """Close the file for rejected lines; log their number; report files without a record."""
        unmatched = self.statistics_cur.get("unmatched", 0)
        if unmatched > 1:  # the first one has been logged already
            self.log.warning(
                "{count} lines were not {expected}", count=unmatched, expected=self._format.expected
            )
        self._report_sources(daemon)
        fd, self._rejects_fd = self._rejects_fd, None
        if fd is not None:
            self.files.close(fd)

    @handles("lines")
    def cbk_event_lines(self, daemon: Daemon, args: Any) -> tuple[int, list[dict[str, Any]]]:
        """Parse the lines."""
        if isinstance(args, Lines) and (args.truncated or not args.complete):
            self._leave_out(args)
            return FLAG_STOP, []
        batch = self._read(args)
        texts = batch.texts
        parse, headers = self._format.begin(args, texts)
        records: list[dict[str, Any]] = []
        unmatched: list[int] = []
        for number, text in enumerate(texts[headers:] if headers else texts, headers):
            record = None if text is None else parse(text)
            if record is None:
                unmatched.append(number)
            else:
                records.append(record)
        self._count(batch, len(records), headers)
        if unmatched:
            self._reject(batch, unmatched)
        left_out = [*range(headers), *unmatched] if headers else unmatched
        passed_on = batch.finish(records, left_out)
        return (FLAG_CONTINUE, passed_on) if passed_on else (FLAG_STOP, [])

    def _read(self, args: Any) -> Batch:
        return LineBatch(args, add_source=self.add_source)

    def _count(self, batch: Batch, records: int, headers: int) -> None:
        lines = len(batch.texts)
        self.inc_statistic("lines", lines)
        self.inc_statistic("records", records)
        if batch.bad:
            self.inc_statistic("bad_utf8", batch.bad)
        if headers:
            self.inc_statistic("headers", headers)
        if lines > headers:
            source, sources = batch.source, self._sources
            if source in sources or len(sources) < _MOST_SOURCES:
                sources[source] = records > 0 or sources.get(source, False)

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
                    "Not one line of {path} is {expected}",
                    path=path,
                    expected=self._format.expected,
                )
                if daemon.exit_when_idle:
                    daemon.set_exit_status(EXIT_DATA_ERROR)

    def _reject(self, batch: Batch, unmatched: Sequence[int]) -> None:
        self.inc_statistic("unmatched", len(unmatched))
        texts = batch.texts
        self._unmatched += [_shown(texts[number]) for number in unmatched[-_KEPT_LINES:]]
        if not self._warned:
            self._warned = True
            self.log.warning(
                "A line of {path} is not {expected} and is {fate}:"
                " {line!r}. Further lines are only counted; the state has the last of them",
                path=batch.source,
                expected=self._format.expected,
                fate=self._fate,
                line=_shown(texts[unmatched[0]]),
            )
        if self._rejects_fd is not None:
            self._write_rejects(batch.raw(unmatched), len(unmatched))

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


def _shown(text: str | None) -> str:
    return NO_TEXT if text is None else text[:_KEPT_CHARACTERS]
