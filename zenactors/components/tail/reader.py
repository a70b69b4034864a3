"""Reading one open file: blocks in, whole lines out. Knows nothing of names and rotation."""

from __future__ import annotations

import os

from zenactors.components._files import Files
from zenactors.components.tail.lines import Lines

BLOCK_BYTES = 65_536


class FileReader:
    """One file: its handle, how far it was read, and what is held back of its last line.

    Args:
        path: What `Lines` calls the file.
        fd: An open descriptor of a regular file; the reader owns it.
        files: Whose descriptor that is.
        offset: Where to begin.
        max_line_bytes: Longer lines come out in pieces of this size.

    Attributes:
        offset: Where the next block will be read.
        held_bytes: How many bytes of an unfinished line are held back.
        at_end: The last block was not full: there is nothing more for now.
        lines_split: How many lines came out in pieces so far.
    """

    __slots__ = (
        "_block_bytes",
        "_files",
        "_held",
        "_split",
        "at_end",
        "fd",
        "held_bytes",
        "lines_split",
        "max_line_bytes",
        "offset",
        "path",
    )

    def __init__(
        self, path: str, fd: int, *, files: Files, offset: int, max_line_bytes: int
    ) -> None:
        self._files = files
        self.path = path
        self.fd: int | None = None
        self.offset = offset
        self.held_bytes = 0
        self.at_end = False
        self.lines_split = 0
        self._held: list[
            bytes
        ] = []  # joined once, when the line's end is there: adding up would be quadratic
        self._split = False  # the beginning of the held line was handed on already
        self.limit_lines(max_line_bytes)
        self.attach(fd)

    @property
    def line_offset(self) -> int:
        """Where the first byte stands that was not handed on yet."""
        return self.offset - self.held_bytes

    def limit_lines(self, max_line_bytes: int) -> None:
        """Let longer lines come out in pieces of this size, from the next block on."""
        self.max_line_bytes = max_line_bytes
        # No larger than the limit: so a line that lies within one block cannot exceed it.
        self._block_bytes = min(BLOCK_BYTES, max_line_bytes)

    def attach(self, fd: int) -> None:
        """Go on reading from `fd`, at the same offset. The reader owns it from now on."""
        self.close()
        self.fd = fd
        self._files.lseek(fd, self.offset, os.SEEK_SET)

    def close(self) -> None:
        """Close the handle; offset and held bytes stay. Harmless if it is closed."""
        if self.fd is not None:
            fd, self.fd = self.fd, None
            self._files.close(fd)

    def read(self) -> tuple[int, list[Lines]]:
        """Read one block. Returns its size and what is to be handed on, in file order.

        Raises:
            OSError: The block could not be read. Nothing has changed: it may be tried again.
        """
        if self.fd is None:
            raise ValueError(f"{self.path} is not open: attach() a descriptor first.")
        block = self._files.read(self.fd, self._block_bytes)
        start = self.line_offset
        self.offset += len(block)
        self.at_end = len(block) < self._block_bytes
        return len(block), self._cut(block, start) if block else []

    def flush(self) -> list[Lines]:
        """Return what is held back, as a piece of a line."""
        if not self._held:
            return []
        piece = Lines(self.path, self.line_offset, b"".join(self._held), complete=False)
        self._forget()
        return [piece]

    def restart(self) -> list[Lines]:
        """Begin again at the first byte; returns what was held back until now."""
        pieces = self.flush()
        self.offset = 0
        self.at_end = False
        if self.fd is not None:
            self._files.lseek(self.fd, 0, os.SEEK_SET)
        return pieces

    def _cut(self, block: bytes, start: int) -> list[Lines]:
        end = block.rfind(b"\n") + 1
        if not end:
            self._hold(block)
            return self._pieces(start) if self.held_bytes > self.max_line_bytes else []
        out: list[Lines] = []
        if self._held:
            first = block.find(b"\n") + 1
            if self._split or self.held_bytes + first - 1 > self.max_line_bytes:
                self._hold(block[:first])
                out = self._pieces(start, last=True)
                start = out[-1].offset + len(out[-1].data)
                block = block[first:]
                end -= first
        if end:
            data = block if end == len(block) else block[:end]
            if self._held:
                data = b"".join((*self._held, data))
            out.append(Lines(self.path, start, data))
            self._forget()
        if end < len(block):
            self._hold(block[end:])
        return out

    def _pieces(self, start: int, *, last: bool = False) -> list[Lines]:
        """Take pieces off the held line; with `last` all of it, else at least a byte stays.

        So pieces end at multiples of the limit, wherever the blocks ended.
        """
        data = b"".join(self._held)
        length = len(data) - last  # the line end does not count
        if not self._split:
            self.lines_split += 1
        self._forget()
        out = []
        begin = 0
        while length - begin > self.max_line_bytes:
            piece = data[begin : begin + self.max_line_bytes]
            out.append(Lines(self.path, start + begin, piece, complete=False))
            begin += self.max_line_bytes
        if last:
            out.append(Lines(self.path, start + begin, data[begin:], complete=False))
        else:
            self._hold(data[begin:])
            self._split = True
        return out

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self.held_bytes += len(data)

    def _forget(self) -> None:
        self._held = []
        self.held_bytes = 0
        self._split = False
