"""A SPEC's file: its tables, the line of each key, and the problems that are found in it.

Thread: main, before any other thread exists.
"""

from __future__ import annotations

import operator
import os
from pathlib import Path

from zenactors.config.places import KeyPath, line_of
from zenactors.config.sources import Layer, read_file
from zenactors.errors import ConfigurationError, did_you_mean
from zenactors.spec.importing import DANGER


def read_spec(path: Path, app_dir: Path) -> SpecFile:
    """Read a TOML file.

    Raises:
        ConfigurationError: It cannot be read, or is no TOML.
    """
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir() raises for a name too long
        raise ConfigurationError(f"{path} is a directory; SPEC must be a TOML file")
    layer = read_file(path, asked_by="", toml=True, danger=DANGER)
    if layer.problems:
        beside = () if os.path.exists(path) else names_beside(path)  # noqa: PTH110 - the same
        hint = did_you_mean(path, [name for name in beside if name.endswith(".toml")])
        raise ConfigurationError("\n".join(layer.problems) + hint)
    return SpecFile(path, layer, app_dir)


class SpecFile:
    """One TOML file that is being loaded. Problems are collected, not raised."""

    def __init__(self, path: Path, layer: Layer, app_dir: Path) -> None:
        self.path = path
        self.app_dir = app_dir
        self.data, self.lines = layer.data, layer.lines
        self.problems: list[tuple[int, str]] = []

    def add(self, path: KeyPath, problem: object) -> None:
        """Note a problem of a key."""
        self.problems.append((line_of(self.lines, path), str(problem)))

    def place(self, test: int, path: KeyPath) -> str:
        """Return the place of a key of a test."""
        return f"{self.path}:{line_of(self.lines, ('tests', test, *path))}"

    def report(self) -> str:
        """Return all problems, one line each."""
        # In the order of the file. The sort is stable: problems of one line keep their order.
        found = sorted(self.problems, key=operator.itemgetter(0))
        return "\n".join(f"{self.path}:{line}: {problem}" for line, problem in found)


def names_beside(path: Path) -> list[str]:
    """Return the paths in the directory of a path; none if it cannot be listed."""
    try:
        return [str(path.parent / beside.name) for beside in path.parent.iterdir()]
    except OSError:
        return []
