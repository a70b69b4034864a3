"""Leave the terminal and run in the background: the 15 steps for SysV daemons of daemon(7).

    caught = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    group = resolve_group(...)  # find errors in the configuration before anything changes
    launcher = detach(start_timeout=30.0, now=clock.monotonic, mask=caught)  # steps 1 to 11
    try:
        pid_file.acquire()  # step 12
        enter(chroot_dir, work_dir, umask)
        drop(user, group)  # step 13
        with SignalTrap(caught) as trap:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)  # a pending signal arrives here
            ...
            launcher.ready()  # steps 14 and 15
    except ProcessSetupError as cause:
        launcher.write(f"{cause}\\n")
        launcher.failed(EXIT_OS_ERROR)

Three processes take part. The *launching process* forks the *first child* and waits for the
daemon's final status (see `zenactors.process.launcher`). The first child cleans up the state that
it inherited, opens a session, forks the *daemon* and ends. Steps 1 to 4 happen in the first child
rather than in the launching process, so a refused fork leaves the caller unchanged. Step 3, the
signal mask, comes last, so no signal reaches a process that is only half set up.

Invariants:

- `detach` returns in the daemon only. The other two processes leave by `os._exit`, so the caller's
  exit handlers run once, and its buffered output is written once.
- No signal is lost: all signals are blocked during the forks.

Step 1 closes the descriptors that the program has inherited from the process that started it. What
the program has opened itself stays open: a socket, say, that needs root's privileges. The
close-on-exec flag tells the two apart: Python sets it on all that it opens, and a descriptor that
survived the start of this program did not have it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterable, MutableMapping
from pathlib import Path
from typing import NoReturn

from zenactors.errors import EXIT_OS_ERROR, ProcessSetupError
from zenactors.process.launcher import Launcher, LaunchWatch, send_pidfd
from zenactors.process.signals import IGNORED_BY_PYTHON, UNCATCHABLE
from zenactors.process.streams import (
    STANDARD_STREAMS,
    connect_standard_streams,
    fill_standard_streams,
    flush_standard_streams,
)

SESSION_VARIABLES = frozenset({
    # They describe the terminal and the shell; the daemon has neither.
    "TERM", "TERMCAP", "COLORTERM", "COLUMNS", "LINES", "SSH_TTY", "GPG_TTY",
    "_", "PWD", "OLDPWD", "SHLVL",
    # A service manager set them for the launching process: its PID, descriptors and stderr.
    "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
    "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "JOURNAL_STREAM",
})  # fmt: skip
"""Variables that would be wrong in the daemon. All others may be meant for it and stay."""

EARLY_UMASK = 0o022
"""The umask until the configured one is set.

Step 10 of daemon(7) demands 0, which would let every user write to a file that the program makes
meanwhile. What zenactors itself makes has its mode whatever the umask.
"""

SEARCHED = 1_024  # descriptors that are looked at one by one if the kernel does not list them
LOOKS_AT_THREADS = 1_000  # a joined thread may stay in the kernel's list for a moment


def detach(
    *,
    start_timeout: float,
    now: Callable[[], float],
    mask: Iterable[int] = (),
    keep: Collection[int] = (),
    close: Collection[int] = (),
) -> Launcher:
    """Continue as a daemon. Return in the daemon only; the launching process waits for its report.

    Args:
        start_timeout: Seconds within which the daemon must report its final status.
        now: Seconds on a monotonic clock.
        mask: Signals that are blocked when the daemon begins: those that it will catch, if the
            caller has blocked them too. They stay pending until the handlers are in place.
        keep: Descriptors that stay open although they may be inherited.
        close: Descriptors that are closed although the program has opened them.

    Raises:
        ProcessSetupError: Other threads run, or the system refuses the fork. Nothing has changed.

    Thread: the only one.
    """
    refuse_threads()
    fill_standard_streams()
    flush_standard_streams()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ends: list[int] = []
    try:
        # Descriptors, not objects: each process closes its copies of the other's ends.
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends += (each.detach() for each in pair)
        ends += os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        child = os.fork()  # step 5
    except OSError as cause:
        for each in ends:
            os.close(each)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise ProcessSetupError(_refusal(cause)) from cause
    ours, theirs, text_reader, text_writer = ends
    if child == 0:
        shut = {ours, text_reader, *close}
        return _become_daemon(socket.socket(fileno=theirs), text_writer, mask, keep, shut)
    os.close(theirs)
    os.close(text_writer)
    watch = LaunchWatch(socket.socket(fileno=ours), text_reader, now, before)
    with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored: the kernel has reaped it
        os.waitpid(child, 0)
    os._exit(watch.status(start_timeout))  # step 15


def _become_daemon(
    messages: socket.socket,
    text: int,
    mask: Iterable[int],
    keep: Collection[int],
    close: Collection[int],
) -> Launcher:
    launcher = Launcher(messages, text)
    try:
        close_descriptors(keep, close)  # step 1
        reset_signal_handlers()  # step 2
        sanitise_environment(os.environ)  # step 4
        os.setsid()  # step 6
        daemon = os.fork()  # step 7
        if daemon != 0:
            _leave_first_child(messages, daemon)  # step 8
        connect_standard_streams()  # step 9
        os.umask(EARLY_UMASK)  # step 10; `privileges.enter` sets the configured one
        os.chdir("/")  # step 11
        reset_signal_mask(mask)  # step 3
    except OSError as cause:
        launcher.write(f"{_refusal(cause)}\n")
        launcher.failed(EXIT_OS_ERROR)
        os._exit(EXIT_OS_ERROR)
    return launcher


def _leave_first_child(messages: socket.socket, daemon: int) -> NoReturn:
    send_pidfd(messages, daemon)
    os._exit(0)


def refuse_threads() -> None:
    """Raise `ProcessSetupError`, with their names, if other threads than this one run.

    Threads that Python does not know, such as those of libraries, count too.
    """
    others: list[str] = []
    for _ in range(LOOKS_AT_THREADS):
        others = _other_threads()
        if not others or threading.active_count() > 1:
            break
        os.sched_yield()
    if others:
        raise ProcessSetupError(
            f"Cannot detach while other threads run: {', '.join(others)}. A fork copies only the"
            " thread that calls it: start threads in setup(), after detaching, or run"
            " with --no-daemon."
        )


def close_descriptors(keep: Collection[int] = (), close: Collection[int] = ()) -> None:
    """Close the descriptors that this program has inherited, except the standard streams.

    The kernel's list of open descriptors is used, if there is one. So the time does not depend on
    the limit on open files, and descriptors above a limit that was lowered later are closed too.
    Without the list, all descriptors from `SEARCHED` on are closed.

    Args:
        keep: Descriptors that stay open in any case.
        close: Descriptors that are closed even if the program has opened them itself.
    """
    try:
        listed = sorted(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - names suffice
    except OSError:
        first = SEARCHED
        for kept in sorted({*keep, resource.getrlimit(resource.RLIMIT_NOFILE)[1]}):
            os.closerange(first, kept)
            first = max(first, kept + 1)
        listed = list(range(SEARCHED))
    for descriptor in listed:
        if descriptor >= STANDARD_STREAMS and descriptor not in keep:
            with contextlib.suppress(OSError):  # listdir() has closed its own
                if descriptor in close or os.get_inheritable(descriptor):
                    os.close(descriptor)


def reset_signal_handlers() -> None:
    """Restore every signal's default action, except for SIGPIPE and SIGXFSZ, which are ignored.

    Python ignores these two: the failed write raises an error instead.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number not in UNCATCHABLE:
            ignored = number in IGNORED_BY_PYTHON
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)


def reset_signal_mask(mask: Iterable[int] = ()) -> None:
    """Block the signals of `mask`, and no others."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def sanitise_environment(environ: MutableMapping[str, str]) -> None:
    """Remove `SESSION_VARIABLES`."""
    for name in SESSION_VARIABLES:
        environ.pop(name, None)


def _other_threads() -> list[str]:
    # After a fork, Python may still know this thread by the identifier that it had in the parent.
    this = threading.current_thread()
    others = [each for each in threading.enumerate() if each is not this]
    names = {each.native_id: repr(each.name) for each in others}
    with contextlib.suppress(OSError):  # without /proc, only Python's own threads are known
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                command = (task / "comm").read_text().strip()
                names.setdefault(int(task.name), f"thread {task.name} ({command})")
    names.pop(threading.get_native_id(), None)
    return sorted(names.values())


def _refusal(cause: OSError) -> str:
    return (
        f"Cannot detach: {cause}. Check the limits on processes and open files (ulimit -u -n),"
        " or run with --no-daemon."
    )
