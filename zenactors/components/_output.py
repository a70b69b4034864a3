"""Open files for writing, with errors that name the next step."""

from __future__ import annotations

import os
import stat as stat_bits

from zenactors.advice import advice_for, reason
from zenactors.components._files import Files
from zenactors.errors import ZenDaemonComponentException

_MODE = 0o644


def open_output(path: str, files: Files, *, append: bool = True) -> int:
    """Open a file for writing at its end, creating it if necessary. Return the descriptor.

    Raises:
        ZenDaemonComponentException: It cannot be opened; the message names path and next step.
    """
    # O_APPEND even without `append`: if the file is truncated later, writes leave no hole in it.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | (0 if append else os.O_TRUNC)
    try:
        # O_NONBLOCK: a named pipe without a reader is an error here, not an endless wait.
        fd = files.open(path, flags | os.O_NONBLOCK, _MODE)
    except OSError as cause:
        advice = advice_for(cause, path, "write")
        raise ZenDaemonComponentException(
            f"Cannot write to {path}: {reason(cause)}. {advice}.", path=path
        ) from cause
    files.set_blocking(fd, True)
    return fd


def can_block(fd: int, files: Files) -> bool:
    """Return True if a write to `fd` may wait for a reader: to a pipe, a socket, or a terminal."""
    mode = files.fstat(fd).st_mode
    if stat_bits.S_ISCHR(mode):
        return os.isatty(fd)
    return stat_bits.S_ISFIFO(mode) or stat_bits.S_ISSOCK(mode)


def is_regular(fd: int, files: Files) -> bool:
    """Return True if `fd` is a regular file, not a pipe, a terminal or a device."""
    return stat_bits.S_ISREG(files.fstat(fd).st_mode)
