"""Find the files that patterns match."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

from zenactors.components._files import Files
from zenactors.components.tail.identity import Identity, identity_of

_GLOB = frozenset("*?[")


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
    """

    stats: dict[str, os.stat_result]
    paths: dict[Identity, str]
    named: frozenset[str]
    errors: dict[str, OSError]
    unmatched: list[str]
    unreadable: dict[str, OSError] = dataclasses.field(default_factory=dict)

    def may_hide(self, path: str) -> bool:
        """Return True if a path was not looked for, because its directory cannot be searched."""
        return path not in self.stats and any(
            path.startswith(f"{directory.rstrip('/')}/") for directory in self.unreadable
        )


def is_glob(pattern: str) -> bool:
    """Return True if the pattern may match several files."""
    return not _GLOB.isdisjoint(pattern)


def discover(patterns: Iterable[str], files: Files) -> Discovery:
    """Search for files. Never raises an `OSError`.

    Args:
        patterns: Globs as in a shell, `**` for any depth of directories. A pattern without glob
            characters names one file, and so does a pattern that is the name of a file.
        files: The file system.
    """
    named = frozenset(
        pattern for pattern in patterns if not is_glob(pattern) or files.lexists(pattern)
    )
    paths = set(named)
    unmatched = []
    unreadable: dict[str, OSError] = {}
    for pattern in patterns:
        if pattern not in named:
            matches = files.glob(pattern, unreadable)
            paths.update(matches)
            if not matches:
                unmatched.append(pattern)
    found = Discovery({}, {}, named, {}, unmatched, unreadable)
    for path in sorted(paths):
        try:
            stat = files.stat(path)
        except OSError as cause:
            if path in named:
                found.errors[path] = cause
            continue  # a glob's match that was deleted since, or a broken link
        found.stats[path] = stat
        found.paths.setdefault(identity_of(stat), path)
    return found
