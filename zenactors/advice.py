"""From an `OSError` to the next step: the last sentence of an error text.

An error text has three facts: the value, the place, and the next step. The system names the
first two; this module knows the third. Thread: any.
"""

from __future__ import annotations

import errno
import os
from typing import Literal

_TO_READ = "Give this user permission to read it"
_TO_WRITE = "Give this user permission to write there"
_ADVICE: dict[int, str | dict[str, str]] = {
    errno.ENOENT: {"write": "Create the directory {directory} first"},
    errno.ENOTDIR: {"write": "Choose a path whose parents are all directories"},
    errno.EACCES: {"read": _TO_READ, "write": _TO_WRITE},
    errno.EPERM: {"read": _TO_READ, "write": _TO_WRITE},
    errno.EROFS: {"write": "Mount the file system writable"},
    errno.EISDIR: {"write": "Give the path of a file, not of a directory"},
    errno.EINVAL: {"write": "Remove what is there"},
    errno.ENXIO: {"write": "Start the reader of this pipe first"},
    errno.ENOSPC: {"write": "Free some space"},
    errno.EDQUOT: {"write": "Free some space"},
    errno.EMFILE: "Raise the limit of open files (ulimit -n)",
    errno.ENFILE: "Raise the system's limit of open files (sysctl fs.file-max)",
    errno.EIO: "Check the disk and the system's log",
}
"""For reading, for writing, or for both: without a full stop."""


def reason(cause: OSError) -> str:
    """Return what went wrong, in the system's words."""
    return cause.strerror or str(cause)


def advice_for(
    cause: OSError,
    path: str | os.PathLike[str],
    access: Literal["read", "write"],
    otherwise: str = "Check the path and the file system",
) -> str:
    """Return the next step after an error of a file, without a full stop.

    Args:
        cause: The error of opening, reading or writing it.
        path: The file, as the user spelled it.
        access: The purpose of opening it.
        otherwise: The advice for an error that is not known here.
    """
    known = _ADVICE.get(cause.errno or 0, {})
    advice = known if isinstance(known, str) else known.get(access)
    if advice is None:
        return otherwise
    directory = os.path.dirname(os.fspath(path)) or "."  # noqa: PTH120 - as the user spelled it
    return advice.format(directory=directory)
