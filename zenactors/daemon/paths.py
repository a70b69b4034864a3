"""The default directories of a daemon's files."""

from __future__ import annotations

import contextlib
import os
import pwd
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


def advice_without_home(paths: Mapping[str, str]) -> str:
    """Return the next step if this user's files have no place because it has no home directory.

    "" if it has one, or if the files are elsewhere.
    """
    state = _of_user().get("var")
    if state is None or paths["run"] != state or _home() or _given("XDG_STATE_HOME"):
        return ""
    return (
        f" User {os.geteuid()} has no home directory: set HOME or XDG_STATE_HOME to a directory of"
        " its own."
    )


def _of_user() -> dict[str, str]:
    if os.geteuid() == 0 or ROOT_VARIABLE in os.environ:
        return {}
    home = Path(_home() or "/")
    state = _given("XDG_STATE_HOME") or str(home / ".local/state")
    return {
        "bin": str(home / ".local/bin"),
        "cfg": _given("XDG_CONFIG_HOME") or str(home / ".config"),
        "var": state,
        "log": state,
        # Not XDG_RUNTIME_DIR: that is removed when the user logs out, and the daemon runs on.
        "run": state,
        "tmp": _given("TMPDIR") or "/tmp",  # noqa: S108 - the default directory
    }


def _home() -> str:
    """Return the user's home directory; "" if there is none, as in a container."""
    home = _given("HOME")
    if not home:
        with contextlib.suppress(KeyError):  # the system does not know the user
            home = pwd.getpwuid(os.geteuid()).pw_dir
    return "" if home == "/" or not home.startswith("/") else home


def _given(variable: str) -> str:
    """Return a variable's directory. A relative one is to be ignored, by the XDG specification."""
    directory = os.environ.get(variable, "")
    return directory if directory.startswith("/") else ""
