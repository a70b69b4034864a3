"""Standard output that nobody can be given any more."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def give_up_stdout() -> None:
    """Lead standard output nowhere: what its buffer still holds must not fail once more at the end.

    The interpreter flushes it when it ends. Harmless if there is none. Thread: main.
    """
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
