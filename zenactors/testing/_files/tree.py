"""What `VirtualFiles` keeps: folders and files in memory, and the ways that lead to them.

A folder or file with `below` set stands on the real disk; it is only ever read there.
"""

# ruff: noqa: PTH109, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208
# Paths are strings here, and stay as they are spelled.

from __future__ import annotations

import dataclasses
import errno
import fnmatch
import itertools
import os
import stat as stat_bits
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

DEVICE = 1
_UMASK = 0o022  # never the process's own: results must not depend on where a test runs
_FIRST_FOLDER = 1 << 32  # apart, so that files count from 1 however deep the working folder is
_MOST_LINKS = 40  # Linux's limit


def error(code: int, *paths: str) -> OSError:
    """Return what the system raises for an error number: the subclass of it that fits."""
    return OSError(code, os.strerror(code), *_filenames(paths))


def _filenames(paths: tuple[str, ...]) -> tuple[object, ...]:
    return paths if len(paths) < 2 else (paths[0], None, paths[1])  # noqa: PLR2004 - OSError's own order


@dataclasses.dataclass(slots=True, eq=False)
class File:
    """A file under any number of descriptors.

    Attributes:
        data: The content; it counts only if `below` is None.
        stat: The last description, until the file changes.
        below: The real file's path.
        below_fd: It, open; as long as anybody has this file open.
        opened: How many descriptors there are.
    """

    inode: int
    mode: int
    mtime: float
    device: int = DEVICE
    data: bytearray = dataclasses.field(default_factory=bytearray)
    links: int = 1
    stat: os.stat_result | None = None
    below: str | None = None
    below_fd: int | None = None
    opened: int = 0

    def describe(self) -> os.stat_result:
        """Return the file's description, and keep it if it is to be kept."""
        if self.below is not None:
            return os.stat(self.below) if self.below_fd is None else os.fstat(self.below_fd)
        size = len(self.data) if stat_bits.S_ISREG(self.mode) else 0
        self.stat = stat_result(
            self.mode, self.inode, self.device, self.links, size=size, mtime=self.mtime
        )
        return self.stat

    def lift(self, *, content: bool) -> None:
        """Take the file into memory, if it is not there: it stays the same file by its identity."""
        if self.below is None:
            return
        stat = self.describe()
        if content:
            with open(self.below, "rb") as file:
                self.data += file.read()
        self.device, self.inode, self.mode = stat.st_dev, stat.st_ino, stat.st_mode
        self.mtime = stat.st_mtime
        self.below = None
        self.release()

    def release(self) -> None:
        """Close the real file, if it is open."""
        if self.below_fd is not None:
            fd, self.below_fd = self.below_fd, None
            os.close(fd)


@dataclasses.dataclass(slots=True, eq=False)
class Folder:
    """A folder.

    Attributes:
        parent: The folder above; None: it is the root.
        entries: What is in it: all that is in memory, and folders of the real disk once seen.
        below: The real folder whose entries show through.
        gone: The names of those that do not.
    """

    inode: int
    mtime: float
    parent: Folder | None = None
    entries: dict[str, Node] = dataclasses.field(default_factory=dict)
    stat: os.stat_result | None = None
    below: str | None = None
    gone: set[str] = dataclasses.field(default_factory=set)

    def describe(self) -> os.stat_result:
        """Return the folder's description, and keep it if it is to be kept."""
        if self.below is not None:
            return os.stat(self.below)
        mode = stat_bits.S_IFDIR | 0o755
        self.stat = stat_result(mode, self.inode, DEVICE, 2, size=0, mtime=self.mtime)
        return self.stat

    def lies_in(self, node: Node | None) -> bool:
        """Return True if `node` is this folder or one of those above it."""
        folder: Folder | None = self
        while folder is not None and folder is not node:
            folder = folder.parent
        return folder is not None

    def names(self) -> list[str]:
        """Return the names of all entries, in no order."""
        names = list(self.entries)
        if self.below is not None:
            try:
                below = os.listdir(self.below)
            except OSError:
                return names
            names += [n for n in below if n not in self.entries and n not in self.gone]
        return names


@dataclasses.dataclass(slots=True, eq=False)
class Link:
    """A symbolic link of the real disk."""

    target: str


Node = File | Folder | Link


class Place(NamedTuple):
    """Where a path leads: `node` is None if nothing has that `name` in `folder`."""

    folder: Folder
    name: str
    node: Node | None
    slash: bool  # the path ends with one: it means a folder

    @property
    def has_name(self) -> bool:
        """False: it is named by dots, and can be neither made, moved nor removed under these."""
        return self.name not in (".", "..")


class Tree:
    """All folders and files, from the root.

    Args:
        below: Let the real disk show through.
        now: Gives the time that changes are stamped with.
    """

    def __init__(self, *, below: bool, now: Callable[[], float]) -> None:
        self._now = now
        self._files = itertools.count(1)
        self._folders = itertools.count(_FIRST_FOLDER)
        self._root = Folder(next(self._folders), now(), below="/" if below else None)
        self._working = self._root
        self._known: dict[str, File | Folder] = {}
        self._globs: dict[str, list[str]] = {}
        self._below = below
        self._working = self.make_folders(os.getcwd())

    # -- looking ---------------------------------------------------------------------------

    def find(self, path: str) -> File | Folder:
        """Return what stands at a path; a second time, in one look-up."""
        known = self._known.get(path)
        if known is not None:
            return known
        place = self.walk(path)
        node = place.node
        if node is None:
            raise error(errno.ENOENT, path)
        assert not isinstance(node, Link)  # they were followed
        if place.slash and isinstance(node, File):
            raise error(errno.ENOTDIR, path)
        if node.below is None:
            self._known[path] = node
        return node

    def lexists(self, path: str) -> bool:
        """Return True if something stands at a path, be it a link to nowhere."""
        if path in self._known:
            return True
        try:
            place = self.walk(path, follow=False)
        except (OSError, ValueError):
            return False
        return place.node is not None and not (place.slash and isinstance(place.node, File))

    def walk(self, path: str, *, follow: bool = True) -> Place:
        """Go along a path. All but its end must be there.

        Args:
            path: Absolute, or relative to the folder in which the process was at the start.
            follow: Go on if a link stands at its end.
        """
        if not path:
            raise error(errno.ENOENT, path)
        if "\0" in path:
            raise ValueError("embedded null byte")
        folder = self._root if path.startswith("/") else self._working
        slash = path.endswith("/")
        ahead = deque(_names(path))
        links = 0
        while True:
            name = ahead.popleft()
            node = self._entry(folder, name)
            if isinstance(node, Link) and (ahead or follow or slash):
                links += 1
                if links > _MOST_LINKS:
                    raise error(errno.ELOOP, path)
                if node.target.startswith("/"):
                    folder = self._root
                ahead.extendleft(reversed(_names(node.target)))
                continue
            if not ahead:
                return Place(folder, name, node, slash)
            if node is None:
                raise error(errno.ENOENT, path)
            if not isinstance(node, Folder):
                raise error(errno.ENOTDIR, path)
            folder = node

    def _entry(self, folder: Folder, name: str) -> Node | None:
        if name == ".":
            return folder
        if name == "..":
            return folder.parent or folder
        node = folder.entries.get(name)
        if node is None and folder.below is not None and name not in folder.gone:
            return self._entry_below(folder, name, os.path.join(folder.below, name))
        return node

    def _entry_below(self, folder: Folder, name: str, path: str) -> Node | None:
        try:
            stat = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat_bits.S_ISLNK(stat.st_mode):
            return Link(os.readlink(path))
        if stat_bits.S_ISDIR(stat.st_mode):
            found = folder.entries[name] = Folder(stat.st_ino, 0.0, folder, below=path)
            return found
        return File(stat.st_ino, stat.st_mode, 0.0, below=path)

    # -- changing --------------------------------------------------------------------------

    def make_file(self, place: Place, mode: int) -> File:
        """Put a new, empty file at a place where nothing is."""
        file = File(next(self._files), stat_bits.S_IFREG | mode & ~_UMASK & 0o7777, self._now())
        self.put(place.folder, place.name, file)
        return file

    def make_folders(self, path: str) -> Folder:
        """Return the folder at a path; makes it and those above it if need be."""
        try:
            place = self.walk(path)
        except FileNotFoundError:
            above = os.path.dirname(path.rstrip("/"))
            if not above:
                raise
            self.make_folders(above)
            place = self.walk(path)
        if isinstance(place.node, Folder):
            return place.node
        if place.node is not None:
            raise error(errno.EEXIST, path)
        folder = Folder(next(self._folders), self._now(), place.folder)
        self.put(place.folder, place.name, folder)
        return folder

    def put(self, folder: Folder, name: str, node: Node) -> None:
        """Give a file or folder a name."""
        folder.entries[name] = node
        self._names_changed(folder)

    def take(self, folder: Folder, name: str) -> None:
        """Take a name away; what had it is left as it is."""
        folder.entries.pop(name, None)
        if folder.below is not None:
            folder.gone.add(name)
        self._names_changed(folder)

    def _names_changed(self, folder: Folder) -> None:
        folder.mtime, folder.stat = self._now(), None
        self._known.clear()
        self._globs.clear()

    def files(self) -> Iterator[tuple[str, File]]:
        """Yield all files in memory with their absolute paths."""
        folders = [("/", self._root)]
        while folders:
            above, folder = folders.pop()
            for name, node in folder.entries.items():
                path = os.path.join(above, name)
                if isinstance(node, Folder):
                    folders.append((path, node))
                elif isinstance(node, File) and node.below is None:
                    yield path, node

    # -- globs: the rules of the module `glob` ---------------------------------------------

    def glob(self, pattern: str) -> list[str]:
        """Return what matches, sorted."""
        found = self._globs.get(pattern)
        if found is None:
            found = sorted(filter(None, self._matches(pattern, folders_only=False)))
            if not self._below:
                self._globs[pattern] = found
        return list(found)

    def _matches(self, pattern: str, *, folders_only: bool) -> Iterator[str]:
        above, name = os.path.split(pattern)
        if not _is_glob(pattern):
            yield from [pattern] if self._literal(above, name) else []
            return
        folders = [above]
        if above != pattern and _is_glob(above):
            folders = list(self._matches(above, folders_only=True))
        for folder in folders:
            if name == "**":
                names = self._deep(folder, folders_only=folders_only)
            elif _is_glob(name):
                names = self._flat(folder, folders_only=folders_only)
                if not name.startswith("."):
                    names = [found for found in names if not found.startswith(".")]
                names = fnmatch.filter(names, name)
            else:
                names = [name] if self._literal(folder, name) else []
            for found in names:
                yield os.path.join(folder, found)

    def _literal(self, above: str, name: str) -> bool:
        if not name:
            return bool(above) and self._folder(above) is not None
        return self.lexists(os.path.join(above, name))

    def _flat(self, path: str, *, folders_only: bool) -> list[str]:
        folder = self._folder(path or ".")
        names = [] if folder is None else folder.names()
        if folders_only:
            return [n for n in names if self._folder(os.path.join(path, n)) is not None]
        return names

    def _deep(self, path: str, *, folders_only: bool) -> list[str]:
        """Return paths relative to `path`: of itself, which is empty, and of all below."""
        if self._folder(path or ".") is None:
            return []
        found = [""]
        for name in self._flat(path, folders_only=folders_only):
            if not name.startswith("."):
                deeper = self._deep(os.path.join(path, name), folders_only=folders_only)
                # Of a file there is nothing deeper, and of a folder also the folder itself.
                found += [os.path.join(name, more) if more else name for more in deeper or [""]]
        return found

    def _folder(self, path: str) -> Folder | None:
        try:
            node = self.find(path)
        except (OSError, ValueError):
            return None
        return node if isinstance(node, Folder) else None


def stat_result(
    mode: int, inode: int, device: int, links: int, *, size: int, mtime: float
) -> os.stat_result:
    """Return a real one; what is not told here is 0."""
    second = int(mtime)
    fields = (mode, inode, device, links, 0, 0, size, second, second, second)
    return os.stat_result(fields, {"st_mtime": mtime, "st_mtime_ns": int(mtime * 1e9)})


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name] or ["."]


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")
