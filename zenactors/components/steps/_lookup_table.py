"""A table of a CSV file or an SQLite database, as a dict of rows. Pure but for reading it."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

Row = dict[str, Any]
_LOCK_WAIT = 1.0  # seconds for which a writer may hold the database


class TableError(Exception):
    """A table cannot be used. The text is a clause: "it has ..."."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What is read of a table.

    Attributes:
        column: The column of the key.
        fields: The name in the records of each column that is wanted; None: all columns but the
            key, under their own names.
        max_rows: The most rows that it may have.
        delimiter: Between the fields of a CSV file.
    """

    column: str
    fields: Mapping[str, str] | None
    max_rows: int
    delimiter: str = ","


@dataclasses.dataclass(frozen=True, slots=True)
class LookupTable:
    """The rows of a table.

    Attributes:
        rows: Each row, without its key, by the text of its key. Of several with one key, the last.
        names: The names of a row's values.
    """

    rows: Mapping[str, Row]
    names: Sequence[str]

    def find(self, value: Any) -> Row | None:
        """Return the row of a key; None if there is none."""
        text = key_text(value)
        return None if text is None else self.rows.get(text)


EMPTY = LookupTable({}, ())


def key_text(value: Any) -> str | None:
    """Return a key as text, so that a number in a record finds its text in a CSV file.

    Returns:
        None for what is no text and no number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return None


def read_csv(content: bytes, options: TableOptions) -> LookupTable:
    """Return the table of a CSV file, whose first row names the columns.

    Raises:
        TableError: It is broken.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise TableError(f"it is not UTF-8 at byte {cause.start:,}") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=options.delimiter, strict=True)
    try:
        header = next(reader, [])
        return _table(header, _checked(reader, len(header)), options)
    except csv.Error as cause:
        raise TableError(f"line {reader.line_num:,} is no CSV: {cause}") from None


def _checked(reader: Any, width: int) -> Iterable[list[str]]:
    for row in reader:
        if len(row) != width and row:
            raise TableError(
                f"line {reader.line_num:,} has {len(row)} fields, and the first line {width}"
            )
        if row:  # an empty line is none
            yield row


def read_sqlite(
    path: str,
    table: str,
    options: TableOptions,
    connected: Callable[[sqlite3.Connection], object],
) -> LookupTable:
    """Return the table of an SQLite database, which is only read.

    Args:
        path: The file.
        table: The table or view.
        options: What is read.
        connected: Called with the connection, which another thread may interrupt.

    Raises:
        TableError: It is broken, locked, or has no such table.
    """
    try:
        connection = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, timeout=_LOCK_WAIT, isolation_level=None
        )
        with contextlib.closing(connection):
            connected(connection)
            connection.execute("PRAGMA trusted_schema = OFF")
            quoted = table.replace('"', '""')
            # A name cannot be a parameter. This one is the user's, and is quoted.
            query = f'SELECT * FROM "{quoted}"'  # noqa: S608
            # A statement that is not ended would keep the file open.
            with contextlib.closing(connection.execute(query)) as cursor:
                header = [column for column, *_ in cursor.description]
                return _table(header, cursor, options)
    except (sqlite3.Error, sqlite3.Warning) as cause:
        raise TableError(f"SQLite says: {cause}") from None


def _table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], options: TableOptions
) -> LookupTable:
    fields = options.fields
    if fields is None:
        fields = {column: column for column in header if column != options.column}
    missing = [column for column in (options.column, *fields) if column not in header]
    if missing or len({*header}) != len(header):
        what = f"no column {missing[0]!r}" if missing else "two columns of one name"
        raise TableError(f"it has {what}; its columns are: {', '.join(header) or '(none)'}")
    key = header.index(options.column)
    wanted = [(header.index(column), name) for column, name in fields.items()]
    found: dict[str, Row] = {}
    for number, row in enumerate(rows, 1):
        if number > options.max_rows:
            raise TableError(f"it has more than {options.max_rows:,} rows (max_rows)")
        text = key_text(row[key])
        if text is not None:
            found[text] = {name: row[index] for index, name in wanted}
    return LookupTable(found, [name for _, name in wanted])
