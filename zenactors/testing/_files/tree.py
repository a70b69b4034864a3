"""The directories and files of `VirtualFiles`, and the paths that lead to them."""

# ruff: noqa: PTH109, PTH115, PTH118, PTH208
# Paths are strings here, and keep their spelling.

from __future__ import annotations

import contextlib
import copy
import errno
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import PurePosixPath
from random import Random
from stat import S_IFDIR, S_IFLNK, S_IFREG, S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import NamedTuple

from zenactors.components._glob import expand
from zenactors.testing._files.node import Node, error, require

_UMASK = 0o022  # never the process's own: results must not depend on where a test runs
_FIRST_DIRECTORY = 1 << 32  # files count from 1, however deep the working directory is
_MOST_LINKS = 40  # Linux's limit

Names = Mapping[tuple[Node, str], Node | None]
"""Names in directories, and what they lead to."""


class Tree:
    """All directories and files.

    Args:
        from_disk: Copy what the real disk has when it is first looked for.
        now: Returns the time at which a file is made.

    Attributes:
        renamed: Called with the directories and nodes that a change of names concerns.
    """

    def __init__(self, *, from_disk: bool, now: Callable[[], float]) -> None:
        self._now = now
        self._inodes = itertools.count(1)
        self._directory_inodes = itertools.count(_FIRST_DIRECTORY)
        root = self._copied("/") if from_disk else None
        self._begin(root or Node(next(self._directory_inodes), S_IFDIR | 0o755, now()))
        self._working = os.getcwd()
        with self.on_disk():
            self.make_directories(self._working)

    def _begin(self, root: Node) -> None:
        self._root = root
        root.at, root.links = (root, ""), 1
        # What is not on the disk yet: what the names led to before, and the directories of which
        # any brings it there.
        self._unsynced: list[tuple[Names, set[Node]]] = []
        self._globs: dict[str, list[str]] = {}
        self.renamed: Callable[[Collection[Node]], object] = len

    # -- looking ---------------------------------------------------------------------------

    def walk(self, path: str, *, follow: bool = True, strict: bool = True) -> Node:
        """Return what a path leads to, which may be nothing.

        Args:
            path: Absolute, or relative to the directory in which the process was at the start.
            follow: Follow a link at its end.
            strict: All of it but its end must exist.
        """
        require(path, errno.ENOENT, path)
        if "\0" in path:
            raise ValueError("embedded null byte")
        node = self._root
        ahead = (path if path.startswith("/") else f"{self._working}/{path}").split("/")[::-1]
        links = 0
        while ahead:
            if strict and not node.is_a(S_IFDIR):
                raise error(errno.ENOTDIR if node.links else errno.ENOENT, path)
            directory, node = node, self._step(node, ahead.pop())
            if node.is_a(S_IFLNK) and (ahead or follow):
                links += 1
                require(links <= _MOST_LINKS, errno.ELOOP, path)
                ahead += node.target.split("/")[::-1]
                node = self._root if node.target.startswith("/") else directory
        return node

    def _step(self, directory: Node, name: str) -> Node:
        if name == "..":
            return directory.at[0]
        if name in ("", "."):  # there is no name behind a slash at the end
            return directory
        if directory.source is not None and name not in directory.entries:
            directory.put(name, self._copied(os.path.join(directory.source, name)))
        node = directory.entries.get(name)
        if node is None:
            node = Node()
            node.at = directory, name
        return node

    def _copied(self, path: str) -> Node | None:
        """Copy a directory, a link, or a file without its content from the disk."""
        try:
            stat = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        mode = stat.st_mode
        inode = next(self._directory_inodes if S_ISDIR(mode) else self._inodes)
        target = os.readlink(path) if S_ISLNK(mode) else ""
        size = stat.st_size if S_ISREG(mode) else 0
        return Node(inode, mode, stat.st_mtime, target, source=path, unread=size)

    def find(self, path: str, *, directory: bool = False) -> Node:
        """Return the file or directory to which a path leads."""
        node = self.walk(path)
        require(node.links, errno.ENOENT, path)
        require(node.is_a(S_IFDIR) or not directory, errno.ENOTDIR, path)
        return node

    def is_directory(self, path: str) -> bool:
        try:
            return self.find(path).is_a(S_IFDIR)
        except OSError:
            return False

    def lexists(self, path: str) -> bool:
        try:
            return self.walk(path, follow=False).links > 0
        except (OSError, ValueError):
            return False

    def real_path(self, path: str) -> str:
        """Return the absolute path without links and dots, as far as it leads anywhere."""
        try:
            return self.walk(path, strict=False).path
        except OSError:  # links that lead round in circles
            above, name = os.path.split(path.rstrip("/"))
            return os.path.normpath(os.path.join(self.real_path(above or "."), name))

    def listing(self, directory: Node) -> dict[str, Node]:
        """Return what is in a directory, by name; nothing is in anything else."""
        if directory.source is not None and directory.is_a(S_IFDIR):
            with contextlib.suppress(OSError):
                for name in sorted(os.listdir(directory.source)):
                    self._step(directory, name)
            directory.source = None
        return {name: node for name, node in directory.entries.items() if node is not None}

    def files(self) -> list[str]:
        """Return the absolute paths of all files in memory, sorted."""
        nodes = [self._root]
        for node in nodes:  # grows on the way
            nodes += filter(None, node.entries.values())
        return sorted(node.path for node in nodes if node.is_a(S_IFREG) and node.source is None)

    def glob(self, pattern: str, unreadable: dict[str, OSError]) -> list[str]:
        """Return the paths that match, sorted. `unreadable` is as for `expand`."""
        found = self._globs.get(pattern)
        if found is None:
            found = expand(
                pattern,
                unreadable,
                lexists=self.lexists,
                stat=lambda path: self.find(path).stat(),
                scandir=self._scan,
            )
            found.sort()
            if not unreadable:
                self._globs[pattern] = found
        return list(found)

    def _scan(self, path: str) -> contextlib.nullcontext[list[_Entry]]:
        found = self.listing(self.find(path, directory=True))
        return contextlib.nullcontext([_Entry(self, f"{path}/{name}", name) for name in found])

    # -- changing --------------------------------------------------------------------------

    def make(self, node: Node, mode: int, target: str = "") -> None:
        """Make a file, directory or link where `walk` has found nothing."""
        node.inode = next(self._directory_inodes if S_ISDIR(mode) else self._inodes)
        node.mode, node.mtime, node.target = mode & ~_UMASK, self._now(), target
        self.name({node.at: node})

    def make_directories(self, path: str, mode: int = 0o777) -> None:
        """Make a directory and those above it, if they do not exist. `mode` is for the last."""
        path = path.rstrip("/") or path
        for each in (*map(str, reversed(PurePosixPath(path).parents)), path):
            node = self.walk(each, follow=False)
            if not node.links:
                self.make(node, S_IFDIR | S_IMODE(mode if each == path else 0o777))
        require(self.is_directory(path), errno.EEXIST, path)

    def move(self, node: Node, target: Node) -> None:
        """Rename a file or a directory. `target` has the new name, or is nothing."""
        old, new = f"{node.path}/", f"{target.path}/"
        require(node.links, errno.ENOENT)
        if node is target:
            return
        require(not new.startswith(old), errno.EINVAL)  # a directory into itself
        require(not old.startswith(new), errno.ENOTEMPTY)
        if target.links and node.is_a(S_IFDIR) != target.is_a(S_IFDIR):
            raise error(errno.ENOTDIR if node.is_a(S_IFDIR) else errno.EISDIR)
        require(not self.listing(target), errno.ENOTEMPTY)
        self.name({node.at: None, target.at: node})

    def name(self, names: Names) -> None:
        """Let names lead to these nodes, or to nothing, in one change."""
        directories = {directory for directory, _ in names}
        nodes = {node for node in names.values() if node is not None}
        before = {(directory, name): directory.entries.get(name) for directory, name in names}
        # A renamed directory has a new name for the one above it, too.
        renamed = {node for node in nodes if node.links and node.is_a(S_IFDIR)}
        self._unsynced.append((before, directories | renamed))
        for (directory, name), node in names.items():
            directory.put(name, node)
        self._globs.clear()
        self.renamed(directories | nodes)

    # -- the disk --------------------------------------------------------------------------

    def sync(self, directories: Collection[Node]) -> None:
        """Bring the names in directories to the disk.

        If a file was renamed from another directory, the changes there until then go with it.
        """
        together, left = set(directories), []
        for before, concerned in reversed(self._unsynced):
            if together.isdisjoint(concerned):
                left.append((before, concerned))
            else:
                together |= concerned
        self._unsynced = left[::-1]

    @contextlib.contextmanager
    def on_disk(self) -> Iterator[None]:
        """Bring the names that change meanwhile to the disk, with their directories."""
        known = len(self._unsynced)
        yield
        self.sync({node for _, concerned in self._unsynced[known:] for node in concerned})

    def after_crash(self, chance: Random | None) -> Tree:
        """Return the tree as the next process finds it. See `Node.after_crash`."""
        kept = len(self._unsynced) if chance is None else chance.randint(0, len(self._unsynced))
        undone: dict[Node, dict[str, Node | None]] = {}
        for before, _ in reversed(self._unsynced[kept:]):
            for (directory, name), node in before.items():
                undone.setdefault(directory, dict(directory.entries))[name] = node

        def survivor(node: Node) -> Node:
            found = node.after_crash(chance)
            for name, entry in undone.get(node, node.entries).items():
                found.put(name, entry and survivor(entry))
            return found

        after = copy.copy(self)
        after._begin(survivor(self._root))  # noqa: SLF001 - of its own class
        return after


class _Entry(NamedTuple):
    tree: Tree
    path: str
    name: str

    def is_dir(self) -> bool:
        return self.tree.is_directory(self.path)

    def is_symlink(self) -> bool:
        return self.tree.walk(self.path, follow=False).is_a(S_IFLNK)
