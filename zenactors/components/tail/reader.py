"""Read one open file in blocks, and notice if what was read is not there any more."""

from __future__ import annotations

import os
import stat as stat_bits

from zenactors.components._files import Files
from zenactors.components.tail.identity import HEAD_BYTES, MARK_BYTES

SMALLEST_BLOCK = 65_536
LARGEST_BLOCK = 1_048_576
# Without O_NONBLOCK, opening a path that is a named pipe by now would wait for a writer.
OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class RewrittenError(Exception):
    """The bytes before the offset are not those that were read: the file was written anew."""


class FileReader:
    """One file: its descriptor, and how far it was read.

    Args:
        files: The file system.
        fd: An open descriptor of a regular file; the reader owns it.
        offset: Where to begin.

    Attributes:
        fd: The descriptor; None while it is closed.
        offset: The offset of the next block.
        before: The last bytes before the offset, at most 64.
        at_end: The last block was not full: the file has no more data at present.

    Raises:
        OSError: The file cannot be read.
    """

    __slots__ = ("_block_bytes", "_files", "at_end", "before", "fd", "offset")

    def __init__(self, files: Files, fd: int, offset: int = 0) -> None:
        self._files = files
        self.fd: int | None = fd
        self.offset = offset
        self.at_end = False
        self._block_bytes = SMALLEST_BLOCK
        begin = max(0, offset - MARK_BYTES)
        self.before = files.pread(fd, offset - begin, begin) if offset else b""

    def close(self) -> None:
        """Close the descriptor; keep the rest. Harmless if it is closed."""
        fd, self.fd = self.fd, None
        if fd is not None:
            self._files.close(fd)

    def attach(self, fd: int) -> None:
        """Go on with another descriptor of the same file. The reader owns it from now on."""
        self.close()
        self.fd = fd

    def read(self, *, check: bool = True, most: int = LARGEST_BLOCK) -> bytes:
        """Return the next block; it is empty at the end of the file.

        Blocks grow to 1 MiB as long as the file has enough for them.

        Args:
            check: Read the bytes before the offset again, and compare them.
            most: The size of the block at most, but 64 KiB are always read.

        Raises:
            RewrittenError: The file is shorter than it was, or has other bytes there.
            OSError: It cannot be read. Nothing has changed: try again.
        """
        assert self.fd is not None  # the caller has opened it
        size = min(self._block_bytes, max(most, SMALLEST_BLOCK))
        overlap = len(self.before) if check else 0
        block = self._files.pread(self.fd, size + overlap, self.offset - overlap)
        if overlap:
            if block[:overlap] != self.before:
                raise RewrittenError
            block = block[overlap:]
        elif not block and self.offset and self._files.fstat(self.fd).st_size < self.offset:
            raise RewrittenError
        self.at_end = len(block) < size
        self._block_bytes = SMALLEST_BLOCK if self.at_end else min(2 * size, LARGEST_BLOCK)
        if block:
            self.offset += len(block)
            last = block[-MARK_BYTES:]
            self.before = last if len(last) == MARK_BYTES else (self.before + last)[-MARK_BYTES:]
        return block

    def is_unchanged(self) -> bool:
        """Return True if the bytes before the offset are those that were read."""
        assert self.fd is not None
        size = len(self.before)
        return self._files.pread(self.fd, size, self.offset - size) == self.before

    def restart(self) -> None:
        """Go back to the first byte."""
        self.offset = 0
        self.before = b""
        self.at_end = False

    def head(self) -> bytes:
        """Return the file's first bytes, as many as a fingerprint covers."""
        assert self.fd is not None
        return self._files.pread(self.fd, HEAD_BYTES, 0)


def open_file(path: str, files: Files) -> tuple[int, os.stat_result]:
    """Open a file for reading; return its descriptor and its `fstat`. Never blocks.

    Raises:
        OSError: The file could not be opened, or was lost by a network file system.
    """
    fd = files.open(path, OPEN_FLAGS)
    try:
        return fd, files.fstat(fd)
    except OSError:
        files.close(fd)
        raise


def has_false_size(fd: int, stat: os.stat_result, files: Files) -> bool:
    """Return True if an open regular file seems empty, but is not, as in /proc.

    Raises:
        OSError: It cannot be read.
    """
    if stat.st_size or not stat_bits.S_ISREG(stat.st_mode):
        return False
    return bool(files.pread(fd, 1, 0)) and not files.fstat(fd).st_size
