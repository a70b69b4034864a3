"""Opening files to write to, with errors that say what to do."""

from __future__ import annotations

import errno
import os
import stat as stat_bits

from zenactors.components._files import Files
from zenactors.errors import ZenDaemonComponentException

_MODE = 0o644


def open_output(path: str, files: Files, *, append: bool = True) -> int:
    """Open a file for writing at its end, making it if need be. Returns the descriptor.

    Raises:
        ZenDaemonComponentException: It cannot be opened; the message names path and next step.
    """
    # O_APPEND also without `append`: whoever empties the file later leaves no hole in it.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | (0 if append else os.O_TRUNC)
    try:
        # O_NONBLOCK: a named pipe that nobody reads is an error here, not an endless wait.
        fd = files.open(path, flags | os.O_NONBLOCK, _MODE)
    except OSError as cause:
        raise ZenDaemonComponentException(
            f"Cannot write to {path}: {cause.strerror}. {_advice(path, cause)}", path=path
        ) from cause
    files.set_blocking(fd, True)
    return fd


def is_regular(fd: int, files: Files) -> bool:
    """Return True if `fd` is a regular file, not a pipe, a terminal or a device."""
    return stat_bits.S_ISREG(files.fstat(fd).st_mode)


def _advice(path: str, cause: OSError) -> str:
    folder = os.path.dirname(path) or "."  # noqa: PTH120 - the path as the user spelled it
    match cause.errno:
        case errno.ENOENT:
            return f"Make the folder first: mkdir -p {folder}"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "Give this process's user the right to write there, or choose another path."
        case errno.EISDIR:
            return "It is a folder: name a file in it."
        case errno.ENXIO:
            return "It is a pipe that nobody reads: start its reader first."
        case _:
            return "Check the path and the file system."
