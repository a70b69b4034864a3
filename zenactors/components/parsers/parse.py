"""Parse lines, or a field of records, in any of the formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from zenactors.components.parsers.access_log import access_format
from zenactors.components.parsers.base import LineParser
from zenactors.components.parsers.csv_parser import Csv
from zenactors.components.parsers.format import Format
from zenactors.components.parsers.inputs import Batch, FieldBatch
from zenactors.components.parsers.json_parser import JSON
from zenactors.components.parsers.logfmt import LOGFMT
from zenactors.components.parsers.regex_parser import regex_format
from zenactors.components.parsers.syslog import syslog_format
from zenactors.core.daemon_api import Daemon
from zenactors.errors import did_you_mean

_OPTIONS: dict[str, tuple[str, ...]] = {
    "access": ("extra",),
    "csv": ("columns", "separator", "header"),
    "json": (),
    "logfmt": (),
    "regex": ("pattern",),
    "syslog": ("zone",),
}


class Parse(LineParser):
    r"""Turn lines, or the texts in a field of records, into records.

    Takes `lines` events with `Lines`, or with a list of lines (bytes or texts), and passes on a
    list of dicts. The formats:

    - "access": the Common or Combined Log Format of web servers, as `AccessLogParser`.
    - "csv": comma-separated values, as `CsvParser`.
    - "json": JSON objects, as `JsonParser`.
    - "logfmt": pairs such as `level=info`, as `LogfmtParser`.
    - "regex": what a regular expression matches, as `RegexParser`.
    - "syslog": RFC 5424, RFC 3164, and the files of syslog daemons, as `SyslogParser`.

    With `field`, it takes a list of dicts, and parses the text that each of them has under this
    key: the `message` of syslog, say. What was parsed is added to a copy of the record. A key that
    the record has keeps its value, so that a message cannot forge the host that it comes from. Only
    the field itself is replaced, if the text has that key. (`Lines` become dicts with `line`,
    `file` and `offset`, as for other steps.)

    Lines that do not match are counted and left out; the state has the last 100 of them. If no
    record remains, the chain ends here. A piece of a line (`Lines.complete` is False, or
    `Lines.truncated` True) is never taken for a record. If the daemon exits when idle, and not one
    line of a file was a record, its exit status is 65.

    Statistics: `lines`, `records`, `unmatched`, `headers` (first lines of CSV files), `pieces` (of
    lines that were cut off or too long), `bad_utf8` (lines decoded with replacement) and
    `rejects_failed` (lines that could not be written to `rejects`).

    Promises:
        loss: Lines that do not match, and pieces of lines, are left out, and counted; `rejects`
            keeps the former.
        duplicates: None of its own: a line that comes twice becomes two records.
        order: That of the lines.
        memory: One event, the last 100 lines that were left out, up to 200 characters of each, the
            paths of up to 10,000 files, and the columns of 1,000.
        threads: Its own. It waits only for the disk. Time is proportional to the length
            of a line in each format, except that the pattern of "regex" is yours.

    Args:
        format: The format of the lines.
        pattern: For "regex", which needs it: a regular expression of the module `re` with one or
            more named groups, ``(?P<name>...)``.
        columns: For "csv": names of the columns. None: the first line of each file names them.
        separator: For "csv": the character between two values. Default: a comma.
        header: For "csv": whether the first line of each file is no record. Default: True without
            `columns`, False with them.
        extra: For "access": names of the fields behind the agent, such as
            `["request_time", "upstream"]`.
        zone: For "syslog": time zone of times that give none, such as "Europe/Berlin", "UTC" or
            "local". Then they become ISO 8601, and the clock tells their year: see `SyslogParser`.
            None: they stay texts.
        field: Parse the text under this key of records. None: parse lines.
        keep_unmatched: With `field`: pass on records whose field does not match, or is missing, as
            they are. False: leave them out.
        add_source: Add `file`, `offset`, `id` and `generation` to each record that came from
            `Lines`, in place of keys of the line with these names. The last three together
            identify a line for ever. Not with `field`.
        rejects: Append lines that do not match to this file, unchanged; with `field`, the records,
            as JSON. A relative path is relative to the directory in which the daemon was started,
            or to its `work_dir`.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of `rejects`; a simulation sets its own before `setup`.

    Example:
        name = "requests"

        [[component]]
        use = "zenactors.components:Generate"
        [component.options]
        kind = "access"
        count = 10

        [[component]]
        use = "zenactors.components:Parse"
        [component.options]
        format = "access"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
    """

    def __init__(
        self,
        *,
        format: Literal["access", "csv", "json", "logfmt", "regex", "syslog"],  # noqa: A002 - what users call it
        pattern: str | None = None,
        columns: list[str] | None = None,
        separator: str | None = None,
        header: bool | None = None,
        extra: list[str] | None = None,
        zone: str | None = None,
        field: str | None = None,
        keep_unmatched: bool = False,
        add_source: bool = False,
        rejects: str | None = None,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(add_source=add_source, rejects=rejects, name=name, event_map=event_map)
        own = {
            "pattern": pattern,
            "columns": columns,
            "separator": separator,
            "header": header,
            "extra": extra,
            "zone": zone,
        }
        given = {option: value for option, value in own.items() if value is not None}
        _check_format(format, given)
        self.format = format
        self._format = _format_of(format, given, self._now)
        self.field = field
        self.keep_unmatched = keep_unmatched
        self._check_field()
        if keep_unmatched:
            self._fate = "passed on as it is"

    def _check_field(self) -> None:
        field = self.field
        if not isinstance(self.keep_unmatched, bool):
            raise ValueError(  # noqa: TRY004 - wrong options are ValueErrors
                f"keep_unmatched is {self.keep_unmatched!r}, but true or false is expected."
            )
        if field is None:
            if self.keep_unmatched:
                raise ValueError("keep_unmatched is for records, but there is no field: give one.")
            return
        if not isinstance(field, str) or not field:
            raise ValueError(f"field is {field!r}, but a key of records is expected.")
        if self.add_source:
            raise ValueError(
                "add_source is for lines, but field is given, whose records have their source"
                " already: leave out one of them."
            )
        if isinstance(self._format, Csv) and self._format.has_header:
            raise ValueError(
                f"field is {field!r}, and a field has no first line that could name its columns:"
                " give columns, and no header."
            )

    def _now(self) -> float:
        now: float = self.clock.time()  # the clock is another one under a harness
        return now

    def _report_sources(self, daemon: Daemon) -> None:
        if not self.keep_unmatched:
            super()._report_sources(daemon)

    def _read(self, args: Any) -> Batch:
        if self.field is None:
            return super()._read(args)
        return FieldBatch(args, field=self.field, keep_unmatched=self.keep_unmatched)


def _check_format(format_name: Any, given: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if there is no such format, or if it does not take these options."""
    known = [*_OPTIONS]
    if format_name not in known:
        hint = did_you_mean(str(format_name), known)
        raise ValueError(
            f"format is {format_name!r}, but one of {', '.join(map(repr, known))} is"
            f" expected{hint}."
        )
    for option, value in given.items():
        if option not in _OPTIONS[format_name]:
            owner = next(name for name, options in _OPTIONS.items() if option in options)
            raise ValueError(
                f"{option} is {value!r}, but format {format_name!r} does not take it, only"
                f" {owner!r} does: leave it out."
            )


def _format_of(name: str, given: Mapping[str, Any], now: Callable[[], float]) -> Format:
    makers: dict[str, Callable[[], Format]] = {
        "access": lambda: access_format(given.get("extra")),
        "csv": lambda: Csv(**given),
        "json": lambda: JSON,
        "logfmt": lambda: LOGFMT,
        "regex": lambda: regex_format(given.get("pattern")),
        "syslog": lambda: syslog_format(given.get("zone"), now),
    }
    return makers[name]()
