"""Open a log file as root safely, even in a directory where other users can write.

Without care, a symbolic link that another user has put there would make root write to any file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

MODE = 0o640  # of a new file, before the umask
MAX_LINKS = 40  # as many as Linux follows
_FILE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_log_file(path: Path) -> int:
    """Open a file for appending and return its descriptor. Create the file, but no directory.

    A directory is trusted if it belongs to root or to this process's user, and no other user can
    write to it. In any other directory symbolic links are not followed, and the file must be a
    regular file of this user with a single name.

    Args:
        path: An absolute path.

    Raises:
        OSError: The file cannot be opened; its `filename` is `path`.

    Thread: any.
    """
    try:
        return _walk(path)
    except OSError as cause:
        raise OSError(cause.errno, cause.strerror, str(path)) from cause


def _walk(path: Path) -> int:
    """Open one directory after another, so none can be replaced after it was checked."""
    with contextlib.ExitStack() as opened:

        def enter(name: str, within: int | None = None) -> int:
            inner = os.open(name, _DIRECTORY, dir_fd=within)
            opened.callback(os.close, inner)
            return inner

        directory = enter("/")
        left = list(reversed(path.parts[1:]))
        links = 0
        while left:
            name = left.pop()
            target = _target(name, directory)
            # Only the kernel can follow a link to a pipe, which /dev/stdout may lead to.
            is_pipe = target is not None and target.startswith("pipe:[")
            if target is not None and not is_pipe:
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if not _is_trusted(directory):
                    raise PermissionError(
                        errno.EPERM,
                        f"{name!r} is a symbolic link in a directory where others can write",
                    )
                if target.startswith("/"):
                    directory = enter("/")
                left.extend(part for part in reversed(Path(target).parts) if part != "/")
            elif left:
                directory = enter(name, directory)
            else:
                return _open_in(directory, name, follow=is_pipe)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _target(name: str, directory: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:  # not a link, or missing: opening it will report an error
        return None


def _is_trusted(directory: int) -> bool:
    found = os.stat(directory)
    us = (0, os.geteuid())
    # A group with the same number as the user is taken for that user's private group.
    others = stat.S_IWOTH if found.st_gid in us else stat.S_IWOTH | stat.S_IWGRP
    return found.st_uid in us and not found.st_mode & others


def _open_in(directory: int, name: str, *, follow: bool) -> int:
    # _FILE has O_NONBLOCK: without it, opening a named pipe waits for a reader.
    fd = os.open(name, _FILE | (0 if follow else os.O_NOFOLLOW), MODE, dir_fd=directory)
    try:
        found = os.fstat(fd)
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
        if not ours and not _is_trusted(directory):
            raise PermissionError(
                errno.EPERM, "It may be another user's, in a directory where others can write"
            )
        os.set_blocking(fd, True)
    except BaseException:  # on any error, no caller gets the descriptor
        os.close(fd)
        raise
    return fd
