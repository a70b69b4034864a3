"""Calls on network file systems, given up when they hang, so that they delay only their own file.

The kernel blocks a call on a file system whose server is gone for minutes, and no signal ends it.
So such a call runs in a helper thread, and the caller waits for a moment only.

Invariants:

1. A call on a local path or descriptor runs in the caller's thread.
2. There are at most `most_threads` helper threads. A call that hangs keeps one of them.
3. At most one call hangs for a path, or for the descriptors opened from it. Until it returns, the
   others fail at once.
4. Every descriptor is closed once: also that of an `open` that was given up, and one that was to be
   closed while no thread was free.

`_lock` guards all that both the caller and the helper threads use. No thread holds it during a
call.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import errno
import os
import queue
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from zenactors.components._files import Files
from zenactors.core.clock import Clock, SystemClock

_FIXED_PART = re.compile(r"[^*?[]*")  # of a pattern: all before the first wildcard
_LOCAL = ""  # in place of a mount
_REMEMBER_MOUNTS = 300.0  # seconds
_KEEP_LATE = 10.0  # seconds
_LESS_PATIENCE = 10  # times, for a mount on which a call hangs already

T = TypeVar("T")
_Key = tuple[Callable[..., Any], tuple[str | int, ...]]  # a function and its arguments


@dataclasses.dataclass(slots=True, eq=False)
class _Call:
    mount: str
    path: str
    function: Callable[..., Any]
    args: tuple[str | int, ...]
    opens: bool = False  # the value is a descriptor
    keep: bool = True  # if it is late, the value answers the next call that is the same
    value: Any = None
    error: BaseException | None = None
    finished: bool = False
    given_up: bool = False
    patience: float = 0.0  # seconds
    late_at: float = 0.0  # the monotonic time of a late return
    to_close: list[int] = dataclasses.field(default_factory=list)  # descriptors, afterwards
    returned: threading.Event = dataclasses.field(default_factory=threading.Event)

    @property
    def key(self) -> _Key:
        return self.function, self.args

    def outcome(self) -> Any:
        if self.error is None:
            return self.value
        try:
            raise self.error
        finally:
            self.error = None  # it refers to this frame


@dataclasses.dataclass(slots=True, eq=False)
class _Helper:
    calls: queue.SimpleQueue[_Call | None] = dataclasses.field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None


class PatientFiles:
    """Files of which those on a network file system cannot block the caller for long.

    A call on a network file system that does not return in `timeout` seconds is given up:
    `TimeoutError` with `errno.ETIMEDOUT` and the path is raised. While it hangs, further calls for
    the same path, and for descriptors opened from it, raise that at once. So do all calls on the
    same mount if only one thread is left, which is kept for other mounts, and all calls on network
    file systems if none is left. Calls on a mount on which one hangs get a tenth of the time. So
    the first look at 1,000 files of a dead server takes at most `1 + (most_threads - 2) / 10`
    time-outs, further ones none, as long as the calls hang.

    If a call returns after all, its thread is used again. The next call with the same arguments
    gets its value, if that is at most ten seconds old: a glob that always takes longer than
    `timeout` finds its files nevertheless. A late error is dropped, and the descriptor of a late
    `open` is closed: a file whose `open` always takes longer is never opened.

    `close` of a descriptor never times out: if it hangs, it goes on by itself.

    Guarded are the operations that a tailer needs: `open`, `close`, `pread`, `fstat`, `stat`,
    `lexists`, `entries`, `realpath` and `glob`. All others go to `files` as they are.

    Where a path leads is remembered for five minutes: a later mount, or a link that comes to lead
    to a network file system, may be noticed only then. A pattern is on a network file system if the
    directory before its first wildcard is.

    Args:
        files: Makes the calls. Its `is_network` must not touch a network file system.
        timeout: How many seconds the caller waits for a call.
        most_threads: How many calls may hang at a time.
        clock: The time base of late values and remembered mounts; waits take real time.

    Attributes:
        timeout: How many seconds the caller waits for a call; it may be changed.

    Thread: one, that of the component. `files` is called in helper threads, too.
    """

    def __init__(
        self,
        files: Files,
        *,
        timeout: float = 1.0,
        most_threads: int = 4,
        clock: Clock | None = None,
    ) -> None:
        self._files = files
        self._most_threads = most_threads
        self._monotonic = (clock or SystemClock()).monotonic
        self.timeout = timeout
        self._mounts: dict[str, str] = {}  # of each path: where it enters a network file system
        self._forget_mounts_at = 0.0
        self._opened: dict[int, tuple[str, str]] = {}  # mount and path, of network files only
        self._lock = threading.Lock()
        self._idle: list[_Helper] = []
        self._hung: dict[str, _Call] = {}  # by path
        self._late: dict[_Key, _Call] = {}
        self._ended = False

        self.read = files.read
        self.write = files.write
        self.write_now = files.write_now
        self.lseek = files.lseek
        self.ftruncate = files.ftruncate
        self.fsync = files.fsync
        self.fchmod = files.fchmod
        self.lock = files.lock
        self.rename = files.rename
        self.rename_exclusive = files.rename_exclusive
        self.remove = files.remove
        self.mkdir = files.mkdir
        self.is_append = files.is_append
        self.set_blocking = files.set_blocking
        self.wait_writable = files.wait_writable
        self.open_standard_output = files.open_standard_output
        self.watch = files.watch

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Open a file; return the descriptor."""
        mount = self._mount(path)
        if not mount:
            return self._files.open(path, flags, mode)
        call = _Call(mount, path, self._files.open, (path, flags, mode), opens=True)
        fd: int = self._outcome(call)
        self._opened[fd] = mount, path
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor, if need be later. It counts as closed at once."""
        opened = self._opened.pop(fd, None)
        if opened is None:
            self._files.close(fd)
            return
        call = _Call(*opened, self._files.close, (fd,))
        with self._lock:
            # They may be about the descriptor, whose number may come to be another file's.
            self._keep_late(lambda late: late.path != call.path)
            helper = self._free_helper(call)
            hung = None if helper else self._hung_beside(call)
            if hung:
                hung.keep = hung.keep and hung.path != call.path
                hung.to_close.append(fd)
                return
        if helper is None:  # after `shutdown`
            self._files.close(fd)
        elif self._ask(helper, call):
            call.outcome()

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read from an offset on."""
        if fd not in self._opened:
            return self._files.pread(fd, size, offset)
        return self._run(*self._opened[fd], self._files.pread, fd, size, offset)

    def fstat(self, fd: int) -> os.stat_result:
        """Return the status of an open file."""
        if fd not in self._opened:
            return self._files.fstat(fd)
        return self._run(*self._opened[fd], self._files.fstat, fd)

    def stat(self, path: str) -> os.stat_result:
        """Return the status of the file at a path."""
        mount = self._mount(path)
        return self._run(mount, path, self._files.stat, path) if mount else self._files.stat(path)

    def lexists(self, path: str) -> bool:
        """Return True if a path exists, even as a broken link.

        Raises:
            TimeoutError: The file system does not answer. No other error is raised.
        """
        mount = self._mount(path)
        if not mount:
            return self._files.lexists(path)
        return self._run(mount, path, self._files.lexists, path)

    def entries(self, path: str) -> dict[str, int]:
        """Return the names in a directory, and the inode of each."""
        mount = self._mount(path)
        if not mount:
            return self._files.entries(path)
        return self._run(mount, path, self._files.entries, path)

    def realpath(self, path: str) -> str:
        """Return the absolute path without links and dots.

        Raises:
            TimeoutError: The file system does not answer. No other error is raised.
        """
        mount = self._mount(path)
        if not mount:
            return self._files.realpath(path)
        return self._run(mount, path, self._files.realpath, path)

    def glob(self, pattern: str, unreadable: dict[str, OSError] | None = None) -> list[str]:
        """Return the paths that match.

        Raises:
            TimeoutError: The file system does not answer. No other error is raised.
        """
        mount = self._mount(_directory_of(pattern))
        if not mount:
            return self._files.glob(pattern, unreadable)
        found, errors = self._run(mount, pattern, self._glob, pattern)
        if unreadable is not None:
            unreadable.update(errors)
        return found

    def is_network(self, path: str) -> bool:
        """Return True if a path is on a network file system, as remembered."""
        return self._mount(path) != _LOCAL

    def boot_id(self) -> str:
        """Return an identifier of this run of the operating system."""
        return self._files.boot_id()

    def shutdown(self) -> None:
        """End the helper threads; never blocks. Threads whose calls hang end when these return.

        Close the descriptors first. Afterwards, calls on network file systems fail at once.
        """
        with self._lock:
            self._ended = True
            idle, self._idle = self._idle, []
            self._late.clear()
        for helper in idle:
            helper.calls.put(None)
        for helper in idle:
            if helper.thread:
                helper.thread.join()  # it has nothing left to do

    def _glob(self, pattern: str) -> tuple[list[str], dict[str, OSError]]:
        unreadable: dict[str, OSError] = {}  # not the caller's, which may not wait any more
        return self._files.glob(pattern, unreadable), unreadable

    def _mount(self, path: str) -> str:
        """Return the part of a path that leads to the network file system. "": it is local."""
        mount = self._mounts.get(path)
        if mount is None or self._monotonic() >= self._forget_mounts_at:
            return self._find_mount(path)
        return mount

    def _find_mount(self, path: str) -> str:
        now = self._monotonic()
        if now >= self._forget_mounts_at:
            self._mounts.clear()
            self._forget_mounts_at = now + _REMEMBER_MOUNTS
        unknown = []
        mount: str | None = _LOCAL
        while path and (mount := self._mounts.get(path)) is None:
            unknown.append(path)
            above = os.path.dirname(path)  # noqa: PTH120 - the path stays as it is spelled
            path, mount = ("" if above == path else above), _LOCAL
        for each in reversed(unknown):
            mount = mount or (each if self._files.is_network(each) else _LOCAL)
            self._mounts[each] = mount
        return mount or _LOCAL

    def _run(self, mount: str, path: str, function: Callable[..., T], *args: str | int) -> T:
        value: T = self._outcome(_Call(mount, path, function, args))
        return value

    def _outcome(self, call: _Call) -> Any:
        """Make a call in a helper thread; return its value.

        Raises:
            TimeoutError: It hangs, or none of the threads is free for it.
        """
        with self._lock:
            late = self._late.pop(call.key, None)
            if late is not None and self._is_fresh(late):
                return late.value
            helper = self._free_helper(call)
        if helper is None or not self._ask(helper, call):
            raise OSError(errno.ETIMEDOUT, "The network file system does not answer", call.path)
        return call.outcome()

    def _ask(self, helper: _Helper, call: _Call) -> bool:
        """Let a thread make a call. False: it hangs, and was given up."""
        try:
            helper.calls.put(call)
            call.returned.wait(call.patience)
        except BaseException:  # a signal's handler may raise anything: the call goes on
            if not self._give_up(call) and call.opens and call.error is None:
                self._files.close(call.value)
            raise
        return not self._give_up(call)

    def _give_up(self, call: _Call) -> bool:
        """Count a call as one that hangs. False: it has returned."""
        with self._lock:
            if not call.finished:
                call.given_up = True
                self._hung[call.path] = call
            return call.given_up

    def _free_helper(self, call: _Call) -> _Helper | None:
        """Take a thread for a call, under the lock. None: there is none for it."""
        free = self._most_threads - len(self._hung)
        beside = any(each.mount == call.mount for each in self._hung.values())
        if self._ended or free <= beside or call.path in self._hung:
            return None
        call.patience = self.timeout / _LESS_PATIENCE if beside else self.timeout
        if self._idle:
            return self._idle.pop()
        helper = _Helper()
        helper.thread = threading.Thread(
            target=self._serve, args=(helper,), name="zenactors:network-files", daemon=True
        )
        try:
            contextvars.Context().run(helper.thread.start)  # as all threads of zenactors
        except RuntimeError:  # the system gives no more threads
            return None
        return helper

    def _hung_beside(self, call: _Call) -> _Call | None:
        """Return the call that hangs for the same path, or else mount, or else any."""
        hung = self._hung.values()
        same_mount = (each for each in hung if each.mount == call.mount)
        return self._hung.get(call.path) or next(same_mount, None) or next(iter(hung), None)

    def _serve(self, helper: _Helper) -> None:
        """Make calls, in a helper thread, until there is None."""
        while (call := helper.calls.get()) is not None:
            try:
                call.value = call.function(*call.args)
            except BaseException as cause:  # it is raised in the caller's thread
                call.error = cause
            self._finish(helper, call)
            del call  # with its value, which may be large

    def _finish(self, helper: _Helper, call: _Call) -> None:
        with self._lock:
            call.finished = True
            if call.given_up and call.error is None:
                self._take_in_late(call)
            fd = self._next_to_close(helper, call)
        while fd is not None:
            with contextlib.suppress(OSError):
                self._files.close(fd)
            with self._lock:
                fd = self._next_to_close(helper, call)
        call.returned.set()

    def _take_in_late(self, call: _Call) -> None:
        """Keep or discard the value of a call that was given up, under the lock."""
        if call.opens:
            call.to_close.append(call.value)
        elif call.keep and not self._ended:
            self._keep_late(self._is_fresh)
            call.late_at = self._monotonic()
            self._late[call.key] = call

    def _keep_late(self, wanted: Callable[[_Call], bool]) -> None:
        self._late = {key: late for key, late in self._late.items() if wanted(late)}

    def _is_fresh(self, late: _Call) -> bool:
        return self._monotonic() - late.late_at <= _KEEP_LATE

    def _next_to_close(self, helper: _Helper, call: _Call) -> int | None:
        """Return a descriptor that the thread is to close, under the lock. None: it is free."""
        if call.to_close:
            return call.to_close.pop()
        if call.given_up:
            del self._hung[call.path]
        if self._ended:
            helper.calls.put(None)
        else:
            self._idle.append(helper)
        return None


def _directory_of(pattern: str) -> str:
    """Return the directory before the first wildcard of a pattern; a path as it is."""
    fixed = _FIXED_PART.match(pattern)[0]  # type: ignore[index]  # it matches always
    if fixed == pattern:
        return pattern
    directory, slash, _ = fixed.rpartition("/")
    return directory or slash or "."
