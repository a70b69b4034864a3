"""Run programs in processes of their own, without the imports that all of them share.

A server imports zenactors once and then forks for each program, which costs a fifth of a start. It
is for tests of what a program does. Tests of how a process starts, of its signals, or of what it
imports, start Python.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO

from tests.running import LIMIT, ROOT

LARGEST = 200_000  # bytes of a message, which has the whole environment
PACKAGES = ("zenactors", "zenactors.components")
NONE: Mapping[str, str] = MappingProxyType({})
SLOW_TO_IMPORT = ("docopt", "rich.console", "zenactors.cli.run")


class WarmPython:
    """The server, until the end of the `with` block. It runs one program at a time.

    Programs have the umask and the limits that the server was started with.

    Args:
        environment: Variables for the server, which are read when Python starts.
    """

    def __init__(self, **environment: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(LIMIT)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_python", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
            )

    def __enter__(self) -> WarmPython:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()  # it ends by that
        try:
            self._server.wait(LIMIT)
        finally:
            self._server.kill()
            self._server.wait()
            self._said.close()

    def run(
        self, *argv: str | Path, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Python to its end, as `tests.running.run_python` does.

        Args:
            argv: Its arguments: a script, or `-m` and a module, and their arguments.
            cwd: Its directory.
            environment: Variables that are added to the environment.
        """
        done = self.run_bytes(*argv, cwd=cwd, environment=environment)
        out, err = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def run_bytes(
        self,
        *argv: str | Path,
        cwd: Path,
        stdin: IO[bytes] | None = None,
        environment: Mapping[str, str] = NONE,
    ) -> subprocess.CompletedProcess[bytes]:
        """Do the same with output that is not text, or with standard input."""
        with contextlib.ExitStack() as stack:
            out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            if stdin is None:
                stdin = stack.enter_context(Path(os.devnull).open("rb"))
            streams = [each.fileno() for each in (stdin, out, err)]
            status = self.status_of(*argv, cwd=cwd, streams=streams, environment=environment)
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(list(argv), status, out.read(), err.read())

    def status_of(
        self,
        *argv: str | Path,
        cwd: Path,
        streams: Sequence[int],
        environment: Mapping[str, str] = NONE,
    ) -> int:
        """Run Python to its end with three descriptors as its streams; return its exit status."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        program = Program([*map(str, argv)], str(cwd), variables)
        message = json.dumps(dataclasses.asdict(program)).encode()
        socket.send_fds(self._control, [message], streams)
        pid = self._answer()
        try:
            return self._answer()
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._answer()
            raise

    def _answer(self) -> int:
        answer = self._control.recv(LARGEST)
        if not answer:
            self._said.seek(0)
            raise AssertionError(f"The server has ended: {self._said.read().decode()}")
        return int(answer)


# --- in the server --------------------------------------------------------------------------------


@dataclasses.dataclass
class Program:
    """The start of a process: its arguments, directory and environment."""

    argv: Sequence[str]
    directory: str
    environment: dict[str, str]


def serve(control: socket.socket) -> Program | None:
    """Fork for each program. Return the program in its own process, and None in the server."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, LARGEST, 3)
        if not message:
            return None
        pid = os.fork()
        if pid == 0:
            control.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return Program(**json.loads(message))
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        control.send(str(os.waitstatus_to_exitcode(status)).encode())


def preload() -> None:
    """Import all public names."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for each in package.__all__:
            getattr(package, each)
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def become(program: Program) -> None:
    """Run the program in this process, with what it would find if Python had just started."""
    os.environ.clear()
    os.environ.update(program.environment)
    time.tzset()
    tempfile.tempdir = None
    os.chdir(program.directory)
    first, *rest = program.argv
    if first == "-m":
        sys.path[0] = program.directory
        sys.argv = rest
        if not hasattr(sys.modules.get(rest[0]), "__path__"):
            sys.modules.pop(rest[0], None)  # runpy warns of a module that was imported before
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(first).resolve().parent)
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    preload()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        become(asked)
