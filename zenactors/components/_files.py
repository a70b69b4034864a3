"""The seam between the stock components and the system's files.

Whoever runs a component under a simulation sets its attribute `files` before `setup`.
"""

from __future__ import annotations

import fcntl
import glob
import os
import select
import sys
from collections.abc import Callable
from typing import Protocol

STANDARD_OUTPUT = 1  # its descriptor, unless a program put something else in the place


class Files(Protocol):
    """What the stock components need of a file system: named as in `os`, with its errors."""

    def open(self, path: str, flags: int, mode: int = 0o777, /) -> int:
        """Open a file as `os.open` does; returns the descriptor."""
        ...

    def close(self, fd: int, /) -> None:
        """Close a descriptor."""
        ...

    def read(self, fd: int, size: int, /) -> bytes:
        """Read up to `size` bytes; none are left if fewer come."""
        ...

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        """Write; returns how many bytes were taken, which may be fewer than there are."""
        ...

    def lseek(self, fd: int, offset: int, whence: int, /) -> int:
        """Set the position, as `os.lseek` does; returns it."""
        ...

    def ftruncate(self, fd: int, size: int, /) -> None:
        """Cut an open file off at `size` bytes."""
        ...

    def fstat(self, fd: int, /) -> os.stat_result:
        """Describe an open file. `STANDARD_OUTPUT` counts as open."""
        ...

    def stat(self, path: str, /) -> os.stat_result:
        """Describe what stands at a path."""
        ...

    def lexists(self, path: str, /) -> bool:
        """Return True if something stands at a path, be it a link to nowhere."""
        ...

    def glob(self, pattern: str, /) -> list[str]:
        """Return what matches, spelled as the pattern is, in any order; `**` is any depth."""
        ...

    def is_append(self, fd: int, /) -> bool:
        """Return True if every write goes to the file's end."""
        ...

    def set_blocking(self, fd: int, blocking: bool, /) -> None:  # noqa: FBT001 - as in `os`
        """Let reads and writes wait, or fail with `BlockingIOError`."""
        ...

    def wait_writable(self, fd: int, /) -> None:
        """Wait until a descriptor takes something."""
        ...

    def open_standard_output(self) -> tuple[int | None, Callable[[memoryview], int]] | None:
        """Let out what was printed before; returns how to write behind it.

        Returns:
            Its descriptor, or None if an object without one stands in its place; and what
            writes to it, as `write` does. None if there is no standard output at all.
        """
        ...


class SystemFiles:
    """The machine's own files. Thread: any."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    read = staticmethod(os.read)
    write = staticmethod(os.write)
    lseek = staticmethod(os.lseek)
    ftruncate = staticmethod(os.ftruncate)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    lexists = staticmethod(os.path.lexists)
    set_blocking = staticmethod(os.set_blocking)

    def glob(self, pattern: str) -> list[str]:
        """Return what matches, as `glob.glob` finds it."""
        return glob.glob(pattern, recursive=True)  # noqa: PTH207 - a path stays as the pattern spells it

    def is_append(self, fd: int) -> bool:
        """Return True if the descriptor has `O_APPEND`."""
        return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)

    def wait_writable(self, fd: int) -> None:
        """Wait, without a limit, until the descriptor takes something."""
        select.select([], [fd], [])

    def open_standard_output(self) -> tuple[int | None, Callable[[memoryview], int]] | None:
        """Flush `sys.stdout`; returns its descriptor, if it has one, and what writes to it."""
        if sys.stdout is None:
            return None
        sys.stdout.flush()
        try:
            fd = sys.stdout.fileno()
        except (OSError, ValueError):  # an object in its place, as in a test
            return None, _write_to_stream
        return fd, lambda data: self.write(fd, data)


def _write_to_stream(data: memoryview) -> int:
    written = sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return written


SYSTEM_FILES = SystemFiles()
