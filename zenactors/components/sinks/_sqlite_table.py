"""A table that rows are made for: its columns grow with the records, values become SQLite's."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

MOST_COLUMNS = 500  # of SQLite's 2,000
_LONGEST_NAME = 128
_TOO_LARGE = 1 << 63  # for an integer of SQLite
# What sqlite3 raises for a value that it cannot store.
_NOT_STORABLE = (
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    OverflowError,
    UnicodeEncodeError,
)

Row = Sequence[Any]


def quoted(name: str) -> str:
    """Return a name for use in a statement, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def is_name(name: str) -> bool:
    """Return True if a table or a column can have this name."""
    if not 0 < len(name) <= _LONGEST_NAME or "\0" in name:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Table:
    """A table, and how records become its rows.

    Args:
        database: The database.
        name: The table's name.
        columns: Its columns and their types; None: they come with the records.
        key: Columns that identify a row.
        on_dropped: Called with the number of values that have no column.
        on_added: Called with the name of a column that was added.

    Raises:
        sqlite3.Error: It cannot be read or created, or `key` does not identify its rows.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        name: str,
        columns: Mapping[str, str] | None,
        key: Sequence[str],
        *,
        on_dropped: Callable[[int], object],
        on_added: Callable[[str], object],
    ) -> None:
        self._database = database
        self._name = name
        self._key = key
        self._declared = columns
        self._on_dropped = on_dropped
        self._on_added = on_added
        self._converts = False  # values came that SQLite cannot store as they are
        self._statement = ""
        self.columns: dict[str, None] = dict.fromkeys(columns or ())
        self._grows = True  # columns can be added
        self._type = ""  # of a column that is added
        self._names: set[str] = set()  # of all columns, in lower case, as SQLite compares them
        self._read()
        if columns is not None:
            self._add({name: columns[name] for name in columns})
        if self.columns and self._names:  # for an error now if nothing can be inserted
            database.execute(f"EXPLAIN {self._make_statement()}", [None] * len(self.columns))

    def _read(self) -> None:
        """Read which columns the table has; none if it does not exist."""
        # The last field says if a column is hidden or generated, so that nothing can be inserted.
        found = self._database.execute(f"PRAGMA table_xinfo({quoted(self._name)})").fetchall()
        self._names = {name.lower() for _, name, *_ in found}
        if self._declared is None:
            self.columns = dict.fromkeys(name for _, name, *_, hidden in found if not hidden)
        listed = self._database.execute(f"PRAGMA table_list({quoted(self._name)})").fetchall()
        self._grows = all(kind == "table" for _, _, kind, *_ in listed)
        # Without a type: with one, SQLite would store the text "007" as a number. Strict tables
        # need one, and ANY means there what no type means elsewhere.
        self._type = "ANY" if any(strict for *_, strict in listed) else ""
        if self._names:
            self._use_key()
        self._statement = ""

    def _use_key(self) -> None:
        if self._key:
            index = quoted(f"{self._name} by {' and '.join(self._key)}")
            names = ", ".join(map(quoted, self._key))
            self._database.execute(
                f"CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {quoted(self._name)} ({names})"
            )

    def forget(self) -> None:
        """Read the columns again: a transaction that may have added some was rolled back."""
        self._read()

    # --- rows -----------------------------------------------------------------------------------

    def rows(self, records: Iterable[Any]) -> list[Row]:
        """Return a row for each record, after adding columns for keys that are new."""
        known = self.columns
        dicts = [each if type(each) is dict else _as_dict(each) for each in records]
        names = tuple(known)
        # Most records have all columns, in their order: these are not looked at any closer.
        if not self._converts and all(tuple(record) == names for record in dicts):
            return [tuple(record.values()) for record in dicts]
        for record in dicts:
            if not record.keys() <= known.keys():
                self._take_keys(record)
        names = tuple(self.columns)
        rows: list[Row] = [[record.get(name) for name in names] for record in dicts]
        return [[*map(_storable, row)] for row in rows] if self._converts else rows

    def _take_keys(self, record: Mapping[Any, Any]) -> None:
        """Add columns for the keys of a record, as far as there may be."""
        unknown = [key for key in record if key not in self.columns]
        if self._declared is None and self._grows:
            new: dict[str, str] = {}  # by the name in lower case
            for key in unknown:
                if type(key) is str and is_name(key) and key.lower() not in self._names:
                    new.setdefault(key.lower(), key)
            room = max(0, MOST_COLUMNS - len(self.columns))
            self._add(dict.fromkeys(list(new.values())[:room], self._type))
            unknown = [key for key in unknown if key not in self.columns]
        if unknown:
            self._on_dropped(len(unknown))

    def _add(self, columns: Mapping[str, str]) -> None:
        """Add columns; create the table if it does not exist."""
        if not columns:
            return
        table = quoted(self._name)
        if not self._names:
            missing = {name: "" for name in self._key if name not in columns}
            columns = {**missing, **columns}
            declared = ", ".join(map(self._column, columns.items()))
            self._database.execute(f"CREATE TABLE {table} ({declared})")
            self._names = {name.lower() for name in columns}
            self._use_key()
        for name, kind in columns.items():
            if name.lower() not in self._names:
                self._database.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}")
                self._names.add(name.lower())
                self._on_added(name)
            self.columns[name] = None
        self._statement = ""

    def _column(self, column: tuple[str, str]) -> str:
        name, kind = column
        return f"{quoted(name)} {kind}{' NOT NULL' if name in self._key else ''}"

    # --- inserting ------------------------------------------------------------------------------

    def insert(self, records: Sequence[Any]) -> dict[int, Exception]:
        """Insert records within the transaction under way.

        Returns:
            By its index, the reason for each record that cannot be inserted.

        Raises:
            sqlite3.Error: None can be.
        """
        database = self._database
        rows = self.rows(records)
        if not self.columns:  # records without a single key
            return {}
        statement = self._statement = self._statement or self._make_statement()
        database.execute("SAVEPOINT batch")
        try:
            database.executemany(statement, rows)
        except (sqlite3.IntegrityError, *_NOT_STORABLE) as cause:
            self._check_transaction(cause)
            database.execute("ROLLBACK TO batch")
        else:
            return {}
        finally:
            if database.in_transaction:
                database.execute("RELEASE batch")
        self._converts = True
        return self._insert_each(statement, self.rows(records))

    def _insert_each(self, statement: str, rows: Sequence[Row]) -> dict[int, Exception]:
        refused: dict[int, Exception] = {}
        for index, row in enumerate(rows):
            try:
                self._database.execute(statement, row)
            except (sqlite3.IntegrityError, *_NOT_STORABLE) as cause:
                self._check_transaction(cause)
                refused[index] = cause
        return refused

    def _check_transaction(self, cause: Exception) -> None:
        """Raise the cause of a failure if the table's own rules have rolled everything back."""
        if not self._database.in_transaction:
            raise cause

    def _make_statement(self) -> str:
        names = ", ".join(map(quoted, self.columns))
        marks = ", ".join("?" * len(self.columns))
        statement = f"INSERT INTO {quoted(self._name)} ({names}) VALUES ({marks})"  # noqa: S608 - quoted
        if not self._key:
            return statement
        key = ", ".join(map(quoted, self._key))
        others = [quoted(name) for name in self.columns if name not in self._key]
        if not others:
            return f"{statement} ON CONFLICT ({key}) DO NOTHING"
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        return f"{statement} ON CONFLICT ({key}) DO UPDATE SET {changes}"


def _as_dict(record: Any) -> dict[Any, Any]:
    if isinstance(record, Mapping):
        return dict(record)
    if isinstance(record, bytes):
        return {"line": record.decode(errors="replace")}
    return {"line": record}


def _storable(value: Any) -> Any:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, int) and -_TOO_LARGE <= value < _TOO_LARGE:
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    text = value if isinstance(value, str) else _as_json(value)
    return text.encode(errors="backslashreplace").decode()


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (TypeError, ValueError, RecursionError):  # such as a circle, or a huge number
        return hex(value) if isinstance(value, int) else repr(value)
