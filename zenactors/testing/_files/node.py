"""The files, directories and links of `VirtualFiles`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from random import Random
from stat import S_IFMT, S_IFREG
from typing import NamedTuple

DEVICE = 1


def error(code: int, path: str | None = None, other: str | None = None) -> OSError:
    """Return the exception that the system raises for an error number."""
    return OSError(code, os.strerror(code), path, None, other)


class Change(NamedTuple):
    """A change of a file's content: bytes that are written, or a new size if there are none."""

    offset: int
    block: bytes | None = None

    def apply(self, content: bytearray) -> None:
        """Make the change. A gap before the bytes becomes zeros."""
        content += bytes(max(0, self.offset - len(content)))
        if self.block is None:
            del content[self.offset :]
        else:
            content[self.offset : self.offset + len(self.block)] = self.block


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A file, directory or link.

    Attributes:
        data: The content of a file.
        target: The path to which a link leads.
        links: 1, or 0 once it is removed.
        place: Its absolute path without links and dots; the last one, once it is removed.
        source: The path on the real disk from which so many bytes are still to be copied, or None.
        disk: The content at the last `fsync`.
        unsynced: The changes since then, in order.
    """

    inode: int
    mode: int
    mtime: float = 0.0
    data: bytearray = dataclasses.field(default_factory=bytearray)
    links: int = 1
    place: str = ""
    target: str = ""
    source: tuple[str, int] | None = None
    disk: bytearray = dataclasses.field(default_factory=bytearray)
    unsynced: list[Change] = dataclasses.field(default_factory=list)
    described: tuple[tuple[int, float, int, int], os.stat_result] | None = None

    def is_a(self, kind: int) -> bool:
        """Return True if it is of this kind: `S_IFREG`, `S_IFDIR` or `S_IFLNK`."""
        return S_IFMT(self.mode) == kind

    def stat(self) -> os.stat_result:
        """Return its description."""
        size = 0
        if self.is_a(S_IFREG):
            size = len(self.data) if self.source is None else self.source[1]
        key = (size, self.mtime, self.mode, self.links)
        if self.described is None or self.described[0] != key:
            # Kept, because followed files are described at every poll, and seldom change.
            same = (self.mode, self.inode, DEVICE, self.links, 0, 0, size)
            exact = {"st_mtime": self.mtime, "st_mtime_ns": int(self.mtime * 1e9)}
            self.described = key, os.stat_result((*same, *[int(self.mtime)] * 3), exact)
        return self.described[1]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of a file; fewer only at its end. -1 means all."""
        end = len(self.data) if size < 0 else offset + size
        return bytes(memoryview(self.data)[offset:end])

    def load(self) -> None:
        """Copy the content from the real disk, unless that is done."""
        if self.source is not None:
            path, size = self.source
            self.data += Path(path).read_bytes()[:size]
            self.disk += self.data
            self.source = None

    def change(self, change: Change, now: float) -> None:
        """Change the content of a file, but not on the disk."""
        change.apply(self.data)
        self.unsynced.append(change)
        self.mtime = now

    def sync(self) -> None:
        """Bring the content to the disk."""
        for change in self.unsynced:
            change.apply(self.disk)
        self.unsynced.clear()

    def after_crash(self, chance: Random | None) -> Node:
        """Return a file as the next process finds it; everything that it finds is on the disk.

        Args:
            chance: Chooses what is left of each unsynced change; None: all of it.
        """
        disk = bytearray(self.disk)
        for change in self.unsynced:
            kept = change if chance is None else _survivor(change, chance)
            if kept is not None:
                kept.apply(disk)
        return dataclasses.replace(self, data=bytearray(disk), disk=disk, unsynced=[], links=1)


def _survivor(change: Change, chance: Random) -> Change | None:
    """Return what is left of an unsynced change after a power failure: all, a part, or nothing."""
    fate = chance.choice(("kept", "torn", "lost"))
    if fate == "kept":
        return change
    block = change.block or b""
    if fate == "lost" or len(block) <= 1:
        return None
    return Change(change.offset, block[: chance.randrange(1, len(block))])
