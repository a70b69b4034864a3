"""Read standard input and pipes: what comes once, and can be read but once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zenactors.components.tail.cutter import LineCutter
from zenactors.components.tail.cutter_rules import CutterRules
from zenactors.components.tail.lines import Lines

if TYPE_CHECKING:
    from zenactors.components._files import Files
    from zenactors.core.daemon_api import Cancellable, Daemon

STANDARD_INPUT = "-"
_STANDARD_INPUT = 0  # its descriptor
_BLOCK = 65_536
# Opened for writing too, a pipe has no end when its last writer closes it.
_PIPE_FLAGS = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC


class Stream:
    """Standard input, or a pipe. No checkpoint can bring back what was read of it.

    Args:
        path: `"-"` is standard input; a named pipe; or what `Lines` of `fd` name as their file.
        daemon: What `setup` gets.
        files: The file system.
        rules_for: Returns the rules for a stream that begins with these bytes.
        hand_over: Gets the lines.
        is_full: Returns True while nothing should be read.
        on_end: Called with the error, or None, when there will be nothing more to read.
        fd: A descriptor that does not block. It is closed with the stream.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(
        self,
        path: str,
        daemon: Daemon,
        files: Files,
        rules_for: Callable[[bytes], CutterRules],
        hand_over: Callable[[Lines], None],
        is_full: Callable[[], bool],
        on_end: Callable[[OSError | None], None],
        fd: int | None = None,
    ) -> None:
        self.path = path
        self.bytes_read = 0
        self.has_ended = False
        self._daemon = daemon
        self._files = files
        self._rules_for = rules_for
        self._hand_over = hand_over
        self._is_full = is_full
        self._on_end = on_end
        self._cutter: LineCutter | None = None
        self._waiting: Cancellable | None = None
        self._is_file = False  # standard input is a regular file: it is always readable
        self._is_input = fd is None and path == STANDARD_INPUT
        if fd is None:
            fd = _STANDARD_INPUT if self._is_input else files.open(path, _PIPE_FLAGS)
        self._fd = fd
        self.wait()

    def wait(self) -> None:
        """Read as soon as there is something, and room."""
        if self.has_ended or self._waiting is not None or self._is_full():
            return
        if not self._is_file:
            try:
                self._waiting = self._daemon.io.add_reader(self._fd, self._read)
            except OSError as cause:
                if cause.errno != errno.EPERM:
                    self._end(cause)
                    return
                self._is_file = True
        if self._is_file:
            self._waiting = self._daemon.io.call_later(0, self._read)

    def flush(self) -> None:
        """Hand over a last line without an end."""
        if self._cutter is not None:
            self._hand_on(self._cutter, b"", flush=True)

    def close(self) -> None:
        """Read no more. Standard input stays open."""
        self._stop_waiting()
        if not self.has_ended and not self._is_input:
            self._files.close(self._fd)
        self.has_ended = True

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()

    def _read(self, _daemon: Any) -> None:
        if self._is_file:
            self._waiting = None
        try:
            block = self._files.read(self._fd, _BLOCK)
        except BlockingIOError:
            return
        except OSError as cause:
            self._end(cause)
            return
        if not block:
            self._end(None)
            return
        self.bytes_read += len(block)
        if self._cutter is None:
            self._cutter = LineCutter(self._rules_for(block))
        self._hand_on(self._cutter, block)
        if self._is_full():
            self._stop_waiting()
        elif self._is_file:
            self.wait()

    def _hand_on(self, cutter: LineCutter, block: bytes, *, flush: bool = False) -> None:
        for piece in cutter.flush() if flush else cutter.feed(block):
            self._hand_over(piece.to_lines(cutter.rules, path=self.path))

    def _end(self, cause: OSError | None) -> None:
        self.flush()
        self.close()
        self._on_end(cause)
