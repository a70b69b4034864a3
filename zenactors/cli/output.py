"""Write text for people: results to standard output, everything else to standard error."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from zenactors.core.text import harmless
from zenactors.process.streams import write_to

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Without a terminal no line is broken: programs read whole lines.
_WIDTH_OF_PIPES = 10_000


class OutputError(Exception):
    """Standard output cannot be written."""


def write(text: str) -> None:
    """Write a text to standard output, after anything buffered, and flush it.

    Raises:
        OutputError: Writing failed.
        BrokenPipeError: The reader of standard output has left.
    """
    if sys.stdout is None:  # the process was started with a closed standard output
        if text:
            raise OutputError("standard output is closed; redirect it to a file")
        return
    try:
        if text:  # an unwritable stream refuses even an empty text
            _write(sys.stdout, text)
        sys.stdout.flush()
    except OSError as cause:
        raise lost_output(cause) from cause


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError as cause:  # of half a character, which is no byte of a path either
        stream.write(text.encode(cause.encoding, "backslashreplace").decode(cause.encoding))


def lost_output(cause: OSError) -> Exception:
    """Return the exception that `write` raises for an error of standard output."""
    if isinstance(cause, BrokenPipeError):
        return cause
    return OutputError(f"standard output cannot be written: {cause.strerror}")


def write_tables(*tables: Table) -> None:
    """Write tables to standard output, escaped as its encoding needs; raise as `write` does."""
    write(_rendered(sys.stdout, tables))


def show_tables(*tables: Table) -> None:
    """Write tables to standard error, as far as it takes them."""
    write_to(sys.stderr, _rendered(sys.stderr, tables))


def _rendered(stream: TextIO | None, tables: Iterable[Table]) -> str:
    # Not into the stream itself: at a reader that has left, rich ends the process.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    buffer = io.BytesIO()
    text = io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace")
    console(stream, text).print(*tables)
    text.flush()
    return buffer.getvalue().decode(encoding)


def write_error(message: str) -> None:
    """Write a problem to standard error, after the program's name."""
    write_to(sys.stderr, f"zenactors: {harmless(message)}\n")


def console(stream: TextIO | None, into: TextIO | None = None) -> Console:
    """Return a rich console that takes text literally, and breaks lines only on terminals.

    Args:
        stream: The stream that will show the text.
        into: The stream to write to. Default: `stream`.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import, not always needed

    on_terminal = stream is not None and stream.isatty()
    return Console(
        file=into or stream or io.StringIO(),
        force_terminal=on_terminal,
        color_system=None if os.environ.get("NO_COLOR") else "auto",  # rich leaves bold in
        markup=False,
        emoji=False,
        highlight=False,
        width=None if on_terminal else _WIDTH_OF_PIPES,
    )
