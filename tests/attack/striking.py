"""Raises an exception at the n-th bytecode of a call, or of a thread."""

from __future__ import annotations

import contextlib
import dis
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import zenactors

PACKAGE = str(Path(zenactors.__file__).parent)
SEE_SIGNALS = ("CALL", "PRECALL", "RESUME", "JUMP_BACKWARD")


class Struck(KeyboardInterrupt):
    """Raised by the test, as a signal handler may do it between any two bytecodes."""


class Striker:
    """A trace function that raises once, before the n-th bytecode of the package's own code.

    Args:
        at: Which bytecode, from 1 on; None: it only waits to be armed.
        thread: The identity of the only thread to strike. None: every thread that it traces.

    Attributes:
        struck: The place where it has raised, or "".
        seen: How many bytecodes it has seen since it was armed.
    """

    def __init__(self, at: int | None = None, thread: int | None = None) -> None:
        self._at = at
        self._thread = thread
        self.struck = ""
        self.seen = 0
        self._last: tuple[FrameType | None, str] = None, ""

    def arm(self, at: int | None, thread: int | None = None) -> None:
        """Begin to count anew. None: strike no more."""
        self._at, self._thread, self.seen = at, thread, 0

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Trace a frame, if its code is the package's."""
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace = self._trace  # some versions want it before the next line
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._trace

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode" and self._at is not None and self._is_wanted():
            self.seen += 1
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if self.seen == self._at:
                self._at = None
                self.struck = f"{place(frame)} before {name}{self._remark(frame)}"
                raise Struck(self.struck)
            self._last = frame, name
        return self._trace

    def _remark(self, frame: FrameType) -> str:
        """Say if a signal can really strike here: some instructions look for one at their end."""
        last, name = self._last
        return ", as a signal can" if last is frame and name.startswith(SEE_SIGNALS) else ""

    def _is_wanted(self) -> bool:
        return self._thread is None or threading.get_ident() == self._thread


def place(frame: FrameType) -> str:
    """Return where a frame is, for messages."""
    code = frame.f_code
    path = Path(code.co_filename).relative_to(PACKAGE)
    return f"{path}:{frame.f_lineno} {code.co_qualname}"


def _ask_for_bytecodes() -> None:
    """Let Python 3.12 report bytecodes: some frame has to ask before tracing begins."""
    if sys.version_info < (3, 13):
        sys._getframe().f_trace_opcodes = True


@contextlib.contextmanager
def tracing(tracer: Callable[[FrameType, str, Any], Any]) -> Iterator[None]:
    """Trace the calling thread. It ends with the block, or when a `Striker` strikes."""
    before = sys.gettrace()
    _ask_for_bytecodes()
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def tracing_new_threads(striker: Striker) -> Iterator[None]:
    """Trace all threads that are started in the block, until they end."""
    _ask_for_bytecodes()
    threading.settrace(striker)
    try:
        yield
    finally:
        threading.settrace(None)
