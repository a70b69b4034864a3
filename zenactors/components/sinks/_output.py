"""Open files for writing, with errors that name the next step, and mend their ends."""

from __future__ import annotations

import json
import os
import stat as stat_bits
from typing import TYPE_CHECKING

from zenactors.advice import advice_for, reason
from zenactors.components._files import Files
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    from loguru import Logger

_MODE = 0o644
_LONGEST_END = 1 << 20  # bytes: a longer end without a line end is not cut off


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
    try:
        mode = files.fstat(fd).st_mode
    except OSError:  # a disk that fails: the write will say so
        return False
    if stat_bits.S_ISCHR(mode):
        return os.isatty(fd)
    return stat_bits.S_ISFIFO(mode) or stat_bits.S_ISSOCK(mode)


def is_regular(fd: int, files: Files) -> bool:
    """Return True if `fd` is a regular file, not a pipe, a terminal or a device."""
    return stat_bits.S_ISREG(files.fstat(fd).st_mode)


def read_output(path: str, inode: int, files: Files, begin: int, size: int) -> bytes | None:
    """Return `size` bytes of an output that is open only for writing; fewer at its end.

    None: the file at the path cannot be read, or its inode is another one.
    """
    try:
        fd = files.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if files.fstat(fd).st_ino != inode or not is_regular(fd, files):
            return None
        files.lseek(fd, begin, os.SEEK_SET)
        return files.read(fd, size)
    except OSError:
        return None
    finally:
        files.close(fd)


def repair_json_lines(fd: int, path: str, files: Files, log: Logger) -> None:
    r"""Let a file of JSON lines end with a line end, so that the next record is a line of its own.

    A crash in the middle of a write leaves the beginning of a record, and a power failure may leave
    zeros; they are cut off. Any other end that lacks only its line end gets one: a whole record, or
    a line that is no JSON object. At most `_LONGEST_END` bytes are cut off, and never a line end.

    Args:
        fd: The file, open for appending. If it is not a regular file, nothing happens.
        path: The path that leads to it.
        files: The file system.
        log: Gets a warning if the file is changed.

    Raises:
        OSError: It cannot be changed.
    """
    status = files.fstat(fd)
    if not stat_bits.S_ISREG(status.st_mode) or not status.st_size:
        return
    size = status.st_size
    if read_output(path, status.st_ino, files, size - 1, 1) in (b"\n", None):
        return
    block = (
        read_output(path, status.st_ino, files, max(0, size - _LONGEST_END), _LONGEST_END) or b""
    )
    end = block[block.rfind(b"\n") + 1 :]
    if len(end) < _LONGEST_END and _is_torn(end):
        files.ftruncate(fd, size - len(end))
        log.warning(
            "Cut {bytes} bytes off the end of {path}: a record that was not written completely",
            bytes=len(end),
            path=path,
        )
    else:
        _end_line(fd, path, files, log)


def end_last_line(fd: int, path: str, files: Files, log: Logger) -> None:
    """Let a text file end with a line end, so that the next line is one of its own.

    The arguments and errors are those of `repair_json_lines`.
    """
    status = files.fstat(fd)
    if stat_bits.S_ISREG(status.st_mode) and status.st_size:
        last = read_output(path, status.st_ino, files, status.st_size - 1, 1)
        if last not in (b"\n", None):
            _end_line(fd, path, files, log)


def _end_line(fd: int, path: str, files: Files, log: Logger) -> None:
    files.write(fd, b"\n")
    log.warning("The last line of {path} had no line end; added one", path=path)


def _is_torn(end: bytes) -> bool:
    """Return True if it is the beginning of a JSON object but not all of it, or only zeros."""
    text = end.strip(b"\0")
    if text[:1] != b"{":
        return not text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False
