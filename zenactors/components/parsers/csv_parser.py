"""Parse lines of comma-separated values (RFC 4180) into records."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from zenactors.components._options import check_strings
from zenactors.components.parsers.base import LineParser, ParserOptions
from zenactors.components.parsers.csv_headers import Headers
from zenactors.components.parsers.format import BEFORE, Format, ParseText
from zenactors.components.tail.lines import Lines
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from loguru import Logger

    from zenactors.core.component import ZenDaemonComponent
    from zenactors.core.daemon_api import Daemon

_MOST_COLUMNS = 1_000
_MOST_ROWS = 100  # kept: each has a compiled pattern
_NO_SEPARATORS = '"\r\n' + BEFORE


class CsvParser(LineParser):
    r"""Turn lines of comma-separated values (CSV, RFC 4180) into records.

    Takes `lines` events with `Lines` or a list of bytes or texts, and passes on a list of dicts:
    the names of the columns, and texts. A value in quotes may have separators; a quote in it is
    doubled. Blanks belong to values. A line is a record if it has exactly one value for each
    column. A record is one line: a value with a line break in it is torn, and so no record.

    The columns are an option, or the first line of each file names them. In that case, the parser
    remembers them for the 1,000 files that it has read last; with a `state_dir`, also from one run
    to the next. Lines of a file whose first line it has not seen, because the source began behind
    it, are left out, and an error is logged: give `columns` then. A list of lines is of no file, so
    it needs `columns`, too, and so do `Replicas`, as each of them sees a part of the lines.

    Lines that do not match are counted and left out; the state has the last 100 of them. If no
    record remains, the chain ends here. A piece of a line (`Lines.complete` is False, or
    `Lines.truncated` True) is never taken for a record. If the daemon exits when idle, and not one
    line of a file was a record, its exit status is 65.

    Statistics: `lines`, `records`, `headers` (first lines of files), `unmatched`, `pieces` (of
    lines that were cut off or too long), `bad_utf8` (lines decoded with replacement) and
    `rejects_failed` (lines that could not be written to `rejects`).

    Promises:
        loss: Lines that do not match, and pieces of lines, are left out, and counted; `rejects`
            keeps the former.
        duplicates: None of its own: a line that comes twice becomes two records.
        order: That of the lines.
        memory: One event, the last 100 lines that were left out, up to 200 characters of each, the
            paths of up to 10,000 files, and the columns of 1,000.
        threads: Its own. It waits only for the disk.

    Args:
        columns: Names of the columns, such as `["time", "user"]`. None: each file's first line.
        separator: The character between two values; "\t" for tab-separated values.
        header: True: the first line of each file is no record. It names the columns, unless
            `columns` does. Default: True without `columns`, False with them.
        **common: The options of all parsers: `add_source` and `rejects`.

    Example:
        name = "words"

        [[component]]
        use = "zenactors.components:Generate"
        [component.options]
        kind = "lines"
        count = 10

        [[component]]
        use = "zenactors.components:CsvParser"
        [component.options]
        columns = ["word", "number"]
        separator = " "

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
    """

    def __init__(
        self,
        *,
        columns: list[str] | None = None,
        separator: str = ",",
        header: bool | None = None,
        **common: Unpack[ParserOptions],
    ) -> None:
        super().__init__(**common)
        self.columns = columns
        self.separator = separator
        self.header = header
        self._format = Csv(columns=columns, separator=separator, header=header)


class Csv(Format):
    """Comma-separated values. See `CsvParser`.

    Attributes:
        has_header: The first line of each file is no record.

    Raises:
        ValueError: An option is wrong.
    """

    def __init__(
        self,
        *,
        columns: Sequence[str] | None = None,
        separator: str | None = None,
        header: bool | None = None,
    ) -> None:
        self._separator = _checked_separator("," if separator is None else separator)
        self._columns = None if columns is None else _checked_columns(columns)
        self.has_header = _checked_header(header, columns)
        self._rows: dict[tuple[str, ...], _Row] = {}
        self._headers = Headers()
        self._log: Logger | None = None
        super().__init__("CSV with a value for each column", self._parser_of(self._columns))

    def setup(self, component: ZenDaemonComponent, daemon: Daemon) -> None:
        """Load the columns that were read in earlier runs, if there is a `state_dir`."""
        self._log = component.log
        if self._columns is None:
            with contextlib.suppress(ConfigurationError):  # there is no state_dir
                self._headers.load(daemon.state_store(), component.log)

    def begin(self, args: Any, texts: Sequence[str | None]) -> tuple[ParseText, int]:
        """Take the columns from the first line of a file."""
        if not self.has_header:
            return self.parse, 0
        if not isinstance(args, Lines):
            raise TypeError(
                "With the option header, the lines of files are expected, but got a list, which"
                " has no first line: give columns and header = false."
            )
        is_first = not args.offset and bool(texts)
        if self._columns is not None:
            return self.parse, int(is_first)
        file = f"{args.file_id or args.path} {args.generation}"
        if is_first:
            columns = self._names_in(texts[0] or "")
            self._headers.learn(file, columns)
            return self._parser_of(columns), int(columns is not None)
        columns = self._headers.of(file)
        if columns is None:
            self._report(args.path)
        return self._parser_of(columns), 0

    def _report(self, path: str) -> None:
        log, self._log = self._log, None
        if log is not None:  # once
            log.error(
                "The columns of {path} are not known, because its first line names none or was not"
                " read: its lines are left out. Give the option columns",
                path=path,
            )

    def _parser_of(self, columns: tuple[str, ...] | None) -> ParseText:
        if columns is None:
            return _no_record
        if columns not in self._rows:
            if len(self._rows) >= _MOST_ROWS:
                self._rows.clear()
            self._rows[columns] = _Row(columns, self._separator)
        return self._rows[columns].parse

    def _names_in(self, text: str) -> tuple[str, ...] | None:
        """Return the columns that a first line names; None if it cannot name any."""
        text = text.removesuffix("\r")
        value = _value_pattern(self._separator)
        between = re.escape(self._separator)
        if not re.fullmatch(f"(?:{value})(?:{between}(?:{value})){{0,{_MOST_COLUMNS - 1}}}+", text):
            return None
        values = re.findall(f"(?:^|{between})({value})", text)
        names = tuple(map(_unquote, values))
        return names if all(names) and len(set(names)) == len(names) else None


class _Row:
    """A line with a value for each of these columns."""

    def __init__(self, columns: tuple[str, ...], separator: str) -> None:
        self._columns = columns
        self._separator = separator
        value = _value_pattern(separator)
        self._match = re.compile(re.escape(separator).join(f"({value})" for _ in columns)).fullmatch

    def parse(self, text: str) -> dict[str, Any] | None:
        """Return the record that a line is, or None."""
        if text[:1] in BEFORE:
            text = text.lstrip(BEFORE)
        if text[-1:] == "\r":
            text = text[:-1]
        if not text:
            return None
        if '"' not in text:
            if "\n" in text or "\r" in text:
                return None
            values = text.split(self._separator, len(self._columns))
        else:
            match = self._match(text)
            if match is None:
                return None
            values = [_unquote(value) for value in match.groups()]
        if len(values) != len(self._columns):
            return None
        return dict(zip(self._columns, values, strict=True))


def _value_pattern(separator: str) -> str:
    # Possessive quantifiers (*+): a line that does not match is rejected in one pass.
    return rf'"[^"]*+(?:""[^"]*+)*+"|[^"\r\n{re.escape(separator)}]*+'


def _unquote(value: str) -> str:
    return value[1:-1].replace('""', '"') if value[:1] == '"' else value


def _no_record(_text: str) -> None:
    return None


def _checked_separator(separator: Any) -> str:
    if not isinstance(separator, str) or len(separator) != 1 or separator in _NO_SEPARATORS:
        raise ValueError(
            f"separator is {separator!r}, but one character is expected, such as ';', and neither a"
            " quote nor a line end."
        )
    return separator


def _checked_columns(columns: Any) -> tuple[str, ...]:
    names = check_strings("columns", columns, of="names", example='["time", "user"]')
    if not 0 < len(names) <= _MOST_COLUMNS:
        raise ValueError(f"columns has {len(names)} names, but 1 to {_MOST_COLUMNS} are expected.")
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ValueError(f"columns has {twice!r} twice: give each column a name of its own.")
    return tuple(names)


def _checked_header(header: Any, columns: Any) -> bool:
    if header is None:
        return columns is None
    if not isinstance(header, bool):
        raise ValueError(f"header is {header!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
    if not header and columns is None:
        raise ValueError("header is False, but nothing else names the columns: give columns.")
    return header
