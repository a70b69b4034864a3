"""Replace a file as a whole: after a crash it has its old content or its new one. Any thread."""

# ruff: noqa: PTH120 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from zenactors.components._files import Files

_ASIDE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # of a device, or a file system that cannot do it


def replace_file(
    path: str,
    data: bytes,
    files: Files,
    *,
    aside: str,
    mode: int = 0o600,
    confirm: Callable[[], None] | None = None,
) -> None:
    """Write a file aside, sync it, put it in place of the old one, and sync the directory.

    Blocks until the disk has it.

    Args:
        path: The file. It is replaced; so is a symbolic link, and not its target.
        data: Its new content.
        files: The file system.
        aside: The file that is written first, in the same directory. It must not exist.
        mode: The file's permissions, whatever the umask.
        confirm: Called just before the old file is replaced; what it raises prevents that.

    Raises:
        OSError: It did not work. The old file is unchanged and no file is left aside, unless only
            the directory could not be synced: then the new content may be lost in a crash.
    """
    descriptor = files.open(aside, _ASIDE, mode)
    try:
        try:
            files.fchmod(descriptor, mode)
            rest = memoryview(data)
            while rest:
                rest = rest[files.write(descriptor, rest) :]
            files.fsync(descriptor)
        finally:
            files.close(descriptor)
        if confirm is not None:
            confirm()
        files.rename(aside, path)
    except BaseException:  # whatever it was, no half-written file remains
        with contextlib.suppress(OSError):
            files.remove(aside)
        raise
    sync_directory(os.path.dirname(path) or ".", files)


def make_directory(path: str, files: Files, mode: int = 0o777) -> None:
    """Make a directory and those above it, if missing. Their names are on the disk then. Blocks.

    Args:
        path: The directory.
        files: The file system.
        mode: The permissions of the last one.

    Raises:
        OSError: It did not work.
    """
    missing, there = [], path
    while not files.lexists(there):
        missing.append(there)
        there = os.path.dirname(there) or "."
    files.mkdir(path, mode)
    for directory in missing:
        # One may make a directory in another that one may not list.
        with contextlib.suppress(PermissionError):
            sync_directory(os.path.dirname(directory) or ".", files)


def sync_directory(path: str, files: Files) -> None:
    """Write a directory's entries through to the disk. Blocks until done.

    Raises:
        OSError: It did not work.
    """
    descriptor = files.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor, files)
    finally:
        files.close(descriptor)


def sync(descriptor: int, files: Files) -> None:
    """Write a file, or a directory's entries, through to the disk, if that can be done at all.

    Blocks until done.

    Raises:
        OSError: It did not work.
    """
    try:
        files.fsync(descriptor)
    except OSError as cause:
        if cause.errno not in _NO_SYNC:
            raise
