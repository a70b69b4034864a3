"""A file to which one process appends whole lines, so that a `kill -9` loses none of them.

It is open for the process's life and locked, so that no other program rewrites it meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components._replace_file import sync, sync_directory

MODE = 0o600  # of a new file: only its owner may read what events hold
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAX_REPLACED = 10  # times: whoever replaces the file more often while it is opened has a bug


class RecordFile:
    """An open, locked file.

    Args:
        path: The file. It is made with mode 0600 if it does not exist. A symbolic link is refused.
        files: The file system. Default: the machine's.

    Raises:
        OSError: It cannot be opened; its `filename` is the path. `BlockingIOError`: another process
            has it open.

    Thread: one at a time.
    """

    def __init__(self, path: str, files: Files | None = None) -> None:
        self.path = path
        self._files = files or SYSTEM_FILES
        self._fd: int | None = None
        self._is_torn = False
        self._is_synced = True  # the lines
        self._is_named = False  # the file's name
        self._open()

    def _open(self) -> None:
        for _ in range(_MAX_REPLACED):
            fd = self._files.open(self.path, _FLAGS, MODE)
            try:
                self._take(fd)
                if self._is_at_path(fd):  # else it was replaced before it was locked
                    self._fd = fd
                    self._is_named = False
                    return
            except BlockingIOError as cause:
                self._files.close(fd)
                raise BlockingIOError(
                    cause.errno, "Another program has it open", self.path
                ) from cause
            except BaseException:  # on any error, the descriptor is closed
                self._files.close(fd)
                raise
            self._files.close(fd)
        raise OSError(errno.EBUSY, "It is replaced again and again", self.path)

    def _take(self, fd: int) -> None:
        mode = self._files.fstat(fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):
            raise OSError(errno.EINVAL, "It is not a regular file", self.path)
        self._files.lock(fd)
        self._is_torn = False
        if stat.S_ISREG(mode) and self._files.lseek(fd, 0, os.SEEK_END):
            self._files.lseek(fd, -1, os.SEEK_END)
            self._is_torn = self._files.read(fd, 1) != b"\n"

    def _is_at_path(self, fd: int) -> bool:
        try:
            found = self._files.stat(self.path)
        except FileNotFoundError:
            return False
        except OSError:  # the path cannot be looked up now: go on with the open file
            return True
        mine = self._files.fstat(fd)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def append(self, line: bytes) -> None:
        """Write a line: when it returns, the system has all of it. If a line before is torn, mend.

        If the file was renamed or removed meanwhile, a new one is made at its path. If that fails,
        because another daemon has made it for itself, say, the old one is still written to.

        Raises:
            OSError: It was not written, or not all of it.
        """
        if self._fd is not None and not self._is_at_path(self._fd):
            self._replace(self._fd)
        if self._fd is None:
            self._open()
        fd = self._fd
        assert fd is not None
        data = b"\n" + line if self._is_torn else line
        written = 0
        try:
            while written < len(data):
                written += self._files.write(fd, data[written:])
        finally:
            if written:
                self._is_synced = False
                self._is_torn = data[written - 1 : written] != b"\n"

    def _replace(self, old: int) -> None:
        """Go on with a new file. If there is none to be had, go on with the old one."""
        before = self._is_torn, self._is_named
        try:
            self._open()
        except OSError:  # another daemon has it already, or one may not make it
            self._is_torn, self._is_named = before
            return
        if not self._is_synced:
            with contextlib.suppress(OSError):  # the new file is to be written nevertheless
                sync(old, self._files)
        self._is_synced = True
        with contextlib.suppress(OSError):
            self._files.close(old)

    def sync(self) -> None:
        """Bring the lines, and the file's name, to the disk. Blocks until that is done.

        Raises:
            OSError: It did not work.
        """
        if self._is_synced:
            return
        if not self._is_named:
            sync_directory(os.path.dirname(self.path) or ".", self._files)  # noqa: PTH120
            self._is_named = True
        self._sync_lines()

    def _sync_lines(self) -> None:
        if self._fd is not None and not self._is_synced:
            sync(self._fd, self._files)
            self._is_synced = True

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Put other lines in place of the file's content: all of them, or none.

        The file keeps its owner and mode. It stays locked until it is closed, and is not to be
        appended to. For the operating system's files only. Blocks until the disk has it.

        Raises:
            OSError: The file is unchanged.
        """
        assert self._fd is not None
        path = Path(self.path)
        mine = os.fstat(self._fd)
        if not stat.S_ISREG(mine.st_mode):  # a file would take the place of the device
            raise OSError(errno.EINVAL, "It is not a regular file", self.path)
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor
                file.writelines(lines)
                file.flush()
                os.fchmod(fd, stat.S_IMODE(mine.st_mode))
                if (mine.st_uid, mine.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(fd, mine.st_uid, mine.st_gid)
                os.fsync(fd)
            os.replace(name, path)  # noqa: PTH105 - symmetrical to mkstemp
        except BaseException:  # whatever it was, no half-written file remains
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise
        sync_directory(str(path.parent), self._files)

    def close(self) -> None:
        """Close and unlock it. A later `append` opens it again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                self._files.close(fd)
