"""Leaks: threads, open descriptors and child processes that a test leaves behind.

What is there is compared before and after. The operating system is asked for descriptors and
children through `/proc`; where there is none, only threads are compared.
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

PATIENCE = 2.0  # seconds that threads may take, all together, to leave after a test
STREAMS = 2  # up to it: standard input, output and error, which whoever captures them exchanges
SHARED = ("/dev/random", "/dev/urandom")  # libraries keep these open for the process's whole life
SHOWN_COMMAND = 80  # characters of a child's command line

PROC = Path("/proc/self")


@dataclasses.dataclass(frozen=True, slots=True)
class Descriptor:
    """An open descriptor. The same number for another file is another one; a rename is not."""

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
    """A child process that runs, or that nobody has waited for."""

    pid: int

    def __str__(self) -> str:
        name, state = _stat(self.pid)
        if state == "Z":
            return f"child process {self.pid} ({name}) has ended, but nobody waited for it"
        return f"child process {self.pid} runs: {_command(self.pid) or name}"


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A thread that Python's `threading` knows, and whose end can be waited for."""

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
    """Return where a thread is, indented, as a traceback shows it; empty if it has ended."""
    # Exact for a thread that hangs; of one that moves it is where it just was.
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented
    return "".join(f"  {line}" for line in traceback.format_stack(frame)) if frame else ""


class Watch:
    """Compare what is there before and after each test. Thread: one.

    What a fixture of a wider scope brings along stays until that fixture ends; then it has to be
    gone as well.
    """

    def __init__(self) -> None:
        self.active = False
        self._before: set[Thing] = set()
        self._owned: dict[Hashable, set[Thing]] = {}
        self._released: set[Thing] = set()
        self._handlers: list[logging.Handler] = []

    def begin(self) -> None:
        """Note what is there. The second of two calls changes nothing."""
        if not self.active:
            self.active = True
            self._handlers = _log_handlers()
            self._before = present()

    def end(self) -> list[Thing]:
        """Return what has come and is still there. Threads get a moment to leave."""
        if not self.active:
            return []
        self.active = False
        suspects = self._suspects()
        if suspects:
            # What only a cycle of garbage holds is nobody's, and an executor in one lets its
            # threads go: whether that happened before must not depend on chance.
            gc.collect()
            _await_threads(suspects)
            suspects &= self._suspects()
        self._before.clear()
        self._released.clear()
        return sorted(suspects, key=_order)

    def ignore(self, thread: threading.Thread) -> None:
        """Say nothing about a thread: somebody else reports it."""
        self._before.add(Running(thread))

    @contextlib.contextmanager
    def owned_by(self, owner: Hashable) -> Iterator[None]:
        """Leave to `owner`, until it is released, what comes in the body."""
        before = present()
        yield
        self._owned[owner] = present() - before

    def release(self, owner: Hashable) -> None:
        """Say that `owner` has ended: what it owned should be gone."""
        things = self._owned.pop(owner, set())
        if self.active:
            self._released |= things

    def _suspects(self) -> set[Thing]:
        now = present()
        come = (now - self._before) | (now & self._released)
        return come.difference(*self._owned.values(), _log_files(self._handlers))


def _threads() -> Iterator[Running]:
    for thread in threading.enumerate():
        # A dummy stands for a thread that was not started here: nobody can wait for its end.
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
            with contextlib.suppress(OSError):  # the one that listed them is among them
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
        with contextlib.suppress(OSError):  # the thread has ended, or the kernel does not tell
            yield from map(Child, map(int, (PROC / "task" / task / "children").read_text().split()))


def _machinery() -> set[Thing]:
    """Return what multiprocessing starts when it is first needed, and keeps on purpose."""
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
    """Return the files of log handlers: opened when something is first logged, or rotated."""
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
