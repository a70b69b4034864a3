"""The standard streams at the edges of a process: at its start, and when it must end at once.

A closed standard stream is dangerous: the next file that is opened gets its number, and output
meant for the stream is written into that file. A broken one fails again at the end, because the
interpreter flushes what is still buffered.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

from zenactors.process.forks import kill_multiprocessing_children

STANDARD_STREAMS = 3  # descriptors 0, 1 and 2


def fill_standard_streams(*, writable: bool = True) -> None:
    """Open /dev/null in place of each standard stream that is closed.

    Args:
        writable: Discard output to such a stream. Otherwise, writing to it raises `OSError`.

    Thread: main, before others open files.
    """
    for stream in range(STANDARD_STREAMS):
        try:
            os.fstat(stream)
        except OSError:
            # open() returns the lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDWR if writable else os.O_RDONLY)


def connect_standard_streams() -> None:
    """Connect standard input, output and error to /dev/null, whether they are open or not.

    Thread: main, before others open files.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(STANDARD_STREAMS):
        if stream == null:
            os.set_inheritable(null, True)  # noqa: FBT003 - positional only
        else:
            os.dup2(null, stream)
    if null >= STANDARD_STREAMS:
        os.close(null)


def escape_what_cannot_be_encoded() -> None:
    """Let standard output and standard error take any text: what they cannot encode is escaped.

    A path that is no valid text keeps its bytes where the stream writes them already. Call it only
    in a program of zenactors' own. Thread: main.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # closed, or replaced by another object
            keeps_bytes = stream.errors == "surrogateescape" and stream.encoding == "utf-8"
            if stream.errors in {"strict", "surrogateescape"} and not keeps_bytes:
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def write_to(stream: TextIO | None, text: str) -> None:
    """Write text and flush it. Does nothing if the stream is closed or has lost its reader.

    Thread: main.
    """
    if stream is None:
        return
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


def flush_standard_streams() -> None:
    """Flush standard output and standard error, as far as they are open and read. Thread: main."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


def give_up_stdout() -> None:
    """Redirect standard output to /dev/null after a failed write. Thread: main.

    Otherwise what is still buffered would fail again when the interpreter flushes it at its end.
    Harmless without a standard output.
    """
    _give_up(sys.stdout)


def give_up_unwritable_streams() -> None:
    """Flush standard output and standard error, and redirect those that fail to /dev/null.

    Otherwise the interpreter would fail at them at its end, and exit with status 120. Thread: main.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _give_up(stream)
        except (AttributeError, ValueError):
            continue  # it is closed


def _give_up(stream: TextIO | None) -> None:
    with suppress(AttributeError, OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())  # type: ignore[union-attr] # suppressed
        os.close(null)


def exit_child(status: int) -> NoReturn:
    """Flush the standard streams and end a forked child whose code does not end it itself.

    Exit handlers do not run: they are the parent's, as are multiprocessing's children.
    """
    flush_standard_streams()
    os._exit(status & 0xFF)


def exit_at_once(status: int) -> NoReturn:
    """Flush the standard streams and end the process, without waiting for a thread.

    The interpreter's own exit would wait for a thread that hangs. Exit handlers do not run, so
    multiprocessing's children are killed here. Thread: any.
    """
    kill_multiprocessing_children()
    flush_standard_streams()
    os._exit(status)
