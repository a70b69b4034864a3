"""Launches whole daemons, and ends all of them in the end, detached ones included.

While the fixture lasts, this process is a subreaper (prctl(2)): a daemon whose launching process
has ended becomes its child. So the fixture sees each daemon, and its exit status.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.whole import DIRECTORY, MODES, NAME, SOCKET
from tests.forked import Forked, ForkServer, ended, environment, set_subreaper

DEADLINE = 30.0  # seconds: generous, so that only a hang fails
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "daemon" / "whole.py"
NOBODY = 65_534
AS_NOBODY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
MANY = 4_096  # words that wait to be heard


def children() -> set[int]:
    """Return the PIDs of this process's children, of all its threads."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= set(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:  # the thread has ended
            continue
    return found


def python_for_every_user() -> str | None:
    """Return a Python that an ordinary user can run this program with; None if there is none."""
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")):
        if python is None:
            continue
        try:
            done = subprocess.run(
                [python, "-c", "import tests.daemon.whole"],
                check=False,
                cwd="/",
                env=environment(),
                capture_output=True,
                **AS_NOBODY,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


@dataclasses.dataclass
class Launched:
    """A process that was started by a command line: the daemon, or its launching process."""

    process: subprocess.Popen[bytes] | Forked
    out: Path
    err: Path

    def left(self) -> int:
        """Wait for its end; return its status."""
        return self.process.wait(DEADLINE)

    def texts(self) -> tuple[str, str]:
        return self.out.read_text(), self.err.read_text()

    def end(self) -> tuple[int, str, str]:
        return (self.left(), *self.texts())


class Whole:
    """Daemons of one directory, which every user may enter."""

    def __init__(self, directory: Path, forks: ForkServer) -> None:
        self.directory = directory
        self._forks = forks
        self.pid_file = directory / f"{NAME}.pid"
        self.log = directory / f"{NAME}.log"
        self.state = directory / f"{NAME}.state"
        self.runlogs = directory / NAME
        self._texts = Path(tempfile.mkdtemp())
        self._address = f"zenactors-{uuid.uuid4()}"
        self._words = socket.socket(socket.AF_UNIX)
        self._words.bind(f"\0{self._address}")
        self._words.listen(MANY)
        self._launched: list[Launched] = []
        self._before = children()

    def launch(
        self,
        *options: object,
        words: str = "",
        server: ForkServer | None = None,
        groups: Sequence[int] | None = None,
        environ: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
        stdout: Path | None = None,
        stderr: Path | None = None,
        cwd: Path | None = None,
        fresh: bool = False,
    ) -> Launched:
        """Start the program.

        Args:
            options: Its command line.
            words: The behaviour of its components.
            server: Who forks it. Default: a server of this process's user.
            groups: Run it with these supplementary groups; only root may.
            environ: Further variables.
            through: A program, with its arguments, that runs the command line in a fresh process.
            stdout: The file for its output. Default: one that `end` reads.
            stderr: The file for its errors. Default: one that `end` reads.
            cwd: Its current directory. Default: this process's.
            fresh: Start Python for it, instead of a fork of a process that has its modules.
        """
        count = len(self._launched)
        out, err = self._texts / f"{count}.out", self._texts / f"{count}.err"
        variables = {
            DIRECTORY: str(self.directory),
            MODES: words,
            SOCKET: self._address,
            **(environ or {}),
        }
        out.touch()
        err.touch()
        argv = [str(PROGRAM), *map(str, options)]
        how: dict[str, Any] = {"cwd": cwd}
        if groups is not None:
            how["extra_groups"] = groups
        process: subprocess.Popen[bytes] | Forked
        with (
            Path(os.devnull).open("rb") as stdin,
            (stdout or out).open("wb") as output,
            (stderr or err).open("wb") as errors,
        ):
            how |= {"stdin": stdin, "stdout": output, "stderr": errors}
            if fresh or through:
                argv = [*through, sys.executable, *argv]
                process = subprocess.Popen(argv, env=environment() | variables, **how)
            else:
                process = (server or self._forks).start(argv, environ=variables, **how)
        self._launched.append(Launched(process, out, err))
        return self._launched[-1]

    def do(self, *options: object, **how: Any) -> tuple[int, str, str]:
        """Run a command line to its end; return status, output and errors."""
        return self.launch(*options, **how).end()

    def act(self, action: str, *options: object, **how: Any) -> tuple[int, str, str]:
        return self.do("--action", action, *options, **how)

    def hear(self, word: str) -> dict[str, Any]:
        """Wait until a process says `word`; other words before it are skipped."""
        while (said := self.next_word(DEADLINE))["word"] != word:
            pass
        return said

    def next_word(self, timeout: float) -> dict[str, Any]:
        """Return the next word of a process; raise `TimeoutError`, or `BlockingIOError` for 0."""
        self._words.settimeout(timeout)
        connection, _ = self._words.accept()
        with connection:
            connection.settimeout(DEADLINE)
            with connection.makefile() as stream:
                said: dict[str, Any] = json.load(stream)
        return said

    def said(self) -> list[dict[str, Any]]:
        """Return all words that were said and not heard yet. Does not wait."""
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                said.append(self.next_word(0.0))
        return said

    def daemon(self, *options: object, **how: Any) -> int:
        """Start a daemon in the background, wait until it is ready, and return its PID."""
        status, _, err = self.do(*options, **how)
        assert (status, err) == (0, "")
        return int(self.hear("setup")["pid"])

    def status_of(self, pid: int) -> int:
        """Wait for the end of a daemon in the background; return its status."""
        assert ended(pid), f"process {pid} goes on"
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def children(self) -> set[int]:
        """Return the running processes that were launched or adopted, and not waited for."""
        return children() - self._before

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert self.status_of(pid) == -signal.SIGKILL

    def logged(self) -> str:
        return self.log.read_text()

    def clean_up(self) -> None:
        for launched in self._launched:
            if launched.process.poll() is None:
                launched.process.kill()
                launched.process.wait()
        while left := self.children():  # a killed process may leave children, too
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self._words.close()
        shutil.rmtree(self._texts)


@pytest.fixture(scope="session")
def nobody(forks: ForkServer) -> Iterator[ForkServer]:
    """Yield a server of an ordinary user."""
    if os.geteuid() != 0:
        yield forks
        return
    python = python_for_every_user()
    if python is None:
        pytest.skip("an ordinary user can run no Python here that has the dependencies")
    preload = "from zenactors import Supervision, ZenDaemon, ZenDaemonComponent, handles"
    with ForkServer(preload, python=python, identity=AS_NOBODY) as server:
        yield server


@pytest.fixture
def whole(forks: ForkServer) -> Iterator[Whole]:
    directory = Path(tempfile.mkdtemp())  # not pytest's, which only one user may enter
    directory.chmod(0o755)
    set_subreaper(1)
    whole = Whole(directory, forks)
    try:
        yield whole
    finally:
        whole.clean_up()
        set_subreaper(0)
        shutil.rmtree(directory)
