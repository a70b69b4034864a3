"""Leaks: threads, open descriptors and child processes that a test leaves behind.

They are compared before and after the test. Descriptors and children are read from `/proc`;
without it only threads are compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import os
import sys
import threading
import traceback
from collections.abc import Hashable, Iterator
from pathlib import Path

from zenactors.core.clock import SystemClock

PATIENCE = 2.0  # seconds that all threads together may take to end after a test
STREAMS = 2  # and below: standard streams, which pytest replaces to capture them
SHARED = ("/dev/random", "/dev/urandom")  # libraries keep these open until the process ends
SHOWN_COMMAND = 80  # characters of a child's command line

PROC = Path("/proc/self")


@dataclasses.dataclass(frozen=True, slots=True)
class Descriptor:
    """An open descriptor. Its number may be used again for another file, which is another one."""

    number: int
    device: int
    inode: int

    def __str__(self) -> str:
        try:
            target: object = (PROC / "fd" / str(self.number)).readlink()
        except OSError:
            target = "closed meanwhile"
        return f"descriptor {self.number} is open: {target}"


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    """A child process that runs, or has ended without a `wait`."""

    pid: int

    def __str__(self) -> str:
        name, state = _stat(self.pid)
        if state == "Z":
            return f"child process {self.pid} ({name}) has ended, but was not waited for"
        return f"child process {self.pid} runs: {_command(self.pid) or name}"


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A thread that can be joined."""

    thread: threading.Thread

    def __str__(self) -> str:
        daemon = " (daemon=True)" if self.thread.daemon else ""
        return f"thread {self.thread.name!r}{daemon} runs:\n{stack_of(self.thread)}".rstrip()


Thing = Descriptor | Child | Running


def present() -> set[Thing]:
    """Return the threads, descriptors and children of this process. Never blocks."""
    things: set[Thing] = {*_threads(), *_descriptors(), *_children()}
    return things - _machinery()


def stack_of(thread: threading.Thread) -> str:
    """Return a thread's stack, indented, like a traceback; empty if it has ended."""
    # Exact for a thread that hangs; a running one may have gone on.
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented
    return "".join(f"  {line}" for line in traceback.format_stack(frame)) if frame else ""


class Watch:
    """Compare threads, descriptors and children before and after each test. Thread: one.

    Those of a fixture of a wider scope may remain until that fixture ends.
    """

    def __init__(self) -> None:
        self.active = False
        self._before: set[Thing] = set()
        self._owned: dict[Hashable, set[Thing]] = {}
        self._released: set[Thing] = set()
        self._handlers: list[logging.Handler] = []

    def begin(self) -> None:
        """Record the present state. The second of two calls does nothing."""
        if not self.active:
            self.active = True
            self._handlers = _log_handlers()
            self._before = present()

    def end(self) -> list[Thing]:
        """Return the leaks: what is new and remains. Waits a moment for threads to end."""
        if not self.active:
            return []
        self.active = False
        suspects = self._suspects()
        if suspects:
            # Garbage in a cycle is no leak, and an executor in it ends its threads. The result
            # must not depend on when the collector last ran.
            gc.collect()
            _await_threads(suspects)
            suspects &= self._suspects()
        self._before.clear()
        self._released.clear()
        return sorted(suspects, key=_order)

    def ignore(self, thread: threading.Thread) -> None:
        """Do not report a thread, because the caller does."""
        self._before.add(Running(thread))

    @contextlib.contextmanager
    def owned_by(self, owner: Hashable) -> Iterator[None]:
        """Allow what the body starts or opens, until `release(owner)`."""
        before = present()
        yield
        self._owned[owner] = present() - before

    def release(self, owner: Hashable) -> None:
        """Report from now on what `owner` has left behind."""
        things = self._owned.pop(owner, set())
        if self.active:
            self._released |= things

    def _suspects(self) -> set[Thing]:
        now = present()
        come = (now - self._before) | (now & self._released)
        return come.difference(*self._owned.values(), _log_files(self._handlers))


def _threads() -> Iterator[Running]:
    for thread in threading.enumerate():
        # A dummy stands for a thread that Python did not start, and cannot be joined.
        if thread.ident is not None and not isinstance(thread, threading._DummyThread):  # noqa: SLF001
            yield Running(thread)


def _await_threads(things: set[Thing]) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + PATIENCE
    for thing in things:
        if isinstance(thing, Running) and thing.thread is not threading.current_thread():
            thing.thread.join(max(0.0, deadline - clock.monotonic()))


def _descriptors() -> Iterator[Descriptor]:
    try:
        numbers = [int(name) for name in os.listdir(PROC / "fd")]  # noqa: PTH208 - names suffice
    except OSError:
        return
    for number in numbers:
        if number > STREAMS:
            with contextlib.suppress(OSError):  # the one of listdir is closed by now
                descriptor = _descriptor(number)
                if str((PROC / "fd" / str(number)).readlink()) not in SHARED:
                    yield descriptor


def _descriptor(number: int) -> Descriptor:
    status = os.fstat(number)
    return Descriptor(number, status.st_dev, status.st_ino)


def _children() -> Iterator[Child]:
    try:
        tasks = os.listdir(PROC / "task")  # noqa: PTH208 - as above
    except OSError:
        return
    for task in tasks:
        with contextlib.suppress(OSError):  # the thread has ended, or the kernel has no such file
            yield from map(Child, map(int, (PROC / "task" / task / "children").read_text().split()))


def _machinery() -> set[Thing]:
    """Return the helpers of multiprocessing, which remain on purpose."""
    things: set[Thing] = set()
    for module, helper, pid, number in (
        ("resource_tracker", "_resource_tracker", "_pid", "_fd"),
        ("forkserver", "_forkserver", "_forkserver_pid", "_forkserver_alive_fd"),
    ):
        at = getattr(sys.modules.get(f"multiprocessing.{module}"), helper, None)
        if (child := getattr(at, pid, None)) is not None:
            things.add(Child(child))
        if (descriptor := getattr(at, number, None)) is not None:
            with contextlib.suppress(OSError):
                things.add(_descriptor(descriptor))
    return things


def _log_handlers() -> list[logging.Handler]:
    named = logging.Logger.manager.loggerDict.values()
    loggers = [logging.root, *(each for each in named if isinstance(each, logging.Logger))]
    return [handler for each in loggers for handler in each.handlers]


def _log_files(handlers: list[logging.Handler]) -> set[Thing]:
    """Return the files of log handlers, which open them at the first line or a rotation."""
    files: set[Thing] = set()
    for handler in handlers:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            files.add(_descriptor(handler.stream.fileno()))  # type: ignore[attr-defined]
    return files


def _stat(pid: int) -> tuple[str, str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone meanwhile", ""
    name, _, rest = text.partition("(")[2].rpartition(") ")
    return name, rest[:1]


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    line = " ".join(" ".join(words).split())
    return line if len(line) <= SHOWN_COMMAND else f"{line[:SHOWN_COMMAND]}..."


def _order(thing: Thing) -> tuple[str, int]:
    match thing:
        case Descriptor(number=number):
            return "2", number
        case Child(pid=pid):
            return "1", pid
        case Running(thread=thread):
            return "0", thread.native_id or 0
