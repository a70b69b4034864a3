"""Write to a file, a pipe or standard output: completely, or not at all.

Atomic operations relied on: storing an attribute (`interrupt`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from zenactors.advice import reason
from zenactors.components.sinks._output import can_block, is_regular
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    from zenactors.components._files import Files

_LOOK_INTERVAL = 0.1  # seconds between two looks for an interrupt


class OutputError(ZenDaemonComponentException):
    """A write has failed, and nothing of it is in the output but the first `left` bytes.

    Attributes:
        why: What went wrong, in the system's words.
        left: How many bytes of an incomplete write could not be cut off.
        reader_left: It is a pipe or a socket, and nothing reads it any more.
    """

    def __init__(self, place: str, why: str, left: int, *, reader_left: bool = False) -> None:
        super().__init__(f"Cannot write to {place}: {why}.", path=place)
        self.why = why
        self.left = left
        self.reader_left = reader_left


class OutputStream:
    """What a writer writes to.

    Args:
        place: Its name in messages.
        files: The file system.

    Attributes:
        fd: The descriptor; None if there is none.
        is_open: It can be written to.
        unwritten: The rest of what an interrupt has broken off. It is written before all else.

    Thread: own, except `interrupt`.
    """

    def __init__(self, place: str, files: Files) -> None:
        self._place = place
        self._files = files
        self._blocks = False  # its reader may not read
        self._is_interrupted = False
        self._write_some: Callable[[memoryview], int] | None = None
        self.fd: int | None = None
        self.unwritten = b""

    @property
    def is_open(self) -> bool:
        """True between `use` and `release`."""
        return self._write_some is not None

    def use_file(self, fd: int) -> None:
        """Write to an open file from now on."""
        self.use(fd, lambda data: self._files.write(fd, data))

    def use(self, fd: int | None, write_some: Callable[[memoryview], int]) -> None:
        """Write by this function from now on."""
        self.fd = fd
        self._write_some = write_some
        self.unwritten = b""
        self._blocks = fd is not None and can_block(fd, self._files)
        if fd is not None and self._blocks:
            self._write_some = lambda data: self._files.write_now(fd, data)

    def release(self) -> int | None:
        """Write no more. Return the descriptor, which is still open."""
        fd, self.fd = self.fd, None
        self._write_some = None
        return fd

    def interrupt(self) -> None:
        """Break off a write whose reader does not read. Thread: any."""
        self._is_interrupted = True

    def position(self) -> int | None:
        """Return the offset of the next write; None if the output cannot be truncated to it."""
        if self.fd is None or not is_regular(self.fd, self._files):
            return None
        if self._files.is_append(self.fd):
            return self._files.fstat(self.fd).st_size
        return self._files.lseek(self.fd, 0, os.SEEK_CUR)

    def write(self, data: bytes) -> int | None:
        """Write all of `data`, or cut off what was written of it. Blocks.

        Returns:
            The position at which it begins, if there is one.

        Raises:
            OutputError: It was not written.
            ZenDaemonComponentException: It was interrupted. What was begun comes before the next.
        """
        assert self._write_some is not None
        begin = None
        rest = memoryview(self.unwritten + data if self.unwritten else data)
        try:
            begin = self.position()
            self._is_interrupted = False  # that one came too late
            while rest:
                if self._blocks and not self._may_write():
                    self._break_off(rest, len(data))
                try:
                    rest = rest[self._write_some(rest) :]
                except BlockingIOError:
                    if not self._blocks:
                        raise
            self.unwritten = b""
        except OSError as cause:
            written = max(0, len(data) - len(rest))
            left = 0 if self.take_back(begin, written) else written
            reader_left = isinstance(cause, BrokenPipeError)
            why = "its reader has left" if reader_left else reason(cause)
            raise OutputError(self._place, why, left, reader_left=reader_left) from cause
        return begin

    def _may_write(self) -> bool:
        """Wait until the output takes data. False: the wait was interrupted."""
        assert self.fd is not None
        while not self._files.wait_writable(self.fd, _LOOK_INTERVAL):
            if self._is_interrupted:
                return False
        return True

    def _break_off(self, rest: memoryview, size: int) -> None:
        """Fail an event of `size` bytes. What was begun is written before the next one."""
        self.unwritten = bytes(rest if len(rest) < size else rest[: len(rest) - size])
        raise ZenDaemonComponentException(
            f"The write to {self._place} was interrupted: its reader does not read."
        )

    def take_back(self, begin: int | None, written: int) -> bool:
        """Cut off the last `written` bytes of the file; return True if nothing of them is left."""
        if not written:
            return True
        if self.fd is None or begin is None:
            return False
        try:
            # If the file is longer than this writer made it, another program wrote to it: leave it.
            if self._files.fstat(self.fd).st_size != begin + written:
                return False
            self._files.ftruncate(self.fd, begin)
            self._files.lseek(self.fd, begin, os.SEEK_SET)
        except OSError:
            return False
        return True
