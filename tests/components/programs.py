"""Programs for tests: real ones in Python, and scripted ones for a harness."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.running import LIMIT
from zenactors import ZenDaemonComponent, handles
from zenactors.components import Lines
from zenactors.testing import Harness


def python(source: str, *arguments: object) -> list[str]:
    """Return the command that runs Python code, without its site packages: it starts sooner."""
    return [sys.executable, "-S", "-E", "-c", source, *map(str, arguments)]


# Programs that wait do so for the end of their input, or for a signal: they end with the test.
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
WAITS = "import signal; signal.pause()"


def is_gone(pid: int) -> bool:
    """Return True if there is no such process, not even as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for_end(pid: int) -> None:
    """Wait for the end of a process, perhaps of another parent, which reaps it some time later."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], LIMIT)[0]
    finally:
        os.close(fd)


class Collector(ZenDaemonComponent):
    """Keeps what it gets, and lets other threads wait for it."""

    def __init__(self, *, event: str = "lines", most: int | None = None, **options: Any) -> None:
        super().__init__(event_map={"lines": event}, **options)
        self.args: list[Any] = []
        self.most = most
        self.changed = threading.Condition()

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        with self.changed:
            self.args.append(args)
            self.changed.notify_all()
        if self.most is not None and len(self.values) >= self.most:
            daemon.set_done()

    @property
    def values(self) -> list[Any]:
        """The lines as texts, or the records."""
        found: list[Any] = []
        for args in list(self.args):
            found += args.texts() if isinstance(args, Lines) else args
        return found

    def wait_for(self, predicate: Callable[[list[Any]], object]) -> list[Any]:
        with self.changed:
            assert self.changed.wait_for(lambda: predicate(self.values), timeout=LIMIT)
            return self.values


class Keeper(Collector):
    """A collector whose events are not done before the event `release`."""

    def setup(self, daemon: Any) -> None:
        self.holds: list[Any] = []

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        super().cbk_event_lines(daemon, args)
        self.holds.append(daemon.hold())

    @handles("release")
    def cbk_event_release(self, daemon: Any, args: Any) -> None:
        """Release the oldest."""
        self.holds.pop(0).release()


class Scripted:
    """A program as `daemon.spawn` returns it, whose part the test plays."""

    def __init__(self, argv: Any, stdin: int, stdout: int, stderr: int, options: Any) -> None:
        self.argv = argv
        self.options = options
        self.pid = 1_000_000_000
        self.stdin, self.stdout, self.stderr = (
            os.dup(fd) if fd >= 0 else None for fd in (stdin, stdout, stderr)
        )
        if self.stdin is not None:
            os.set_blocking(self.stdin, False)
        self.ends_at = {signal.SIGTERM, signal.SIGKILL}
        self.last_words = b""
        self.signals: list[int] = []
        self.returncode: int | None = None
        self._exited = os.eventfd(0)

    def prints(self, text: bytes) -> None:
        assert self.stdout is not None
        os.write(self.stdout, text)

    def complains(self, text: bytes) -> None:
        assert self.stderr is not None
        os.write(self.stderr, text)

    def reads(self) -> bytes:
        assert self.stdin is not None
        try:
            return os.read(self.stdin, 1 << 20)
        except BlockingIOError:
            return b""

    def closes_output(self) -> None:
        fd, self.stdout = self.stdout, None
        if fd is not None:
            os.close(fd)

    def ends(self, status: int) -> None:
        if self.last_words and self.stderr is not None:
            self.complains(self.last_words)
        for fd in (self.stdin, self.stdout, self.stderr):
            if fd is not None:
                os.close(fd)
        self.stdin = self.stdout = self.stderr = None
        self.returncode = status
        os.eventfd_write(self._exited, 1)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.argv, timeout or 0.0)
        return self.returncode

    def send_group_signal(self, number: int) -> None:
        if self.returncode is None:
            self.signals.append(number)
            if number in self.ends_at:
                self.ends(-number)

    def exit_descriptor(self) -> int:
        return os.dup(self._exited)

    def release(self) -> None:
        if self.returncode is None:
            self.ends(0)
        os.close(self._exited)


class Stage:
    """Lets a harness's components run scripted programs, and keeps these."""

    kind: type[Scripted] = Scripted

    def __init__(self) -> None:
        self.programs: list[Scripted] = []
        self.refuses: OSError | None = None
        self.on_spawn: Callable[[Scripted], object] = lambda _program: None

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.programs:
            program.release()

    def harness(self, components: list[Any], **options: Any) -> Harness:
        harness = Harness(components, **options)
        harness.daemon.spawn = self.spawn
        return harness

    def spawn(self, argv: Any, *, stdin: int, stdout: int, stderr: int, **options: Any) -> Scripted:
        if self.refuses is not None:
            raise self.refuses
        program = self.kind(argv, stdin, stdout, stderr, options)
        self.programs.append(program)
        self.on_spawn(program)
        return program

    @property
    def last(self) -> Scripted:
        return self.programs[-1]
