"""The directories and files of `VirtualFiles`, and the paths that lead to them."""

# ruff: noqa: PTH109, PTH115, PTH118, PTH120, PTH208
# Paths are strings here, and keep their spelling.

from __future__ import annotations

import contextlib
import copy
import errno
import itertools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from random import Random
from stat import S_IFDIR, S_IFLNK, S_IFREG, S_ISDIR
from typing import NamedTuple

from zenactors.components._glob import expand
from zenactors.testing._files.node import Node, error

_UMASK = 0o022  # never the process's own: results must not depend on where a test runs
_FIRST_DIRECTORY = (
    1 << 32
)  # apart, so that files count from 1 however deep the working directory is
_MOST_LINKS = 40  # Linux's limit


class Tree:
    """All directories and files, by their absolute paths without links and dots.

    Args:
        from_disk: Copy what the real disk has at a place when it is first looked for.
        now: Returns the time at which a file is made.

    Attributes:
        renamed: Called with the places at which something came or went; None: nothing is.
    """

    def __init__(self, *, from_disk: bool, now: Callable[[], float]) -> None:
        self._now = now
        self._from_disk = from_disk
        self._inodes = itertools.count(1)
        self._directory_inodes = itertools.count(_FIRST_DIRECTORY)
        self._hold({"/": self._new_directory()}, set())
        self._working = os.getcwd()
        self.make_directories(self._working)
        self.sync_from(0)

    def _hold(self, nodes: dict[str, Node], asked: set[str]) -> None:
        self._nodes = nodes
        for place, node in nodes.items():
            node.place = place
        self._asked = asked  # the disk, about these places; with a slash, about all in them
        # For each change of names that is not on the disk yet: what they led to before.
        self._unsynced: list[dict[str, Node | None]] = []
        self._globs: dict[str, list[str]] = {}
        self.renamed: Callable[[Collection[str]], object] | None = None

    # -- looking ---------------------------------------------------------------------------

    def find(self, path: str) -> tuple[str, Node]:
        """Return the place and the node to which a path leads."""
        place, node = self.walk(path)
        if node is None:
            raise error(errno.ENOENT, path)
        return place, node

    def at(self, place: str) -> Node | None:
        """Return what is at a place."""
        return self._nodes.get(place)

    def lexists(self, path: str) -> bool:
        """Return True if the path leads to anything, even to a link to nowhere."""
        try:
            return path in self._nodes or self.walk(path, follow=False)[1] is not None
        except (OSError, ValueError):
            return False

    def walk(
        self, path: str, *, follow: bool = True, strict: bool = True
    ) -> tuple[str, Node | None]:
        """Return the place to which a path leads, and the node there, if any.

        Args:
            path: Absolute, or relative to the directory in which the process was at the start.
            follow: Follow a link at its end.
            strict: All of it but its end must exist.
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
                directory = "/" if node.target.startswith("/") else directory
                ahead.extendleft(reversed(_names(node.target)))
            elif not ahead:
                return place, node
            elif strict and node is None:
                raise error(errno.ENOENT, path)
            elif strict and node is not None and not node.is_a(S_IFDIR):
                raise error(errno.ENOTDIR, path)
            else:
                directory = place

    def _look_up(self, place: str) -> Node | None:
        node = self._nodes.get(place)
        if node is None and self._from_disk and place not in self._asked:
            node = self._copy(place)
            self._asked.add(place)
        return node

    def _copy(self, place: str) -> Node | None:
        """Copy a directory, a link, or a file without its content from the disk."""
        try:
            stat = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        inodes = self._directory_inodes if S_ISDIR(stat.st_mode) else self._inodes
        node = Node(next(inodes), stat.st_mode, stat.st_mtime, place=place)
        if node.is_a(S_IFREG):
            node.source = place, stat.st_size
        elif node.is_a(S_IFLNK):
            node.target = os.readlink(place)
        self._nodes[place] = node
        return node

    def real_path(self, path: str) -> str:
        """Return the place to which a path leads, as far as it leads anywhere."""
        try:
            return self.walk(path, strict=False)[0]
        except OSError:  # links that lead round in circles
            above, name = os.path.split(path.rstrip("/"))
            return os.path.normpath(os.path.join(self.real_path(above or "."), name))

    def files(self) -> list[str]:
        """Return the places of all files in memory, sorted."""
        found = self._nodes.items()
        return sorted(place for place, node in found if node.is_a(S_IFREG) and node.source is None)

    # -- changing --------------------------------------------------------------------------

    def make_file(self, place: str, mode: int) -> Node:
        """Make an empty file at a place that has none."""
        mode = S_IFREG | mode & ~_UMASK & 0o7777
        node = Node(next(self._inodes), mode, self._now())
        self.name({place: node})
        return node

    def make_link(self, place: str, target: str) -> None:
        """Make a link at a place that has nothing."""
        inode = next(self._inodes)
        self.name({place: Node(inode, S_IFLNK | 0o777, self._now(), target=target)})

    def make_directories(self, path: str, mode: int = 0o777) -> None:
        """Make a directory and those above it, if they do not exist. `mode` is for the last."""
        path = path.rstrip("/") or path
        try:
            place, node = self.walk(path, follow=False)
        except FileNotFoundError:
            above = os.path.dirname(path)
            if not above:
                raise
            with contextlib.suppress(FileExistsError):  # as a link to nowhere, as for the system
                self.make_directories(above)
            place, node = self.walk(path, follow=False)
        if node is None:
            self.name({place: self._new_directory(mode)})
        elif not self._is_directory(path):
            raise error(errno.EEXIST, path)

    def _is_directory(self, path: str) -> bool:
        try:
            return self.find(path)[1].is_a(S_IFDIR)
        except OSError:
            return False

    def _new_directory(self, mode: int = 0o777) -> Node:
        return Node(next(self._directory_inodes), S_IFDIR | mode & ~_UMASK & 0o7777)

    def obstacle(self, node: Node, target: str, replaced: Node | None) -> int:
        """Return the error number with which the system refuses to rename; 0 if it does not."""
        if f"{target}/".startswith(f"{node.place}/"):
            return errno.EINVAL  # a directory into itself
        if f"{node.place}/".startswith(f"{target}/"):
            return errno.ENOTEMPTY
        if replaced is None or node.is_a(S_IFDIR) != replaced.is_a(S_IFDIR):
            return 0 if replaced is None else errno.ENOTDIR if node.is_a(S_IFDIR) else errno.EISDIR
        return errno.ENOTEMPTY if self._names_in(target) else 0

    def move(self, source: str, target: str) -> None:
        """Give what is at a place another one, with all that is in it, in one change."""
        places = [source, *self._inside(source)]
        moved = {f"{target}{place.removeprefix(source)}": self._nodes[place] for place in places}
        self.name({**dict.fromkeys(places), **moved})

    def _inside(self, place: str) -> Iterator[str]:
        for name in self._names_in(place):
            yield _step(place, name)
            yield from self._inside(_step(place, name))

    def name(self, nodes: Mapping[str, Node | None]) -> None:
        """Let places lead to these nodes, or to nothing, in one change."""
        self._unsynced.append({place: self._nodes.get(place) for place in nodes})
        for place, node in nodes.items():
            if node is None:
                self._nodes.pop(place, None)
            else:
                self._nodes[place] = node
                node.place = place
        self._globs.clear()
        if self.renamed is not None:
            self.renamed(nodes)

    # -- the disk --------------------------------------------------------------------------

    def sync(self, directory: Node) -> None:
        """Bring the names in a directory to the disk.

        If a file was renamed from another directory, the changes there until then go with it.
        """
        self._sync({directory.place})

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
                elif place in nodes and nodes.pop(place).is_a(S_IFDIR):  # with all that is in it
                    nodes = {p: n for p, n in nodes.items() if not p.startswith(f"{place}/")}
        after = copy.copy(self)
        found = {place: node.after_crash(chance) for place, node in nodes.items()}
        after._hold(found, set(self._asked))  # noqa: SLF001 - of its own class
        return after

    # -- directories -----------------------------------------------------------------------

    def glob(self, pattern: str, unreadable: dict[str, OSError]) -> list[str]:
        """Return the paths that match, sorted. `unreadable` is as for `expand`."""
        found = self._globs.get(pattern)
        if found is None:
            found = sorted(
                expand(
                    pattern,
                    unreadable,
                    lexists=self.lexists,
                    stat=lambda path: self.find(path)[1].stat(),
                    scandir=self._scan,
                )
            )
            if not unreadable:
                self._globs[pattern] = found
        return list(found)

    def _scan(self, path: str) -> contextlib.nullcontext[list[_Entry]]:
        names = self.entries(path)
        return contextlib.nullcontext([_Entry(self, path, name) for name in names])

    def entries(self, path: str) -> dict[str, int]:
        """Return the names in a directory, and their inodes."""
        directory, node = self.find(path)
        if not node.is_a(S_IFDIR):
            raise error(errno.ENOTDIR, path)
        names = sorted(self._names_in(directory))
        return {name: self._nodes[_step(directory, name)].inode for name in names}

    def _names_in(self, directory: str) -> set[str]:
        if not self._nodes[directory].is_a(S_IFDIR):
            return set()
        if self._from_disk and f"{directory}/" not in self._asked:
            self._asked.add(f"{directory}/")
            with contextlib.suppress(OSError):  # it is in memory only
                for name in sorted(os.listdir(directory)):
                    self._look_up(_step(directory, name))
        inside = _step(directory, "")
        names = (place[len(inside) :] for place in self._nodes if place.startswith(inside))
        return {name for name in names if name and "/" not in name}


class _Entry(NamedTuple):
    tree: Tree
    path: str
    name: str

    def is_dir(self) -> bool:
        return self.tree.find(os.path.join(self.path, self.name))[1].is_a(S_IFDIR)

    def is_symlink(self) -> bool:
        node = self.tree.walk(os.path.join(self.path, self.name), follow=False)[1]
        return node is not None and node.is_a(S_IFLNK)


def _step(directory: str, name: str) -> str:
    if name == "..":
        return os.path.dirname(directory)
    return directory if name == "." else os.path.join(directory, name)


def _names(path: str) -> list[str]:
    """Return the names along a path. A slash at its end asks for a directory, as `.` does."""
    return [name for name in path.split("/") if name] + ["."] * path.endswith("/")
