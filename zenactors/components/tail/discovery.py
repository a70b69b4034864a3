"""Find the files that patterns match."""

from __future__ import annotations

import dataclasses
import errno
import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterable

from zenactors.components._files import Files, located
from zenactors.components.tail.identity import Identities, Identity
from zenactors.core.daemon_api import Daemon

_STANDARD_INPUT = "-"
_GLOB = frozenset("*?[")
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@dataclasses.dataclass(slots=True)
class Discovery:
    """The result of one search.

    Attributes:
        stats: The status of each existing path, sorted by path; directories and special files are
            among them.
        paths: The first path of each file: two paths to one file are one file.
        named: The paths named by patterns without glob characters.
        errors: The error of each named path that could not be examined.
        unmatched: The patterns with glob characters that match no path.
        unreadable: The error of each directory that a pattern leads to and that cannot be read.
        hidden: The paths that exist, perhaps, and could not be examined.
    """

    stats: dict[str, os.stat_result]
    paths: dict[Identity, str]
    named: frozenset[str]
    errors: dict[str, OSError]
    unmatched: list[str]
    unreadable: dict[str, OSError] = dataclasses.field(default_factory=dict)
    hidden: set[str] = dataclasses.field(default_factory=set)

    def may_hide(self, path: str) -> bool:
        """Return True if it is not known whether a path exists: it could not be looked at."""
        return path not in self.stats and (
            path in self.hidden
            or any(path.startswith(f"{directory.rstrip('/')}/") for directory in self.unreadable)
        )


def is_glob(pattern: str) -> bool:
    """Return True if the pattern may match several files."""
    return not _GLOB.isdisjoint(pattern)


def excluder(patterns: Iterable[str]) -> Callable[[str], object] | None:
    """Return a function that is true of the paths that one of the globs matches; None: none is."""
    globs = [fnmatch.translate(pattern) for pattern in patterns if is_glob(pattern)]
    return re.compile("|".join(globs)).match if globs else None


def discover(
    patterns: Iterable[str],
    files: Files,
    identities: Identities,
    is_excluded: Callable[[str], object] | None = None,
) -> Discovery:
    """Search for files. Never raises an `OSError`.

    Args:
        patterns: Globs as in a shell, `**` for any depth of directories. A pattern without glob
            characters names one file, and so does a pattern that is the name of a file.
        files: The file system.
        identities: Tell files apart.
        is_excluded: True of a path that is left out; None: none is.
    """
    named = frozenset(
        pattern for pattern in patterns if not is_glob(pattern) or _lexists(pattern, files)
    )
    paths = set(named)
    unmatched = []
    unreadable: dict[str, OSError] = {}
    for pattern in patterns:
        if pattern not in named:
            matches = _matches(pattern, files, unreadable)
            paths.update(matches)
            if not matches:
                unmatched.append(pattern)
    found = Discovery({}, {}, named, {}, unmatched, unreadable)
    for path in sorted(paths):
        if is_excluded is not None and is_excluded(path):
            continue
        try:
            stat = files.stat(path)
        except OSError as cause:
            if path in named:
                found.errors[path] = cause
            if cause.errno not in _NOTHING_THERE:
                found.hidden.add(path)
            continue  # a glob's match that was deleted since, or a broken link
        found.stats[path] = stat
        found.paths.setdefault(identities.of(stat, path), path)
    return found


def _lexists(path: str, files: Files) -> bool:
    try:
        return files.lexists(path)
    except OSError:  # a network file system does not answer
        return False


def _matches(pattern: str, files: Files, unreadable: dict[str, OSError]) -> list[str]:
    try:
        return files.glob(pattern, unreadable)
    except OSError as cause:  # a network file system does not answer
        unreadable[fixed_directory(pattern)] = cause
        return []


def fixed_directory(pattern: str) -> str:
    """Return the directory in which the first part of a pattern that is a glob is searched."""
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if is_glob(part):
            return "/".join(parts[:number]) or ("/" if number else ".")
    return "/".join(parts[:-1]) or ("/" if len(parts) > 1 else ".")


def located_patterns(patterns: Iterable[str], daemon: Daemon) -> list[str]:
    """Return patterns whose relative paths begin where the user who started the daemon was."""
    found = []
    for pattern in patterns:
        path = pattern if pattern == _STANDARD_INPUT else located(pattern, daemon)
        if is_glob(pattern):  # the directory in which the daemon was started is no pattern
            path = glob.escape(path.removesuffix(pattern)) + pattern
        found.append(path)
    return found
