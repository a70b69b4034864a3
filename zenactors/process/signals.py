"""Signals for the main thread: handlers only queue a number and end the main thread's wait.

A handler runs between two bytecodes of the main thread, which may hold any lock at that moment. So
a handler calls only `SimpleQueue.put`, which is reentrant. If the kernel delivers a signal to
another thread, the main thread would keep waiting; the wake-up descriptor ends its wait.

Atomic operations relied on: `SimpleQueue.put/get`, even if a handler interrupts one of them.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Self

from zenactors.process.forks import disown_in_children
from zenactors.process.polling import poll_for

SIGNALS_TO_NAMES_DICT = {
    getattr(signal, name): name
    for name in dir(signal)
    if name.startswith("SIG") and "_" not in name
}
"""Signal numbers to their names."""

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # a failed write raises an error instead
UNCATCHABLE = (signal.SIGKILL, signal.SIGSTOP)


@contextlib.contextmanager
def stopping_quietly() -> Iterator[None]:
    """Let SIGTERM raise `KeyboardInterrupt`, as SIGINT does, until a daemon traps both itself.

    Python may swallow the exception, for example in a finalizer. It is then raised again at the
    end of the context. Signals that already have a handler, or are ignored, stay as they are.
    Outside the main thread the context does nothing.
    """
    asked = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    taken = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    if threading.current_thread() is not threading.main_thread():
        taken = {}
    before = {n: h for n, h in taken.items() if signal.getsignal(n) is h}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt


@contextlib.contextmanager
def children_have_statuses() -> Iterator[None]:
    """Undo, while the context lasts, that the parent process has let this one ignore SIGCHLD.

    The kernel would reap the children itself, and their statuses would be lost. Thread: main.
    """
    ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        if ignored and signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)


class SignalTrap:
    """Catch signals while the context lasts, and wait for them.

        with SignalTrap([signal.SIGTERM]) as trap:
            caught = trap.wait(10.0)

    Leaving the context restores the previous handlers and wake-up descriptor.

    Args:
        signals: The signals to catch.

    Raises:
        RuntimeError: On entering outside the main thread, where no handler can be set.

    Thread: main, except for `notify`.
    """

    def __init__(self, signals: Iterable[int]) -> None:
        self._signals = tuple(signals)
        self._caught: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._previous: dict[int, Any] = {}
        self._read_fd = self._write_fd = -1
        self._previous_fd = -1
        # Keeps `notify` from writing to a descriptor that `__exit__` has closed. A handler never
        # takes it, so a handler never waits.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "Signals can be trapped in the main thread only: call serve() or run() there,"
                " or use a Dispatcher, which needs no signals."
            )
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A full pipe loses nothing: it is readable, and the numbers are in the queue.
        self._previous_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in self._signals:
            self._previous[number] = signal.signal(number, self._catch)
        # A process that becomes a daemon blocks its signals until the handlers are in place.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
        disown_in_children(self)
        return self

    def disown(self) -> None:
        """Give a forked child Python's default handlers, and close its copy of the wake-up pipe."""
        if self._read_fd < 0:
            return  # it has ended
        for number in self._signals:
            python = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, python)
        signal.set_wakeup_fd(-1)
        os.close(self._read_fd)
        os.close(self._write_fd)
        self._lock = threading.Lock()
        self._previous = {}
        self._read_fd = self._write_fd = -1

    def __exit__(self, *_: object) -> None:
        if self._read_fd < 0:
            return  # in a forked child
        for number, handler in self._previous.items():
            # None: a handler that C code has set, which Python cannot restore.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._previous_fd)
        with self._lock:
            os.close(self._write_fd)
            self._write_fd = -1
        os.close(self._read_fd)
        self._read_fd = -1

    def notify(self) -> None:
        """End a `wait` without a signal. Never blocks for long. Thread: any."""
        with self._lock:
            if self._write_fd >= 0:
                with contextlib.suppress(BlockingIOError):  # full: the wait ends in any case
                    os.write(self._write_fd, b"\0")

    def wait(self, timeout: float | None = None) -> list[int]:
        """Wait for a signal or a `notify`, at most `timeout` seconds, and at most a day.

        Returns:
            The signals caught, in order of arrival; may be empty.
        """
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        if self._caught.empty():
            poll_for(poll, timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 65536)
        caught = []
        with contextlib.suppress(queue.Empty):
            while True:
                caught.append(self._caught.get_nowait())
        return caught

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        self._caught.put(number)  # reentrant, unlike logging, locks and pykka's tell()
