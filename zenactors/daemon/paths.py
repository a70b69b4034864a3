"""Where a daemon's files are unless somebody says otherwise."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

ROOT_VARIABLE = "APP_ROOT_PATH"
"""The environment variable with the folder that relative resource paths are under; default: /."""

_OF_ROOT = {
    "bin": "usr/local/bin",
    "cfg": "etc",
    "var": "var",
    "log": "var/log",
    "run": "var/run",
    "tmp": "var/tmp",
}


def resource_path(path: str, *more: str) -> str:
    """Return a path under the application's root folder; an absolute one stays as it is."""
    return str(Path(os.environ.get(ROOT_VARIABLE, "/"), path, *more))


def default_paths(given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the folder for each kind of file.

    Root's daemons have the system's folders. Other users cannot write there, so theirs have the
    folders of the XDG base directory specification, unless `APP_ROOT_PATH` is set.

    Args:
        given: The folders that the program chooses, by kind; relative ones are resource paths.
    """
    of_user = _of_user()
    return {
        kind: resource_path(given.get(kind) or of_user.get(kind) or folder)
        for kind, folder in _OF_ROOT.items()
    }


def make_user_folders(paths: Mapping[str, str]) -> None:
    """Make those of an ordinary user's own folders that are not there (0700), as XDG wants it.

    What cannot be made is told by whoever needs it. The system's folders are for root to make.
    """
    of_user = _of_user()
    for kind in ("log", "run"):
        if paths[kind] == of_user.get(kind):
            with contextlib.suppress(OSError):
                Path(paths[kind]).mkdir(mode=0o700, parents=True, exist_ok=True)


def _of_user() -> dict[str, str]:
    if os.geteuid() == 0 or ROOT_VARIABLE in os.environ:
        return {}
    home = Path(os.environ.get("HOME") or "/")
    state = os.environ.get("XDG_STATE_HOME") or str(home / ".local/state")
    return {
        "bin": str(home / ".local/bin"),
        "cfg": os.environ.get("XDG_CONFIG_HOME") or str(home / ".config"),
        "var": state,
        "log": state,
        "run": os.environ.get("XDG_RUNTIME_DIR") or state,
        "tmp": os.environ.get("TMPDIR") or "/tmp",  # noqa: S108 - the folder that is meant
    }
