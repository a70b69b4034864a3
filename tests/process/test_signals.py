"""Signals reach the main thread in order, whichever thread the kernel gives them to."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from zenactors.process.signals import SIGNALS_TO_NAMES_DICT, SignalTrap


def test_signals_are_returned_in_order_of_arrival() -> None:
    with SignalTrap([signal.SIGUSR1, signal.SIGUSR2]) as trap:
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)

        assert trap.wait(5.0) == [signal.SIGUSR2, signal.SIGUSR1]


def test_a_signal_given_to_another_thread_ends_the_main_threads_wait() -> None:
    go = threading.Event()

    def send() -> None:
        assert go.wait(5.0)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    with SignalTrap([signal.SIGUSR1]) as trap:
        go.set()

        assert trap.wait(30.0) == [signal.SIGUSR1]
    sender.join()


def test_notify_from_any_thread_ends_the_wait_without_a_signal() -> None:
    with SignalTrap([]) as trap:
        threading.Thread(target=trap.notify).start()

        assert trap.wait(30.0) == []


def test_a_notify_before_the_wait_is_not_lost() -> None:
    with SignalTrap([]) as trap:
        for _ in range(100_000):  # more than the pipe holds: no call may block
            trap.notify()

        assert trap.wait(30.0) == []


def test_leaving_restores_handlers_and_wakeup_descriptor() -> None:
    before = signal.getsignal(signal.SIGUSR1)

    with SignalTrap([signal.SIGUSR1]) as trap:
        assert signal.getsignal(signal.SIGUSR1) != before

    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1
    trap.notify()  # harmless: it does not write to the closed descriptor


def test_outside_the_main_thread_the_error_names_the_alternatives() -> None:
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            SignalTrap([signal.SIGUSR1]).__enter__()
        except RuntimeError as cause:
            errors.append(cause)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()

    assert "main thread" in str(errors[0])
    assert "Dispatcher" in str(errors[0])


@pytest.mark.parametrize(("number", "name"), [(1, "SIGHUP"), (2, "SIGINT"), (15, "SIGTERM")])
def test_signals_have_the_names_of_pyzenkit(number: int, name: str) -> None:
    assert SIGNALS_TO_NAMES_DICT[number] == name
