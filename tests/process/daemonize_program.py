"""A daemon for the tests: it obeys orders from a socket, one per line.

The socket has an abstract address, so it is reached even after a chroot and as another user.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zenactors.errors import EXIT_OS_ERROR, ProcessSetupError
from zenactors.process.daemonize import close_descriptors, detach
from zenactors.process.launcher import Launcher
from zenactors.process.pidfile import PidFile
from zenactors.process.privileges import drop, enter, parse_umask, resolve_group, resolve_user
from zenactors.process.signals import SignalTrap

CAUGHT = (signal.SIGINT, signal.SIGTERM)
START_TIMEOUT = 60.0  # seconds: generous, so that only a hang takes it


class Link:
    """The connection to the test. One stream for both directions would lose what it has read."""

    def __init__(self, address: str) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"\0{address}")
        self.reader = connection.makefile("r")
        self.writer = connection.makefile("w")

    def tell(self, value: Any) -> None:
        self.writer.write(json.dumps(value) + "\n")
        self.writer.flush()


def obey(link: Link, launcher: Launcher) -> None:
    """Obey and acknowledge each order until the test closes the connection."""
    orders: dict[str, Callable[[str], Any]] = {
        "write": lambda text: launcher.write(f"{text}\n"),
        "flood": lambda size: launcher.write("x" * int(size)),
        "lines": lambda count: write_lines(launcher, int(count)),
        "ready": lambda _: launcher.ready(),
        "failed": lambda status: launcher.failed(int(status)),
        "exit": lambda status: os._exit(int(status)),
        "kill": lambda number: os.kill(os.getpid(), int(number)),
        "sigwait": lambda _: signal.sigwait(CAUGHT),
        "trap": lambda _: trap(),
        "facts": lambda _: facts(),
        "release": lambda _: release(),
    }
    for line in link.reader:
        order, _, rest = line.strip().partition(" ")
        link.tell(orders[order](rest))


def write_lines(launcher: Launcher, count: int) -> None:
    for number in range(count):
        launcher.write(f"line {number}\n")
    launcher.failed(3)


def trap() -> list[int]:
    with SignalTrap(CAUGHT) as caught:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        return caught.wait(START_TIMEOUT)


def facts() -> dict[str, Any]:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    umask = os.umask(0)
    os.umask(umask)
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "terminal": int(fields[4]),
        "descriptors": {each.name: link_of(each) for each in Path("/proc/self/fd").iterdir()},
        "handlers": {int(n): repr(signal.getsignal(n)) for n in signal.valid_signals()},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "environment": dict(os.environ),
        "umask": umask,
        "directory": str(Path.cwd()),
        "users": [os.getresuid(), os.getresgid()],
    }


def link_of(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that listed them
        return "listing"


def serve(address: str, **options: Any) -> None:
    launcher = detach(start_timeout=START_TIMEOUT, now=time.monotonic, **options)
    obey(Link(address), launcher)


def plain(address: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    serve(address, mask=CAUGHT)


def hostile(address: str, terminal: str, directory: str) -> None:
    """Start with everything that a daemon must not have."""
    os.setsid()
    descriptor = os.open(terminal, os.O_RDWR)
    let_in(descriptor)
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
    high = os.dup2(descriptor, 200)
    os.chdir(directory)
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    wakeup = os.open("/dev/null", os.O_WRONLY | os.O_NONBLOCK)
    let_in(wakeup)
    signal.set_wakeup_fd(wakeup)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD])
    os.environ.update({"TERM": "xterm", "NOTIFY_SOCKET": "/x", "LISTEN_FDS": "3", "KEPT": "kept"})
    before = facts()
    launcher = detach(start_timeout=START_TIMEOUT, now=time.monotonic, mask=[signal.SIGTERM])
    after = facts()
    os.open(terminal, os.O_RDWR)  # would become the terminal of a session's leader
    link = Link(address)
    link.tell({"before": before, "after": after, "then": facts(), "high": high})
    obey(link, launcher)


def let_in(descriptor: int) -> None:
    """Make a descriptor look as if the parent process had left it open."""
    os.set_inheritable(descriptor, True)  # noqa: FBT003 - positional only


def owning(address: str) -> None:
    """Have descriptors of every kind: opened or inherited, and some declared otherwise."""
    names = ("own", "unwanted", "inherited", "wanted")
    opened = {name: os.open("/dev/zero", os.O_RDONLY) for name in names}
    for name in ("inherited", "wanted"):
        let_in(opened[name])
    launcher = detach(
        start_timeout=START_TIMEOUT,
        now=time.monotonic,
        keep={opened["wanted"]},
        close={opened["unwanted"]},
    )
    here = {name: link_of(Path(f"/proc/self/fd/{number}")) for name, number in opened.items()}
    link = Link(address)
    link.tell([name for name, what in here.items() if what == "/dev/zero"])
    obey(link, launcher)


def closed(address: str) -> None:
    os.closerange(0, 3)
    serve(address)


def early(address: str) -> None:
    """Have a signal pending before the forks."""
    signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    os.kill(os.getpid(), signal.SIGTERM)
    serve(address, mask=CAUGHT)


def buffered(address: str, events: str) -> None:
    """Have unwritten output and an exit handler."""
    parent = os.getpid()

    def note(what: str) -> None:
        with Path(events).open("a") as file:
            file.write(f"{what} {os.getpid() == parent}\n")

    atexit.register(note, "exit")
    sys.stdout.write("once")
    sys.stderr.write("twice?")
    try:
        serve(address)
    finally:
        note("finally")


def timed(address: str, clock: str) -> None:
    """Read the time from a file."""
    signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    launcher = detach(start_timeout=100.0, now=lambda: float(Path(clock).read_text()), mask=CAUGHT)
    obey(Link(address), launcher)


def asking(address: str, clock: str) -> None:
    """Ask the test for the time."""

    def now() -> float:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(f"\0{clock}")
            return float(asked.recv(16))

    launcher = detach(start_timeout=100.0, now=now)
    obey(Link(address), launcher)


def struck(address: str) -> None:
    """Send a deadly signal to the first child as soon as it exists."""
    children: list[int] = []

    def strike() -> None:
        children.append(os.getpid())
        if len(children) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    os.register_at_fork(after_in_child=strike)
    serve(address)


def crowded(address: str) -> None:
    """Be refused twice because of other threads, and then succeed."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="worker-7")
    thread.start()
    refused = [refusal()]
    done.set()
    thread.join()
    faulthandler.dump_traceback_later(START_TIMEOUT)  # a thread that Python does not know
    refused.append(refusal())
    faulthandler.cancel_dump_traceback_later()
    for _ in range(100):
        thread = threading.Thread(target=len, args=("",))
        thread.start()
        thread.join()
    launcher = detach(start_timeout=START_TIMEOUT, now=time.monotonic)
    link = Link(address)
    link.tell(refused)
    obey(link, launcher)


def refusal() -> str:
    before = facts()
    try:
        detach(start_timeout=START_TIMEOUT, now=time.monotonic)
    except ProcessSetupError as cause:
        after = facts()
        assert before == after, (before, after)
        return str(cause)
    return "not refused"


def forked(address: str) -> None:
    """Be the child of a fork, as in a program that starts several daemons."""
    child = os.fork()
    if child != 0:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    serve(address)


def limited(address: str, user: str, processes: str) -> None:
    """Have a limit on the number of processes."""
    os.setresuid(int(user), int(user), int(user))
    resource.setrlimit(resource.RLIMIT_NPROC, (int(processes), int(processes)))
    text = refusal()
    sys.stderr.write(f"{text}\n")


def many(opened: str) -> None:
    """Measure how long it takes to close descriptors, and how long a loop to the limit takes."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):  # it needs the capability CAP_SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_048_576, 1_048_576))
        limit = 1_048_576
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    kept = os.dup2(0, limit - 1)
    for _ in range(int(opened)):
        let_in(os.dup(0))
    began = time.perf_counter()
    close_descriptors([kept])
    took = time.perf_counter() - began
    left = [each.name for each in Path("/proc/self/fd").iterdir() if link_of(each) != "listing"]
    began = time.perf_counter()
    for descriptor in range(3, limit):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    loop = time.perf_counter() - began
    result = {"took": took, "loop": loop, "left": sorted(map(int, left)), "limit": limit}
    sys.stdout.write(json.dumps(result))


pid_files: list[PidFile] = []


def release() -> str:
    for pid_file in pid_files:
        pid_file.release()
    return "released"


def whole(address: str, pid_path: str, *rest: str) -> None:
    """Do all 15 steps, in the order of the module's docstring."""
    signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    chroot_dir, group_name, user_name = rest if rest else (None, None, None)
    group = resolve_group(group_name) if group_name else None
    user = resolve_user(user_name, group) if user_name else None
    umask = parse_umask("027")
    pid_file = PidFile(pid_path)
    launcher = detach(start_timeout=START_TIMEOUT, now=time.monotonic, mask=CAUGHT)
    try:
        pid_file.acquire()
        pid_files.append(pid_file)
        enter(chroot_dir, None, umask)
        drop(user, group)
    except ProcessSetupError as cause:
        launcher.write(f"{cause}\n")
        launcher.failed(EXIT_OS_ERROR)
        sys.exit(EXIT_OS_ERROR)
    link = Link(address)
    users = [os.getresuid(), os.getresgid()]
    link.tell({"root": sorted(os.listdir("/")), "users": users})  # noqa: PTH208
    obey(link, launcher)


def main() -> None:
    mode, *arguments = sys.argv[1:]
    works: tuple[Callable[..., None], ...] = (
        plain, hostile, owning, closed, early, buffered, timed, asking, struck, crowded, forked,
        limited, many, whole,
    )  # fmt: skip
    {work.__name__: work for work in works}[mode](*arguments)


if __name__ == "__main__":
    main()
