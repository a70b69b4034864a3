"""The standard streams: open before anything else is, flushed before a sudden exit.

A closed standard stream is dangerous: the next file that is opened gets its number, and output
meant for the stream is written into that file.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

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
    """Connect standard input, output and error to /dev/null, whether they are open or not."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(STANDARD_STREAMS):
        if stream == null:
            os.set_inheritable(null, True)  # noqa: FBT003 - positional only
        else:
            os.dup2(null, stream)
    if null >= STANDARD_STREAMS:
        os.close(null)


def flush_standard_streams() -> None:
    """Write out buffered output. A stream that is closed or has no reader is not an error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


def exit_without_threads(status: int) -> NoReturn:
    """Flush the standard streams and end the process, without waiting for its threads.

    The interpreter's own exit joins them, so a thread that hangs in a callback would hang the exit.
    """
    flush_standard_streams()
    os._exit(status)


def give_up_stdout() -> None:
    """Redirect standard output to /dev/null after a failed write.

    The interpreter flushes it once more at exit, and the same bytes would fail again. Harmless
    if there is no standard output. Thread: main.
    """
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
