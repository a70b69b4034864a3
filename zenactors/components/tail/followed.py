"""One followed file, its state at the last poll, and the queue of files to be read."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from typing import Any

from zenactors.components._files import Files
from zenactors.components.tail.identity import Fate, Identity, fate_of, identity_of
from zenactors.components.tail.reader import FileReader

# Without O_NONBLOCK, opening a path that is a named pipe by now would wait for a writer.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_file(path: str, files: Files) -> tuple[int, os.stat_result]:
    """Open a file for reading; return its descriptor and its `fstat`. Never blocks.

    Raises:
        OSError: The file could not be opened, or was lost by a network file system.
    """
    fd = files.open(path, _OPEN_FLAGS)
    try:
        return fd, files.fstat(fd)
    except OSError:
        files.close(fd)
        raise


def is_within_line(fd: int, offset: int, files: Files) -> bool:
    """Return True if the byte before `offset` ends no line. Changes the descriptor's position."""
    if offset == 0:
        return False
    try:
        files.lseek(fd, offset - 1, os.SEEK_SET)
        return files.read(fd, 1) not in (b"\n", b"")
    except OSError:
        return False  # the next read reports it


def has_false_size(fd: int, files: Files) -> bool:
    """Return True if an open file seems empty, but is not, as in /proc. Moves its position.

    Raises:
        OSError: It cannot be read.
    """
    return not files.fstat(fd).st_size and bool(files.read(fd, 1)) and not files.fstat(fd).st_size


@dataclasses.dataclass(slots=True, eq=False)
class Followed:
    """One file that is followed.

    Attributes:
        reader: Reads it; closed while the file cannot be read.
        identity: The same under any name.
        size: In bytes, at the last poll.
        polled_offset: How far it was read at the last poll; -1 before the first.
        ready: It is in the `ReadyQueue`.
        behind: The file that had the path before; it is read to its end first.
        ends_at: Its size and where a read has found its end: sizes of system files may lie.
    """

    reader: FileReader
    identity: Identity
    size: int = 0
    polled_offset: int = -1
    ready: bool = False
    behind: Followed | None = None
    ends_at: tuple[int, int] | None = None

    @property
    def has_more(self) -> bool:
        """Whether the file was longer at the last poll than it was read."""
        offset = self.reader.offset
        return self.size > offset and self.ends_at != (self.size, offset)

    @property
    def is_finished(self) -> bool:
        """Whether it was read to its end, and nothing was added since the last poll either."""
        return not self.ready and self.polled_offset == self.reader.offset

    def state(self) -> dict[str, Any]:
        """Return the path and how far the file was read, for the daemon's state."""
        return {
            "path": self.reader.path,
            "offset": self.reader.offset,
            "size": self.size,
            "held": self.reader.held_bytes,
        }

    def check(self, files: Files, at_path: os.stat_result | None) -> Fate:
        """Note the file's size; return its fate.

        Args:
            files: Where the file is open.
            at_path: `os.stat()` of its path; None if nothing is there.

        Raises:
            OSError: A network file system lost the file.
        """
        assert self.reader.fd is not None  # the caller has opened it again
        stat = files.fstat(self.reader.fd)
        self.size = stat.st_size
        return fate_of(stat, at_path, self.reader.offset)

    def reopen(self, files: Files) -> bool:
        """Open again the file that could not be read. False if its path has another file now.

        Raises:
            OSError: The file could not be opened.
        """
        fd, stat = open_file(self.reader.path, files)
        if identity_of(stat) != self.identity:
            files.close(fd)
            return False
        self.reader.attach(fd)
        return True


class ReadyQueue:
    """The files with something to read, in the order in which their next blocks are read."""

    def __init__(self) -> None:
        self._queue: deque[Followed] = deque()

    def __bool__(self) -> bool:
        """Return True if a file is ready."""
        return bool(self._queue)

    def add(self, followed: Followed) -> None:
        """Put a file at the end, unless it is in the queue."""
        if not followed.ready:
            followed.ready = True
            self._queue.append(followed)

    def remove(self, followed: Followed) -> None:
        """Take a file out, if it is in the queue."""
        if followed.ready:
            followed.ready = False
            self._queue.remove(followed)

    def take(self) -> Followed | None:
        """Take out the first file that waits for no other one; None if the queue is empty."""
        # At least one file waits for none: a file waits only for another one in the queue.
        for _ in range(len(self._queue)):
            followed = self._queue.popleft()
            if followed.behind is None or not followed.behind.ready:
                followed.behind = None
                followed.ready = False
                return followed
            self._queue.append(followed)
        return None
