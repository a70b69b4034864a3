"""Interrupt a callback in the middle, as the operating system interrupts a thread.

Python's tracing counts the bytecode instructions of the callback's own code; after some of them
the task gives way. Code of Python itself and of this library is never interrupted. Neither is the
body of a `with` statement, because it may hold a lock: on one thread, a task that needs it would
wait for ever.

The number of instructions depends only on the code that runs, never on what was traced before. How
a frame asks for its instructions differs between versions of Python:

- 3.11: `f_trace_opcodes` on the frame is enough.
- 3.12: the interpreter reports instructions only if some frame asked for them before
  `sys.settrace` was called.
- 3.13 and later: the frame's code is rewritten, for all its frames, when `f_trace_opcodes` is set
  on a frame that has `f_trace`. A frame of the same code that does not ask takes that back.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OURS = str(Path(__file__).parents[2])
_PYTHONS = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
_Tracer = Callable[[FrameType, str, Any], Any]


def interrupted(
    function: Callable[[], Any],
    instructions: int,
    give_way: Callable[[str], Any],
    *,
    first: CodeType | None = None,
) -> Any:
    """Call `function`, and `give_way` in the middle of it.

    A function that is shorter, or that may not be interrupted, is only called.

    Args:
        function: The function to call.
        instructions: The number of its instructions before `give_way` is called.
        give_way: Called with the place, as `bank.py:12`.
        first: Instructions are counted in this code and in functions that it calls. Default: the
            first code that is the user's.
    """
    left = instructions

    def local(frame: FrameType, what: str, _: Any) -> Any:
        nonlocal left
        if frame not in entered:
            return local
        if what == "line":
            frame.f_trace_opcodes = True  # another frame of this code may have taken it back
        if what != "opcode" or _in_with(frame.f_code, frame.f_lineno):
            return local
        left -= 1
        if left > 0:
            return local
        sys.settrace(None)
        give_way(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return None

    def enter(frame: FrameType, _what: str, _: Any) -> Any:
        if left <= 0 or (not entered and first not in (None, frame.f_code)):
            return None
        if not _may_interrupt(frame, entered):
            entered.pop(frame, None)  # a generator's frame may have been entered elsewhere
            return None
        entered[frame] = _home(frame.f_code) or ""
        frame.f_trace = local  # before the next line, see above
        frame.f_trace_opcodes = True
        return local

    entered: dict[FrameType, str] = {}
    before = sys.gettrace()
    if sys.version_info < (3, 13):
        sys._getframe().f_trace_opcodes = True  # noqa: SLF001 - see above
    sys.settrace(enter)
    try:
        return function()
    finally:
        sys.settrace(before)
        entered.clear()  # otherwise frames and this function keep each other alive


def code_of(callback: Any) -> CodeType | None:
    """Return the code within a callback's wrappers; None if it may not be interrupted."""
    # Not cached by the callback: that would keep all that a dead process had, descriptors too.
    code = _code_within(getattr(callback, "__func__", callback))
    return None if code is None or _home(code) is None else code


def _code_within(callback: Any) -> CodeType | None:
    inner = inspect.unwrap(callback)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _may_interrupt(frame: FrameType, entered: dict[FrameType, str]) -> bool:
    """Return True for the first function of the user's, and for functions that it calls."""
    home = _home(frame.f_code)
    if home is None:
        return False
    caller = frame.f_back
    if caller not in entered:
        return not entered
    # A library that is called by the user's code may hold locks of its own.
    return home in ("", entered[caller]) and not _in_with(caller.f_code, caller.f_lineno)


@functools.cache
def _home(code: CodeType) -> str | None:
    """Return the installed package of users' code, "" for none; None for other code."""
    name = code.co_filename
    # The garbage collector calls finalizers at any time, which is no choice of the seed.
    uncounted = code.co_name in ("<module>", "__del__")
    if name.startswith(_OURS) or uncounted or not Path(name).is_file():
        return None
    _, installed, inside = name.partition("site-packages/")
    if installed:
        return inside.partition("/")[0]
    return None if name.startswith(_PYTHONS) else ""


def _in_with(code: CodeType, line: int | None) -> bool:
    return line is None or line in _lines_within(code.co_filename)


@functools.cache
def _lines_within(filename: str) -> frozenset[int]:
    """Return the lines of a file that are in a `with` statement."""
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return frozenset()
    return frozenset(
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.With | ast.AsyncWith)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    )
