"""Start Python programs by a fork of a process that has imported what they import.

The imports take most of the time of a short program, and a suite starts many. A forked program
begins where a fresh one has imported its modules; its process is as real as that one's. A test of
anything earlier needs a fresh process: the start of Python, streams that are closed, signals that
are ignored, another user who reads the modules.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from tests.running import LIMIT, ROOT

PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
PRELOAD = (
    "import docopt, loguru, rich.console, zenactors.cli.run;"
    " from zenactors import *; from zenactors.components import *"
)
"""Imports what most programs of zenactors do."""

PROGRAM = ROOT / "tests" / "fork_server.py"


def set_subreaper(value: int) -> int:
    """Set whether this process adopts the orphans among its descendants; return the old value."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    if (
        libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0) != 0
        or libc.prctl(PR_SET_CHILD_SUBREAPER, value, 0, 0, 0) != 0
    ):
        raise OSError(ctypes.get_errno(), "prctl")
    return before.value


def ended(pid: int, timeout: float | None = LIMIT) -> bool:
    """Wait for the end of a process. Return False if it goes on after `timeout` seconds."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], timeout)[0])
    finally:
        os.close(descriptor)


class Forked:
    """A child of this process: what `subprocess.Popen` is for a fresh one."""

    def __init__(self, args: Sequence[str], pid: int) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not ended(self.pid, timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def environment() -> dict[str, str]:
    """Return variables with which a program finds the package, whatever its directory and user."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(ROOT), *filter(os.path.isabs, given)]
    paths += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    kept = {"PATH", "LANG", *(key for key in os.environ if key.startswith("PYTHON_"))}  # _GIL
    inherited = {key: os.environ[key] for key in kept if key in os.environ}
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


class ForkServer:
    """Starts programs by forks. Thread: one.

    Args:
        preload: Python that imports what the programs import, but not the programs themselves.
        python: The interpreter. Default: this process's.
        identity: Arguments of `subprocess.Popen` that set user and groups.
        environ: Variables in addition to those of `environment`.
    """

    def __init__(
        self,
        preload: str,
        *,
        python: str = sys.executable,
        identity: Mapping[str, Any] | None = None,
        **environ: str,
    ) -> None:
        self._environ = environment() | environ
        self._link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.settimeout(LIMIT)
        with other:
            self._server = subprocess.Popen(
                [python, str(PROGRAM), preload],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                env=self._environ,
                cwd="/",
                **(identity or {}),
            )

    def start(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[Any] | int,
        stdout: IO[Any] | int,
        stderr: IO[Any] | int,
        environ: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        extra_groups: Sequence[int] | None = None,
        pass_fds: Mapping[int, int] | None = None,
        on_terminal: bool = False,
    ) -> Forked:
        """Start a program.

        Args:
            argv: A script with its arguments, or `-m` with a module and its arguments.
            stdin: Its standard input.
            stdout: Its standard output.
            stderr: Its standard error.
            environ: Variables in addition to the server's, or instead of them.
            cwd: Its directory. Default: this process's.
            extra_groups: Its supplementary groups; only root may. Default: this process's.
            pass_fds: Further descriptors of this process, by their numbers in the program.
            on_terminal: Let it lead a session whose terminal is its standard input.
        """
        environ = self._environ | dict(environ or {})
        changed = {key for key in environ if environ[key] != self._environ.get(key)}
        assert not any(key.startswith("PYTHON") for key in changed), "Python has read them"
        descriptors = {0: stdin, 1: stdout, 2: stderr, **(pass_fds or {})}
        request = {
            "argv": argv,
            "environ": environ,
            "cwd": str(cwd or Path.cwd()),
            "groups": extra_groups,
            "descriptors": list(descriptors),
            "on_terminal": on_terminal,
        }
        passed = [each if isinstance(each, int) else each.fileno() for each in descriptors.values()]
        before = set_subreaper(1)
        try:
            socket.send_fds(self._link, [json.dumps(request).encode()], passed)
            pid = self._link.recv(100)
        finally:
            set_subreaper(before)
        assert pid, "the server has ended: see its standard error"
        return Forked(argv, int(pid))

    def run(
        self, *argv: str | Path, cwd: str | Path = ROOT, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end.

        Args:
            argv: As for `start`.
            cwd: Its directory. Default: the checkout.
            environ: Variables in addition to this process's.
        """
        done = self.run_bytes(*argv, cwd=cwd, environ=environ)
        out, err = (each.decode(errors="surrogateescape") for each in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def run_bytes(
        self,
        *argv: str | Path,
        cwd: str | Path = ROOT,
        stdin: IO[bytes] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Do the same with output that is not text, or with standard input."""
        with contextlib.ExitStack() as stack:
            if stdin is None:
                stdin = stack.enter_context(Path(os.devnull).open("rb"))
            out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            status = self.status_of(
                *argv, cwd=cwd, stdin=stdin, stdout=out, stderr=err, environ=environ
            )
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(list(argv), status, out.read(), err.read())

    def status_of(
        self,
        *argv: str | Path,
        cwd: str | Path,
        stdin: IO[Any] | int,
        stdout: IO[Any] | int,
        stderr: IO[Any] | int,
        environ: Mapping[str, str] | None = None,
    ) -> int:
        """Run a program to its end with these streams; return its status."""
        inherited = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
        process = self.start(
            list(map(str, argv)),
            environ=inherited | dict(environ or {}),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            return process.wait(LIMIT)
        finally:
            process.kill()
            process.wait()

    def close(self) -> None:
        self._link.close()
        self._server.wait(LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
