"""From patterns to paths, and what stands at each path right now."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

from zenactors.components._files import Files
from zenactors.components.tail.identity import Identity, identity_of

_GLOB = frozenset("*?[")


@dataclasses.dataclass(slots=True)
class Discovery:
    """What one look at the patterns found.

    Attributes:
        stats: For each path with something at it, what it is; sorted by path. Folders
            and other special files are among them.
        paths: The first path of each file: two paths to one file are one file.
        named: The paths that a pattern without glob characters named.
        errors: Why nothing was found at a named path.
        unmatched: The patterns with glob characters that match nothing.
    """

    stats: dict[str, os.stat_result]
    paths: dict[Identity, str]
    named: frozenset[str]
    errors: dict[str, OSError]
    unmatched: list[str]


def is_glob(pattern: str) -> bool:
    """Return True if the pattern may stand for several files."""
    return not _GLOB.isdisjoint(pattern)


def discover(patterns: Iterable[str], files: Files) -> Discovery:
    """Look for files. Never raises an `OSError`.

    Args:
        patterns: Globs as in a shell, `**` for any depth of folders; a pattern without
            glob characters names one file, and so does one that is the name of a file.
        files: Where to look.
    """
    named = frozenset(
        pattern for pattern in patterns if not is_glob(pattern) or files.lexists(pattern)
    )
    paths = set(named)
    unmatched = []
    for pattern in patterns:
        if pattern not in named:
            matches = files.glob(pattern)
            paths.update(matches)
            if not matches:
                unmatched.append(pattern)
    found = Discovery({}, {}, named, {}, unmatched)
    for path in sorted(paths):
        try:
            stat = files.stat(path)
        except OSError as cause:
            if path in named:
                found.errors[path] = cause
            continue  # a glob's match that is gone again, or a link to nowhere
        found.stats[path] = stat
        found.paths.setdefault(identity_of(stat), path)
    return found
