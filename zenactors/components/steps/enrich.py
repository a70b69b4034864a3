"""Add the fields of a table to records."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from typing import Any, Literal

from zenactors.advice import advice_for, reason
from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._options import check_choice, check_count, check_name, check_positive
from zenactors.components._read_file import read_file
from zenactors.components.steps._fallible import FallibleStep
from zenactors.components.steps._lookup_table import (
    EMPTY,
    LookupTable,
    TableError,
    TableOptions,
    read_csv,
    read_sqlite,
)
from zenactors.components.steps._selection import check_fields
from zenactors.core.daemon_api import Daemon
from zenactors.errors import ZenDaemonComponentException

_Version = tuple[tuple[int, ...] | None, ...]


class Enrich(FallibleStep):
    """Add fields to records out of a CSV file or a table of an SQLite database.

    Takes `lines` events with a list of dicts, or with `Lines`, whose lines become dicts. The row is
    found by the field `key`; its values replace fields of the same names. Keys are compared as
    text, so 7 finds "7". Of several rows with one key, the last counts. The values of a CSV file
    are texts; its first row has the names of the columns.

    The table is in memory. If the file has changed, it is read again before the next event, at most
    every `reload_interval` seconds. While the new one is broken, locked, too large or gone, the old
    table stays in use, and one line is logged. Replace the file by a rename, because one that is
    written in place may be read when it is half there.

    Statistics: `records` that came, `passed_on`, `found`, `missing`, `reloads`, `reload_failures`,
    and `failed` (no dict: the record becomes a dead letter).

    Promises:
        loss: None, except by `missing = "drop"`, which is counted.
        duplicates: None of its own. After a crash, records come again, and get what the table has
            then.
        order: Records keep their order, and all records of one event see the same table.
        memory: At most `max_rows` rows out of `max_bytes` bytes; while it is read again, twice.
        threads: Works in its own thread, which a reload blocks: seconds for a million rows. A query
            can be interrupted.

    Args:
        path: The file. A relative path is relative to the directory in which the daemon was
            started, or to its `work_dir`.
        key: The field of a record that has the key.
        column: The column that has the key. Default: that of the field's name.
        fields: The columns to add, as a list, or as a table with the name of each in the records.
            Default: all but the key.
        table: The table or view of an SQLite database. Default: the file is CSV.
        delimiter: The character between the values of a CSV file.
        missing: What becomes of a record without a row. "pass": it goes on as it is. "drop": it is
            counted. "null": its new fields are null.
        must_exist: Without the file, the daemon does not start. false: no record has a row until
            the file is there.
        reload_interval: Seconds after which it is looked at again.
        max_rows: The most rows.
        max_bytes: The most bytes of the file.
        name: This component's name in logs, statistics and the state.
        event_map: Other names for this component's events.

    Attributes:
        files: The file system of a CSV file; a simulation sets its own before `setup`.

    Example:
        name = "enrich"
        schedule = [["lines", [{ host = "a" }, { host = "b" }]]]

        [[component]]
        use = "zenactors.components:Enrich"
        options.path = "hosts.csv"
        options.key = "host"
        options.fields = ["owner"]
        options.must_exist = false
        options.missing = "null"

        [[component]]
        use = "zenactors.components:JsonLinesWriter"
        options = { path = "-" }
    """

    files: Files = SYSTEM_FILES

    def __init__(
        self,
        *,
        path: str,
        key: str,
        column: str | None = None,
        fields: list[str] | dict[str, str] | None = None,
        table: str | None = None,
        delimiter: str = ",",
        missing: Literal["pass", "drop", "null"] = "pass",
        must_exist: bool = True,
        reload_interval: float = 10.0,
        max_rows: int = 100_000,
        max_bytes: int = 64 << 20,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name=name, event_map=event_map)
        self.path = _text("path", path)
        check_name("path", path)
        self.key = _text("key", key)
        self.table = None if table is None else _text("table", table)
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
            raise ValueError(f"delimiter is {delimiter!r}, but one character is expected.")
        self.missing = check_choice("missing", missing, ("pass", "drop", "null"))
        if not isinstance(must_exist, bool):
            raise ValueError(f"must_exist is {must_exist!r}, but true or false is expected.")  # noqa: TRY004 - wrong options are ValueErrors
        self.must_exist = must_exist
        self.reload_interval = check_positive("reload_interval", reload_interval, unit="seconds")
        self.max_bytes = check_count("max_bytes", max_bytes)
        self._table_options = TableOptions(
            column=self.key if column is None else _text("column", column),
            fields=_fields(fields),
            max_rows=check_count("max_rows", max_rows),
            delimiter=delimiter,
        )
        self._place = self.path
        self._rows: LookupTable = EMPTY
        self._version: _Version | None = None  # of the file that the table is from
        self._next_look = 0.0
        self._logged = ""
        self._connection: sqlite3.Connection | None = None
        self._missing = 0

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and how many rows the table has."""
        return {**super().get_state(), "rows": len(self._rows.rows)}

    def setup(self, daemon: Daemon) -> None:
        """Read the table."""
        self._place = located(self.path, daemon)
        self._rows, self._version, self._logged = self._without_rows(), None, ""
        self._next_look = self.clock.monotonic() + self.reload_interval
        try:
            self._load()
        except FileNotFoundError as cause:
            if self.must_exist:
                raise ZenDaemonComponentException(self._told(cause)) from cause
        except (OSError, TableError) as cause:
            raise ZenDaemonComponentException(self._told(cause)) from cause

    def interrupt(self) -> None:
        """End a query that takes too long. Thread: any."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it has been closed meanwhile
                connection.interrupt()

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        """Return the records with their new fields."""
        if self.clock.monotonic() >= self._next_look:
            self._look()
        self._missing = 0
        passed_on = super().apply(daemon, records)
        if self._missing:
            self.inc_statistic("missing", self._missing)
        return passed_on

    def apply_one(self, record: Any, passed_on: list[Any]) -> None:
        """Append a record with its new fields."""
        check_fields(record)
        row = self._rows.find(record.get(self.key))
        if row is not None:
            passed_on.append({**record, **row})
            return
        self._missing += 1
        if self.missing == "pass":
            passed_on.append(record)
        elif self.missing == "null":
            passed_on.append({**record, **dict.fromkeys(self._rows.names)})

    # --- the table ------------------------------------------------------------------------------

    def _look(self) -> None:
        self._next_look = self.clock.monotonic() + self.reload_interval
        try:
            if self._load():
                self.inc_statistic("reloads")
        except (OSError, TableError) as cause:
            self.inc_statistic("reload_failures")
            told = self._told(cause)
            if told != self._logged:
                self.log.error("{told} The old table stays in use", told=told)  # noqa: TRY400 - a broken file is no bug: no traceback
            self._logged = told
        else:
            self._logged = ""

    def _load(self) -> bool:
        """Read the table if the file has changed; return True if it was read."""
        version = self._version_now()
        if version == self._version:
            return False
        if self.table is None:
            try:
                content = read_file(self._place, self.files, limit=self.max_bytes)
            except ValueError as cause:
                raise TableError(f"{cause} (max_bytes)") from None
            self._rows = read_csv(content, self._table_options)
        else:
            self._rows = self._query(self.table)
        self._version = version  # of before: what has changed since is read the next time
        return True

    def _query(self, table: str) -> LookupTable:
        try:
            return read_sqlite(self._place, table, self._table_options, self._connected)
        finally:
            self._connection = None

    def _connected(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _version_now(self) -> _Version:
        stat = self.files.stat(self._place)
        version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if self.table is None:
            return (version,)
        if stat.st_size > self.max_bytes:
            raise TableError(f"it has more than {self.max_bytes:,} bytes (max_bytes)")
        try:
            log = self.files.stat(f"{self._place}-wal")
        except FileNotFoundError:
            return (version, None)
        return (version, (log.st_size, log.st_mtime_ns))

    def _without_rows(self) -> LookupTable:
        fields = self._table_options.fields or {}
        return LookupTable({}, list(fields.values()))

    def _told(self, cause: OSError | TableError) -> str:
        if isinstance(cause, OSError):
            told, advice = reason(cause), advice_for(cause, self._place, "read")
        else:
            told, advice = str(cause), "Correct the file"
        return f"Cannot use the table {self._place}: {told}. {advice}."


def _fields(fields: Any) -> dict[str, str] | None:
    if fields is None:
        return None
    found = fields if isinstance(fields, Mapping) else None
    if isinstance(fields, list | tuple) and all(isinstance(each, str) for each in fields):
        found = {each: each for each in fields}
    if not found or not all(isinstance(name, str) and name for name in found.values()):
        raise ValueError(
            f"fields is {fields!r}, but a list of columns is expected, or a table with their names"
            ' in the records, such as { owner = "host_owner" }.'
        )
    return dict(found)


def _text(option: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{option} is {value!r}, but a text is expected.")
    return value
