"""The terminal of a process in the foreground, and whether it has gone."""

from __future__ import annotations

import errno
import os
import signal

GONE = (errno.ENXIO, errno.EIO)  # there is no controlling terminal; it hangs up at this moment


class Terminal:
    """The controlling terminal that this process has when the object is made; there may be none.

    Make it before a handler for SIGHUP is set: under nohup, which ignores SIGHUP, the process is
    to outlive its terminal.
    """

    def __init__(self) -> None:
        is_ours = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        self._had = is_ours and _is_there() is True

    def is_gone(self) -> bool:
        """Return True if there was a terminal, and it has been closed. Does not block."""
        return self._had and _is_there() is False


def _is_there() -> bool | None:
    """Return None if that cannot be known: /dev/tty is missing, as behind another root."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as cause:
        return False if cause.errno in GONE else None
    return True
