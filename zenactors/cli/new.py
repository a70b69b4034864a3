"""Print the SPEC of a new pipeline, with comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zenactors.cli.output import write, write_error
from zenactors.errors import EXIT_OK, EXIT_USAGE

# Not a docstring, which `python -OO` drops.
USAGE = """\
Print the SPEC of a new pipeline, with comments.

Usage:
  zenactors new [options] [COMPONENT...]
  zenactors new (-h | --help)

The components are a source, any parsers and steps, and a sink, in this order: each by its name in
`zenactors components`, or as package.module:Class. Without any, all that can be chosen are listed.

  zenactors new FileTailer AccessLogParser Statistics JsonLinesWriter > pipeline.toml
  zenactors check pipeline.toml
  zenactors run pipeline.toml

The options that a component requires have the values of its example. All others are comments, with
their defaults.

Options:
  --name NAME    The daemon's name [default: pipeline].
  --app-dir DIR  Search this directory first for modules; default: the current directory.
  -h, --help     Show this help.

Exit status 0: printed. 64: no pipeline can be made of these components.
"""


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    from zenactors.cli.components import listing  # noqa: PLC0415 - slow to import
    from zenactors.spec.assemble import absolute_app_dir  # noqa: PLC0415
    from zenactors.spec.catalogue import entry_of, stock  # noqa: PLC0415
    from zenactors.spec.importing import Problem  # noqa: PLC0415
    from zenactors.spec.pipeline import pipeline  # noqa: PLC0415

    app_dir = absolute_app_dir(Path(arguments["--app-dir"] or "."))
    names = arguments["COMPONENT"]
    if not names:
        write(listing(entry_of(each, app_dir) for each in stock()))
        return EXIT_OK
    try:
        entries = [entry_of(each, app_dir) for each in names]
        text = pipeline(arguments["--name"], entries, app_dir)
    except Problem as problem:
        write_error(str(problem))
        return EXIT_USAGE
    write(text)
    return EXIT_OK
