"""Hints of changes of `VirtualFiles`, as inotify gives them."""

# ruff: noqa: PTH118 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Collection

from zenactors.components._watch import Hints
from zenactors.testing._files.node import Node


class VirtualWatch:
    """A `Watch` on files in memory.

    Its descriptor is a real one, so that whoever polls descriptors sees it. It is closed at last
    with the object.

    Args:
        find: Returns the directory to which a path leads, or raises `OSError`.
    """

    def __init__(self, find: Callable[[str], Node]) -> None:
        self._find = find
        self._paths: dict[str, Node] = {}  # of the watched directories, as they were added
        self._completed: set[str] = set()
        self._hints = Hints()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = weakref.finalize(self, os.close, self._fd)

    def fileno(self) -> int:
        """Return the descriptor."""
        if not self._closed.alive:
            raise ValueError("I/O operation on closed watch")
        return self._fd

    def add(self, directory: str, *, completed: bool = False) -> None:
        """Watch a directory."""
        self._paths[directory] = self._find(directory)
        if completed:
            self._completed.add(directory)

    def remove(self, directory: str) -> None:
        """No longer watch a directory."""
        self._paths.pop(directory, None)
        self._completed.discard(directory)

    def take(self) -> Hints:
        """Return all hints."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fileno())
        hints, self._hints = self._hints, Hints()
        return hints

    def close(self) -> None:
        """Close the descriptor."""
        self._paths.clear()
        self._closed()

    # -- for `VirtualFiles` ----------------------------------------------------------------

    def note_content(self, file: Node) -> None:
        """Take note that the content of a file has changed."""
        directory, name = file.at
        watched = [path for path, node in self._paths.items() if node is directory]
        if watched:
            self._hints.changed.update(os.path.join(path, name) for path in watched)
            self._wake()

    def note_completed(self, file: Node) -> None:
        """Take note that a file was closed by its writer, or renamed to where it is."""
        directory, name = file.at
        watched = [path for path in self._completed if self._paths.get(path) is directory]
        if watched:
            self._hints.completed.update(os.path.join(path, name) for path in watched)
            self._wake()

    def note_names(self, nodes: Collection[Node]) -> None:
        """Take note that the names in these directories have changed, or their own."""
        if any(node in nodes for node in self._paths.values()):
            self._hints.renamed = True
            self._wake()

    def note_overflow(self) -> None:
        """Take note that hints were lost."""
        self._hints.overflow = True
        self._wake()

    def _wake(self) -> None:
        if self._closed.alive:
            os.eventfd_write(self._fd, 1)
