"""Facts about a process from /proc: its start time and its user."""

from __future__ import annotations

import errno
import os
from pathlib import Path

START_TIME = 19  # index of field 22 of /proc/PID/stat, counted from the state, which is field 3
ENDED = (b"Z", b"X")  # states of a process that has ended and only waits for its parent


def start_time(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None if it has ended.

    Raises:
        PermissionError: The process exists, but /proc hides it.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        if not _exists(pid):
            return None
        # /proc may be mounted with hidepid. None would be a guess.
        raise PermissionError(
            errno.EACCES, "The process exists, but /proc hides it", f"/proc/{pid}/stat"
        ) from None
    fields = text.rpartition(b") ")[2].split()  # the name may contain spaces and parentheses
    return None if fields[0] in ENDED else int(fields[START_TIME])


def own_start_time() -> int:
    """Return when this process began, in clock ticks since boot.

    Raises:
        OSError: /proc is not mounted, or cannot be read.
    """
    found = start_time(os.getpid())
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "It is missing", "/proc/self/stat")
    return found


def own_identity() -> tuple[int, str] | None:
    """Return this process's start time and the boot's identifier; None where /proc hides them.

    Together with the PID they identify the process for ever.
    """
    try:
        return own_start_time(), boot_id()
    except OSError:
        return None


def may_run(pid: int, identity: tuple[int, str] | None) -> bool:
    """Return True if a process may still run; a later one with the same PID does not count.

    Args:
        pid: The process's PID.
        identity: What `own_identity` returned in it. None: any process with the PID counts.
    """
    try:
        began = start_time(pid)
    except OSError:  # it exists, but /proc hides it
        return True
    except OverflowError:  # no PID
        return False
    if began is None or identity is None:
        return began is not None
    return (began, boot_id()) == identity


def user_of(pid: int) -> int:
    """Return a process's real user id. The owner of /proc/PID may be root instead.

    Raises:
        OSError: The process has ended, or its status cannot be read.
    """
    for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[1])
    raise FileNotFoundError(errno.ENOENT, "No user is named in it", f"/proc/{pid}/status")


def boot_id() -> str:
    """Return the identifier of the system's current boot; empty where it is hidden."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # in some containers; start times alone must then identify a process


def _exists(pid: int) -> bool:
    try:
        os.close(os.pidfd_open(pid))
    except OSError:
        return False
    return True
