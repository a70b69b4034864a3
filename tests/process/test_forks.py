"""Forked children hold nothing of their parent."""

from __future__ import annotations

import gc
import os
import select
import signal
from collections.abc import Callable

import pytest

from zenactors.process.forks import disown_in_children
from zenactors.process.pidfile import PidFile
from zenactors.process.signals import SignalTrap

DEADLINE = 30.0  # seconds: generous, so that only a hang takes it
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def in_child(work: Callable[[], object]) -> str:
    """Return the text of a function's result in a forked child; "" if it raises."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], DEADLINE)
        assert ready, "the child hangs"
        return os.read(reader, 65_536).decode()
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class Owner:
    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    def disown(self) -> None:
        blocked = signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self.calls.append(f"{self.name} {blocked}")


def test_a_child_calls_each_owner_in_order_with_its_signals_blocked() -> None:
    calls: list[str] = []
    owners = [Owner(name, calls) for name in "abc"]
    for each in owners:
        disown_in_children(each)
    del owners[1], each
    gc.collect()

    assert in_child(lambda: calls) == "['a True', 'c True']"
    assert calls == []
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_grandchild_does_not_call_them_again() -> None:
    calls: list[str] = []
    owner = Owner("a", calls)
    disown_in_children(owner)

    assert in_child(lambda: in_child(lambda: calls)) == repr("['a True']")


def test_a_child_has_default_handlers_and_no_wakeup_descriptor() -> None:
    def look() -> tuple[list[str], int, bool, bool]:
        handlers = [repr(signal.getsignal(number)) for number in HANDLED]
        trap.notify()  # harmless
        is_open = os.path.exists(f"/proc/self/fd/{trap_fds[0]}")  # noqa: PTH110
        blocked = bool(signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(HANDLED))
        return handlers, signal.set_wakeup_fd(-1), is_open, blocked

    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with SignalTrap(HANDLED) as trap:
        trap_fds = sorted(map(int, set(os.listdir("/proc/self/fd")) - before))  # noqa: PTH208
        defaults = [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]
        expected = ([repr(each) for each in defaults], -1, False, False)
        assert in_child(look) == repr(expected)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert trap.wait(DEADLINE) == [signal.SIGUSR1]  # the parent's work as before


def test_a_child_can_be_ended_by_sigterm_however_early() -> None:
    with SignalTrap(HANDLED):
        pid = os.fork()
        if pid == 0:
            while True:
                signal.pause()
        os.kill(pid, signal.SIGTERM)
        pidfd = os.pidfd_open(pid)
        ended = bool(select.select([pidfd], [], [], DEADLINE)[0])
        os.close(pidfd)
        os.kill(pid, signal.SIGKILL)
        assert ended
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM


def test_leaving_a_trap_in_a_child_is_harmless() -> None:
    def leave() -> str:
        trap.__exit__()
        return "left"

    with SignalTrap(HANDLED) as trap:
        assert in_child(leave) == repr("left")


@pytest.mark.usefixtures("tmp_path")
def test_a_child_does_not_hold_the_pid_files_lock(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "x.pid")  # noqa: PTH118
    pid_file = PidFile(path)
    pid_file.acquire()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"!")
        signal.pause()
        os._exit(0)
    os.read(reader, 1)
    pid_file.release()
    second = PidFile(path)
    try:
        second.acquire()  # raises if the child holds the lock of a file that still exists
        links = [os.path.realpath(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]  # noqa: PTH208
        assert not any(link.startswith(path) for link in links)
    finally:
        second.release()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)
