"""The next step after an `OSError` on a file, for the end of an error message."""

from __future__ import annotations

import errno
import os
from typing import Literal

_ANY = {
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or use fewer files",
    errno.ENFILE: "Raise the system's limit of open files (sysctl fs.file-max)",
    errno.EIO: "Check the disk and the system's log",
}
_READ = dict.fromkeys(
    (errno.EACCES, errno.EPERM),
    "Give this process's user permission to read it, or leave it out of the patterns",
)
_WRITE = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "Give this process's user permission to write there, or choose another path",
    ),
    errno.ENOENT: "Make the directory first: mkdir -p {directory}",
    errno.EISDIR: "It is a directory: name a file in it",
    errno.ENXIO: "It is a pipe without a reader: start its reader first",
}


def advice_for(cause: OSError, path: str, access: Literal["read", "write"]) -> str:
    """Return the next step, without a full stop.

    Args:
        cause: The error of opening, reading or writing the file.
        path: The file, as the user spelled it.
        access: The purpose of opening it.
    """
    advice = _ANY | (_READ if access == "read" else _WRITE)
    directory = os.path.dirname(path) or "."  # noqa: PTH120 - the path as the user spelled it
    return advice.get(cause.errno or 0, "Check the path and the file system").format(
        directory=directory
    )
