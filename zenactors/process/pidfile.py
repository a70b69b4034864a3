"""The pid file: who runs, and that nobody else does (D4).

Two facts are kept apart. *Whether* a daemon may start is decided by `flock` alone, held for life
on the file's inode: the kernel lets go of it however the holder ends. *Who* runs is read from the
content, without a lock: so a reader never makes a start fail. The content is the pid, the
process's start time and the boot id, a line each. Together they name one process for ever: a pid
is used again, and after a reboot so is a start time.

Invariants:

- At most one process holds the lock on the inode that the path names. Who gets a lock looks
  whether the path still names that inode, and otherwise begins anew.
- Only the holder writes or removes the file, and it removes it before it lets go of the lock.
- A reader says "running" only of the very process that wrote the file, while that process lives.
- A file that a signal may be sent by is the word of root, of oneself, or of the process's owner.

What cannot be removed is emptied. After a chroot the path names nothing, or something else, and
after a change of user the folder may be closed to us. No descriptor of the folder is kept for
that: it would be a way out of the chroot. The descriptor of the file is there in any case, for the
lock, and was opened for writing. An empty file says "nobody", and the next start takes it over.

Two limits of every `flock`. Whoever may read the file may lock it, and so keep a daemon from
starting: keep pid files in a folder that only those may enter who are trusted so far. And a child
that is forked and runs no other program shares the lock, and holds it beyond the daemon's end.
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

from zenactors.errors import AlreadyRunningError, ConfigurationError, ProcessSetupError

SUFFIX = ".pid"
MODE = 0o644
ATTEMPTS = 100  # each found the file replaced meanwhile: that takes another daemon's whole life
LONGEST = 4_096  # bytes read; a pid file has below 80
MAX_PID = 2**31 - 1  # what the C type holds

CONTENT = re.compile(rb"([1-9][0-9]{0,9})\n([0-9]{1,20})\n([0-9a-f-]*)\n")
SERIAL = re.compile(r"[0-9a-f]{5,}")
SERIAL_DIGITS = 5

START_TIME = 19  # index of field 22 of /proc/PID/stat, counted from the state, which is field 3
ENDED = (b"Z", b"X")  # states of a process that only waits for its parent


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """What a pid file says about who runs.

    Attributes:
        state: "absent": there is no file. "stale": nobody runs. "malformed": it is no pid file of
            ours. "running": the process `pid` lives.
        pid: The process that wrote the file; None unless "stale" or "running", or if it is empty.
        start_time: When that process began, in clock ticks since boot.
    """

    state: Literal["absent", "stale", "malformed", "running"]
    pid: int | None = None
    start_time: int | None = None


class PidFile:
    """The pid file of this process.

    Args:
        path: Its name ends in `.pid`. A relative one counts from the folder that is current now.

    Raises:
        ConfigurationError: It ends otherwise.

    Thread: one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()  # a daemon changes its folder
        if self.path.suffix != SUFFIX:
            raise ConfigurationError(
                f"The pid file's name {str(path)!r} must end in {SUFFIX!r}: choose, say,"
                f" {self.path.name + SUFFIX!r}."
            )
        self._descriptor = -1
        self._owner = 0

    def acquire(self) -> None:
        """Become the one that runs. Never waits. The descriptor is not inherited by programs.

        Raises:
            AlreadyRunningError: Another process holds the file.
            ProcessSetupError: The system refuses, or the path names no regular file.
            RuntimeError: This object holds it already.
        """
        if self._descriptor >= 0:
            raise RuntimeError(f"{self.path} is held already")
        pid = os.getpid()
        try:
            content = f"{pid}\n{_own_start_time()}\n{_boot_id()}\n".encode()
            descriptor = self._locked()
            try:
                os.fchmod(descriptor, MODE)  # a umask may have taken from it
                # Emptied first: who reads between the two sees nobody, not half of two processes.
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, content, 0)
            except BaseException:  # whatever it was, nobody is kept from starting
                os.close(descriptor)
                raise
        except OSError as cause:
            raise ProcessSetupError(_refusal(self.path, cause)) from cause
        self._descriptor = descriptor
        self._owner = pid

    def release(self) -> None:
        """Remove the file, or empty it if that is refused, and let go of the lock.

        In a forked child that inherited this object, the parent's file and lock stay as they are.
        Harmless if nothing is held.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if self._owner == os.getpid() and not self._removed(descriptor):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)  # and the lock with it, unless a forked child has a copy

    def _removed(self, descriptor: int) -> bool:
        try:
            if not _names(self.path, descriptor):
                return False
            self.path.unlink()
        except OSError:
            return False
        return True

    def _locked(self) -> int:
        """Return a descriptor of the file that the path names, with the lock."""
        for _ in range(ATTEMPTS):
            descriptor = _open(self.path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _names(self.path, descriptor):
                    if _is_ours(descriptor):
                        return descriptor
                    # Nobody runs, but the file may be written by others, also later, or is
                    # another file by a hard link. Ours takes its place.
                    self.path.unlink()
            except BlockingIOError:
                os.close(descriptor)
                raise AlreadyRunningError(self.path, _running_pid(self.path)) from None
            except BaseException:  # whatever it was, nobody is kept from starting
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise ProcessSetupError(
            f"The pid file {str(self.path)!r} was replaced {ATTEMPTS} times while this process"
            " tried to lock it. Find out who removes it."
        )


def look_up(path: str | Path) -> Holder:
    """Return who runs by a pid file. Takes no lock: disturbs no start.

    A process of another pid namespace is not seen: its file is "stale" here.

    Raises:
        OSError: It cannot be read, or the system does not let the process be looked at.
    """
    return _look_up(Path(path))[0]


def signal_holder(path: str | Path, number: int) -> Holder:
    """Send a signal to the process that runs by a pid file, and to no other one.

    Args:
        path: The pid file.
        number: The signal; 0 only looks whether it could be sent.

    Returns:
        Who runs. The signal was sent if, and only if, the state is "running".

    Raises:
        PermissionError: The process may not be signalled; or the file is of a user who is neither
            root, nor this one, nor the process's: then it may name any process.
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
        # The descriptor names one process for ever: if that is the one that wrote the file, then
        # nobody else can be hit any more.
        if _start_time(holder.pid) != holder.start_time:
            return gone
        if file_owner not in (0, os.geteuid(), _user_of(holder.pid)):
            raise PermissionError(
                errno.EPERM,
                f"It names process {holder.pid}, but belongs to user {file_owner}, who is neither"
                " root nor that process's owner",
                str(path),
            )
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return gone
    except FileNotFoundError:  # /proc/PID: it has ended meanwhile
        return gone
    finally:
        os.close(descriptor)
    return holder


def with_serial(path: str | Path, pid: int) -> Path:
    """Return the name of one of several instances: `NAME.pid` becomes `NAME.00abc.pid`."""
    path = Path(path)
    return path.with_name(f"{path.stem}.{_serial(pid)}{path.suffix}")


def instances(path: str | Path) -> list[Path]:
    """Return the files there are of this name, with and without a serial, sorted.

    Raises:
        OSError: The folder is there, but cannot be read.
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
    # NONBLOCK and NOCTTY are for what should not be there: a fifo, a terminal.
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags, MODE)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "It is not a regular file", str(path))


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
    return None  # it has the lock, but has not written its number yet


def _look_up(path: Path) -> tuple[Holder, int]:
    """Return who runs, and the user that the file belongs to."""
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
    start_time = int(match[2])
    same_boot = match[3].decode() == _boot_id()
    lives = same_boot and _start_time(pid) == start_time
    return Holder("running" if lives else "stale", pid, start_time)


def _own_start_time() -> int:
    start_time = _start_time(os.getpid())
    if start_time is None:
        raise FileNotFoundError(errno.ENOENT, "No such process: is it mounted?", "/proc/self/stat")
    return start_time


def _start_time(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        if not _exists(pid):
            return None
        # Mounted with hidepid, perhaps: "has ended" would be a guess.
        raise PermissionError(
            errno.EACCES, "The process is there, but may not be looked at", f"/proc/{pid}/stat"
        ) from None
    fields = text.rpartition(b") ")[2].split()  # the name may hold spaces and parentheses
    return None if fields[0] in ENDED else int(fields[START_TIME])


def _exists(pid: int) -> bool:
    try:
        os.close(os.pidfd_open(pid))
    except OSError:
        return False
    return True


def _user_of(pid: int) -> int:
    """Return a process's real user id. /proc/PID itself may belong to root all the same."""
    for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[1])
    raise FileNotFoundError(errno.ENOENT, "It names no user", f"/proc/{pid}/status")


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # hidden in some containers: then start times have to do


def _refusal(path: Path, cause: OSError) -> str:
    reason = cause.strerror or str(cause)
    text = f"Cannot write the pid file {str(path)!r}: {reason}"
    if cause.filename is not None and str(cause.filename) != str(path):
        text += f" ({str(cause.filename)!r})"
    match cause.errno:
        case errno.ENOENT | errno.ENOTDIR:
            step = f"Create the folder {str(path.parent)!r}, or give another --pid-file."
        case errno.ELOOP:
            text = f"Cannot write the pid file {str(path)!r}: It is a symbolic link"
            step = "Remove it, or give another --pid-file."
        case errno.EINVAL | errno.EISDIR | errno.ENXIO:
            step = "Remove it, or give another --pid-file."
        case _:
            step = "Let this user write it and its folder, or give another --pid-file."
    return f"{text}. {step}"
