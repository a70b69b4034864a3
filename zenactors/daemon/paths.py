"""The default directories of a daemon's files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

ROOT_VARIABLE = "APP_ROOT_PATH"
"""The environment variable with the directory that relative resource paths are under."""

_OF_ROOT = {
    "bin": "usr/local/bin",
    "cfg": "etc",
    "var": "var",
    "log": "var/log",
    "run": "var/run",
    "tmp": "var/tmp",
}


def current_directory() -> Path | None:
    """Return the current directory; None if it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def resource_path(path: str, *more: str) -> str:
    """Return a path under the application's root directory (default: /).

    An absolute path stays as it is.
    """
    return str(Path(os.environ.get(ROOT_VARIABLE, "/"), path, *more))


def default_paths(given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the directory for each kind of file.

    Root's daemons use the system's directories. Other users cannot write there, so theirs use
    the directories of the XDG base directory specification, unless `APP_ROOT_PATH` is set.

    Args:
        given: The directories that the program chooses, by kind. Relative ones are resource
            paths.
    """
    of_user = _of_user()
    return {
        kind: resource_path(given.get(kind) or of_user.get(kind) or directory)
        for kind, directory in _OF_ROOT.items()
    }


def make_user_directories(paths: Mapping[str, str]) -> None:
    """Make an ordinary user's own directories if they are missing (0700), as XDG demands.

    That includes missing parents, `~/.local` say, whatever the umask. A failure is not reported
    here: the first file that needs the directory reports it. Root makes the system's directories.
    """
    of_user = _of_user()
    for kind in ("log", "run"):
        if paths[kind] == of_user.get(kind):
            with contextlib.suppress(OSError):
                _make_private(Path(paths[kind]))


def _make_private(directory: Path) -> None:
    # mkdir(parents=True) would give the parents the mode that the umask happens to leave.
    for each in (*reversed(directory.parents), directory):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=0o700)


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
        "tmp": os.environ.get("TMPDIR") or "/tmp",  # noqa: S108 - the default directory
    }
