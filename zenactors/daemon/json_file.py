"""JSON files that are either whole or missing: the state and the runlogs."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from zenactors.config.redaction import json_text


def save_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """Write a value as JSON, whole or not at all. By default, only the owner may read the file.

    Args:
        path: The file. It is replaced; so is a symbolic link, and not its target. A device, a
            directory or a pipe is refused, because replacing one is never intended.
        value: Anything; see `plain`.
        mode: The file's permissions, whatever the umask.

    Raises:
        OSError: The file cannot be written, and is unchanged; `filename` is its path.
    """
    text = json_text(value)
    try:
        if not _may_be_replaced(path):
            raise OSError(errno.EINVAL, "It is not a regular file")
        _replace(path, text, mode)
    except OSError as cause:
        raise OSError(cause.errno, cause.strerror, str(path)) from cause


def _may_be_replaced(path: Path) -> bool:
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(found) or stat.S_ISLNK(found)


def _replace(path: Path, text: str, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - symmetrical to mkstemp
    except BaseException:  # whatever it was, no half-written file remains
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
