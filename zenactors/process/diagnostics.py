"""Stacks of all threads, for an operator who asks why the daemon does not progress."""

from __future__ import annotations

import sys
import threading
import traceback


def stacks(names: tuple[str, ...] = ()) -> str:
    """Return the stack of each thread, innermost call last.

    A thread in C code appears at the Python call that entered it.

    Args:
        names: Only threads with these names. Default: all.

    Thread: any.
    """
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    texts = []
    # All frames are taken at one moment; the threads run on while they are formatted.
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way
        name = threads.get(ident, f"thread {ident}")
        if not names or name in names:
            texts.append(f"{name}:\n{''.join(traceback.format_stack(frame))}")
    return "\n".join(sorted(texts)).rstrip()
