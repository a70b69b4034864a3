"""Child processes of a daemon: they start clean, and are gone after its stop.

A program inherits which signals are blocked and ignored. `subprocess` restores SIGPIPE and SIGXFSZ
only, and its `preexec_fn` is not safe beside threads. A daemon that was detached usually has no
other signal to restore, and runs the program directly. Otherwise, for example under nohup or in a
shell's background, a small Python program runs first: it restores all signals and then becomes the
wanted program, in the same process.

There may be no interpreter: `sys.executable` is the program itself if that was frozen into one file
or embeds Python, and most chroots contain none. Then the forked child restores its signals itself
before it becomes the program (`preexec_fn`). That runs Python code in a copy of a process with
threads, where a lock of a C extension may be held for ever: it is the second choice.

Invariants:

- Each child leads a process group of its own, and the group ends with the child: when the child's
  end is noticed, the rest of the group is killed. A process that has left the group is not tracked.
- A process or group is signalled only while the child has not been reaped: until then its PID
  cannot be reused. Only `Child` reaps it, under the lock that signalling takes too.
- After `stop` has begun no child starts.

SIGCHLD must not be ignored: the kernel would then reap the children itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from zenactors.process.polling import poll_for
from zenactors.process.signals import IGNORED_BY_PYTHON, UNCATCHABLE

RESERVED = {"preexec_fn", "process_group", "restore_signals", "shell", "start_new_session"}
KILLED_WITHIN = 5.0  # seconds after SIGKILL: a child still there waits in the kernel

# Becomes the program, or writes to a descriptor why it cannot. The interpreter itself may have
# added LC_CTYPE to the environment when it started (PEP 538).
WRAPPER = """
import os, signal, sys
report, had_ctype, program, *argv = sys.argv[1:]
os.set_inheritable(int(report), False)
if had_ctype == "no":
    os.environ.pop("LC_CTYPE", None)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [])
try:
    os.execvp(program, argv)
except OSError as cause:
    os.write(int(report), str(cause.errno).encode())
    os._exit(127)
"""

Arguments = Sequence[str | os.PathLike[str]]


class Child(subprocess.Popen[Any]):
    """A child process that leads a group; see `Children.spawn`. Thread: any."""

    def __init__(self, argv: Arguments, **options: Any) -> None:
        self._reaping = threading.Lock()
        super().__init__(argv, process_group=0, **options)
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:  # no descriptor is left
            self._signal_group(signal.SIGKILL)
            super().wait()
            raise

    def poll(self) -> int | None:
        """Return the status if the child has ended; end the rest of its group. Never blocks."""
        with self._reaping:
            if self.returncode is None and _ends_within(self._pidfd, 0.0):
                self._signal_group(signal.SIGKILL)
                super().poll()
                os.close(self._pidfd)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the child's end and return its status; end the rest of its group.

        Raises:
            subprocess.TimeoutExpired: It has not ended within `timeout` seconds.
        """
        while (status := self.poll()) is None:
            if not self._ends_within(timeout) and timeout is not None:
                raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, sig: int) -> None:
        """Send a signal to the child only. Harmless if it has ended."""
        with self._reaping, contextlib.suppress(ProcessLookupError):
            if self.returncode is None:
                signal.pidfd_send_signal(self._pidfd, sig)

    def send_group_signal(self, number: int) -> None:
        """Send a signal to the child and its group. Harmless if it has ended."""
        with self._reaping:
            if self.returncode is None:
                self._signal_group(number)

    def exit_descriptor(self) -> int | None:
        """Return a new descriptor that can be read once the child has ended; the caller closes it.

        None: it has ended, and was reaped.
        """
        with self._reaping:
            return None if self.returncode is not None else os.dup(self._pidfd)

    def _ends_within(self, seconds: float | None) -> bool:
        with self._reaping:
            if self.returncode is not None:
                return True
            # A duplicate: another thread may reap the child and close the original meanwhile.
            pidfd = os.dup(self._pidfd)
        try:
            return _ends_within(pidfd, seconds)
        finally:
            os.close(pidfd)

    def _signal_group(self, number: int) -> None:
        # The group is empty, or all its processes run as users out of reach.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class Children:
    """The child processes of a daemon, or of one component.

    It has no lock that an exception could leave held: `spawn` adds a child and then looks if `stop`
    has begun, and `stop` begins and then looks at the children. Atomic operations relied on: those
    of a set, and its copy.

    Args:
        now: Seconds on a monotonic clock.

    Thread: any.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._children: set[Child] = set()
        self._stopped = False

    def spawn(self, argv: Arguments, **popen_options: Any) -> subprocess.Popen[Any]:
        """Run a program without a shell, in a process group of its own, with default signals.

        Blocks until the program runs. Reaps and forgets children that have ended.

        Args:
            argv: The program and its arguments.
            popen_options: Options of `subprocess.Popen`, except `shell` and those that set a
                child's signals, group or session.

        Raises:
            OSError: The program cannot be run.
            RuntimeError: `stop` has begun.
            TypeError: An option is reserved, or `argv` is a single string.
        """
        reserved = sorted(RESERVED & popen_options.keys())
        if reserved:
            raise TypeError(f"spawn() sets these options itself: {', '.join(reserved)}")
        if isinstance(argv, str | bytes | os.PathLike):
            raise TypeError(f"spawn() takes a list of arguments, not a command line: {argv!r}")
        self._forget_ended()
        refusal = f"Cannot run {argv[0]}: the child processes are being stopped."
        if self._stopped:
            raise RuntimeError(refusal)
        child = _run_clean(argv, popen_options)
        self._children.add(child)
        if self._stopped:  # meanwhile: `stop` may have missed it
            child.send_group_signal(signal.SIGKILL)
            with child:  # closes its pipes
                child.wait()
            raise RuntimeError(refusal)
        return child

    def stop(self, grace: float) -> list[subprocess.Popen[Any]]:
        """End all children and their groups: SIGTERM, and after `grace` seconds SIGKILL.

        Blocks until they are gone. May be called repeatedly, even concurrently.

        Args:
            grace: Seconds between the two signals.

        Returns:
            The children that are still there: they hang in the kernel, for example on a device,
            or run as a user out of reach.
        """
        self._stopped = True
        running = list(self._children)
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, KILLED_WITHIN)):
            deadline = self._now() + patience
            for child in running:
                child.send_group_signal(number)
            running = [each for each in running if not self._ends_by(each, deadline)]
        self._forget_ended()
        return list(running)

    def disown(self) -> None:
        """In a forked child: start nothing more. The programs are the parent's."""
        self._lock = threading.Lock()
        self._stopped = True
        self._children = set()

    def _ends_by(self, child: Child, deadline: float) -> bool:
        try:
            child.wait(max(0.0, deadline - self._now()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _forget_ended(self) -> None:
        for child in list(self._children):
            if child.poll() is not None:
                self._children.discard(child)


def _ends_within(pidfd: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll_for(poll, seconds))


def _run_clean(argv: Arguments, options: dict[str, Any]) -> Child:
    if not _unclean():
        return Child(argv, **options)
    interpreter = _interpreter()
    if interpreter is None:
        return Child(argv, preexec_fn=_restore_signals, **options)
    program = os.fspath(options.pop("executable", argv[0]))
    environment = options.get("env")
    had_ctype = "LC_CTYPE" in (os.environ if environment is None else environment)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            options["pass_fds"] = (*options.get("pass_fds", ()), writer)
            words = [str(writer), "yes" if had_ctype else "no", program, *argv]
            child = Child([interpreter, "-I", "-S", "-c", WRAPPER, *words], **options)
        finally:
            os.close(writer)
        reason = os.read(reader, 16)  # ends when the child has become the program
        if reason:
            with child:  # closes its pipes
                child.wait()
            raise OSError(int(reason), os.strerror(int(reason)), program)
    finally:
        os.close(reader)
    child.args = argv
    return child


def _interpreter() -> str | None:
    """Return the path of the Python interpreter; None if there is none, or another program."""
    path = sys.executable
    is_python = os.path.basename(path or "").lower().startswith(("python", "pypy"))  # noqa: PTH119
    if getattr(sys, "frozen", False) or not is_python or not os.access(path, os.X_OK):
        return None
    return path


def _restore_signals() -> None:
    """Do in a forked child what the wrapper does."""
    for number in signal.valid_signals() - {*UNCATCHABLE}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _unclean() -> bool:
    """Return True if a program run by this thread would begin with signals blocked or ignored."""
    ignored = (n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return bool(blocked or set(ignored) - set(IGNORED_BY_PYTHON))
