"""JSON files that are either whole or missing: the state and the runlogs."""

from __future__ import annotations

import errno
import secrets
import stat
from pathlib import Path
from typing import Any

from zenactors.components._files import SYSTEM_FILES
from zenactors.components._replace_file import replace_file
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
        # Its name cannot be foreseen: the directory may be one that others write to.
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        replace_file(str(path), text.encode(), SYSTEM_FILES, aside=str(aside), mode=mode)
    except OSError as cause:
        raise OSError(cause.errno, cause.strerror, str(path)) from cause


def _may_be_replaced(path: Path) -> bool:
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(found) or stat.S_ISLNK(found)
