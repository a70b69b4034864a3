"""A program that a component runs: its options, its pipes, its end, and when it runs again.

What a component gives a program and gets from it goes through pipes that never block the component.
The end of the program makes a descriptor readable; no thread and no signal handler is involved.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import tenacity

from zenactors.advice import reason
from zenactors.components._files import located
from zenactors.components._options import check_name, check_positive
from zenactors.core.clock import Clock
from zenactors.core.daemon_api import Daemon
from zenactors.errors import ZenDaemonComponentException

if TYPE_CHECKING:
    from zenactors.components._error_log import ErrorLog

ErrorOutput = Literal["log", "discard"]

FIRST_DELAY = 0.2  # seconds before a program runs again, doubled each time
LAST_DELAY = 30.0
HEALTHY = 60.0  # seconds after which the delay begins anew
_REST_BLOCKS = 64  # of an ended program's messages: a stray process may go on writing
_KILLED_WITHIN = 5.0  # seconds after SIGKILL: a program still there waits in the kernel


class _Child(Protocol):
    """What `daemon.spawn` returns."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_group_signal(self, number: int) -> None: ...
    def exit_descriptor(self) -> int | None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A program to run, as `check_program` returns it."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str | None
    stop_grace: float

    @property
    def name(self) -> str:
        """The program without its arguments, which may hold secrets."""
        return self.command[0]

    def start(
        self,
        daemon: Daemon,
        clock: Clock,
        *,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        errors: ErrorLog | None = None,
    ) -> RunningProgram:
        """Run it. Blocks until it runs.

        Args:
            daemon: What callbacks get.
            clock: The component's clock.
            stdin: Make a pipe to its standard input; otherwise it is empty.
            stdout: Make a pipe from its standard output; otherwise that is discarded.
            stderr: The same for standard error; the caller reads it.
            errors: Gets its standard error.

        Raises:
            ZenDaemonComponentException: It cannot be run.
        """
        with contextlib.ExitStack() as child_side, contextlib.ExitStack() as own_side:
            try:
                pipes = [
                    _pipe(own_side, child_side, writes=writes) if wanted else None
                    for wanted, writes in (
                        (stdin, True),
                        (stdout, False),
                        (stderr or errors is not None, False),
                    )
                ]
                child = daemon.spawn(
                    self._located_command(daemon),
                    env={**os.environ, **self.environment},
                    cwd=self.working_directory and located(self.working_directory, daemon),
                    **{
                        name: subprocess.DEVNULL if pipe is None else pipe[1]
                        for name, pipe in zip(("stdin", "stdout", "stderr"), pipes, strict=True)
                    },
                )
            except OSError as cause:
                raise ZenDaemonComponentException(self._cannot_run(cause)) from cause
            own_side.pop_all()
        own = [None if pipe is None else pipe[0] for pipe in pipes]
        return RunningProgram(self, cast("_Child", child), clock, errors, *own)

    def check_exists(self, daemon: Daemon) -> None:
        """Raise `ZenDaemonComponentException` if there is no such program."""
        path = self.environment.get("PATH", os.environ.get("PATH"))
        if shutil.which(self._located_command(daemon)[0], path=path) is None:
            missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.name)
            raise ZenDaemonComponentException(self._cannot_run(missing))

    def _located_command(self, daemon: Daemon) -> list[str]:
        program, *arguments = self.command
        return [located(program, daemon) if "/" in program else program, *arguments]

    def _cannot_run(self, cause: OSError) -> str:
        missing = cause.filename
        if self.working_directory is not None and str(missing) != self.name:
            return (
                f"Cannot run {self.name!r} in {self.working_directory!r}: {reason(cause)}."
                " Check command and working_directory."
            )
        return (
            f"Cannot run {self.name!r}: {reason(cause)}. Check command: it is"
            " a program on the PATH, or a path to one that this user may execute."
        )


class RunningProgram:
    """A program that runs, or has ended and was not closed yet.

    Attributes:
        pid: Its PID.
        stdin: A descriptor to write to; None: there is none. It does not block; so the next two.
        stdout: A descriptor to read.
        stderr: A descriptor to read.
        exited: A descriptor that can be read once it has ended.

    Thread: own, except `kill`.
    """

    def __init__(
        self,
        program: Program,
        child: _Child,
        clock: Clock,
        errors: ErrorLog | None,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
    ) -> None:
        self._program = program
        self._child = child
        self._clock = clock
        self._errors = errors
        self.pid = child.pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        exited = child.exit_descriptor()
        self.exited = os.eventfd(1, os.EFD_CLOEXEC) if exited is None else exited
        self._is_terminated = self._is_closed = False

    def status(self) -> int | None:
        """Return its status, below 0 for a signal; None while it runs. Ends the rest of its group.

        Never blocks.
        """
        return self._child.poll()

    def kill(self) -> None:
        """Send SIGKILL to it and its group. Never blocks. Thread: any."""
        self._child.send_group_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM to it and its group, once. Never blocks."""
        if not self._is_terminated:  # many programs end at once at the second one
            self._is_terminated = True
            self._child.send_group_signal(signal.SIGTERM)

    def close_stdin(self) -> None:
        """Let it read the end of its input."""
        fd, self.stdin = self.stdin, None
        _close(fd)

    def wait(self, deadline: float) -> int | None:
        """Wait for its end, and log what it writes to standard error. Blocks until then.

        Args:
            deadline: When to give up, on the monotonic clock.

        Returns:
            Its status; None: it still runs. If it has ended, all that it has written is logged.
        """
        while self.status() is None:
            reading = [self.exited] if self.stderr is None else [self.exited, self.stderr]
            ready = wait_ready(reading, (), deadline - self._clock.monotonic())
            self.read_errors(ready)
            if not ready or self._clock.monotonic() >= deadline:  # it may write all the time
                break
        status = self.status()
        if status is not None:
            self._read_last_errors()
        return status

    def read_errors(
        self, ready: set[int], before_close: Callable[[], object] | None = None
    ) -> None:
        """Log what it has written to standard error, if that can be read.

        Args:
            ready: The descriptors that can be read.
            before_close: Called before the pipe is closed, because it has ended.
        """
        fd = self.stderr
        if fd in ready and fd is not None and not (self._errors and self._errors.read(fd)):
            if before_close is not None:
                before_close()
            self.stderr = None
            os.close(fd)

    def finish(self) -> int | None:
        """End its input, and itself half of `stop_grace` later, if it has not ended then.

        Blocks until it has ended. Returns as `end` does.
        """
        half = self._program.stop_grace / 2
        self.close_stdin()
        self.wait(self._clock.monotonic() + half)
        return self.end(half)

    def end(self, grace: float | None = None) -> int | None:
        """End it: SIGTERM, `grace` seconds, SIGKILL. Blocks until it has ended.

        Its input ends and its output is not read any more, but its last messages are logged.

        Returns:
            Its status; None: it hangs in the kernel. The daemon reports it at its own end.
        """
        if self._is_closed:
            return self.status()
        self.close_stdin()
        stdout, self.stdout = self.stdout, None
        _close(stdout)
        patience = self._program.stop_grace if grace is None else grace
        for send, seconds in ((self.terminate, patience), (self.kill, _KILLED_WITHIN)):
            if self.status() is None:
                send()
            if self.wait(self._clock.monotonic() + seconds) is not None:
                break
        stderr, self.stderr = self.stderr, None
        _close(stderr)
        self._is_closed = True
        os.close(self.exited)
        return self.status()

    def _read_last_errors(self) -> None:
        for _ in range(_REST_BLOCKS):
            if self.stderr is None or not wait_ready([self.stderr], (), 0.0):
                break
            self.read_errors({self.stderr})
        if self._errors is not None:
            self._errors.flush()


class Backoff:
    """When a program runs again: after 0.2 s, doubled up to 30 s while it ends soon.

    Up to half of the delay is left out by chance. After 60 s of health it begins anew.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._number = 0
        self._wait = tenacity.wait_exponential(multiplier=FIRST_DELAY, max=LAST_DELAY)

    def delay(self, lived: float) -> float:
        """Return the seconds before a program that has run for `lived` seconds runs again."""
        self._number = 1 if lived >= HEALTHY else self._number + 1
        state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type] # of no call
        state.attempt_number = self._number
        return float(self._wait(state)) * (1.0 - self._random.random() / 2)


def check_program(
    command: Any, environment: Any, working_directory: Any, stop_grace: Any
) -> Program:
    """Return the program of a component's options.

    Raises:
        ValueError: A value is wrong.
    """
    if isinstance(command, str):
        raise ValueError(  # noqa: TRY004 - wrong options are ValueErrors
            f"command is {command!r}, but a list is expected, because there is no shell: write"
            f" {command.split() or ['program', 'argument']!r}."
        )
    if not isinstance(command, list | tuple) or not all(isinstance(v, str) for v in command):
        raise ValueError(
            f"command is {command!r}, but a list of the program and its arguments is expected,"
            ' such as ["journalctl", "-f"].'
        )
    if not command or not command[0]:
        raise ValueError(f'command is {command!r}, but a program is expected, such as ["date"].')
    for each in command:
        check_name("command", each)
    if working_directory is not None:
        if not isinstance(working_directory, str) or not working_directory:
            raise ValueError(
                f"working_directory is {working_directory!r}, but a directory is expected."
            )
        check_name("working_directory", working_directory)
    return Program(
        tuple(command),
        _check_environment(environment),
        working_directory,
        check_positive("stop_grace", stop_grace, unit="seconds"),
    )


def describe_status(status: int) -> str:
    """Return how a program has ended, for a message."""
    if status >= 0:
        return f"it has ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(-status).name}"
    return f"it was ended by signal {-status}"


def wait_ready(reading: Iterable[int], writing: Iterable[int], seconds: float) -> set[int]:
    """Return the descriptors that are ready; empty if none is after `seconds` seconds."""
    waiting = select.poll()
    for fd in reading:
        waiting.register(fd, select.POLLIN)
    for fd in writing:
        waiting.register(fd, select.POLLOUT)
    return {fd for fd, _ in waiting.poll(max(0.0, seconds) * 1_000)}


def write_some(fd: int, data: memoryview) -> int:
    """Write what a pipe has room for, and return how much that is.

    Raises:
        BrokenPipeError: Its reader is gone.
    """
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0


def _check_environment(environment: Any) -> dict[str, str]:
    if environment is None:
        return {}
    if not isinstance(environment, Mapping):
        raise ValueError(  # noqa: TRY004 - wrong options are ValueErrors
            'environment is no table of names and texts, such as { LANG = "C" }.'
        )
    for name, value in environment.items():  # values may be secret
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ValueError(f"environment has {name!r}, which no variable's name can be.")
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(
                f"environment.{name} is no text that a variable can have: write it in quotes."
            )
    return dict(environment.items())


def _pipe(
    own_side: contextlib.ExitStack, child_side: contextlib.ExitStack, *, writes: bool
) -> tuple[int, int]:
    """Return this process's end of a new pipe, which does not block, and the child's."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    own, childs = (writer, reader) if writes else (reader, writer)
    own_side.callback(os.close, own)
    child_side.callback(os.close, childs)
    os.set_blocking(own, False)
    return own, childs


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)
