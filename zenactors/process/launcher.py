"""The dialogue between a starting daemon and the process that launched it.

The *launching process* waits in `LaunchWatch` until the daemon reports its final status through
its `Launcher`. A socket carries the messages, a pipe the text to show. The *first child*, which
forks the daemon, sends the daemon's pidfd over the same socket.

Invariants:

- The launching process leaves with status 0 only if the daemon reports that status. A daemon that
  ends without a report, or reports nothing in time, has failed, and is ended if it still runs.
- The launching process signals no other process than the daemon: it uses the pidfd, which the
  first child opens while the daemon is its own child.
- SIGINT and SIGTERM that reach the launching process are passed on to the daemon, including those
  that were pending before the forks.
- The daemon never waits for the launching process, and outlives it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from types import FrameType

from zenactors.errors import EXIT_START_FAILED
from zenactors.process.polling import poll_for

PASSED_ON = (signal.SIGINT, signal.SIGTERM)
PIECE = 4_096  # bytes (PIPE_BUF): one write of at most this size is atomic
GRACE = 5.0  # seconds that a daemon that was not ready in time has after SIGTERM, and after SIGKILL

# Messages on the socket.
DAEMON = b"D"  # from the first child; the daemon's pidfd is attached
FINAL = b"F"  # from the daemon; the exit status follows, one byte


class Launcher:
    """Reports from the daemon to the launching process. Never blocks, never raises `OSError`.

    Calls are harmless after the launching process has gone, and after the first final status. If
    the launching process is stopped, text beyond the pipe's 64 KiB is lost; the final status is
    not.

    Thread: any.
    """

    def __init__(self, messages: socket.socket, text: int) -> None:
        self._messages = messages
        self._text = text
        self._open = True
        self._lock = threading.Lock()

    def disown(self) -> None:
        """Close a forked child's copies; the launching process would wait for their end."""
        if self._open:
            self._open = False
            self._messages.close()
            os.close(self._text)
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Show text on the launching process's standard error, at once."""
        left = text.encode(errors="backslashreplace")
        with self._lock, contextlib.suppress(OSError):  # it is gone, or stopped
            while self._open and left:
                left = left[os.write(self._text, left[:PIECE]) :]

    def ready(self) -> None:
        """Let the launching process leave with status 0."""
        self.failed(0)

    def failed(self, status: int) -> None:
        """Let the launching process leave with this status: 0 to 255."""
        message = FINAL + bytes([status])
        with self._lock:
            if self._open:
                self._open = False
                with contextlib.suppress(OSError):
                    self._messages.send(message, socket.MSG_DONTWAIT)
                self._messages.close()
                os.close(self._text)


def send_pidfd(messages: socket.socket, daemon: int) -> None:
    """Send a pidfd of `daemon`, a child of this process, to the launching process.

    The caller must not have reaped the child: until then no other process can have its PID.
    """
    with contextlib.suppress(OSError):  # the launching process is gone
        socket.send_fds(messages, [DAEMON], [os.pidfd_open(daemon)])


class LaunchWatch:
    """The launching process while it waits for the daemon's final status.

    Args:
        messages: The end of the socket to read.
        text: The end of the pipe to read, whose text is shown on standard error.
        now: Seconds on a monotonic clock.
        mask: The signals to block from now on, except those that are passed on.

    Thread: the only one.
    """

    def __init__(
        self, messages: socket.socket, text: int, now: Callable[[], float], mask: Iterable[int]
    ) -> None:
        messages.settimeout(0.0)  # recv_fds() ignores MSG_DONTWAIT
        self._messages = messages
        self._text = text
        self._now = now
        self._status: int | None = None
        self._ended = False
        self._daemon = -1  # a pidfd
        self._unsent: list[int] = []  # signals that came before the pidfd
        self._signals, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        for each in (messages, text, self._signals):
            self._poll.register(each, select.POLLIN)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # standard error may have no reader
        for number in PASSED_ON:
            signal.signal(number, _leave_to_wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, set(mask) - set(PASSED_ON))

    def status(self, start_timeout: float) -> int:
        """Wait for the final status and return it. A failure to report one is shown first.

        Args:
            start_timeout: Seconds until the daemon counts as failed and is ended.
        """
        self._wait_until(self._now() + start_timeout)
        if self._status is not None:
            return self._status
        if self._ended:
            _show(b"The daemon ended before it was ready and gave no reason. See its log.\n")
        else:
            _show(f"The daemon was not ready within {start_timeout:g} s: ending it.\n".encode())
            self._end()
        return EXIT_START_FAILED

    def _end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = self._now() + GRACE
            self._send(number)
            self._status = None  # a status reported from now on is too late
            self._wait_until(deadline, for_status=False)
            if self._ended:
                return
            _show(f"It has not ended within {GRACE:g} s after {number.name}.\n".encode())

    def _wait_until(self, deadline: float, *, for_status: bool = True) -> None:
        while not (self._ended or (for_status and self._status is not None)):
            left = deadline - self._now()
            self._wait(left)
            if left <= 0:  # after one more look at the descriptors
                return

    def _wait(self, seconds: float) -> None:
        ready = poll_for(self._poll, seconds)
        # The order matters. If the pidfd is ready, all that the daemon sent is there to read; and
        # its text is older than the final status that follows it.
        if self._messages.fileno() in ready or self._daemon in ready:
            self._receive()
        if self._text in ready or self._status is not None or self._daemon in ready:
            self._show_text()
        if self._signals in ready:
            for number in os.read(self._signals, 4096):
                if number in PASSED_ON:
                    self._send(number)
        self._ended = self._ended or self._daemon in ready

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while True:
                message, descriptors, _, _ = socket.recv_fds(self._messages, 2, 1)
                if not message:  # no sender is left; the pidfd, if there is one, reports the end
                    self._forget(self._messages.fileno())
                    self._ended = self._ended or self._daemon < 0
                    return
                if message == DAEMON:
                    self._watch_daemon(descriptors)
                else:
                    self._status = message[len(FINAL)]

    def _watch_daemon(self, descriptors: list[int]) -> None:
        if not descriptors:
            return  # too many are open here; then the end of the messages is the daemon's end
        [self._daemon] = descriptors
        self._poll.register(self._daemon, select.POLLIN)
        while self._unsent:
            self._send(self._unsent.pop(0))

    def _show_text(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._text, 65_536):
                _show(text)
            self._forget(self._text)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):  # forgotten before
            self._poll.unregister(descriptor)

    def _send(self, number: int) -> None:
        if self._daemon < 0:
            self._unsent.append(number)
        else:
            with contextlib.suppress(OSError):  # it has ended, or runs as a user out of reach
                signal.pidfd_send_signal(self._daemon, number)


def _leave_to_wakeup(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor has received the number."""


def _show(text: bytes) -> None:
    with contextlib.suppress(OSError):  # standard error has no reader
        while text:
            text = text[os.write(2, text) :]
