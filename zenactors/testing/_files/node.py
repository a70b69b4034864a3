"""The files, directories and links of `VirtualFiles`, and their descriptors."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from random import Random
from stat import S_IFDIR, S_IFMT, S_IFREG
from typing import NamedTuple

DEVICE = 1


def error(code: int, path: str | None = None, other: str | None = None) -> OSError:
    """Return the exception that the system raises for an error number."""
    return OSError(code, os.strerror(code), path, None, other)


def require(condition: object, code: int, path: str | None = None) -> None:
    """Raise the system's exception for an error number unless a condition is true."""
    if not condition:
        raise error(code, path)


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

    def survivor(self, chance: Random) -> Change | None:
        """Return what is left after a power failure: all, a part, or nothing."""
        fate = chance.choice(("kept", "torn", "lost"))
        if fate == "kept":
            return self
        block = self.block or b""
        if fate == "lost" or len(block) <= 1:
            return None
        return Change(self.offset, block[: chance.randrange(1, len(block))])


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A file, directory or link; without `links`, nothing, where one of them may be made.

    Attributes:
        links: 1; 0 if it is nothing, or was removed.
        at: The directory in which it is, or was, and its name there; of the root itself and "".
        target: The path to which a link leads.
        entries: What the names in a directory lead to; None: to nothing.
        data: The content of a file.
        disk: The content at the last `fsync`.
        unsynced: The changes since then, in order.
        locked_by: The descriptor that has locked a file.
        source: The path on the real disk from which it is still to be copied, or None.
        unread: The bytes that a file has there.
    """

    inode: int = 0
    mode: int = 0
    mtime: float = 0.0
    target: str = ""
    links: int = 0
    at: tuple[Node, str] = dataclasses.field(init=False)
    entries: dict[str, Node | None] = dataclasses.field(default_factory=dict)
    data: bytearray = dataclasses.field(default_factory=bytearray)
    disk: bytearray = dataclasses.field(default_factory=bytearray)
    unsynced: list[Change] = dataclasses.field(default_factory=list)
    locked_by: int | None = None
    source: str | None = None
    unread: int = 0

    def is_a(self, kind: int) -> bool:
        """Return True if it is of this kind: `S_IFREG`, `S_IFDIR`, `S_IFLNK` or `S_IFIFO`."""
        return S_IFMT(self.mode) == kind

    def stat(self) -> os.stat_result:
        size = len(self.data) + self.unread if self.is_a(S_IFREG) else 0
        described = (self.mode, self.inode, DEVICE, self.links, 0, 0, size)
        when, exact = int(self.mtime), int(self.mtime * 1e9)
        return os.stat_result((*described, *[when] * 3, *[self.mtime] * 3, *[exact] * 3))

    @property
    def path(self) -> str:
        """The absolute path without links and dots."""
        directory, name = self.at
        return os.path.join(directory.path, name) if name else "/"  # noqa: PTH118 - paths are strings

    def put(self, name: str, node: Node | None) -> None:
        """Let a name in this directory lead to a node, or to nothing."""
        replaced = self.entries.get(name)
        if replaced is not None:
            replaced.links = 0
        self.entries[name] = node
        if node is not None:
            node.at, node.links = (self, name), 1

    def load(self) -> None:
        """Copy the content from the real disk, unless that is done."""
        if self.source is not None:
            self.data += Path(self.source).read_bytes()[: self.unread]
            self.disk += self.data
            self.source, self.unread = None, 0

    def change(self, change: Change, now: float) -> None:
        """Change the content, but not on the disk."""
        change.apply(self.data)
        self.unsynced.append(change)
        self.mtime = now

    def sync(self) -> None:
        """Bring the content to the disk."""
        for change in self.unsynced:
            change.apply(self.disk)
        self.unsynced.clear()

    def after_crash(self, chance: Random | None) -> Node:
        """Return it as the next process finds it, all on the disk; a directory without entries.

        Args:
            chance: Chooses what is left of each unsynced change; None: all of it.
        """
        disk = bytearray(self.disk)
        for change in self.unsynced:
            kept = change if chance is None else change.survivor(chance)
            if kept is not None:
                kept.apply(disk)
        return dataclasses.replace(
            self, entries={}, data=bytearray(disk), disk=disk, unsynced=[], locked_by=None
        )


@dataclasses.dataclass(slots=True, eq=False)
class Descriptor:
    """An open file, with the path and the flags with which it was opened, and its position."""

    node: Node
    path: str
    flags: int
    offset: int = 0

    def allows(self, access: int) -> bool:
        """Return True if it was opened for this access: `O_RDONLY` or `O_WRONLY`."""
        return self.flags & os.O_ACCMODE in (access, os.O_RDWR)

    def read(self, size: int, offset: int | None = None) -> bytes:
        """Read from an offset on, or from its position, which then moves."""
        require(self.allows(os.O_RDONLY), errno.EBADF)
        require(not self.node.is_a(S_IFDIR), errno.EISDIR)
        begin = self.offset if offset is None else offset
        data = bytes(memoryview(self.node.data)[begin : begin + size])
        if offset is None:
            self.offset += len(data)
        return data
