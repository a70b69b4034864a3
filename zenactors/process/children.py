"""Child processes of a daemon: they start clean, and are gone after its stop (D6).

A program inherits what signals are blocked and ignored. `subprocess` gives back SIGPIPE and SIGXFSZ
alone, and its `preexec_fn` is not safe beside threads. In a daemon that was detached there is
nothing else to give back, as a rule, and the program is run directly. Otherwise, as under nohup or
in the background of a shell, a small Python program is run first: it gives everything back and
becomes the program wanted, in the same process. It needs the interpreter to be in sight: not so
behind most chroots.

Invariants:

- Each child leads a process group of its own, and the group ends with it: what it leaves running
  there is killed when its end is noticed. Who has left the group is not ours any more.
- A process or group is signalled only while the child has not been reaped, so that no other one
  can have got its number: only `Child` reaps it, under the same lock.
- After `stop` has begun no child starts.

SIGCHLD must not be ignored: the kernel would reap children itself.
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

KEPT_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python, and subprocess gives them back
RESERVED = {"preexec_fn", "process_group", "restore_signals", "shell", "start_new_session"}
LONGEST_WAIT = 86_400.0  # seconds: poll() takes no number of milliseconds above 2**31
KILLED_WITHIN = 5.0  # seconds: who has not ended by then cannot be interrupted by anything

# Becomes the program, or writes to a descriptor why it cannot. The interpreter's own start may
# have added LC_CTYPE to the environment (PEP 538).
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
        """Return its status if it has ended: its group is gone then too. Never blocks."""
        with self._reaping:
            if self.returncode is None and _ends_within(self._pidfd, 0.0):
                self._signal_group(signal.SIGKILL)
                super().poll()
                os.close(self._pidfd)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its status: its group is gone then too.

        Raises:
            subprocess.TimeoutExpired: It has not ended within `timeout` seconds.
        """
        while (status := self.poll()) is None:
            if not self._ends_within(timeout) and timeout is not None:
                raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, sig: int) -> None:
        """Send a signal to the child alone. Harmless if it has ended."""
        with self._reaping, contextlib.suppress(ProcessLookupError):
            if self.returncode is None:
                signal.pidfd_send_signal(self._pidfd, sig)

    def send_group_signal(self, number: int) -> None:
        """Send a signal to the child and its group. Harmless if it has ended."""
        with self._reaping:
            if self.returncode is None:
                self._signal_group(number)

    def _ends_within(self, seconds: float | None) -> bool:
        with self._reaping:
            if self.returncode is not None:
                return True
            # Of our own: another thread may reap the child and close the first meanwhile.
            pidfd = os.dup(self._pidfd)
        try:
            return _ends_within(pidfd, LONGEST_WAIT if seconds is None else seconds)
        finally:
            os.close(pidfd)

    def _signal_group(self, number: int) -> None:
        # Nobody is left; or all that are left have become users out of our reach.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class Children:
    """The child processes of a daemon, or of one component.

    Args:
        now: Seconds on a monotonic clock.

    Thread: any.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._children: set[Child] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def spawn(self, argv: Arguments, **popen_options: Any) -> subprocess.Popen[Any]:
        """Run a program, without a shell: no signal blocked or ignored, in a group of its own.

        Blocks until it runs. Children that have ended meanwhile are reaped and forgotten.

        Args:
            argv: The program and its arguments.
            popen_options: As `subprocess.Popen` has them, but for those that make a child's
                signals, group or session, and for `shell`.

        Raises:
            OSError: The program cannot be run.
            RuntimeError: `stop` has begun.
            TypeError: An option is not for the caller, or `argv` is one text.
        """
        reserved = sorted(RESERVED & popen_options.keys())
        if reserved:
            raise TypeError(f"spawn() decides by itself about: {', '.join(reserved)}")
        if isinstance(argv, str | bytes | os.PathLike):
            raise TypeError(f"spawn() takes a list of arguments and no shell's line: {argv!r}")
        self._forget_ended()
        with self._lock:
            if self._stopped:
                raise RuntimeError(f"{argv[0]} is not run: the children have been stopped.")
            child = _run_clean(argv, popen_options)
            self._children.add(child)
        return child

    def stop(self, grace: float) -> list[subprocess.Popen[Any]]:
        """End all children and their groups: SIGTERM, and after `grace` seconds SIGKILL.

        Blocks until they are gone. May be repeated, also at the same time.

        Returns:
            Those that are still there: that wait for a device without end, or belong to a user out
            of reach.
        """
        with self._lock:
            self._stopped = True
            running = list(self._children)
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, KILLED_WITHIN)):
            deadline = self._now() + patience
            for child in running:
                child.send_group_signal(number)
            running = [each for each in running if not self._ends_by(each, deadline)]
        self._forget_ended()
        return list(running)

    def _ends_by(self, child: Child, deadline: float) -> bool:
        try:
            child.wait(max(0.0, deadline - self._now()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _forget_ended(self) -> None:
        with self._lock:
            children = list(self._children)
        ended = {child for child in children if child.poll() is not None}
        with self._lock:
            self._children -= ended


def _ends_within(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(min(seconds, LONGEST_WAIT) * 1000))


def _run_clean(argv: Arguments, options: dict[str, Any]) -> Child:
    if not _unclean():
        return Child(argv, **options)
    program = os.fspath(options.pop("executable", argv[0]))
    environment = options.get("env")
    had_ctype = "LC_CTYPE" in (os.environ if environment is None else environment)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            options["pass_fds"] = (*options.get("pass_fds", ()), writer)
            words = [str(writer), "yes" if had_ctype else "no", program, *argv]
            child = Child([sys.executable, "-I", "-S", "-c", WRAPPER, *words], **options)
        finally:
            os.close(writer)
        reason = os.read(reader, 16)  # until it has become the program
        if reason:
            with child:  # closes its pipes
                child.wait()
            raise OSError(int(reason), os.strerror(int(reason)), program)
    finally:
        os.close(reader)
    child.args = argv
    return child


def _unclean() -> bool:
    """Return whether a program run by this thread would begin with signals blocked or ignored."""
    ignored = (n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN)
    return bool(signal.pthread_sigmask(signal.SIG_BLOCK, []) or set(ignored) - set(KEPT_IGNORED))
