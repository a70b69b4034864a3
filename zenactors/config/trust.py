"""Which files root must not trust: who can write what root obeys is root.

Thread: any.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def who_else_can_write(found: os.stat_result) -> str:
    """Say why root must not trust what `stat` found; an empty string if it may, or is not root."""
    if os.geteuid() != 0:
        return ""
    trusted = {"0", os.environ.get("SUDO_UID", "0")}  # who may use sudo is root anyway
    if str(found.st_uid) not in trusted:
        return f"belongs to user {found.st_uid}"
    # Root's own group is as trusted as root: with umask 002 all its files are writable for it.
    others = stat.S_IWOTH if found.st_gid == 0 else stat.S_IWGRP | stat.S_IWOTH
    if found.st_mode & others:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def refusal(path: Path, found: os.stat_result, danger: str) -> str:
    """Say, with the remedy, why root must not use a file; empty if it may, or is not root.

    Args:
        path: The file, for the message.
        found: Its `stat`; of the open file, if it was opened, so that nobody swaps it meanwhile.
        danger: What trusting it could lead to, as the end of a sentence.
    """
    reason = who_else_can_write(found)
    return reason and (
        f"{path} {reason}, and {danger}; use: chown root {path} && chmod go-w {path}"
    )
