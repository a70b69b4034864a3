"""Read one open file: blocks in, whole lines out. Knows nothing of names and rotation."""

from __future__ import annotations

import os

from zenactors.components._files import Files
from zenactors.components.tail.lines import Lines

BLOCK_BYTES = 65_536


class FileReader:
    """One file: its descriptor, how far it was read, and the unfinished last line.

    Args:
        path: The path in `Lines`.
        fd: An open descriptor of a regular file; the reader owns it.
        files: The file system of the descriptor.
        offset: Where to begin.
        max_line_bytes: Longer lines are returned in pieces of this size.
        within_line: `offset` is within a line, so that the first line is only a piece.

    Attributes:
        offset: The offset of the next block.
        held_bytes: How many bytes of an unfinished line are held back.
        at_end: The last block was not full: the file has no more data at present.
        lines_split: How many lines were returned in pieces so far.
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
        self,
        path: str,
        fd: int,
        *,
        files: Files,
        offset: int,
        max_line_bytes: int,
        within_line: bool = False,
    ) -> None:
        self._files = files
        self.path = path
        self.fd: int | None = None
        self.offset = offset
        self.held_bytes = 0
        self.at_end = False
        self.lines_split = 0
        # Joined once, when the line ends: joining at each block would take quadratic time.
        self._held: list[bytes] = []
        self._split = within_line  # the beginning of the line was returned already, or skipped
        self.limit_lines(max_line_bytes)
        self.attach(fd)

    @property
    def line_offset(self) -> int:
        """The offset of the first byte that was not returned yet."""
        return self.offset - self.held_bytes

    def limit_lines(self, max_line_bytes: int) -> None:
        """Return longer lines in pieces of this size, from the next block on."""
        self.max_line_bytes = max_line_bytes
        # At most the limit, so that a line within one block cannot exceed it.
        self._block_bytes = min(BLOCK_BYTES, max_line_bytes)

    def attach(self, fd: int) -> None:
        """Continue reading from `fd`, at the same offset. The reader owns it from now on."""
        self.close()
        self.fd = fd
        self._files.lseek(fd, self.offset, os.SEEK_SET)

    def close(self) -> None:
        """Close the descriptor; keep the offset and the held bytes. Harmless if it is closed."""
        if self.fd is not None:
            fd, self.fd = self.fd, None
            self._files.close(fd)

    def read(self) -> tuple[int, list[Lines]]:
        """Read one block. Return its size, and the lines that it completes, in file order.

        Raises:
            OSError: The block could not be read. Nothing has changed; reading may be tried again.
        """
        if self.fd is None:
            raise ValueError(f"{self.path} is not open: attach() a descriptor first.")
        block = self._files.read(self.fd, self._block_bytes)
        start = self.line_offset
        self.offset += len(block)
        self.at_end = len(block) < self._block_bytes
        return len(block), self._cut(block, start) if block else []

    def flush(self) -> list[Lines]:
        """Return the held bytes as a piece of a line."""
        if not self._held:
            return []
        piece = Lines(self.path, self.line_offset, b"".join(self._held), complete=False)
        self._forget()
        return [piece]

    def restart(self) -> list[Lines]:
        """Return to the first byte of the file; return the bytes that were held back."""
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
        if self._held or self._split:
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
        """Take pieces off the held line: all of it if `last`, otherwise all but the last piece.

        Pieces end at multiples of the limit, independent of the ends of blocks.
        """
        data = b"".join(self._held)
        length = len(data) - last  # without the line end
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
