"""Places in a configuration: the path of a key, its line in a text, and errors at a line.

Pure data and functions; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""The keys that lead to a value; of an array, the index counts from 0."""


class TextError(ValueError):
    """A text does not follow its format.

    Attributes:
        problems: For each problem the line and the column, both from 1, and a description.
    """

    def __init__(self, problems: list[tuple[int, int, str]]) -> None:
        super().__init__(problems[0][-1])
        self.problems = problems


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of `path` or, if it is not in the text, of the nearest table around it."""
    while path not in lines:
        path = path[:-1]
    return lines[path]
