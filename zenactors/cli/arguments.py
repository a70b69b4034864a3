"""Command lines by docopt, and what is wrong with those that it does not take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from docopt import DocoptExit, docopt

from zenactors.errors import did_you_mean

_OPTION = re.compile(r"^ +(?:-\w, )?(--[a-z-]+)(?: ([A-Z]+))?", re.MULTILINE)


class HelpShown(Exception):  # noqa: N818 - not an error
    """The command line asked for help or the version, which was written: nothing else to do."""


class UsageError(Exception):
    """A wrong command line.

    Attributes:
        usage: The lines of the help that show the right one.
    """

    def __init__(self, message: str, doc: str | None) -> None:
        super().__init__(message)
        self.usage = usage_of(doc or "")


def usage_of(doc: str) -> str:
    """Return the "Usage:" lines of a docopt text."""
    return "Usage:" + doc.partition("Usage:")[2].partition("\n\n")[0]


def parse(
    doc: str, argv: Sequence[str], *, version: str | None = None, options_first: bool = False
) -> dict[str, Any]:
    """Parse a command line by its docopt text.

    Raises:
        HelpShown: If it asks for help.
        UsageError: If it does not fit the text.
    """
    try:
        # By position, for docopt-ng and the type stubs of docopt name these differently.
        found: dict[str, Any] = docopt(doc, list(argv), True, version, options_first=options_first)  # noqa: FBT003
    except DocoptExit as cause:
        raise UsageError(_explain(doc, argv, options_first=options_first), doc) from cause
    except SystemExit as cause:
        raise HelpShown from cause
    return found


def choice(doc: str, option: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value` if it is allowed for this option; raise a `UsageError` otherwise."""
    if value not in allowed:
        *most, last = map(repr, allowed)
        expected = f"{', '.join(most)} or {last}" if most else last
        raise UsageError(
            f"{option} must be {expected}, not {value!r}{did_you_mean(value, allowed)}", doc
        )
    return value


def _explain(doc: str, argv: Sequence[str], *, options_first: bool) -> str:
    """Say what docopt does not: which word of the command line is wrong."""
    values = dict(_OPTION.findall(doc.partition("Usage:")[2].partition("\n\n")[2]))
    words = list(argv)
    given: list[str] = []
    positional: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--" or (positional and options_first):
            positional += words
            break
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        name, equals, _ = word.partition("=")
        # As docopt does, take the beginning of an option for the option.
        matches = [name] if name in values else [long for long in values if long.startswith(name)]
        if word.startswith("--") and len(matches) > 1:
            return f"option {name!r} may be {' or '.join(map(repr, matches))}"
        if not word.startswith("--") or not matches:
            return f"unknown option {name!r}{did_you_mean(name, values)}"
        name = matches[0]
        if name in given:
            return f"option {name!r} is given twice"
        given.append(name)
        if equals and not values[name]:
            return f"option {name!r} takes no value, but got {word!r}"
        if values[name] and not equals:
            if not words or words[0] == "--":
                return f"option {name!r} needs a value: {name} {values[name]}"
            words.pop(0)
    # The first word of a usage line is the program, then the command if there is one.
    expected = [
        word
        for word in re.sub(r"[\[\]]", "", usage_of(doc).splitlines()[1]).split()[1:]
        if word != "options"
    ]
    if len(positional) < len([word for word in expected if word != "ARGUMENT..."]):
        return f"{expected[len(positional)].removesuffix('...')} is missing"
    if positional[len(expected) :]:
        return f"unexpected argument {positional[len(expected)]!r}"
    return f"wrong arguments: {' '.join(argv)}"
