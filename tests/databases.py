"""Databases that a test has left open, because the process that used them was killed in it."""

from __future__ import annotations

import contextlib
import gc
import sqlite3


def close_left_over() -> None:
    """Close all databases of this thread. Python 3.13 warns of those that the collector closes."""
    for each in gc.get_objects():
        if isinstance(each, sqlite3.Connection):
            with contextlib.suppress(sqlite3.ProgrammingError):  # of another thread
                each.close()
