"""Expand globs as the module `glob` does, but so that each search ends, and with its errors.

`glob` follows links to directories for ever: one link to a directory above gives each file forty
names, two give it two to the power of forty. Here `**` enters each directory once, by a name
without links if there is one. And `glob` says nothing of directories that cannot be read.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat as stat_bits
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

_MAGIC = re.compile(r"[*?[]").search
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR}


class Entry(Protocol):
    """An entry of a directory, as `os.scandir` gives it."""

    @property
    def name(self) -> str:
        """The name in the directory."""
        ...

    def is_dir(self) -> bool:
        """Return True if it is a directory, or a link to one."""
        ...

    def is_symlink(self) -> bool:
        """Return True if it is a link."""
        ...


def expand(
    pattern: str,
    unreadable: dict[str, OSError] | None = None,
    *,
    lexists: Callable[[str], bool] = os.path.lexists,
    stat: Callable[[str], os.stat_result] = os.stat,
    scandir: Callable[[str], AbstractContextManager[Iterable[Entry]]] | None = None,
) -> list[str]:
    """Return the paths that match, spelled as the pattern is, each once, in no order.

    Args:
        pattern: `**` matches directories of any depth; hidden names match only hidden patterns.
        unreadable: Gets the error of each directory that could not be read.
        lexists: Tells as `os.path.lexists` does; with `stat` and `scandir` the files to search.
        stat: Describes a file as `os.stat` does.
        scandir: Lists a directory as `os.scandir` does.
    """
    root = pattern[: len(pattern) - len(pattern.lstrip("/"))]
    search = _Search({} if unreadable is None else unreadable, lexists, stat, scandir or os.scandir)
    parts = pattern.removeprefix(root).split("/")
    return list(dict.fromkeys(search.below(root, parts)))


class _Search:
    """One search.

    Args:
        unreadable: Gets the error of each directory that could not be read.
        lexists: As for `expand`.
        stat: As for `expand`.
        scandir: As for `expand`.
    """

    def __init__(
        self,
        unreadable: dict[str, OSError],
        lexists: Callable[[str], bool],
        stat: Callable[[str], os.stat_result],
        scandir: Callable[[str], AbstractContextManager[Iterable[Entry]]],
    ) -> None:
        self._unreadable = unreadable
        self._lexists = lexists
        self._stat = stat
        self._scandir = scandir

    def below(self, base: str, parts: list[str]) -> Iterator[str]:
        """Yield the paths below a directory that match the parts of a pattern.

        Args:
            base: The directory as the path begins, with its slash; "" is the current one.
            parts: Of the pattern, at its slashes; at least one.
        """
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from self._at_any_depth(base, rest)
        elif _MAGIC(part):
            for name, is_directory in self._names(base, part):
                if not rest:
                    yield base + name
                elif is_directory:
                    yield from self.below(f"{base}{name}/", rest)
        elif rest:
            yield from self.below(f"{base}{part}/", rest)
        elif base + part and self._lexists(base + part):
            yield base + part

    def _at_any_depth(self, base: str, rest: list[str]) -> Iterator[str]:
        """Yield the paths that match `**` and the parts behind it."""
        repeated = rest[:1] == ["**"]
        while rest[:1] == ["**"]:
            rest = rest[1:]
        if base and not rest and self._is_directory(base):
            yield base
        for directory in self._walk(base):
            if rest:
                yield from self.below(directory, rest)
                continue
            if repeated and directory:
                yield directory  # as `glob` does: "**/**" also matches "a/"
            yield from (directory + name for name, _ in self._names(directory, "*"))

    def _names(self, base: str, pattern: str) -> Iterator[tuple[str, bool]]:
        """Yield the names in a directory that match, and whether each is a directory."""
        entries = {entry.name: entry for entry in self._entries(base)}
        for name in fnmatch.filter(entries, pattern):
            if pattern.startswith(".") or not name.startswith("."):
                yield name, _is_directory(entries[name])

    def _walk(self, base: str) -> Iterator[str]:
        """Yield a directory and all below it, each once, and those behind links last."""
        entered: set[tuple[int, int]] = set()
        found, behind_links = deque([base]), deque[str]()
        while found or behind_links:
            directory = (found or behind_links).popleft()
            try:
                stat = self._stat(directory or ".")
            except OSError as cause:
                self._note(directory, cause)
                continue
            if (stat.st_dev, stat.st_ino) in entered:
                continue
            entered.add((stat.st_dev, stat.st_ino))
            yield directory
            for entry in sorted(self._entries(directory), key=lambda entry: entry.name):
                if not entry.name.startswith(".") and _is_directory(entry):
                    queue = behind_links if entry.is_symlink() else found
                    queue.append(f"{directory}{entry.name}/")

    def _is_directory(self, path: str) -> bool:
        try:
            return stat_bits.S_ISDIR(self._stat(path).st_mode)
        except (OSError, ValueError):
            return False

    def _entries(self, directory: str) -> list[Entry]:
        try:
            with self._scandir(directory or ".") as entries:
                return list(entries)
        except OSError as cause:
            self._note(directory, cause)
        return []

    def _note(self, directory: str, cause: OSError) -> None:
        if cause.errno not in _NOTHING_THERE:
            self._unreadable[directory.rstrip("/") or "/"] = cause


def _is_directory(entry: Entry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads round in circles, say
