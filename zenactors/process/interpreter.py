"""The interpreter that runs the process: its version, and whether it has the GIL."""

from __future__ import annotations

import platform
import sys
from typing import TypedDict


class Interpreter(TypedDict):
    """Describes the interpreter of this process.

    Attributes:
        version: The version of Python, such as `3.13.0`.
        gil: False while threads run at the same time: in a free-threaded build whose GIL is off.
    """

    version: str
    gil: bool


def describe_interpreter() -> Interpreter:
    """Describe the interpreter as it is now.

    The GIL of a free-threaded build is switched on by `PYTHON_GIL=1`, and by the import of an
    extension module that does not support it to be off, at any time. Thread: any.
    """
    return {"version": platform.python_version(), "gil": _has_gil()}


def _has_gil() -> bool:
    # Python 3.13 has introduced both the function and the builds whose GIL can be off.
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    return is_enabled is None or bool(is_enabled())
