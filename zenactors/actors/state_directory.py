"""The directory of a daemon's state stores: one file for each component, and a lock.

Not to be confused with the daemon's state file, a snapshot for debugging that nothing reads back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING

from zenactors.actors.incidents import try_to_log
from zenactors.advice import advice_for, reason
from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._replace_file import make_directory
from zenactors.components._state_store import StateStore
from zenactors.errors import ConfigurationError, StateStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeLock = Callable[[], contextlib.AbstractContextManager[object]]

LOCK_NAME = "lock"
LONGEST_NAME = 150  # bytes of a file's name; the rest of a longer one becomes a digest
_OPENED_AGAIN = "its component has opened it again"
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_AS_USUAL = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class StateDirectory:
    """Open the state stores of one daemon's components.

    The directory is made, and locked for this daemon alone, when the first store is opened. The
    kernel releases the lock however the process ends.

    Args:
        path: The directory; None: there is none, and opening a store is an error.
        files: The file system.
        make_lock: Makes a lock for the threads of the components.
        before_save: Called first in each save: it brings to the disk what a checkpoint relies on.

    Thread: any.
    """

    def __init__(
        self,
        path: str | None,
        files: Files | None,
        make_lock: MakeLock,
        before_save: Callable[[], None],
    ) -> None:
        self.path = path
        self._before_save = before_save
        self._files = files or SYSTEM_FILES
        self._mutex = make_lock()  # nothing waits for the disk while it holds this one
        self._making = make_lock()
        self._stores: dict[str, StateStore] = {}
        self._generations: dict[str, int] = {}
        self._descriptor: int | None = None
        self._is_closed = False

    def open(self, component: str) -> StateStore:
        """Return the store of a component; one that was opened for it earlier is closed.

        Raises:
            ConfigurationError: There is no directory.
            StateStoreError: The directory or the file cannot be used, or another daemon uses it.
            RuntimeError: The daemon has stopped.
        """
        with self._making:
            directory = self._locked()
        with self._mutex:
            self._check_open()
            generation = self._generations.get(component, 0) + 1
            self._generations[component] = generation
            if (before := self._stores.pop(component, None)) is not None:
                before.close(_OPENED_AGAIN)
        try:
            store = StateStore(
                os.path.join(directory, file_name(component)),  # noqa: PTH118 - a string
                files=self._files,
                warn=lambda line: try_to_log("WARNING", "{line}", line=line),
                generation=generation,
                before_save=self._before_save,
            )
        except BaseException:  # whatever it was, none was opened: the next one is as this one was
            with self._mutex:
                if self._generations[component] == generation:
                    self._generations[component] -= 1
            raise
        with self._mutex:
            self._check_open()
            if self._generations[component] == generation:
                self._stores[component] = store
            else:  # by a later object of the component, while this one waited for the disk
                store.close(_OPENED_AGAIN)
        return store

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("The daemon has stopped: nothing is saved any more.")

    def close(self) -> None:
        """Let nothing be saved any more, and release the lock. Harmless if repeated."""
        with self._mutex:
            self._is_closed = True
            for store in self._stores.values():
                store.close("the daemon has stopped")
            self._release()

    def disown(self) -> None:
        """In a forked child: close its copy of the lock, which would outlive the daemon."""
        self._is_closed = True
        self._release()

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._files.close(descriptor)

    def _locked(self) -> str:
        self._check_open()
        path = self.path
        if path is None:
            raise ConfigurationError(
                "no directory is configured for what the component is to remember: set state_dir"
            )
        if self._descriptor is None:
            try:
                make_directory(path, self._files, 0o700)
                self._keep(self._lock(path))
            except BlockingIOError as cause:
                raise StateStoreError(
                    f"state_dir: another daemon uses {path!r}. Stop it first, or give each daemon a"
                    " directory of its own."
                ) from cause
            except OSError as cause:
                raise StateStoreError(
                    f"state_dir: {path!r} cannot be used: {reason(cause)}."
                    f" {advice_for(cause, path, 'write')}."
                ) from cause
        return path

    def _keep(self, descriptor: int) -> None:
        with self._mutex:
            if not self._is_closed:
                self._descriptor = descriptor
                return
        self._files.close(descriptor)
        self._check_open()

    def _lock(self, path: str) -> int:
        descriptor = self._files.open(os.path.join(path, LOCK_NAME), _AS_USUAL, 0o600)  # noqa: PTH118
        try:
            self._files.lock(descriptor)
        except BaseException:  # whatever it was, it is not ours
            self._files.close(descriptor)
            raise
        return descriptor


def file_name(component: str) -> str:
    """Return the name of a component's file: letters, digits, `_` and `-`, others as `%XX`.

    Different components get different names.
    """
    given = component.encode(errors="surrogateescape")
    name = _UNSAFE.sub(lambda each: b"%%%02X" % each[0][0], given).decode()
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}~{hashlib.sha256(given).hexdigest()[:16]}"
    return f"{name}.store"
