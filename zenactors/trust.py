"""Decide which files root must not trust.

A user who can write a file that root obeys has the power of root. Thread: any.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def who_else_can_write(found: os.stat_result) -> str:
    """Return why root must not trust a file; empty if it may, or this process is not root."""
    if os.geteuid() != 0:
        return ""
    trusted = {"0", os.environ.get("SUDO_UID", "0")}  # a user of sudo is root anyway
    if str(found.st_uid) not in trusted:
        return f"belongs to user {found.st_uid}"
    # Root's group is trusted as root is: with umask 002 it can write all of root's files.
    others = stat.S_IWOTH if found.st_gid == 0 else stat.S_IWGRP | stat.S_IWOTH
    if found.st_mode & others:
        return f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    return ""


def refusal(path: Path, found: os.stat_result, danger: str) -> str:
    """Return why root must not use a file, with the remedy; empty if it may, or is not root.

    Args:
        path: The file, for the message.
        found: Its `stat`. For an open file its `fstat`: the path may lead to another file by now.
        danger: The danger of trusting it, as the end of a sentence.
    """
    reason = who_else_can_write(found)
    return reason and (
        f"{path} {reason}, and {danger}; use: chown root {path} && chmod go-w {path}"
    )
