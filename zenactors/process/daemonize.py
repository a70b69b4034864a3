"""Leave the terminal and live in the background: the SysV recipe of daemon(7) (D1, D2, D3).

    caught = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    group = resolve_group(...)  # what can be wrong in the configuration, before anything changes
    launcher = detach(start_timeout=30.0, now=clock.monotonic, mask=caught)  # steps 1 to 11
    try:
        pid_file.acquire()  # step 12
        enter(chroot_dir, work_dir, umask)
        drop(user, group)  # step 13
        with SignalTrap(caught) as trap:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)  # one that came before is caught now
            ...
            launcher.ready()  # steps 14 and 15
    except ProcessSetupError as cause:
        launcher.write(f"{cause}\\n")
        launcher.failed(EXIT_OS_ERROR)

Three processes take part. The *launching* one forks the *first child* and waits for a word. The
first child cleans itself up, opens a session, forks the *daemon* and ends. Steps 1 to 4 happen in
the first child and not in the launching process, so that a refused fork leaves the caller as it
was; step 3, the signal mask, comes last of all, so that no signal finds a process half made.

Invariants:

- `detach` returns in the daemon only. The other two leave by `os._exit`: what the caller has
  registered for its exit, and what it has buffered, happens once.
- The launching process leaves with status 0 only by a word of the daemon; a daemon that ends
  without a word, or says none in time, is a failure; and a daemon not ready in time is ended.
- Nobody else can be hit: the daemon is signalled through a pidfd, which the first child opens
  while the daemon is its own child.
- No signal is lost. All are blocked during the forks. SIGINT and SIGTERM that the launching
  process gets, also those pending when `detach` was called, are passed on to the daemon.
- The daemon goes on whatever becomes of the launching process, and never waits for it.

Step 1 closes descriptors under the feet of whatever object owns them: such an object would later
close a descriptor that has got its number. So call it before files, sockets and log sinks are
opened, or pass their numbers in `keep`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterable, MutableMapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from zenactors.errors import EXIT_OS_ERROR, EXIT_START_FAILED, ProcessSetupError

STANDARD_STREAMS = 3  # descriptors 0, 1 and 2
PASSED_ON = (signal.SIGINT, signal.SIGTERM)
KEPT_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # Python's own: an error of the write tells instead
UNCHANGEABLE = (signal.SIGKILL, signal.SIGSTOP)

SESSION_VARIABLES = frozenset({
    # Of the terminal and the shell: there is none.
    "TERM", "TERMCAP", "COLORTERM", "COLUMNS", "LINES", "SSH_TTY", "GPG_TTY",
    "_", "PWD", "OLDPWD", "SHLVL",
    # A manager's word with the launching process: about its pid, its descriptors, its stderr.
    "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
    "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "JOURNAL_STREAM",
})  # fmt: skip
"""What is no longer true, or not true of the daemon. All else may be meant for it and stays."""

GRACE = 5.0  # seconds between SIGTERM and SIGKILL for a daemon that was not ready in time
LOOKS_AT_THREADS = 1_000  # one that has been joined may need a moment to leave the kernel's list
LONGEST_WAIT = 86_400.0  # seconds: poll() takes no number of milliseconds above 2**31
PIECE = 4_096  # bytes (PIPE_BUF): what is written at once is not mixed with what others write

# Words on the socket between the first child, the daemon and the launching process.
DAEMON = b"D"  # with it comes the daemon's pidfd
FINAL = b"F"  # the exit status, one byte, follows


class Launcher:
    """What the daemon says to the launching process. Never blocks, never fails.

    It is harmless if the launching process is gone, and after the first final word. Text that it
    does not take because it is stopped is lost beyond 64 KiB; the final word is not.

    Thread: any.
    """

    def __init__(self, words: socket.socket, text: int) -> None:
        self._words = words
        self._text = text
        self._open = True
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Show text on the launching process's standard error, at once."""
        left = text.encode(errors="backslashreplace")
        with self._lock, contextlib.suppress(OSError):  # it is gone, or stopped
            while self._open and left:
                left = left[os.write(self._text, left[:PIECE]) :]

    def ready(self) -> None:
        """Let the launching process leave with status 0."""
        self.failed(0)

    def failed(self, status: int) -> None:
        """Let the launching process leave with this status: 0 to 255."""
        word = FINAL + bytes([status])
        with self._lock:
            if self._open:
                self._open = False
                with contextlib.suppress(OSError):
                    self._words.send(word, socket.MSG_DONTWAIT)
                self._words.close()
                os.close(self._text)


def detach(
    *,
    start_timeout: float,
    now: Callable[[], float],
    grace: float = GRACE,
    keep: Collection[int] = (),
    mask: Iterable[int] = (),
) -> Launcher:
    """Go on as a daemon. Returns in the daemon only; the launching process waits for its word.

    Args:
        start_timeout: Seconds that the daemon has to say its final word.
        now: Seconds on a monotonic clock.
        grace: Seconds that a daemon has which was not ready in time, to end by SIGTERM.
        keep: Descriptors that stay open, beside the standard streams.
        mask: Signals that the daemon begins with blocked: those that it will catch, if the caller
            has blocked them too. One that comes before the handlers are in place then waits.

    Raises:
        ProcessSetupError: Other threads run, or the system refuses the fork. Nothing has changed.

    Thread: the only one.
    """
    refuse_threads()
    fill_standard_streams()
    _flush_standard_streams()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ends: list[int] = []
    try:
        # Numbers, not objects: in the first child step 1 closes what is not its own.
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
        return _become_daemon(socket.socket(fileno=theirs), text_writer, keep, mask)
    os.close(theirs)
    os.close(text_writer)
    watch = _Watch(socket.socket(fileno=ours), text_reader, now, before)
    with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored: the kernel has reaped it
        os.waitpid(child, 0)
    os._exit(watch.status(start_timeout, grace))  # step 15


def _become_daemon(
    words: socket.socket, text: int, keep: Collection[int], mask: Iterable[int]
) -> Launcher:
    launcher = Launcher(words, text)
    try:
        close_descriptors({*keep, words.fileno(), text})  # step 1
        reset_signal_handlers()  # step 2
        sanitise_environment(os.environ)  # step 4
        os.setsid()  # step 6
        daemon = os.fork()  # step 7
        if daemon != 0:
            _leave_first_child(words, daemon)  # step 8
        connect_standard_streams()  # step 9
        os.umask(0)  # step 10; the configured one is set by `privileges.enter`
        os.chdir("/")  # step 11
        reset_signal_mask(mask)  # step 3
    except OSError as cause:
        launcher.write(f"{_refusal(cause)}\n")
        launcher.failed(EXIT_OS_ERROR)
        os._exit(EXIT_OS_ERROR)
    return launcher


def _leave_first_child(words: socket.socket, daemon: int) -> NoReturn:
    # Its parent still, so the number cannot have been given to another process.
    with contextlib.suppress(OSError):  # the launching process is gone
        socket.send_fds(words, [DAEMON], [os.pidfd_open(daemon)])
    os._exit(0)


def refuse_threads() -> None:
    """Raise `ProcessSetupError`, with their names, if there are other threads than this one.

    Also threads that Python does not know are seen: those of libraries.
    """
    others: list[str] = []
    for _ in range(LOOKS_AT_THREADS):
        others = _other_threads()
        if not others or threading.active_count() > 1:
            break
        os.sched_yield()
    if others:
        raise ProcessSetupError(
            f"Cannot detach while other threads run: {', '.join(others)}. A fork takes along only"
            " the thread that calls it: start threads, log sinks and sockets after detaching, or"
            " run with --no-daemon."
        )


def close_descriptors(keep: Collection[int]) -> None:
    """Close all descriptors but the standard streams and `keep`. Takes no longer for high limits.

    The kernel's own list also has those above a limit that was lowered since.
    """
    try:
        listed = sorted(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - names suffice
    except OSError:
        first = STANDARD_STREAMS
        for kept in sorted({*keep, resource.getrlimit(resource.RLIMIT_NOFILE)[1]}):
            os.closerange(first, kept)
            first = max(first, kept + 1)
        return
    for descriptor in listed:
        if descriptor >= STANDARD_STREAMS and descriptor not in keep:
            with contextlib.suppress(OSError):  # the one that listed them is closed already
                os.close(descriptor)


def reset_signal_handlers() -> None:
    """Give every signal its default effect, but for what Python ignores: SIGPIPE and SIGXFSZ."""
    signal.set_wakeup_fd(-1)  # its descriptor is closed
    for number in signal.valid_signals():
        if number not in UNCHANGEABLE:
            kept = number in KEPT_IGNORED
            signal.signal(number, signal.SIG_IGN if kept else signal.SIG_DFL)


def reset_signal_mask(mask: Iterable[int] = ()) -> None:
    """Block the signals of `mask`, and no others."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def sanitise_environment(environ: MutableMapping[str, str]) -> None:
    """Remove `SESSION_VARIABLES`."""
    for name in SESSION_VARIABLES:
        environ.pop(name, None)


def connect_standard_streams() -> None:
    """Lead standard input, output and error to /dev/null, whether they are open or not."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(STANDARD_STREAMS):
        if stream == null:
            os.set_inheritable(null, True)  # noqa: FBT003 - positional only
        else:
            os.dup2(null, stream)
    if null >= STANDARD_STREAMS:
        os.close(null)


class _Watch:
    """The launching process, while it waits for the daemon's final word.

    Args:
        words: Where words come from.
        text: Where text comes from that is to be shown.
        now: Seconds on a monotonic clock.
        mask: The signals to block from now on, but for those that are passed on.
    """

    def __init__(
        self, words: socket.socket, text: int, now: Callable[[], float], mask: Iterable[int]
    ) -> None:
        words.settimeout(0.0)  # recv_fds() heeds no MSG_DONTWAIT
        self._words = words
        self._text = text
        self._now = now
        self._status: int | None = None
        self._ended = False
        self._daemon = -1  # a pidfd
        self._unsent: list[int] = []  # signals that came before it
        self._signals, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        for each in (words, text, self._signals):
            self._poll.register(each, select.POLLIN)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # nobody may read what is shown
        for number in PASSED_ON:
            signal.signal(number, _leave_to_wakeup)
        signal.pthread_sigmask(signal.SIG_SETMASK, set(mask) - set(PASSED_ON))

    def status(self, start_timeout: float, grace: float) -> int:
        """Wait. Return the status to leave with; what is wrong has been shown then."""
        self._wait_until(self._now() + start_timeout)
        if self._status is not None:
            return self._status
        if self._ended:
            _show(b"The daemon ended before it was ready, without a word. See its log.\n")
        else:
            _show(f"The daemon was not ready within {start_timeout:g} s: ending it.\n".encode())
            self._end(grace)
        return EXIT_START_FAILED

    def _end(self, grace: float) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = self._now() + grace
            self._send(number)
            self._status = None  # a word that comes now changes nothing
            self._wait_until(deadline, for_word=False)
            if self._ended:
                return
            _show(f"It has not ended within {grace:g} s after {number.name}.\n".encode())

    def _wait_until(self, deadline: float, *, for_word: bool = True) -> None:
        while not (self._ended or (for_word and self._status is not None)):
            left = deadline - self._now()
            self._wait(min(max(0.0, left), LONGEST_WAIT))
            if left <= 0:  # also then it was looked at once more
                return

    def _wait(self, seconds: float) -> None:
        ready = {descriptor for descriptor, _ in self._poll.poll(seconds * 1000)}
        # In this order: what is ready was looked for first, so a daemon that has ended has said
        # all it had to say; and text is older than the final word that follows it.
        if self._words.fileno() in ready or self._daemon in ready:
            self._listen()
        if self._text in ready or self._status is not None or self._daemon in ready:
            self._show_text()
        if self._signals in ready:
            for number in os.read(self._signals, 4096):
                if number in PASSED_ON:
                    self._send(number)
        self._ended = self._ended or self._daemon in ready

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while True:
                word, descriptors, _, _ = socket.recv_fds(self._words, 2, 1)
                if not word:  # nobody is left to say anything; the pidfd tells of the end, if any
                    self._forget(self._words.fileno())
                    self._ended = self._ended or self._daemon < 0
                    return
                if word == DAEMON:
                    [self._daemon] = descriptors
                    self._poll.register(self._daemon, select.POLLIN)
                    while self._unsent:
                        self._send(self._unsent.pop(0))
                else:
                    self._status = word[len(FINAL)]

    def _show_text(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._text, 65_536):
                _show(text)
            self._forget(self._text)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):  # forgotten before
            self._poll.unregister(descriptor)

    def _send(self, number: int) -> None:
        if self._daemon < 0:
            self._unsent.append(number)
        else:
            with contextlib.suppress(OSError):  # it has ended; or became a user out of our reach
                signal.pidfd_send_signal(self._daemon, number)


def _leave_to_wakeup(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor has got the number."""


def _show(text: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        while text:
            text = text[os.write(2, text) :]


def fill_standard_streams() -> None:
    """Open /dev/null for what is closed, or the next descriptors would get these numbers."""
    for stream in range(STANDARD_STREAMS):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


def _flush_standard_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # nobody reads it; it is closed
                stream.flush()


def _other_threads() -> list[str]:
    names = {each.native_id: repr(each.name) for each in threading.enumerate()}
    with contextlib.suppress(OSError):  # without /proc, Python's own threads have to do
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                command = (task / "comm").read_text().strip()
                names.setdefault(int(task.name), f"thread {task.name} ({command})")
    names.pop(threading.get_native_id(), None)
    return sorted(names.values())


def _refusal(cause: OSError) -> str:
    return (
        f"Cannot detach: {cause}. Look at the limits on processes and open files (ulimit -u -n),"
        " or run with --no-daemon."
    )
