"""One followed file, and the queue of files to be read."""

from __future__ import annotations

from collections import deque
from typing import Any

from zenactors.components.tail.cutter import LineCutter
from zenactors.components.tail.file_record import FileRecord, Position
from zenactors.components.tail.identity import HEAD_BYTES, NO_MARK, Identity, mark_of
from zenactors.components.tail.piece import Within
from zenactors.components.tail.reader import FileReader


class Followed:
    """One file that is followed.

    Args:
        record: What is remembered of it.
        path: The path that leads to it.
        identity: The same under any name.

    Attributes:
        real_path: Where the path led when it was noted: links may lead elsewhere later.
        generation: Which content of the file is read.
        reader: Reads it; its descriptor is closed while the file is idle, or cannot be read.
            None: it was not opened yet.
        cutter: Makes lines of its blocks; None: nothing was read yet.
        head: The first bytes of the content.
        seen: Size and time of the last change, at the last look.
        begun_at: Where the reading began.
        ready: It is in the `ReadyQueue`.
        behind: The file that had the path before; it is read to its end first.
        after: The file that had the path before, until this one has data: its writer may have
            gone on with the other one until then.
        left_at: The monotonic time since which no path leads to it; None: one does.
        had_data_at: The monotonic time at which it had data last.
        is_rest: It has the rest of another file's earlier content: it ends there.
        copy_of: It may be a copy of this file: it is not read yet.
        compared: How far it has the same bytes as that file.
        has_failed: It could not be opened or read; that is tried again at the next look.
        is_overtaken: It failed, and the file behind it was read instead.
        is_gone: It is followed no more.
    """

    __slots__ = (
        "after", "begun_at", "behind", "compared", "copy_of", "cutter", "generation",
        "had_data_at", "has_failed", "head", "identity", "is_gone", "is_overtaken", "is_rest",
        "left_at", "path", "reader", "ready", "real_path", "record", "seen",
    )  # fmt: skip

    def __init__(self, record: FileRecord, path: str, identity: Identity) -> None:
        self.record = record
        self.path = path
        self.real_path = path
        self.identity = identity
        self.generation = record.generation
        self.reader: FileReader | None = None
        self.cutter: LineCutter | None = None
        self.head = b""
        self.seen = (-1, -1)
        self.begun_at = 0
        self.ready = False
        self.behind: Followed | None = None
        self.after: Followed | None = None
        self.left_at: float | None = None
        self.had_data_at = 0.0
        self.is_rest = False
        self.copy_of: Followed | None = None
        self.compared = 0
        self.has_failed = False
        self.is_overtaken = False
        self.is_gone = False

    @property
    def is_open(self) -> bool:
        """True if its descriptor is open."""
        return self.reader is not None and self.reader.fd is not None

    @property
    def offset(self) -> int:
        """How far it was read."""
        return 0 if self.reader is None else self.reader.offset

    @property
    def done_offset(self) -> int:
        """How far it was handed over."""
        return self.offset if self.cutter is None else self.cutter.held_offset

    def position(self) -> Position:
        """Return how far it was handed over."""
        held = 0 if self.cutter is None else self.cutter.held_bytes
        before = b"" if self.reader is None else self.reader.before
        before = before[: max(0, len(before) - held)]
        within: Within = "" if self.cutter is None else self.cutter.within
        mark = mark_of(before) if before else NO_MARK
        return Position(self.generation, self.done_offset, mark, within)

    def was_rewritten(self) -> bool:
        """Return True if it has not what was read of it any more. False if it is closed.

        Raises:
            OSError: It cannot be read.
        """
        if self.reader is None or self.reader.fd is None:
            return False
        return not (self.reader.is_unchanged() and self.reader.head().startswith(self.head))

    def note_head(self, block: bytes, offset: int) -> None:
        """Let the head grow by a block that was read at an offset."""
        if offset <= len(self.head) < HEAD_BYTES and not self.is_rest:
            self.head = self.head[:offset] + block[: HEAD_BYTES - offset]
            self.record.note_head(self.head)

    def state(self) -> dict[str, Any]:
        """Return the path and how far the file was read, for the daemon's state."""
        return {
            "path": self.record.path,
            "at": self.path,
            "id": self.record.file_id,
            "generation": self.generation,
            "offset": self.offset,
            "size": max(self.seen[0], self.offset),
            "held": 0 if self.cutter is None else self.cutter.held_bytes,
            "open": self.is_open,
        }


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
        """Take out the first file that waits for no other one; None if there is none."""
        for _ in range(len(self._queue)):
            followed = self._queue.popleft()
            if followed.behind is None or not followed.behind.ready:
                if followed.behind is not None and followed.behind.has_failed:
                    followed.behind.is_overtaken = True
                return self._taken(followed)
            self._queue.append(followed)
        # All wait for each other, because files have swapped their names: there is no right order.
        return self._taken(self._queue.popleft()) if self._queue else None

    def _taken(self, followed: Followed) -> Followed:
        followed.behind = None
        followed.ready = False
        return followed
