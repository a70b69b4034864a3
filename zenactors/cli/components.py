"""List the components of the library, or describe one of them."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.cli.output import write, write_error
from zenactors.errors import EXIT_OK, EXIT_USAGE

if TYPE_CHECKING:
    from zenactors.spec.catalogue import Entry

# Not a docstring, which `python -OO` drops.
USAGE = """\
List the components of the library, or describe one of them.

Usage:
  zenactors components [options] [NAME]
  zenactors components (-h | --help)

NAME is a name from the list, or package.module:Class for a component of your own. Without NAME,
each component is a line: sources, parsers, steps, sinks. With it, you see what it does, its
options, what it counts and promises, its events, and an example that is a whole SPEC.

Options:
  --json         Write JSON: one object, or without NAME an array of objects.
  --app-dir DIR  Search this directory first for modules; default: the current directory.
  -h, --help     Show this help.

Exit status 0: shown. 64: there is no such component, or it cannot be imported.
"""

_WIDTH = 100
_INDENT = "  "


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    from zenactors.spec.assemble import absolute_app_dir  # noqa: PLC0415 - slow to import
    from zenactors.spec.catalogue import entry_of, stock  # noqa: PLC0415
    from zenactors.spec.importing import Problem  # noqa: PLC0415

    app_dir = absolute_app_dir(Path(arguments["--app-dir"] or "."))
    try:
        if (name := arguments["NAME"]) is None:
            entries = [entry_of(each, app_dir) for each in stock()]
            write(_as_json(entries) if arguments["--json"] else listing(entries))
            return EXIT_OK
        entry = entry_of(name, app_dir)
    except Problem as problem:
        write_error(str(problem))
        return EXIT_USAGE
    write(_as_json(entry) if arguments["--json"] else "\n".join(_page(entry)) + "\n")
    return EXIT_OK


def _as_json(found: Entry | list[Entry]) -> str:
    import dataclasses  # noqa: PLC0415 - slow to import; --help must be fast

    data = (
        [dataclasses.asdict(each) for each in found]
        if isinstance(found, list)
        else dataclasses.asdict(found)
    )
    return json.dumps(data, indent=2) + "\n"


def listing(entries: Iterable[Entry]) -> str:
    """Return a line for each component, below a line for its kind."""
    entries = list(entries)
    width = max(len(each.name) for each in entries)
    lines: list[str] = []
    kind = ""
    for each in entries:
        if each.kind != kind:
            kind = each.kind
            lines += [""] * bool(lines) + [f"{kind.capitalize()}s:"]
        lines.append(f"{_INDENT}{each.name:{width}}  {each.summary}".rstrip())
    return "\n".join(lines) + "\n"


def _page(entry: Entry) -> Iterator[str]:
    yield f"{entry.name} ({entry.kind})" if entry.kind else entry.name
    yield from _filled(entry.summary)
    for paragraph in entry.text.split("\n\n") if entry.text else []:
        yield ""
        # Code is indented, and lists have a line for each item.
        is_laid_out = paragraph.startswith((" ", "- "))
        yield from paragraph.splitlines() if is_laid_out else _filled(paragraph)
    yield ""
    yield f'use = "{entry.use}"'
    if entry.options:
        yield from ("", "Options:")
    for option in entry.options:
        default = "not set" if option.default is None else option.default
        told = "required" if option.required else f"default: {default}"
        yield f"{_INDENT}{option.name}: {option.type}; {told}"
        yield from _filled(option.help, _INDENT * 3)
    if entry.statistics:
        yield from ("", "Statistics:", *_filled(entry.statistics, _INDENT))
    if entry.promises:
        yield from ("", "Promises:")
    for about, promise in entry.promises.items():
        yield from _filled(f"{about}: {promise}", _INDENT, _INDENT * 3)
    yield from ("", "Events:")
    yield f"{_INDENT}handles: {', '.join(entry.handles) or 'none'}"
    yield f"{_INDENT}emits: {', '.join(entry.emits) or 'none'}"
    for extra in entry.extras:
        yield from ("", f"Extra: pip install 'zenactors[{extra}]'")
    if entry.example:
        yield from ("", "Example, a whole SPEC:", "", *entry.example.splitlines())


def _filled(text: str, indent: str = "", hanging: str | None = None) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        max(40, min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
