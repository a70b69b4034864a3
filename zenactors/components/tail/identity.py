"""Tell files apart although their names change: identity, fingerprint and mark."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from zenactors.components._files import STANDARD_OUTPUT, Files

HEAD_BYTES = 1024  # that a fingerprint covers at most
MARK_BYTES = 256  # before an offset that a mark covers at most: lines may all end alike


class Identity(NamedTuple):
    """Identifies a file under any name, as long as it is open: its inode is not reused.

    On a network file system the device is 0, because a mount may get another number.
    """

    device: int
    inode: int


class Fingerprint(NamedTuple):
    """The digest of a file's first bytes: 1,024, or as many as it had."""

    length: int
    digest: str

    def fits(self, head: bytes) -> bool:
        """Return True if a file that begins with `head` may be the one that had it."""
        return len(head) >= self.length and fingerprint_of(head[: self.length]) == self


def fingerprint_of(head: bytes) -> Fingerprint:
    """Return the fingerprint of a file's first bytes."""
    return Fingerprint(len(head), hashlib.blake2b(head, digest_size=16).hexdigest())


class Mark(NamedTuple):
    """The checksum of the bytes just before an offset: of `length` bytes."""

    length: int
    checksum: int

    def fits(self, before: bytes) -> bool:
        """Return True if `before`, the bytes before the offset, end with the marked ones."""
        if not self.length:
            return True
        return len(before) >= self.length and zlib.crc32(before[-self.length :]) == self.checksum


NO_MARK = Mark(0, 0)


def mark_of(data: bytes) -> Mark:
    """Return the mark of the offset behind `data`."""
    before = data[-MARK_BYTES:]
    return Mark(len(before), zlib.crc32(before))


class Identities:
    """Return the identity that a status describes. A look asks for thousands."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._devices: dict[int, int] = {}  # the number that stands for each

    def of(self, stat: os.stat_result, path: str) -> Identity:
        """Return the identity of the file at `path` that `stat` describes."""
        try:
            device = self._devices[stat.st_dev]
        except KeyError:
            device = 0 if self._files.is_network(path) else stat.st_dev
            self._devices[stat.st_dev] = device
        # Twice as fast as Identity(...).
        return tuple.__new__(Identity, (device, stat.st_ino))

    def at(self, paths: Iterable[str]) -> set[Identity]:
        """Return the identities of the files that exist at paths; `"-"` is standard output."""
        found = set()
        for path in paths:
            with contextlib.suppress(OSError):
                is_output = path == "-"
                stat = self._files.fstat(STANDARD_OUTPUT) if is_output else self._files.stat(path)
                found.add(self.of(stat, path))
        return found
