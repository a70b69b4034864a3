"""A component's own saved value: one JSON file that is always whole, or set aside.

Atomic operations relied on: storing an attribute (`close`).
"""

# ruff: noqa: PTH118 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from zenactors.advice import advice_for, reason
from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._replace_file import replace_file
from zenactors.errors import StateStoreError

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
MOST_SET_ASIDE = 9  # files of one store; the next one replaces the last of them
_BLOCK = 1 << 20
# Without O_NONBLOCK, opening a named pipe would wait for a writer.
_TO_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class StateStore:
    """Keep one JSON value in a file, so that it survives the process. See `daemon.state_store()`.

    The file is replaced as a whole, and only its owner may read it. If what is found there is
    broken, or was written by a newer version, the file is renamed, and the store begins empty.

    Args:
        path: The file. Its directory must exist.
        files: The file system. Default: the machine's.
        warn: Gets one line if a file was set aside.
        generation: How many stores of this file the process has opened, from 1.
        before_save: Called first in each save. If it raises an `OSError`, nothing is saved.

    Attributes:
        path: As given.
        generation: As given: above 1, the component was made anew and the process did not end.

    Raises:
        StateStoreError: The file exists, and cannot be read.

    Thread: one.
    """

    def __init__(
        self,
        path: str,
        *,
        files: Files | None = None,
        warn: Callable[[str], None] | None = None,
        generation: int = 1,
        before_save: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self._before_save = before_save
        self.generation = generation
        self._files = files or SYSTEM_FILES
        self._warn = warn
        self._closed: str | None = None
        directory, name = os.path.split(path)
        self._aside = os.path.join(directory, f".{name}.{generation}")
        self._remove_what_was_left_aside()
        self._text = self._load()

    @property
    def value(self) -> Any:
        """The value that was saved last; None if there is none. A copy each time."""
        return json.loads(self._text)

    def save(self, value: Any) -> None:
        """Replace the value. Blocks until the disk has it.

        Args:
            value: Anything that JSON can hold. Tuples become lists, and keys become strings.

        Raises:
            StateStoreError: It cannot be written; the old one is still there.
            TypeError: JSON cannot hold it.
            ValueError: It contains NaN or an infinite number.
            RuntimeError: The store is closed, or the component has opened it again.
        """
        # By way of JSON, which makes keys text: their order, and so the digest, depends on that.
        text = _canonical(json.loads(json.dumps(value, allow_nan=False)))
        content = f'{{"store": {VERSION}, "sha256": "{_digest(text)}", "value": {text}}}\n'
        self._check_open()
        try:
            if self._before_save is not None:
                self._before_save()
            replace_file(
                self.path,
                content.encode(),
                self._files,
                aside=self._aside,
                confirm=self._check_open,
            )
        except OSError as cause:
            raise StateStoreError(
                f"Cannot save to {self.path}: {reason(cause)}; what was saved before is kept."
                f" {advice_for(cause, self.path, 'write')}."
            ) from cause
        self._text = text

    def close(self, why: str = "it is closed") -> None:
        """Let nothing be saved any more. Thread: any."""
        self._closed = self._closed or why

    def _check_open(self) -> None:
        if self._closed is not None:
            raise RuntimeError(f"Nothing is saved to {self.path}: {self._closed}.")

    def _remove_what_was_left_aside(self) -> None:
        directory, name = os.path.split(self.path)
        pattern = os.path.join(glob.escape(directory), glob.escape(f".{name}.") + "*")
        for left in self._files.glob(pattern):
            with contextlib.suppress(OSError):
                self._files.remove(left)

    def _load(self) -> str:
        try:
            content = self._read()
            return "null" if content is None else _value_in(content)
        except _UnusableError as cause:
            self._set_aside(str(cause))
        except OSError as cause:
            if cause.errno != errno.EIO:
                raise StateStoreError(
                    f"Cannot read {self.path}: {reason(cause)}."
                    f" {advice_for(cause, self.path, 'read')}."
                ) from cause
            self._set_aside(reason(cause))
        return "null"

    def _read(self) -> bytes | None:
        try:
            descriptor = self._files.open(self.path, _TO_READ)
        except FileNotFoundError:
            return None
        blocks = []
        try:
            while block := self._files.read(descriptor, _BLOCK):
                blocks.append(block)
        finally:
            self._files.close(descriptor)
        return b"".join(blocks)

    def _set_aside(self, why: str) -> None:
        names = [f"{self.path}.broken-{number}" for number in range(1, MOST_SET_ASIDE + 1)]
        name = next((each for each in names if not self._files.lexists(each)), names[-1])
        try:
            self._files.rename(self.path, name)
            what = f"it is now {name}"
        except OSError as cause:
            what = f"it cannot be renamed ({reason(cause)}), and the next save replaces it"
        if self._warn is not None:
            self._warn(
                f"{self.path} cannot be used: {why}. The component begins without it; {what}"
            )


class _UnusableError(Exception):
    """The content of a file is of no use."""


def _canonical(value: Any) -> str:
    return json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _value_in(content: bytes) -> str:
    """Return the canonical JSON text of a store's value.

    Raises:
        _UnusableError: The content is broken, or of a newer version.
    """
    try:
        found = json.loads(content)
        version = found["store"]
        if type(version) is not int or version < 1:
            raise _UnusableError("it is no file of a state store")
        if version > VERSION:
            raise _UnusableError(f"it has version {version}, and this program knows {VERSION}")
        text, digest = _canonical(found["value"]), found["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise _UnusableError("it is damaged" if content else "it is empty") from cause
    if _digest(text) != digest:
        raise _UnusableError("it is damaged (its checksum is wrong)")
    return text
