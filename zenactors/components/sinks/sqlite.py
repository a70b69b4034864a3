"""`SqliteSink`: records into a table of an SQLite database, each of them once."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from zenactors.components._files import located
from zenactors.components._options import check_name, check_positive, check_strings
from zenactors.components.applied import Applied, Place
from zenactors.components.output_checkpoint import checked_checkpoint
from zenactors.components.sinks._sqlite_table import Table, is_name
from zenactors.components.sinks.base import BatchingSink, TakenEvent
from zenactors.core.callbacks import handles
from zenactors.core.daemon_api import Daemon
from zenactors.core.tokens import Origin
from zenactors.errors import EXIT_IO_ERROR, ConfigurationError, ZenDaemonComponentException

_APPLIED = "zenactors_applied"
_TYPES = ("INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "ANY")
_CREATE_APPLIED = f"""CREATE TABLE IF NOT EXISTS {_APPLIED} (
    sink TEXT, path TEXT, key TEXT, ranges TEXT, owner TEXT,
    PRIMARY KEY (sink, path, key)) WITHOUT ROWID"""
_COLUMNS_OF_APPLIED = f"SELECT name FROM pragma_table_info('{_APPLIED}')"  # noqa: S608 - constants
_ADD_OWNER = f"ALTER TABLE {_APPLIED} ADD COLUMN owner TEXT"
_READ_APPLIED = f"SELECT path, key, ranges FROM {_APPLIED} WHERE sink = ?"  # noqa: S608 - constants
_SAVE_APPLIED = f"INSERT OR REPLACE INTO {_APPLIED} VALUES (?, ?, ?, ?, ?)"  # noqa: S608
_FORGET_APPLIED = (
    f"DELETE FROM {_APPLIED} WHERE sink = ? AND path = ? AND key = ?"  # noqa: S608
    " AND (owner IS NULL OR owner = ?)"
)
# Nothing that comes next can be written, either: the disk is full, broken, or not to be written to.
_OF_THE_DISK = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}
_PRIMARY_CODE = 0xFF


class SqliteSink(BatchingSink):
    """Write records to a table of an SQLite database.

    Takes `lines` events with dicts, whose keys are columns, or with `Lines` or texts, which are one
    column `line` (`Lines` have `file`, `offset` and others, too). Text, numbers and bytes are
    stored as they are, true and false as 1 and 0, and anything else as JSON. Without `columns`, the
    table and its columns are made of the records, also when a key comes later. An existing table is
    used as it is.

    A batch is one transaction, in WAL mode, and is on the disk when it is committed. With it, the
    sink notes in the table `zenactors_applied` which parts of its sources' input the rows are made
    of. So with a `FileTailer` with `exactly_once`, each line is in the table once, even if the
    process is killed. That holds for events that come along one chain, also through a `Router`;
    not for others that a component schedules. For these, declare a `key`.

    If the disk is full or broken, the daemon stops with status 74, and the sources send again what
    was not written. While another program has locked the database, batches are tried again.

    Statistics: those of all batching sinks: `records` and `batches` written, `retries`, `failed`;
    and `left_out` (records that had been applied before), `columns_added` and `values_dropped`
    (values without a column).

    Promises:
        loss: None from sources that acknowledge: an event is done when its transaction is on the
            disk. A record that cannot be stored becomes a dead letter.
        duplicates: None of the lines of a `FileTailer` with `exactly_once`; with `key`, none of any
            source. Otherwise, what was not acknowledged before a crash may come twice.
        order: Rows are inserted in the order in which their events come.
        memory: One batch: `batch_count` records or `batch_bytes` bytes, and one event more.
        threads: Its own; it blocks there during a transaction. `interrupt()` breaks that off.

    Args:
        path: The database; it is created if necessary, but not its directory. A relative path is
            relative to the directory in which the daemon was started, or to its `work_dir`.
        table: The table.
        columns: The columns and their types (INTEGER, REAL, TEXT, BLOB, NUMERIC, ANY), such as
            `{ host = "TEXT", status = "INTEGER" }`. Other keys of the records are dropped. None:
            the records say which there are, at most 500.
        key: Columns that identify a record: one with the same values replaces the row. They are the
            table's primary key if the table is created.
        synchronous: `"full"`: a committed batch survives a power failure. `"normal"`: only a crash
            of the process; it is faster.
        busy_timeout: Seconds that a transaction waits for other programs before it is tried again.
        batch_count: The most records of a batch, except if one event has more.
        batch_bytes: The most bytes of a batch, roughly, except if one event has more.
        batch_time: Seconds that an event waits at most, while others come all the time.
        attempts: How often a batch is tried.
        name: This component's name in logs, statistics, the state and `zenactors_applied`.
        event_map: Other names for this component's events.

    Example:
        name = "requests"

        [[component]]
        use = "zenactors.components:Generate"
        [component.options]
        kind = "access"
        count = 1000

        [[component]]
        use = "zenactors.components:AccessLogParser"

        [[component]]
        use = "zenactors.components:SqliteSink"
        [component.options]
        path = "requests.db"
        table = "requests"
    """

    temporary = (sqlite3.OperationalError,)
    no_replicas = "a database has one writer at a time. Take one, and make its batches larger."

    def __init__(
        self,
        *,
        path: str,
        table: str = "records",
        columns: dict[str, str] | None = None,
        key: list[str] | None = None,
        synchronous: Literal["full", "normal"] = "full",
        busy_timeout: float = 5.0,
        batch_count: int = 10_000,
        batch_bytes: int = 8 << 20,
        batch_time: float = 1.0,
        attempts: int = 8,
        name: str | None = None,
        event_map: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            batch_count=batch_count,
            batch_bytes=batch_bytes,
            batch_time=batch_time,
            attempts=attempts,
            name=name,
            event_map=event_map,
        )
        if not isinstance(path, str) or not path:
            raise ValueError(f"path is {path!r}, but the path of a database is expected.")
        check_name("path", path)
        self.path = path
        self.table = _checked_name("table", table)
        if table.lower().startswith(("sqlite_", _APPLIED)):
            raise ValueError(f"table is {table!r}, which is reserved: choose another name.")
        self.columns = None if columns is None else _checked_columns(columns)
        self.key = check_strings("key", key or [], of="columns", example='["host"]')
        for each in self.key:
            _checked_name("key", each)
            if self.columns is not None and each not in self.columns:
                raise ValueError(f"key has {each!r}, which is not in columns: add it there.")
        if synchronous not in ("full", "normal"):
            raise ValueError(f"synchronous is {synchronous!r}, but 'full' or 'normal' is expected.")
        self.synchronous = synchronous
        self.busy_timeout = check_positive("busy_timeout", busy_timeout, unit="seconds")
        self._place = path
        self._database: sqlite3.Connection | None = None
        self._rows: Table | None = None
        self._applied = Applied()
        self._owner: str | None = None  # the daemon, by its state directory

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, the database, the table and its columns."""
        columns = [] if self._rows is None else list(self._rows.columns)
        mine = {"path": self.path, "table": self.table, "columns": columns}
        return {**super().get_state(), **mine}

    def setup(self, daemon: Daemon) -> None:
        """Open the database, create what is missing, and read what was applied."""
        super().setup(daemon)
        # Absolute, because some relative names are no file for SQLite.
        self._place = os.path.abspath(located(self.path, daemon))  # noqa: PTH100 - only the text
        self._applied = Applied()
        self._owner = self._owner_in(daemon)
        try:
            self._open()
        except (sqlite3.Error, ValueError) as cause:
            self._close()
            directory = os.path.dirname(self._place)  # noqa: PTH120 - only the text
            advice = (
                "Repair, move or unlock it."
                if os.path.isdir(directory)  # noqa: PTH112 - as above
                else f"Create the directory {directory} first."
            )
            raise ZenDaemonComponentException(
                f"Cannot use table {self.table!r} of the database {self._place}: {cause}. {advice}",
                path=self._place,
            ) from cause

    def _owner_in(self, daemon: Daemon) -> str | None:
        """Return what tells this daemon from others whose sinks have the same names."""
        try:
            store = daemon.state_store()
        except ConfigurationError:  # there is no state_dir, and no source that relies on this sink
            return None
        found = store.value
        if not isinstance(found, dict) or "owner" not in found:
            found = {"owner": f"{self.random.getrandbits(64):016x}"}
            store.save(found)
        return str(found["owner"])

    def _open(self) -> None:
        database = sqlite3.connect(
            self._place, timeout=self.busy_timeout, isolation_level=None, uri=False
        )
        self._database = database
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {self.synchronous.upper()}")
        with self._transaction():
            database.execute(_CREATE_APPLIED)
            if ("owner",) not in database.execute(_COLUMNS_OF_APPLIED).fetchall():
                database.execute(_ADD_OWNER)  # an earlier version has made it
            self._rows = Table(
                database,
                self.table,
                self.columns,
                self.key,
                on_dropped=lambda count: self.inc_statistic("values_dropped", count),
                on_added=self._column_added,
            )
            for path, key, ranges in database.execute(_READ_APPLIED, (self._identity,)):
                self._applied.restore(path, key, json.loads(ranges))

    def _column_added(self, column: str) -> None:
        self.inc_statistic("columns_added")
        self.log.info("Column {column} was added to {table}", column=column, table=self.table)

    @property
    def _identity(self) -> str:
        """Who has applied: for another table, everything is to come again."""
        return f"{self.name}:{self.table}"

    def teardown(self, daemon: Daemon) -> None:
        """Write what is left, and close the database."""
        try:
            super().teardown(daemon)
        finally:
            self._close()

    def _close(self) -> None:
        database, self._database = self._database, None
        self._rows = None
        if database is not None:
            database.close()

    def interrupt(self) -> None:
        """Break off the statement under way; its batch is tried again. Thread: any."""
        database = self._database  # read once: `teardown` may come in between
        if database is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it was closed meanwhile
                database.interrupt()

    # --- exactly once ---------------------------------------------------------------------------

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon: Daemon, args: Any) -> None:
        """Answer which ranges of a source are in the table; forget the keys that it has forgotten.

        Raises:
            TypeError: The args are no `OutputCheckpoint`.
        """
        args = checked_checkpoint(self, args)
        self.flush(daemon)
        if args.keys is not None:
            self._forget(self._applied.keep_only(args.source, args.keys))
        args.applied[self.name] = self._applied.of_source(args.source)

    def _forget(self, places: list[Place]) -> None:
        """Forget places in the database, too; while another program has locked it, the next time.

        The next run finds them there, and is told again that they are gone. Those of other daemons
        stay: this one does not know their files.
        """
        if not places:
            return
        try:
            with self._transaction() as database:
                database.executemany(
                    _FORGET_APPLIED, [(self._identity, *each, self._owner) for each in places]
                )
        except sqlite3.OperationalError as cause:
            self._check_disk(cause)

    # --- writing --------------------------------------------------------------------------------

    def write_events(self, daemon: Daemon, events: list[TakenEvent]) -> None:
        """Write the events that are not in the table, and note them, in one transaction."""
        new, origins = [], []
        for event in events:
            origin = event.hold.origin
            if origin is not None and self._applied.covers(origin):
                self.inc_statistic("left_out", len(event.records))
                continue
            new.append(event)
            if origin is not None:
                origins.append(origin)
        if new:
            records = [record for event in new for record in event.records]
            give_up = functools.partial(self._give_up_some, daemon, new)
            self._write_once(records, origins, give_up)

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Write records that are no part of an event, in one transaction: all, or none."""
        self._write_once(records, [], _raise_first)

    def _write_once(
        self,
        records: list[Any],
        origins: list[Origin],
        give_up: Callable[[dict[int, Exception]], object],
    ) -> None:
        assert self._rows is not None  # from `setup` on
        places = {(origin.path, origin.key) for origin in origins}
        before = self._applied.copy_of(places)
        try:
            with self._transaction() as database:
                refused = self._rows.insert(records)
                if refused:
                    give_up(refused)
                for origin in origins:
                    self._applied.add(origin)
                self._save_applied(database, places)
        except BaseException as cause:
            self._applied.put_back(before)
            if isinstance(cause, sqlite3.Error):
                self._check_disk(cause)
            self._rows.forget()
            raise

    def _give_up_some(
        self, daemon: Daemon, events: list[TakenEvent], refused: dict[int, Exception]
    ) -> None:
        """Make a dead letter of each record that cannot be stored.

        Before the transaction ends: a letter too many is better than one too few.
        """
        origins = ((event, record) for event in events for record in event.records)
        for index, (event, record) in enumerate(origins):
            if index in refused:
                self.inc_statistic("failed")
                self._dead_letter(daemon, event, [record], refused[index])

    def _save_applied(self, database: sqlite3.Connection, places: Iterable[Place]) -> None:
        rows = [
            (self._identity, *place, json.dumps(self._applied.ranges(*place)), self._owner)
            for place in places
        ]
        database.executemany(_SAVE_APPLIED, rows)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database
        assert database is not None  # from `setup` on
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:  # SQLite has rolled it back itself if the disk is full
                database.execute("ROLLBACK")
            raise

    def _check_disk(self, cause: sqlite3.Error) -> None:
        """Stop the daemon if nothing that comes next can be written, either."""
        code = getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE
        if code in _OF_THE_DISK:
            self.log.error(
                "Cannot write to the database {path}: {reason}. Free some space or repair it, then"
                " start again",
                path=self._place,
                reason=str(cause),
            )
            raise SystemExit(EXIT_IO_ERROR) from cause


def _raise_first(refused: dict[int, Exception]) -> None:
    raise next(iter(refused.values()))


def _checked_name(option: str, name: Any) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise ValueError(f"{option} is {name!r}, but a name of 1 to 128 characters is expected.")
    return name


def _checked_columns(columns: Any) -> dict[str, str]:
    expected = 'a table of names and types is expected, such as { status = "INTEGER" }'
    if not isinstance(columns, dict) or not columns:
        raise ValueError(f"columns is {columns!r}, but {expected}.")
    for name, kind in columns.items():
        _checked_name("columns", name)
        if not isinstance(kind, str) or kind.upper() not in _TYPES:
            types = ", ".join(_TYPES)
            raise ValueError(f"columns: the type of {name!r} is {kind!r}, but one of {types} is.")
    return {name: kind.upper() for name, kind in columns.items()}
