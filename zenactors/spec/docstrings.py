"""Split docstrings into their text and their sections, which have Google's style.

Pure functions of texts; any thread.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields", "Promises", "Example")

_HEADING = re.compile(rf"({'|'.join(SECTIONS)}):")


class Docstring(NamedTuple):
    """A docstring, taken apart.

    Attributes:
        text: What is in no section, with its paragraphs.
        sections: The content of each section, without its indentation.
    """

    text: str
    sections: dict[str, str]

    def entries(self, section: str) -> dict[str, str]:
        """Return the entries of a section, such as `Args`, by name."""
        found = {}
        for entry in re.split(r"\n(?=\S)", self.sections.get(section, "")):
            name, colon, text = entry.partition(": ")
            if colon:
                found[name.lstrip("*")] = " ".join(text.split())
        return found


def split(docstring: str | None) -> Docstring:
    """Take a docstring apart; None is an empty one, as under `python -OO`."""
    lines: dict[str, list[str]] = {"": []}
    section = ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        if found := _HEADING.fullmatch(line):
            section = found[1]
            continue
        if line and not line.startswith(" "):
            section = ""
        lines.setdefault(section, []).append(line)
    text = "\n".join(lines.pop("")).strip("\n")
    return Docstring(
        text, {name: inspect.cleandoc("\n".join(["", *each])) for name, each in lines.items()}
    )
