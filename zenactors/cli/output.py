"""Text for people: standard output for what they asked for, standard error for the rest."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Where nobody measures a terminal, no line is broken: programs read lines.
_WIDTH_OF_PIPES = 10_000


class OutputError(Exception):
    """Standard output cannot be written."""


def write(text: str) -> None:
    """Write what was asked for, and what was buffered before, to standard output at once.

    Raises:
        OutputError: If that fails; but a `BrokenPipeError` if its reader has left.
    """
    if sys.stdout is None:  # closed by whoever started us
        if text:
            raise OutputError("standard output is closed; redirect it to a file")
        return
    try:
        if text:  # writing nothing fails, too, where something would
            sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as cause:
        raise OutputError(f"standard output cannot be written: {cause.strerror}") from cause


def write_tables(*tables: Table) -> None:
    """Write tables to standard output, in what characters it can hold; raises as `write` does."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    buffer = io.BytesIO()
    text = io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace")
    console(sys.stdout, text).print(*tables)
    text.flush()
    write(buffer.getvalue().decode(encoding))


def write_error(message: str) -> None:
    """Tell the user about a problem, in the program's name."""
    if sys.stderr is not None:
        sys.stderr.write(f"zenactors: {message}\n")


def console(stream: TextIO | None, into: TextIO | None = None) -> Console:
    """Return a rich console that takes text literally and breaks lines on terminals only.

    Args:
        stream: Where the text will be seen.
        into: Where it is written first. Default: `stream`.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import, and not always needed

    on_terminal = stream is not None and stream.isatty()
    return Console(
        file=into or stream or io.StringIO(),
        force_terminal=on_terminal,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if on_terminal else _WIDTH_OF_PIPES,
    )
