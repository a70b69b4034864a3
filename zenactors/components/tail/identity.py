"""Which file is which: a name in a folder may stand for another file than a moment ago."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterable
from typing import NamedTuple

from zenactors.components._files import STANDARD_OUTPUT, Files


class Identity(NamedTuple):
    """What makes a file the same file under any name, as long as somebody holds it open."""

    device: int
    inode: int


class Fate(enum.Enum):
    """What has become of an open file, seen from the path it was opened by."""

    SAME = "same"
    TRUNCATED = "truncated"
    REPLACED = "replaced"  # another file stands at the path
    MOVED = "moved"  # nothing stands at the path; the file lives on under another name
    VANISHED = "vanished"  # nothing stands at the path; the file has no name any more


def identity_of(stat: os.stat_result) -> Identity:
    """Return the identity of the file that `stat` describes."""
    # Asked for several times at every poll: twice as fast as Identity(...).
    return tuple.__new__(Identity, (stat.st_dev, stat.st_ino))


def fate_of(handle: os.stat_result, at_path: os.stat_result | None, offset: int) -> Fate:
    """Compare an open file with what stands at its path now.

    Args:
        handle: `os.fstat()` of the open file.
        at_path: `os.stat()` of its path; None if there is nothing.
        offset: How far the file was read.
    """
    # First, for the file is truncated whatever has become of its name.
    if handle.st_size < offset:
        return Fate.TRUNCATED
    if at_path is not None:
        return Fate.SAME if identity_of(at_path) == identity_of(handle) else Fate.REPLACED
    return Fate.MOVED if handle.st_nlink else Fate.VANISHED


def identities_of(paths: Iterable[str], files: Files) -> set[Identity]:
    """Return what stands at each path now, if anything; `"-"` is standard output."""
    identities = set()
    for path in paths:
        with contextlib.suppress(OSError):
            stat = files.fstat(STANDARD_OUTPUT) if path == "-" else files.stat(path)
            identities.add(identity_of(stat))
    return identities
