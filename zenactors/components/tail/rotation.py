"""Find the files that a rotation has made of another one: by name, inode and content.

`logrotate` and its kind make `app.log.1`, `app.log-20261127`, `app-20261127.log` of `app.log`: by
renaming, by copying and truncating, and perhaps compress the result.
"""

# ruff: noqa: PTH118, PTH119, PTH120, PTH122 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import errno
import os
import stat as stat_bits
from collections.abc import Iterator
from typing import NamedTuple

from zenactors.components._files import Files
from zenactors.components.tail.identity import (
    HEAD_BYTES,
    Fingerprint,
    Identities,
    Identity,
    Mark,
)

_COMPRESSED_NAMES = (
    ".gz", ".bz2", ".xz", ".zst", ".zip", ".lz4", ".lzma", ".lz", ".br", ".Z", ".7z",
)  # fmt: skip
_COMPRESSED_HEADS = (
    b"\x1f\x8b\x08",  # gzip
    b"BZh91AY&SY",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",  # zstd
    b"PK\x03\x04",
    b"\x04\x22\x4d\x18",  # lz4
)
# The process, or the system, has too much open: that says nothing of a file, and passes.
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Past(NamedTuple):
    """How far an earlier content of a file was read, before it was truncated.

    Attributes:
        offset: How far.
        head: The fingerprint of its first bytes.
        mark: Of the bytes before the offset.
    """

    offset: int
    head: Fingerprint
    mark: Mark


class Candidate(NamedTuple):
    """A file that may have come from another one."""

    path: str
    stat: os.stat_result
    identity: Identity


def is_compressed(path: str, head: bytes = b"") -> bool:
    """Return True if a file is compressed, by its name or its first bytes."""
    return path.endswith(_COMPRESSED_NAMES) or head.startswith(_COMPRESSED_HEADS)


def is_rotated_name(path: str, of: str) -> bool:
    """Return True if a rotation of the file `of` may give it the path: a name with more in it."""
    name, original = os.path.basename(path), os.path.basename(of)
    stem, extension = os.path.splitext(original)
    if len(name) <= len(original) or not name.startswith(stem):
        return False
    return name.startswith(original) or (bool(extension) and name.endswith(extension))


def beside(path: str, name: str) -> str:
    """Return the path of a name in the directory of another path."""
    return os.path.join(os.path.dirname(path), name)


def directory_of(path: str) -> str:
    """Return the directory of a path."""
    return os.path.dirname(path) or "."


def _entries(directory: str, files: Files) -> dict[str, int]:
    """Return the names in a directory, and their inodes; none if it cannot be read.

    Raises:
        OSError: It cannot be opened at present, because too much is open.
    """
    try:
        return files.entries(directory)
    except OSError as cause:
        if cause.errno in SHORTAGES:
            raise
        return {}


def inodes_in(directory: str, files: Files) -> set[int]:
    """Return the inodes of the files in a directory; none if it cannot be read.

    Raises:
        OSError: It cannot be opened at present, because too much is open.
    """
    return set(_entries(directory, files).values())


def find_inode(path: str, identity: Identity, files: Files, identities: Identities) -> str | None:
    """Return the path that a file has in the directory of the path that it had.

    Raises:
        OSError: The directory cannot be opened at present, because too much is open.
    """
    for name, inode in _entries(directory_of(path), files).items():
        if inode == identity.inode:
            found = beside(path, name)
            with contextlib.suppress(OSError):
                if identities.of(files.stat(found), found) == identity:
                    return found
    return None


def rotated_files(path: str, files: Files, identities: Identities) -> Iterator[Candidate]:
    """Yield the regular files beside `path` that rotations of it may have made, in any order.

    Raises:
        OSError: The directory cannot be opened at present, because too much is open.
    """
    names = _entries(directory_of(path), files)
    stem = os.path.splitext(os.path.basename(path))[0]
    for name in names:
        if not name.startswith(stem):  # most names, of perhaps thousands: they must cost little
            continue
        found = beside(path, name)
        if is_rotated_name(found, path) and not is_compressed(found):
            with contextlib.suppress(OSError):
                stat = files.stat(found)
                if stat_bits.S_ISREG(stat.st_mode):
                    yield Candidate(found, stat, identities.of(stat, found))


def holds_past(fd: int, past: Past, files: Files) -> bool:
    """Return True if an open file has all that was read of another one, and perhaps more.

    Raises:
        OSError: It cannot be read.
    """
    if files.fstat(fd).st_size < past.offset:
        return False
    if not past.head.fits(files.pread(fd, HEAD_BYTES, 0)):
        return False
    begin = past.offset - past.mark.length
    return past.mark.fits(files.pread(fd, past.mark.length, begin))


def same_bytes(fd: int, other: int, begin: int, end: int, files: Files) -> bool:
    """Return True if two open files have the same bytes from `begin` to `end`.

    Raises:
        OSError: One cannot be read.
    """
    while begin < end:
        size = min(end - begin, 1 << 16)
        one, two = files.pread(fd, size, begin), files.pread(other, size, begin)
        if one != two or not one:
            return False
        begin += len(one)
    return True
