"""Tell files apart although their names change: identity and fate of an open file."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterable
from typing import NamedTuple

from zenactors.components._files import STANDARD_OUTPUT, Files


class Identity(NamedTuple):
    """Identifies a file under any name, as long as it is open: its inode is not reused."""

    device: int
    inode: int


class Fate(enum.Enum):
    """The state of an open file, compared with the path under which it was opened."""

    SAME = "same"
    TRUNCATED = "truncated"
    REPLACED = "replaced"  # another file has the path
    MOVED = "moved"  # no file has the path; the open one has another name
    VANISHED = "vanished"  # no file has the path; the open one has no name any more


def identity_of(stat: os.stat_result) -> Identity:
    """Return the identity of the file that `stat` describes."""
    # Called several times at every poll: this is twice as fast as Identity(...).
    return tuple.__new__(Identity, (stat.st_dev, stat.st_ino))


def fate_of(handle: os.stat_result, at_path: os.stat_result | None, offset: int) -> Fate:
    """Compare an open file with the file that has its path now.

    Args:
        handle: `os.fstat()` of the open file.
        at_path: `os.stat()` of its path; None if there is no file.
        offset: How far the file was read.
    """
    # First, because a file can be truncated under any name.
    if handle.st_size < offset:
        return Fate.TRUNCATED
    if at_path is not None:
        return Fate.SAME if identity_of(at_path) == identity_of(handle) else Fate.REPLACED
    return Fate.MOVED if handle.st_nlink else Fate.VANISHED


def identities_of(paths: Iterable[str], files: Files) -> set[Identity]:
    """Return the identities of the files that exist at these paths; `"-"` is standard output."""
    identities = set()
    for path in paths:
        with contextlib.suppress(OSError):
            stat = files.fstat(STANDARD_OUTPUT) if path == "-" else files.stat(path)
            identities.add(identity_of(stat))
    return identities
