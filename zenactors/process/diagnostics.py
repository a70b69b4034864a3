"""Stacks of all threads, for an operator who asks why the daemon does not progress."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Collection
from types import FrameType


def stacks(
    names: Collection[str] = (),
    *,
    ident: int | None = None,
    is_idle: Callable[[FrameType], bool] | None = None,
    is_outer: Callable[[FrameType], bool] | None = None,
) -> str:
    """Return the stack of each thread, innermost call last: the main thread's first.

    Threads that do the same have one stack, and idle ones only one line for all of them. A thread
    in C code appears at the Python call that entered it.

    Args:
        names: Only threads with these names. Default: all.
        ident: Only the thread with this identity.
        is_idle: Returns True for the innermost frame of a thread that waits for work.
        is_outer: Returns True for a frame to leave out, as long as all around it are left out too.
            If there are only such frames, all are shown.

    Thread: any.
    """
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    main = threading.main_thread().ident
    idle: list[str] = []
    busy: dict[str, list[tuple[bool, str]]] = {}
    # All frames are taken at one moment; the threads run on while they are formatted.
    for number, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way
        name = threads.get(number, f"thread {number}")
        if (names and name not in names) or ident not in (None, number):
            continue
        if number != main and is_idle is not None and is_idle(frame):
            idle.append(name)
        else:
            text = "".join(traceback.format_stack(frame, limit=_inner(frame, is_outer)))
            busy.setdefault(text, []).append((number != main, name))
    found = sorted((sorted(same), text) for text, same in busy.items())
    texts = [f"{_title([name for _, name in same])}:\n{text}" for same, text in found]
    if idle:
        texts.append(f"Idle: {_title(sorted(idle))}")
    return "\n".join(texts).rstrip()


def _inner(frame: FrameType, is_outer: Callable[[FrameType], bool] | None) -> int | None:
    """Return how many of the innermost frames to show; None for all."""
    if is_outer is None:
        return None
    frames = [each for each, _ in traceback.walk_stack(frame)]
    while frames and is_outer(frames[-1]):
        frames.pop()
    return len(frames) or None


def _title(names: list[str]) -> str:
    return ", ".join(names) + (f" ({len(names):,} threads)" if len(names) > 1 else "")
