"""What every thread is doing right now, for an operator who asks why nothing happens."""

from __future__ import annotations

import sys
import threading
import traceback


def stacks(names: tuple[str, ...] = ()) -> str:
    """Return the stack of each thread, innermost call last.

    What a thread does in C code shows as the call that led there. Thread: any.

    Args:
        names: Only threads of these names. Default: all.
    """
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    texts = []
    # The interpreter hands out all frames at once; the threads go on meanwhile.
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way
        name = threads.get(ident, f"thread {ident}")
        if not names or name in names:
            texts.append(f"{name}:\n{''.join(traceback.format_stack(frame))}")
    return "\n".join(sorted(texts)).rstrip()
