"""The interface between the stock components and the file system.

A simulation replaces it: it sets a component's attribute `files` before `setup`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import sys
from collections.abc import Callable
from typing import Protocol

from zenactors.components._glob import expand
from zenactors.components._mounts import is_network
from zenactors.components._watch import Watch, open_watch
from zenactors.core.daemon_api import Daemon

_NOT_WAITING: int | None = getattr(os, "RWF_NOWAIT", None)  # Linux; terminals do not know it
_AT_POSITION = -1  # of `pwritev`: write as `write` does
# Of a directory, or of a file system in which a file has only one name.
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)
STANDARD_OUTPUT = 1  # its descriptor, unless the program replaced `sys.stdout`


def located(path: str, daemon: Daemon) -> str:
    """Return a path as `daemon.resolve_path` does; unchanged by a test's daemon without it."""
    resolve: Callable[[str], str] = getattr(daemon, "resolve_path", str)
    return resolve(path)


class Files(Protocol):
    """The file operations of the stock components; names and errors are those of `os`.

    A component of yours with the class attribute `files: Files = SYSTEM_FILES`, that uses only
    these operations, gets a harness's or simulation's files, too.
    """

    def open(self, path: str, flags: int, mode: int = 0o777, /) -> int:
        """Open a file as `os.open` does; return the descriptor."""
        ...

    def close(self, fd: int, /) -> None:
        """Close a descriptor."""
        ...

    def read(self, fd: int, size: int, /) -> bytes:
        """Read up to `size` bytes; fewer are returned only at the end of the file."""
        ...

    def pread(self, fd: int, size: int, offset: int, /) -> bytes:
        """Read as `read` does, but from `offset` on; the position stays as it is."""
        ...

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        """Write; return how many bytes were written, which may be fewer than `data` has."""
        ...

    def write_now(self, fd: int, data: memoryview, /) -> int:
        """Write to a pipe, a socket or a terminal that accepts data, without waiting for more room.

        Raises:
            BlockingIOError: It accepts none by now.
        """
        ...

    def lseek(self, fd: int, offset: int, whence: int, /) -> int:
        """Set the position as `os.lseek` does; return it."""
        ...

    def ftruncate(self, fd: int, size: int, /) -> None:
        """Truncate an open file to `size` bytes."""
        ...

    def fsync(self, fd: int, /) -> None:
        """Write a file, or the entries of a directory, through to the disk; blocks until done.

        The descriptor of a directory is opened with `O_RDONLY | O_DIRECTORY`.
        """
        ...

    def fchmod(self, fd: int, mode: int, /) -> None:
        """Give an open file its permissions, whatever the umask."""
        ...

    def lock(self, fd: int, /) -> None:
        """Lock an open file for this descriptor alone, until it is closed or the process ends.

        Raises:
            BlockingIOError: Another descriptor has the lock, in this process or another one.
        """
        ...

    def fstat(self, fd: int, /) -> os.stat_result:
        """Return the status of an open file. `STANDARD_OUTPUT` counts as open."""
        ...

    def stat(self, path: str, /) -> os.stat_result:
        """Return the status of the file at a path; links are followed."""
        ...

    def lexists(self, path: str, /) -> bool:
        """Return True if a path exists, even as a broken link."""
        ...

    def realpath(self, path: str, /) -> str:
        """Return the absolute path without links and dots, as `os.path.realpath` does."""
        ...

    def entries(self, path: str, /) -> dict[str, int]:
        """Return the names in a directory, in any order, and the inode behind each.

        A link counts itself. At a mount point, the inode is that of the directory below.
        """
        ...

    def is_network(self, path: str, /) -> bool:
        """Return True if other machines may change the file without a hint to a `Watch` here."""
        ...

    def boot_id(self) -> str:
        """Return an identifier of this run of the operating system; "" if there is none.

        What is not synced by one run may be gone in the next.
        """
        ...

    def watch(self) -> Watch | None:
        """Return hints of changes in directories; None if there are none to be had here.

        The caller closes it.

        Raises:
            OSError: The system gives no more of them.
        """
        ...

    def rename(self, old: str, new: str, /) -> None:
        """Rename a file; it replaces a file that has the new name. Atomic."""
        ...

    def rename_exclusive(self, old: str, new: str, /) -> None:
        """Rename a file, and raise `FileExistsError` if anything has the new name.

        A process that dies meanwhile may leave the file with both names.
        """
        ...

    def remove(self, path: str, /) -> None:
        """Remove a file. Open descriptors can still use it."""
        ...

    def mkdir(self, path: str, mode: int = 0o777, /) -> None:
        """Make a directory and the missing ones above it, if it does not exist.

        `mode` is for the last one; the umask is taken off. Those above get the default.
        """
        ...

    def glob(self, pattern: str, unreadable: dict[str, OSError] | None = None, /) -> list[str]:
        """Return the paths that match, spelled as the pattern is, in any order.

        `**` matches directories of any depth, each of them once. `unreadable` gets the error of
        each directory that could not be read.
        """
        ...

    def is_append(self, fd: int, /) -> bool:
        """Return True if every write goes to the end of the file."""
        ...

    def set_blocking(self, fd: int, blocking: bool, /) -> None:  # noqa: FBT001 - as in `os`
        """Let reads and writes block, or fail with `BlockingIOError` instead."""
        ...

    def wait_writable(self, fd: int, timeout: float, /) -> bool:
        """Wait until a descriptor accepts data. False: `timeout` seconds were not enough."""
        ...

    def open_standard_output(self) -> tuple[int | None, Callable[[memoryview], int]] | None:
        """Flush standard output; return how to write to it.

        Returns:
            Its descriptor, or None if `sys.stdout` was replaced by an object without one; and a
            function that writes to it as `write` does. None if there is no standard output.
        """
        ...


class SystemFiles:
    """The file system of the operating system. Thread: any."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    read = staticmethod(os.read)
    pread = staticmethod(os.pread)
    write = staticmethod(os.write)
    lseek = staticmethod(os.lseek)
    ftruncate = staticmethod(os.ftruncate)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    fsync = staticmethod(os.fsync)
    fchmod = staticmethod(os.fchmod)
    rename = staticmethod(os.rename)
    remove = staticmethod(os.remove)
    lexists = staticmethod(os.path.lexists)
    is_network = staticmethod(is_network)
    watch = staticmethod(open_watch)
    set_blocking = staticmethod(os.set_blocking)

    glob = staticmethod(expand)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a directory and the missing ones above it, if it does not exist."""
        os.makedirs(path, mode, exist_ok=True)  # noqa: PTH103 - as all else here

    def boot_id(self) -> str:
        """Return the kernel's identifier of this run."""
        try:
            with open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 - as all else here
                return file.read().strip()
        except OSError:
            return ""

    def rename_exclusive(self, old: str, new: str) -> None:
        """Rename a file by making a second name of it, and removing the first."""
        try:
            os.link(old, new, follow_symlinks=False)
        except OSError as cause:
            if cause.errno not in _NO_LINKS:
                raise
            if self.lexists(new):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), old) from None
            os.rename(old, new)  # noqa: PTH104
        else:
            os.remove(old)  # noqa: PTH107

    def realpath(self, path: str) -> str:
        """Return the absolute path without links and dots."""
        return os.path.realpath(path)

    def entries(self, path: str) -> dict[str, int]:
        """List a directory, with the inode that it has for each name."""
        with os.scandir(path) as found:
            return {entry.name: entry.inode() for entry in found}

    def lock(self, fd: int) -> None:
        """Take the file's `flock`, which a process loses however it ends."""
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_append(self, fd: int) -> bool:
        """Return True if the descriptor has `O_APPEND`."""
        return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)

    def write_now(self, fd: int, data: memoryview) -> int:
        """Write what there is room for. The descriptor, which may be shared, still blocks."""
        if _NOT_WAITING is not None:
            try:
                return os.pwritev(fd, [data], _AT_POSITION, _NOT_WAITING)
            except BlockingIOError:
                raise
            except OSError as cause:
                if cause.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.ESPIPE):
                    raise
        return os.write(fd, data[: select.PIPE_BUF])  # so much does not wait if it is writable

    def wait_writable(self, fd: int, timeout: float) -> bool:
        """Wait until the descriptor accepts data, or has failed; at most `timeout` seconds."""
        waiting = select.poll()  # not `select`, which takes no descriptor above 1,023
        waiting.register(fd, select.POLLOUT)
        return bool(waiting.poll(timeout * 1000))

    def open_standard_output(self) -> tuple[int | None, Callable[[memoryview], int]] | None:
        """Flush `sys.stdout`; return its descriptor, if it has one, and a function that writes."""
        if sys.stdout is None:
            return None
        sys.stdout.flush()
        try:
            fd = sys.stdout.fileno()
        except (OSError, ValueError):  # replaced by an object without a descriptor, as in a test
            return None, _write_to_stream
        return fd, lambda data: self.write(fd, data)


def _write_to_stream(data: memoryview) -> int:
    written = sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return written


SYSTEM_FILES = SystemFiles()
"""The file system of the operating system, as `Files`."""
