"""The set of followed files, and which of their descriptors are open."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zenactors.components.tail.followed import Followed, ReadyQueue
from zenactors.components.tail.identity import (
    Identity,
)
from zenactors.components.tail.piece import Within
from zenactors.components.tail.reader import FileReader, open_file

if TYPE_CHECKING:
    from zenactors.components.tail.context import TailContext

MOST_IDLE_OPEN = 64  # files without new data whose descriptors stay open
MOST_OPEN = 4_096  # files at all, and half of the descriptors that the process may have
_IDLE = 10.0  # seconds without new data


class FileSet:
    """The followed files.

    Args:
        context: What the parts of a tailer share.

    Attributes:
        ready: The files with something to read.
        by_path: Each file by the path that leads to it.
        all: Each by its identity.
        left: Those to which no path leads.
        renamed: Those that have another path than at first.
        ignored: The paths of files that are not read.
    """

    def __init__(self, context: TailContext) -> None:
        self._files = context.files
        self._identities = context.identities
        self._memory = context.memory
        self._fates = context.fates
        self._clock = context.clock
        self._rules_for = context.rules_for
        self.ready = ReadyQueue()
        self.by_path: dict[str, Followed] = {}
        self.all: dict[Identity, Followed] = {}
        self.left: set[Followed] = set()
        self.renamed: set[Followed] = set()
        self.ignored: dict[Identity, str] = {}
        self._appeared: list[Followed] = []
        self._most_open = min(MOST_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._open: dict[Followed, None] = {}  # those with descriptors, the last used one last

    def within_at(self, fd: int, head: bytes, offset: int) -> Within:
        """Return whether an offset is inside a line."""
        if not offset:
            return ""
        delimiter = self._rules_for(head).delimiter
        begin = max(0, offset - len(delimiter))
        return "" if self._files.pread(fd, offset - begin, begin) == delimiter else "piece"

    def __iter__(self) -> Iterator[Followed]:
        return iter(self.all.values())

    def __len__(self) -> int:
        return len(self.all)

    def known(self, identity: Identity) -> Followed | None:
        """Return the file with an identity, if it is followed."""
        return self.all.get(identity)

    def take_appeared(self) -> list[Followed]:
        """Return the files that are followed since the last call."""
        appeared, self._appeared = self._appeared, []
        return appeared

    def add(self, followed: Followed) -> None:
        """Follow a file from now on."""
        followed.record.left = None
        followed.record.identity = followed.identity
        self.all[followed.identity] = followed
        self._make_room()
        self._open[followed] = None
        self.by_path.setdefault(followed.path, followed)
        self._note_path(followed)
        self._appeared.append(followed)
        self._fates.followed(followed)

    def forget(self, followed: Followed) -> None:
        """Follow a file no more. Its record stays."""
        if not followed.is_rest:
            followed.record.left = followed.position()
        followed.is_gone = True
        followed.after = followed.behind = None  # otherwise all before it would be kept, too
        self.ready.remove(followed)
        self.close(followed)
        self.left.discard(followed)
        self.renamed.discard(followed)
        if self.by_path.get(followed.path) is followed:
            del self.by_path[followed.path]
        if self.all.get(followed.identity) is followed:
            del self.all[followed.identity]
        for other in self.all.values():
            if other.behind is followed:
                other.behind = None
            if other.copy_of is followed:
                self.read_as_new(other)

    def move(self, followed: Followed, path: str) -> None:
        """Note the path that leads to a file now."""
        if self.by_path.get(followed.path) is followed:
            del self.by_path[followed.path]
        followed.path = path
        self.by_path[path] = followed
        self._note_path(followed)

    def _note_path(self, followed: Followed) -> None:
        with contextlib.suppress(OSError):  # a network file system does not answer
            followed.real_path = self._files.realpath(followed.path)
        if followed.path != followed.record.path and not followed.is_rest:
            self.renamed.add(followed)
        else:
            self.renamed.discard(followed)

    def read_as_new(self, copy: Followed) -> None:
        """Read a file that is no copy."""
        copy.copy_of = None
        copy.record.is_copy = False
        self._memory.must_be_saved = True
        copy.had_data_at = 0.0
        self.ready.add(copy)

    def open(self, followed: Followed) -> bool:
        """Open a file that was closed. False: its path leads to another one now.

        Raises:
            OSError: It could not be opened.
        """
        fd, stat = open_file(followed.path, self._files)
        if self._identities.of(stat, followed.path) != followed.identity:
            self._files.close(fd)
            return False
        if followed.reader is None:
            followed.reader = FileReader(self._files, fd)
        else:
            followed.reader.attach(fd)
        self._make_room()
        self._open[followed] = None
        return True

    def ensure_open(self, followed: Followed) -> bool:
        """Open a file if it is closed. False: its path leads to another one now."""
        return followed.is_open or self.open(followed)

    def used(self, followed: Followed) -> None:
        """Note that a file was read just now: the descriptors of others are closed before."""
        self._open.pop(followed, None)
        self._open[followed] = None

    def close(self, followed: Followed) -> None:
        """Close a file's descriptor."""
        self._open.pop(followed, None)
        if followed.reader is not None:
            followed.reader.close()

    def close_idle(self) -> None:
        """Close the descriptors of files that had no data for a while, but for the last used."""
        excess = len(self._open) - MOST_IDLE_OPEN
        if excess > 0:
            since = self._clock.monotonic() - _IDLE
            idle = [each for each in self._open if each.had_data_at < since and not each.ready]
            self._close_first(idle, len(idle) - MOST_IDLE_OPEN)

    def _make_room(self) -> None:
        """Close the descriptors that were not used for the longest time, if there are many."""
        if len(self._open) >= self._most_open:
            self._close_first(list(self._open), MOST_IDLE_OPEN)

    def _close_first(self, candidates: list[Followed], count: int) -> None:
        # One without a path could not be opened again.
        named = [followed for followed in candidates if followed.left_at is None]
        for followed in named[: max(0, count)]:
            self.close(followed)

    def leave_all(self) -> None:
        """Close all files, and note how far each was handed over."""
        for followed in list(self.all.values()):
            if not followed.is_rest:
                followed.record.left = followed.position()
            self.close(followed)
