"""Which columns the first lines of files have named: of the files that were read last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenactors.errors import StateStoreError

if TYPE_CHECKING:
    from loguru import Logger

    from zenactors.core.daemon_api import Store

_MOST_FILES = 1_000


class Headers:
    """The columns of files, in the order in which the files were last read. Thread: one."""

    def __init__(self) -> None:
        self._columns: dict[str, tuple[str, ...]] = {}
        self._store: Store | None = None
        self._log: Logger | None = None

    def load(self, store: Store, log: Logger) -> None:
        """Go on with the columns in a store, and save further ones there."""
        self._store = store
        self._log = log
        saved = store.value
        if isinstance(saved, dict):  # not that of another component which had this name
            self._columns = {file: tuple(columns) for file, columns in saved.get("columns", [])}

    def of(self, file: str) -> tuple[str, ...] | None:
        """Return the columns of a file; None if they are not known."""
        columns = self._columns.pop(file, None)
        if columns is not None:
            self._columns[file] = columns  # at the end: the file was read last
        return columns

    def learn(self, file: str, columns: tuple[str, ...] | None) -> None:
        """Note the columns of a file; None: its first line names none."""
        before = self.of(file)
        if before == columns:
            return
        self._columns.pop(file, None)
        if columns is not None:
            self._columns[file] = columns
        if len(self._columns) > _MOST_FILES:
            del self._columns[next(iter(self._columns))]
        self._save()

    def _save(self) -> None:
        if self._store is None:
            return
        try:
            self._store.save({"columns": list(self._columns.items())})
        except StateStoreError as cause:  # go on: this run does not need it
            if self._log is not None:
                self._log.warning("Columns are not kept for the next run: {reason}", reason=cause)
