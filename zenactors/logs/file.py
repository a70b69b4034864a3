"""A log file: a line a write, exchanged for a new one while other threads write.

Opening it is made for root, who may be told to log into a folder that others can write too: what
they put there is not followed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import stat
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.config.redaction import plain
from zenactors.core.text import short_repr

if TYPE_CHECKING:
    from datetime import datetime

    from loguru import Message

MODE = 0o640  # of a file that is made, at most: the umask takes from it
PATIENCE = 1.0  # seconds that a line waits for a reader; the next ones do not until it reads again
MAX_LINKS = 40  # as many as Linux follows
_FILE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_log_file(path: Path) -> int:
    """Open a file for appending and return the descriptor; make the file, but not its folder.

    A folder is trusted if it belongs to root or to this process's user, and nobody else can write
    to it. In any other folder symbolic links are not followed, and the file must be a regular one
    of this user's own that has no second name.

    Args:
        path: An absolute path.

    Raises:
        OSError: If it cannot be opened; with `path` as its file name.
    """
    try:
        return _walk(path)
    except OSError as cause:
        raise OSError(cause.errno, cause.strerror, str(path)) from cause


def _walk(path: Path) -> int:
    """Go from folder to folder, so that none is exchanged after it was looked at."""
    with contextlib.ExitStack() as opened:

        def enter(name: str, within: int | None = None) -> int:
            inner = os.open(name, _FOLDER, dir_fd=within)
            opened.callback(os.close, inner)
            return inner

        folder = enter("/")
        left = list(reversed(path.parts[1:]))
        links = 0
        while left:
            name = left.pop()
            target = _target(name, folder)
            # Of a pipe only the kernel knows the way: what /dev/stdout may stand for.
            is_pipe = target is not None and target.startswith("pipe:[")
            if target is not None and not is_pipe:
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if not _is_trusted(folder):
                    raise PermissionError(
                        errno.EPERM,
                        f"{name!r} is a symbolic link in a folder that others can write",
                    )
                if target.startswith("/"):
                    folder = enter("/")
                left.extend(part for part in reversed(Path(target).parts) if part != "/")
            elif left:
                folder = enter(name, folder)
            else:
                return _open_in(folder, name, follow=is_pipe)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _target(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:  # no link, or nothing: opening it tells what is wrong
        return None


def _is_trusted(folder: int) -> bool:
    found = os.stat(folder)
    us = (0, os.geteuid())
    # A group of the user's own number is the user's alone.
    others = stat.S_IWOTH if found.st_gid in us else stat.S_IWOTH | stat.S_IWGRP
    return found.st_uid in us and not found.st_mode & others


def _open_in(folder: int, name: str, *, follow: bool) -> int:
    # Not blocking while it opens: a named pipe would wait for who reads it.
    fd = os.open(name, _FILE | (0 if follow else os.O_NOFOLLOW), MODE, dir_fd=folder)
    try:
        found = os.fstat(fd)
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
        if not ours and not _is_trusted(folder):
            raise PermissionError(
                errno.EPERM, "others have put it there, in a folder that they can write"
            )
        os.set_blocking(fd, True)
    except BaseException:  # whatever it was, the descriptor is nobody's
        os.close(fd)
        raise
    return fd


@dataclass(frozen=True, eq=False)
class _Target:
    """Where lines go, which, and how they look: all that is exchanged at once."""

    fd: int
    path: Path
    level: int
    json: bool
    patience: Patience


def _open_target(path: Path, level: int, *, json: bool) -> _Target:
    fd = open_log_file(path)
    return _Target(fd, path, level, json, Patience(fd))


class LogFile:
    """A sink of loguru's that writes to a file, and to another as soon as it is told to.

    What cannot be written (the disk is full) is lost and counted: the first line after it says
    how much, and standard error is told once. Nothing of it reaches who logs.

    Args:
        path: An absolute path; opened at once, as `open_log_file` does.
        level: The number of the lowest level that is written.
        json: Write JSON objects, one a line, instead of text.

    Raises:
        OSError: If it cannot be opened.

    Thread: any.
    """

    def __init__(self, path: Path, level: int, *, json: bool) -> None:
        # Held while a line is written and while targets are exchanged, so no line falls between.
        # Reentrant, for a finalizer that logs may come in anywhere.
        self._lock = threading.RLock()
        self._target: _Target | None = _open_target(path, level, json=json)
        self._lost = 0
        self._reason = ""
        self._is_torn = False

    def replace(self, path: Path, level: int, *, json: bool) -> None:
        """Open a file and write to it from now on, instead of the old one, which is closed.

        Raises:
            OSError: If it cannot be opened. The old one is written to as before then.
        """
        target = _open_target(path, level, json=json)
        with self._lock:
            before, self._target = self._target, target
            self._is_torn = False
            if before is not None:
                os.close(before.fd)

    def stop(self) -> None:
        """Close the file; what is written from now on goes nowhere. loguru calls it."""
        with self._lock:
            before, self._target = self._target, None
            if before is not None:
                os.close(before.fd)

    def isatty(self) -> bool:
        """Return False: loguru asks, and would colour the lines."""
        return False

    def write(self, message: Message) -> None:
        """Write a line; never raises for what the system refuses.

        Args:
            message: Its text is the traceback, if the record has one.
        """
        while (target := self._target) and message.record["level"].no >= target.level:
            # Not under the lock: users' code that is asked for a `repr` may log, or wait.
            data = _line(message, as_json=target.json)
            with self._lock:
                if target is not self._target:
                    continue
                problem = self._put(target, data, message.record["time"])
            if problem:
                _tell(
                    f"Log file {str(target.path)!r} cannot be written: {problem}. Lines are lost."
                )
            return

    def _put(self, target: _Target, data: bytes, time: datetime) -> str:
        """Write all of it; say what is wrong if it cannot, and before it could."""
        if self._lost:
            text = f"{self._lost} lines before this one are lost: {self._reason}"
            data = _rendered(time, "WARNING", None, text, {}, "", as_json=target.json) + data
        if self._is_torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                piece = target.patience.wait(data[written:])
                written += os.write(target.fd, piece)
        except OSError as cause:
            if written:
                self._is_torn = data[written - 1 : written] != b"\n"
            is_first = not self._lost
            self._lost += 1
            self._reason = cause.strerror or str(cause)
            return self._reason if is_first else ""
        self._lost = 0
        self._is_torn = False
        return ""


class Patience:
    """How long to wait for somebody who does not read: once, and not for each line.

    Otherwise a terminal that is held with Ctrl-S, or a pipe whose reader hangs, would hold whoever
    logs: in the end the main thread, and so the stop.

    Args:
        fd: A descriptor; only that of a terminal, a pipe or a socket may make anybody wait.
    """

    def __init__(self, fd: int) -> None:
        self._poll: select.poll | None = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)
        self._seconds = PATIENCE

    def wait(self, data: bytes) -> bytes:
        """Wait until something can be written; return as much of `data` as will not block.

        Raises:
            OSError: Nobody reads.
        """
        if self._poll is None:
            return data
        if not self._poll.poll(self._seconds * 1000):
            self._seconds = 0.0
            raise OSError(errno.EAGAIN, "Nobody reads it")
        self._seconds = PATIENCE
        return data[: select.PIPE_BUF]


def _tell(text: str) -> None:
    # Standard error may be None, closed, or broken: then there is nobody to tell.
    fd = None
    with contextlib.suppress(ValueError, AttributeError):  # an object in memory has none
        fd = sys.stderr.fileno()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if fd is not None:
            Patience(fd).wait(b"")
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _line(message: Message, *, as_json: bool) -> bytes:
    record = message.record
    fields = dict(record["extra"])
    return _rendered(
        record["time"],
        record["level"].name,
        fields.pop("component", None),
        record["message"],
        fields,
        str(message) if record["exception"] else "",
        as_json=as_json,
    )


def _rendered(
    time: datetime,
    level: str,
    component: Any,
    message: str,
    fields: dict[str, Any],
    exception: str,
    *,
    as_json: bool,
) -> bytes:
    name = component if component is None or isinstance(component, str) else short_repr(component)
    if as_json:
        return _json_line(time, level, name, message, fields, exception)
    who = "" if name is None else f"{name}: "
    line = f"{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <8} {who}{message}\n{exception}"
    return line.encode("utf-8", "backslashreplace")


def _json_line(
    time: datetime,
    level: str,
    component: str | None,
    message: str,
    fields: dict[str, Any],
    exception: str,
) -> bytes:
    found: dict[str, Any] = {"time": time.isoformat(timespec="microseconds"), "level": level}
    if component is not None:
        found["component"] = component
    found["message"] = message
    if exception:
        found["exception"] = exception.rstrip("\n")
    for key, value in fields.items():
        name = str(key)
        while name in found:
            name += "_"
        found[name] = _field(name, value)
    # A lone surrogate becomes \udc80, which is JSON's way to write it too.
    return (json.dumps(found, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _field(key: str, value: Any) -> Any:
    """Return what JSON can hold; secrets redacted, for a text shows the message's fields only."""
    try:
        (found,) = plain({key: value}).values()
    except Exception as cause:  # whatever a user's object raises when it is looked at
        return f"<{type(value).__name__} that raises {type(cause).__name__}>"
    return found
