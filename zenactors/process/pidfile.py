"""The PID file: which process runs, and that no second one does.

Two facts are kept apart. `flock` alone decides *whether* a daemon may start: the daemon holds the
lock on the file's inode as long as it lives, and the kernel releases the lock however the daemon
ends. The content says *which* process runs. It is read without a lock, so a reader never makes a
start fail. The content has three lines: the PID, the process's start time and the boot id.
Together they identify one process for ever, although PIDs are reused, and start times repeat after
a reboot.

Invariants:

- At most one process holds the lock on the inode that the path names. A process that gets a lock
  checks that the path still names that inode, and otherwise tries again.
- Only the holder writes or removes the file, and it removes the file before it releases the lock.
- A reader reports "running" only for the very process that wrote the file, while it lives.
- A file is used to send a signal only if it belongs to root, to this user, or to the user of the
  process that it names.

A file that cannot be removed is emptied. After a chroot the path names nothing, or another file,
and after a change of user the directory may not be writable. No descriptor of the directory is
kept for this, because it would be a way out of the chroot. The file's own descriptor is kept for
the lock anyway, and is open for writing. An empty file means that no process runs, and the next
start reuses it.

A limit of every `flock`: a user who may read the file may lock it, and so prevent a daemon from
starting. So keep PID files in a directory that only trusted users may enter. A forked child would
share the lock, and hold it after the daemon's end; it closes its copy (`zenactors.process.forks`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
import signal
import stat
from pathlib import Path
from typing import Literal

from zenactors.advice import advice_for, reason
from zenactors.errors import AlreadyRunningError, ConfigurationError, ProcessSetupError
from zenactors.process.forks import disown_in_children
from zenactors.process.procfs import boot_id, own_start_time, start_time, user_of

SUFFIX = ".pid"
MODE = 0o644
ATTEMPTS = 100  # one is lost only if another daemon starts and ends meanwhile
LONGEST = 4_096  # bytes read; a PID file has fewer than 80
NOT_A_FILE = (errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.ENXIO)  # a link, a fifo, a socket
MAX_PID = 2**31 - 1  # pid_t is a signed 32-bit integer

CONTENT = re.compile(rb"([1-9][0-9]{0,9})\n([0-9]{1,20})\n([0-9a-f-]*)\n")
SERIAL = re.compile(r"[0-9a-f]{5,}")
SERIAL_DIGITS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """The process that a PID file names, as a reader finds it.

    Attributes:
        state: "absent": there is no file. "stale": the process has ended, or the file is empty.
            "malformed": the file is not a PID file of zenactors. "running": the process lives.
        pid: The process that wrote the file; None if the file is absent, malformed or empty.
        start_time: When that process began, in clock ticks since boot; None as `pid`.
    """

    state: Literal["absent", "stale", "malformed", "running"]
    pid: int | None = None
    start_time: int | None = None


class PidFile:
    """The PID file of this process.

    Args:
        path: A name that ends in `.pid`; relative to the current directory at this moment.

    Raises:
        ConfigurationError: The name does not end in `.pid`.

    Thread: one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()  # a daemon changes its directory
        if self.path.suffix != SUFFIX:
            raise ConfigurationError(
                f"The PID file's name {str(path)!r} must end in {SUFFIX!r}: choose, say,"
                f" {self.path.name + SUFFIX!r}."
            )
        self._descriptor = -1
        self._owner = 0

    def acquire(self) -> None:
        """Lock the file and write this process into it. Never waits for another holder.

        Programs that this process executes do not inherit the descriptor.

        Raises:
            AlreadyRunningError: Another process holds the file.
            ProcessSetupError: The system refuses, or the path does not name a regular file.
            RuntimeError: This object holds the file already.
        """
        if self._descriptor >= 0:
            raise RuntimeError(f"{self.path} is already held by this object: release() it first.")
        pid = os.getpid()
        try:
            content = f"{pid}\n{own_start_time()}\n{boot_id()}\n".encode()
            descriptor = self._locked()
            try:
                os.fchmod(descriptor, MODE)  # open() has applied the umask
                # Emptied first: a reader in between sees no process, not a mixture of two.
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, content, 0)
            except BaseException:  # on any error, let the next daemon start
                os.close(descriptor)
                raise
        except OSError as cause:
            raise ProcessSetupError(_refusal(self.path, cause)) from cause
        self._descriptor = descriptor
        self._owner = pid
        disown_in_children(self)

    def disown(self) -> None:
        """Close a forked child's copy, which would hold the lock after the daemon's end."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def release(self) -> None:
        """Remove the file and release the lock. A file that cannot be removed is emptied.

        A forked child that inherited this object changes neither its parent's file nor the lock.
        Harmless if nothing is held.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if self._owner == os.getpid() and not self._removed(descriptor):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)  # releases the lock too, unless a forked child has a copy

    def _removed(self, descriptor: int) -> bool:
        try:
            if not _names(self.path, descriptor):
                return False
            self.path.unlink()
        except OSError:
            return False
        return True

    def _locked(self) -> int:
        """Open and lock the file that the path names, and return the descriptor."""
        for _ in range(ATTEMPTS):
            descriptor = _open(self.path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _names(self.path, descriptor):
                    if _is_ours(descriptor):
                        return descriptor
                    # No daemon runs, but other users can write to the file, or it is a hard link
                    # to another file. The next attempt creates a new one.
                    self.path.unlink()
            except BlockingIOError:
                os.close(descriptor)
                raise AlreadyRunningError(self.path, _running_pid(self.path)) from None
            except BaseException:  # on any error, let the next daemon start
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise ProcessSetupError(
            f"The PID file {str(self.path)!r} was replaced {ATTEMPTS} times while this process"
            " tried to lock it. Find the program that removes it."
        )


def look_up(path: str | Path) -> Holder:
    """Return the process that a PID file names. Takes no lock, so it prevents no start.

    A process in another PID namespace is not visible: its file is "stale" here.

    Raises:
        OSError: The file cannot be read, or the system hides the process.
    """
    return _look_up(Path(path))[0]


def signal_holder(path: str | Path, number: int) -> Holder:
    """Send a signal to the process that a PID file names, and never to another process.

    Args:
        path: The PID file.
        number: The signal; 0 only checks that it could be sent.

    Returns:
        The process. The signal was sent if, and only if, the state is "running".

    Raises:
        PermissionError: The process may not be signalled. Or the file belongs to none of root,
            this user and the process's user, so that user could name any process in it.
        OSError: As `look_up`.
    """
    path = Path(path)
    holder, file_owner = _look_up(path)
    if holder.state != "running":
        return holder
    assert holder.pid is not None
    gone = dataclasses.replace(holder, state="stale")
    try:
        descriptor = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return gone
    try:
        # A pidfd refers to one process for ever. If that process wrote the file, the signal cannot
        # reach another one.
        if start_time(holder.pid) != holder.start_time:
            return gone
        if file_owner not in (0, os.geteuid(), user_of(holder.pid)):
            raise PermissionError(
                errno.EPERM,
                f"It names process {holder.pid}, but belongs to user {file_owner}, who is neither"
                " root nor the user of that process",
                str(path),
            )
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return gone
    except FileNotFoundError:  # no /proc/PID: the process has ended meanwhile
        return gone
    finally:
        os.close(descriptor)
    return holder


def with_serial(path: str | Path, pid: int) -> Path:
    """Return the path for one of several instances: `NAME.pid` becomes `NAME.00abc.pid`."""
    path = Path(path)
    return path.with_name(f"{path.stem}.{_serial(pid)}{path.suffix}")


def instances(path: str | Path) -> list[Path]:
    """Return the existing files for this path, with and without a serial, sorted.

    Raises:
        OSError: The directory exists, but cannot be read.
    """
    path = Path(path)
    start, end = f"{path.stem}.", path.suffix
    found = []
    try:
        for each in path.parent.iterdir():
            middle = each.name.removeprefix(start).removesuffix(end)
            named = each.name == f"{start}{middle}{end}" and SERIAL.fullmatch(middle)
            if each.name == path.name or (named and _serial(int(middle, 16)) == middle):
                found.append(each)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)


def _serial(pid: int) -> str:
    return f"{pid:x}".zfill(SERIAL_DIGITS)


def _open(path: Path) -> int:
    # NONBLOCK and NOCTTY matter only if the path names a fifo or a terminal.
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags, MODE)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "Not a regular file", str(path))


def _names(path: Path, descriptor: int) -> bool:
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


def _is_ours(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return status.st_uid == os.geteuid() and status.st_nlink == 1


def _running_pid(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        holder = look_up(path)
        if holder.state == "running":
            return holder.pid
    return None  # it has the lock, but has not written its PID yet


def _look_up(path: Path) -> tuple[Holder, int]:
    """Return the process, and the user id of the file's owner."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return Holder("absent"), -1
    except OSError as cause:
        if cause.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link; a socket
            return Holder("malformed"), -1
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Holder("malformed"), -1
        content = os.read(descriptor, LONGEST)
    finally:
        os.close(descriptor)
    return _judge(content), status.st_uid


def _judge(content: bytes) -> Holder:
    if not content:
        return Holder("stale")
    match = CONTENT.fullmatch(content)
    if match is None or (pid := int(match[1])) > MAX_PID:
        return Holder("malformed")
    began = int(match[2])
    same_boot = match[3].decode() == boot_id()
    is_alive = same_boot and start_time(pid) == began
    return Holder("running" if is_alive else "stale", pid, began)


def _refusal(path: Path, cause: OSError) -> str:
    text = f"Cannot write the PID file {str(path)!r}"
    if str(cause.filename).startswith("/proc/self/"):
        return f"{text}: {reason(cause)} ({cause.filename!r}). Mount /proc."
    why = "It is a symbolic link" if cause.errno == errno.ELOOP else reason(cause)
    step = "Remove it" if cause.errno in NOT_A_FILE else advice_for(cause, path, "write")
    return f"{text}: {why}. {step}, or give another --pid-file."
