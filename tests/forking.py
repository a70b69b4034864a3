"""Runs functions in processes that are forked from one that has imported their modules.

    python -m tests.forking DESCRIPTOR MODULE...

A process that starts Python spends nearly a second of processor time on imports. One that is forked
has them, and is otherwise as good as new: the one that it is forked from has no thread, runs no
test, and does nothing but fork. It ends when the socket is closed whose descriptor it is given.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self

from tests.running import LIMIT, ROOT

MESSAGE = 65_536  # bytes: more than any has
STREAMS = 3
STDERR = 2
MOMENT = 1.0  # seconds
PR_SET_CHILD_SUBREAPER = 36


class Forked:
    """A process that was forked. At the end of the block it is killed, unless it has ended.

    Attributes:
        pid: Its PID.
        stdout: What it writes, if it can be read.
        statuses: When it has ended, the exit statuses by PID: its own, and those of processes that
            it has left behind.
    """

    def __init__(self, channel: socket.socket, server: int) -> None:
        self._channel = channel
        self._children = Path(f"/proc/{server}/task/{server}/children")
        message, (self._handle,), _, _ = socket.recv_fds(channel, MESSAGE, 1)
        self.pid = int(message)
        self.stdout: IO[bytes] = io.BytesIO()
        self.statuses: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            while not self.statuses:  # what it leaves behind belongs to the server when it ends
                self.send_signal(signal.SIGKILL)
                for pid in self._children.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.wait(MOMENT)
        finally:
            os.close(self._handle)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def wait(self, timeout: float) -> int:
        """Wait for its end, and return its exit status, as `subprocess` does.

        It has ended when the processes that it has left behind have.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        if not self.statuses:
            if not select.select([self._channel], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"the forked process {self.pid}", timeout)
            ended = json.loads(self._channel.recv(MESSAGE))
            self.statuses = {int(pid): status for pid, status in ended.items()}
        return self.statuses[self.pid]


class ForkServer:
    """A process that forks; one that it has forked ends before the next.

    Args:
        modules: What it imports at first.
        environment: Variables that are added to the environment, from the start of Python on.
    """

    def __init__(self, *modules: str, **environment: str) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking", str(theirs.fileno()), *modules],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        assert self._process.wait(LIMIT) == 0

    def start(
        self,
        function: Callable[..., Any],
        *,
        stdout: int | IO[Any],
        stderr: int | IO[Any],
        **arguments: Any,
    ) -> Forked:
        """Start a process that calls a function of a module.

        Args:
            function: What it returns is given to `sys.exit`.
            stdout: A file, or its descriptor.
            stderr: The same.
            arguments: The function's; they can be written as JSON.
        """
        request = json.dumps([function.__module__, function.__name__, arguments]).encode()
        assert len(request) < MESSAGE
        with open(os.devnull, "rb") as stdin:  # noqa: PTH123 - a device
            files = [file if isinstance(file, int) else file.fileno() for file in (stdout, stderr)]
            socket.send_fds(self._channel, [request], [stdin.fileno(), *files])
            return Forked(self._channel, self._process.pid)

    @contextlib.contextmanager
    def start_and_read(
        self, function: Callable[..., Any], *, stderr: int | IO[Any] = STDERR, **arguments: Any
    ) -> Iterator[Forked]:
        """Start a process for a block; its `stdout` can be read there."""
        reader, writer = os.pipe()
        with open(reader, "rb") as output:  # noqa: PTH123 - a descriptor
            with open(writer, "wb") as stdout:  # noqa: PTH123 - the same
                process = self.start(function, stdout=stdout, stderr=stderr, **arguments)
            process.stdout = output
            with process:
                yield process

    def run(
        self, function: Callable[..., Any], *, limit: float, **arguments: Any
    ) -> subprocess.CompletedProcess[str]:
        """Call a function in a process, to its end.

        Raises:
            subprocess.TimeoutExpired: It has been killed at its limit. What it wrote is in there.
        """
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            status: int | None = None
            with (
                self.start(function, stdout=stdout, stderr=stderr, **arguments) as process,
                contextlib.suppress(subprocess.TimeoutExpired),
            ):
                status = process.wait(limit)
            stdout.seek(0)
            stderr.seek(0)
            out, err = stdout.read(), stderr.read()
        if status is None:
            raise subprocess.TimeoutExpired(function.__name__, limit, out, err)
        return subprocess.CompletedProcess(function.__name__, status, out, err)


def serve(channel: socket.socket) -> Callable[[], Any]:
    """Fork a process for each request.

    Returns:
        In a forked process what it has to do; in the server a function that does nothing, when all
        is done. So both leave Python by the same way as a program that was started.
    """
    while True:
        message, streams, _, _ = socket.recv_fds(channel, MESSAGE, STREAMS)
        if not message:
            return lambda: None
        pid = os.fork()
        if pid == 0:
            channel.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            module, name, arguments = json.loads(message)
            function = getattr(importlib.import_module(module), name)
            return functools.partial(function, **arguments)
        handle = os.pidfd_open(pid)
        socket.send_fds(channel, [str(pid).encode()], [handle])
        for each in (handle, *streams):
            os.close(each)
        channel.send(json.dumps(_wait_for_all()).encode())


def _wait_for_all() -> dict[int, int]:
    """Wait for all children, adopted ones too; return their exit statuses."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):  # there are no more
        while True:
            pid, status = os.waitpid(-1, 0)
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def main() -> None:
    """Be the server, and then what it has forked."""
    descriptor, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # no collection in a forked process looks at what was imported
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    work = serve(socket.socket(fileno=int(descriptor)))
    sys.exit(work())


if __name__ == "__main__":
    main()
