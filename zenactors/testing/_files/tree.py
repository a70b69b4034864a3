"""The directories and files of `VirtualFiles`, and the paths that lead to them."""

# ruff: noqa: PTH109, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208
# Paths are strings here, and keep their spelling.

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import fnmatch
import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from typing import NamedTuple

DEVICE = 1
_UMASK = 0o022  # never the process's own: results must not depend on where a test runs
_FIRST_DIRECTORY = (
    1 << 32
)  # apart, so that files count from 1 however deep the working directory is
_MOST_LINKS = 40  # Linux's limit
_PARTS = re.compile(r"[^/]*/+|[^/]+$")  # of a pattern, each with the slash behind it


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
        data: The content of a file, if `below` is None.
        links: 1, or 0 once it is removed.
        below: Its path on the real disk, where it is only read. A file loses it once written to.
        disk: The content at the last `fsync`.
        unsynced: The changes since then, in order.
    """

    inode: int
    mode: int
    mtime: float = 0.0
    device: int = DEVICE
    data: bytearray = dataclasses.field(default_factory=bytearray)
    links: int = 1
    below: str | None = None
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
            size = len(self.data) if self.below is None else os.stat(self.below).st_size
        key = (size, self.mtime, self.mode, self.links)
        if self.described is None or self.described[0] != key:
            # Kept, because followed files are described at every poll, and seldom change.
            same = (self.mode, self.inode, self.device, self.links, 0, 0, size)
            exact = {"st_mtime": self.mtime, "st_mtime_ns": int(self.mtime * 1e9)}
            self.described = key, os.stat_result((*same, *[int(self.mtime)] * 3), exact)
        return self.described[1]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of a file; fewer only at its end. -1 means all."""
        if self.below is None:
            end = len(self.data) if size < 0 else offset + size
            return bytes(memoryview(self.data)[offset:end])
        with open(self.below, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def lift(self) -> None:
        """Take a file's content into memory, if it is not there. The inode remains the same."""
        if self.below is not None:
            self.data[:] = self.read(0, -1)
            self.disk[:] = self.data
            self.below = None

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


class Tree:
    """All directories and files, by their absolute paths without links and dots.

    Args:
        below: Let the real disk show through.
        now: Returns the time at which a file is made.
    """

    def __init__(self, *, below: bool, now: Callable[[], float]) -> None:
        self._now = now
        self._below = below
        self._inodes = itertools.count(1)
        self._directory_inodes = itertools.count(_FIRST_DIRECTORY)
        self._hold({"/": self._new_directory()}, set())
        self._working = os.getcwd()
        self.make_directories(self._working)
        self.sync_from(0)

    def _hold(self, nodes: dict[str, Node], gone: set[str]) -> None:
        self._nodes = nodes
        self._gone = gone  # the real paths that do not show through any more
        # For each change of names that is not on the disk yet: what they led to before.
        self._unsynced: list[dict[str, Node | None]] = []
        self._globs: dict[str, list[str]] = {}

    # -- looking ---------------------------------------------------------------------------

    def find(self, path: str) -> tuple[str, Node]:
        """Return the place and the node to which a path leads."""
        place, node = self.walk(path)
        if node is None:
            raise error(errno.ENOENT, path)
        return place, node

    def lexists(self, path: str) -> bool:
        """Return True if the path leads to anything, even to a link to nowhere."""
        try:
            return path in self._nodes or self.walk(path, follow=False)[1] is not None
        except (OSError, ValueError):
            return False

    def walk(self, path: str, *, follow: bool = True) -> tuple[str, Node | None]:
        """Return the place to which a path leads, and the node there, if any.

        Args:
            path: Absolute, or relative to the directory in which the process was at the start.
                All of it but its end must exist.
            follow: Follow a link at its end.
        """
        node = self._nodes.get(path)
        if node is not None and not node.is_a(S_IFLNK):
            return path, node  # a place leads to itself; nearly every call ends here
        if not path:
            raise error(errno.ENOENT, path)
        if "\0" in path:
            raise ValueError("embedded null byte")
        directory = "/" if path.startswith("/") else self._working
        ahead = deque(_names(path))
        links = 0
        while True:
            place = _step(directory, ahead.popleft())
            node = self._look_up(place)
            if node is not None and node.is_a(S_IFLNK) and (ahead or follow):
                links += 1
                if links > _MOST_LINKS:
                    raise error(errno.ELOOP, path)
                target = os.readlink(node.below or place)
                directory = "/" if target.startswith("/") else directory
                ahead.extendleft(reversed(_names(target)))
            elif not ahead:
                return place, node
            elif node is None:
                raise error(errno.ENOENT, path)
            elif node.is_a(S_IFDIR):
                directory = place
            else:
                raise error(errno.ENOTDIR, path)

    def _look_up(self, place: str) -> Node | None:
        node = self._nodes.get(place)
        if node is None and self._below and place not in self._gone:
            try:
                stat = os.lstat(place)
            except (FileNotFoundError, NotADirectoryError):
                return None
            node = Node(stat.st_ino, stat.st_mode, stat.st_mtime, stat.st_dev, below=place)
            self._nodes[place] = node
        return node

    def files(self) -> list[str]:
        """Return the places of all files in memory, sorted."""
        found = self._nodes.items()
        return sorted(place for place, node in found if node.is_a(S_IFREG) and node.below is None)

    # -- changing --------------------------------------------------------------------------

    def make_file(self, place: str, mode: int) -> Node:
        """Make an empty file at a place that has none."""
        mode = S_IFREG | mode & ~_UMASK & 0o7777
        node = Node(next(self._inodes), mode, self._now())
        self.put(place, node)
        return node

    def make_directories(self, path: str, mode: int = 0o777) -> None:
        """Make a directory and those above it, if they do not exist. `mode` is for the last."""
        path = path.rstrip("/") or path
        try:
            place, node = self.walk(path)
        except FileNotFoundError:
            above = os.path.dirname(path)
            if not above:
                raise
            self.make_directories(above)
            place, node = self.walk(path)
        if node is None:
            self.put(place, self._new_directory(mode))
        elif not node.is_a(S_IFDIR):
            raise error(errno.EEXIST, path)

    def _new_directory(self, mode: int = 0o777) -> Node:
        return Node(next(self._directory_inodes), S_IFDIR | mode & ~_UMASK & 0o7777)

    def put(self, place: str, node: Node) -> None:
        """Give a file, directory or link this place."""
        self._name({place: node})

    def take(self, place: str) -> None:
        """Remove the file or link at a place. It remains as it is."""
        self._name({place: None})

    def move(self, source: str, target: str, node: Node) -> None:
        """Give the file or link at a place another one, in one change."""
        self._name({source: None, target: node})

    def _name(self, nodes: dict[str, Node | None]) -> None:
        self._unsynced.append({place: self._nodes.get(place) for place in nodes})
        for place, node in nodes.items():
            if node is None:
                self._nodes.pop(place, None)
                self._gone.add(place)
            else:
                self._nodes[place] = node
        self._globs.clear()

    # -- the disk --------------------------------------------------------------------------

    def sync(self, directory: Node) -> None:
        """Bring the names in a directory to the disk.

        If a file was renamed from another directory, the changes there until then go with it.
        """
        self._sync({next(place for place, node in self._nodes.items() if node is directory)})

    @property
    def unsynced(self) -> int:
        """The number of changes of names that are not on the disk."""
        return len(self._unsynced)

    def sync_from(self, number: int) -> None:
        """Bring the changes of names from this one on to the disk, with their directories."""
        places = itertools.chain.from_iterable(self._unsynced[number:])
        self._sync({*map(os.path.dirname, places)})

    def _sync(self, together: set[str]) -> None:
        left = []
        for names in reversed(self._unsynced):
            directories = {*map(os.path.dirname, names)}
            if directories & together:
                together |= directories
            else:
                left.append(names)
        self._unsynced = left[::-1]

    def after_crash(self, chance: Random | None) -> Tree:
        """Return the tree as the next process finds it. See `Node.after_crash`."""
        nodes = dict(self._nodes)
        kept = len(self._unsynced) if chance is None else chance.randint(0, len(self._unsynced))
        for names in reversed(self._unsynced[kept:]):
            for place, node in names.items():
                if node is not None:
                    nodes[place] = node
                elif nodes.pop(place).is_a(S_IFDIR):  # with it goes what is in it
                    nodes = {p: n for p, n in nodes.items() if not p.startswith(f"{place}/")}
        after = copy.copy(self)
        found = {place: node.after_crash(chance) for place, node in nodes.items()}
        after._hold(found, set(self._gone))  # noqa: SLF001 - of its own class
        return after

    # -- globs: the rules of the module `glob` ---------------------------------------------

    def glob(self, pattern: str) -> list[str]:
        """Return the paths that match, sorted and each once."""
        found = self._globs.get(pattern)
        if found is None:
            matches = [""]
            for part in _PARTS.findall(pattern):
                matches = [path for above in matches for path in self._matches(above, part)]
            found = sorted(path for path in {*matches} if path and self.lexists(path))
            if not self._below:
                self._globs[pattern] = found
        return list(found)

    def _matches(self, above: str, part: str) -> Iterator[str]:
        """Yield `above` with each name that matches, and the slash behind it in the pattern.

        Some do not exist: behind a file there is nothing.
        """
        pattern = part.rstrip("/")
        slash = part[len(pattern) :]
        if pattern == "**":
            yield above
            yield from (f"{path}{slash}" for path in self._deep(above))
        elif any(character in pattern for character in "*?["):
            names = fnmatch.filter(self._entries(above), pattern)
            hidden = pattern.startswith(".")
            yield from (f"{above}{n}{slash}" for n in names if hidden or not n.startswith("."))
        else:
            yield f"{above}{part}"

    def _deep(self, above: str, entered: frozenset[str] = frozenset()) -> Iterator[str]:
        """Yield everything below; a link to a directory above is not entered."""
        with contextlib.suppress(OSError, ValueError):
            place, _ = self.find(above or ".")
            if place in entered:
                return
            entered |= {place}
        for name in self._entries(above):
            if not name.startswith("."):
                yield f"{above}{name}"
                yield from self._deep(f"{above}{name}/", entered)

    def _entries(self, path: str) -> set[str]:
        """Return the names in a directory; none if there is no such directory."""
        try:
            directory, _ = self.find(path or ".")
        except (OSError, ValueError):
            return set()
        places = map(os.path.split, self._nodes)
        names = {name for above, name in places if above == directory and name}
        if self._below:
            with contextlib.suppress(OSError):  # it is in memory only, or a file
                listed = os.listdir(directory)
                names |= {n for n in listed if os.path.join(directory, n) not in self._gone}
        return names


def _step(directory: str, name: str) -> str:
    if name == "..":
        return os.path.dirname(directory)
    return directory if name == "." else os.path.join(directory, name)


def _names(path: str) -> list[str]:
    """Return the names along a path. A slash at its end asks for a directory, as `.` does."""
    return [name for name in path.split("/") if name] + ["."] * path.endswith("/")
