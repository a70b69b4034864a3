"""Wait for a slow reader of a log once, not for every line."""

from __future__ import annotations

import errno
import os
import select
import stat

PATIENCE = 1.0  # seconds that one line waits for the reader


class Patience:
    """The time that a line may wait for the reader of a terminal, a pipe or a socket.

    A terminal held with Ctrl-S, or a pipe whose reader hangs, would otherwise block every thread
    that logs: in the end the main thread, and with it the stop. So one line waits, and the next
    ones do not wait until the reader reads again.

    Args:
        fd: The descriptor to write to. A regular file never waits.

    Thread: one at a time; the sink's lock sees to it.
    """

    def __init__(self, fd: int) -> None:
        self._poll: select.poll | None = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)
        self._seconds = PATIENCE

    def wait(self, data: bytes) -> bytes:
        """Wait until the descriptor takes data; return as much of `data` as will not block.

        Raises:
            OSError: The reader does not read.
        """
        if self._poll is None:
            return data
        if not self._poll.poll(self._seconds * 1000):
            self._seconds = 0.0
            raise OSError(errno.EAGAIN, "Its reader has stopped reading")
        self._seconds = PATIENCE
        return data[: select.PIPE_BUF]
