"""From an `OSError` to the next step: the last sentence of an error text.

An error text has three facts: the value, the place, and the next step. The system names the
first two; this module knows the third. Thread: any.
"""

from __future__ import annotations

import errno
import os

_WRITING = {
    errno.ENOENT: "Create the directory {directory} first",
    errno.ENOTDIR: "Choose a path whose parents are all directories",
    errno.EACCES: "Give this user permission to write there",
    errno.EPERM: "Give this user permission to write there",
    errno.EROFS: "Mount the file system writable",
    errno.EISDIR: "Give the path of a file, not of a directory",
    errno.EINVAL: "Remove what is there",
    errno.ENXIO: "Start the reader of this pipe first",
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space",
    errno.EMFILE: "Raise the limit of open files (ulimit -n)",
    errno.ENFILE: "Raise the system's limit of open files (sysctl fs.file-max)",
    errno.EIO: "Check the disk and the system's log",
}
"""What to do about a path that cannot be written, without a full stop."""


def reason(cause: OSError) -> str:
    """Return what went wrong, in the system's words."""
    return cause.strerror or str(cause)


def advice_for_writing(
    cause: OSError, path: str | os.PathLike[str], otherwise: str = "Check the path"
) -> str:
    """Return the next step after a failed write, without a full stop.

    Args:
        cause: The error of the write.
        path: The file that cannot be written.
        otherwise: The advice for an error that is not known here.
    """
    known = _WRITING.get(cause.errno or 0)
    if known is None:
        return otherwise
    directory = os.path.dirname(os.fspath(path)) or "."  # noqa: PTH120 - as the user spelled it
    return known.format(directory=directory)
