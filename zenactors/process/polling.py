"""Wait for descriptors: in seconds, and never longer than the system call allows."""

from __future__ import annotations

import select

LONGEST_WAIT = 86_400.0  # seconds: poll() accepts at most 2**31 milliseconds


def poll_for(poll: select.poll, seconds: float | None) -> set[int]:
    """Return the descriptors that are ready within `seconds`; the set may be empty.

    Args:
        poll: The descriptors, registered.
        seconds: Negative counts as 0. None, and more than a day, is a day: the caller waits again.

    Thread: any.
    """
    bounded = LONGEST_WAIT if seconds is None else min(max(0.0, seconds), LONGEST_WAIT)
    return {descriptor for descriptor, _ in poll.poll(bounded * 1000)}
