"""Signals to a daemon whose every component is busy: nothing hangs, none is lost."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.daemon.conftest import Whole
from zenactors.errors import EXIT_OK

KINDS = {
    signal.SIGUSR1: "usr1",
    signal.SIGUSR2: "usr2",
    signal.SIGHUP: "hup",
    signal.SIGWINCH: "winch",
}
ROUNDS = 10
MANY_ROUNDS = 250
STORM = 1_000  # signals


@pytest.fixture
def busy(whole: Whole) -> int:
    """The PID of a daemon under full load, with a signal mapped to an event of its own."""
    (whole.directory / "whole.toml").write_text('[signals]\nwinch = "resized"\n')
    return whole.daemon(words="busy")


def stop(whole: Whole, pid: int) -> Counter[str]:
    """Stop in order; return how often each signal has become an event."""
    os.kill(pid, signal.SIGINT)
    counts = whole.hear("counts")
    assert whole.status_of(pid) == EXIT_OK
    return Counter({kind: counts.get(kind, 0) for kind in KINDS.values()})


def received(whole: Whole) -> Counter[str]:
    """Return how often the main thread has received each signal, by the log."""
    names = {number.name: kind for number, kind in KINDS.items()}
    found = re.findall(r"Received (\w+)$", whole.logged(), re.MULTILINE)
    return Counter(names[name] for name in found if name in names)


def each_becomes_an_event(whole: Whole, busy: int, rounds: int) -> None:
    # Each is handled before the next of its kind is sent: so the kernel merges none, and no later
    # signal can hide the loss of an earlier one.
    for _ in range(rounds):
        for number, word in KINDS.items():
            os.kill(busy, number)
            whole.hear(word)
        os.kill(busy, signal.SIGALRM)

    assert stop(whole, busy) == Counter(dict.fromkeys(KINDS.values(), rounds))


def test_under_full_load_each_signal_becomes_an_event(whole: Whole, busy: int) -> None:
    each_becomes_an_event(whole, busy, ROUNDS)


@pytest.mark.slow
def test_under_full_load_each_of_a_thousand_signals_becomes_an_event(
    whole: Whole, busy: int
) -> None:
    each_becomes_an_event(whole, busy, MANY_ROUNDS)


def test_of_a_storm_of_signals_none_that_was_received_is_lost(whole: Whole, busy: int) -> None:
    numbers = [*KINDS, signal.SIGALRM]
    for index in range(STORM):
        os.kill(busy, numbers[index % len(numbers)])
    whole.said()
    for number, word in KINDS.items():  # it still answers
        os.kill(busy, number)
        whole.hear(word)

    counts = stop(whole, busy)

    assert counts == received(whole)
    assert all(count >= 1 for count in counts.values())


def test_a_signal_to_any_thread_of_the_process_becomes_an_event(whole: Whole, busy: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    threads = sorted(int(each.name) for each in Path(f"/proc/{busy}/task").iterdir())
    assert len(threads) > 5  # main, dispatcher, and the components'
    for thread in threads:
        assert libc.tgkill(busy, thread, signal.SIGUSR1) == 0
        whole.hear("usr1")

    assert stop(whole, busy)["usr1"] == len(threads)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_under_full_load_and_a_storm_a_stop_ends_the_daemon(
    whole: Whole, busy: int, number: int
) -> None:
    numbers = [*KINDS, signal.SIGALRM]
    for index in range(STORM):
        if index == STORM // 2:
            os.kill(busy, number)
        os.kill(busy, numbers[index % len(numbers)])  # not reaped: the PID is still its own

    assert whole.status_of(busy) == EXIT_OK
    assert not whole.pid_file.exists()
