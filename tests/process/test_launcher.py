"""The dialogue between a starting daemon and its launching process, in real processes."""

from __future__ import annotations

import contextlib
import signal
import socket
import uuid
from pathlib import Path

import pytest

from tests.process.conftest import DEADLINE, Launch, Launched
from tests.running import run_python
from zenactors.errors import EXIT_START_FAILED


def test_all_text_written_before_the_final_status_is_shown(launch: Launch) -> None:
    launched = launch("plain")
    launched.order("lines 500")

    status, shown = launched.left()
    assert status == 3
    assert shown.splitlines() == [f"line {number}" for number in range(500)]


def test_only_the_first_final_status_counts(launch: Launch) -> None:
    launched = launch("plain")
    for order in ("failed 3", "ready", "failed 4", "write too late"):
        assert launched.order(order) is None

    assert launched.left() == (3, "")


def test_the_daemon_continues_when_the_launching_process_is_gone(launch: Launch) -> None:
    launched = launch("plain")
    launched.process.kill()
    launched.process.wait()

    for order in ("write a", "flood 1000000", "ready", "write b", "failed 3"):
        assert launched.order(order) is None


def test_the_daemon_continues_when_the_launching_process_is_stopped(launch: Launch) -> None:
    launched = launch("plain")
    launched.process.send_signal(signal.SIGSTOP)
    for order in ("flood 1000000", "write lost", "ready"):
        assert launched.order(order) is None
    launched.process.send_signal(signal.SIGCONT)

    status, shown = launched.left()
    assert status == 0
    assert set(shown) == {"x"}


def test_the_daemon_continues_when_its_text_has_no_reader(launch: Launch) -> None:
    launched = launch("plain")
    assert launched.process.stderr is not None
    launched.process.stderr.close()
    launched.process.stderr = None
    for order in ("write a", "write b", "ready"):
        assert launched.order(order) is None

    assert launched.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("order", ["exit 0", "exit 3", "kill 9"])
def test_a_daemon_that_ends_without_a_report_has_failed(launch: Launch, order: str) -> None:
    launched = launch("plain")
    launched.order("write nearly there")
    launched.send(order)

    status, shown = launched.left()
    assert status == EXIT_START_FAILED
    assert shown == (
        "nearly there\nThe daemon ended before it was ready and gave no reason. See its log.\n"
    )


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    path = tmp_path / "clock"
    path.write_text("0")
    return path


def await_watch(launched: Launched) -> None:
    """Wait until the launching process has read the clock for the first time."""
    launched.order("write begun")
    assert launched.shown() == "begun\n"


def set_clock(clock: Path, seconds: float) -> None:
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.rename(clock)


def test_a_daemon_that_is_not_ready_in_time_is_ended(launch: Launch, clock: Path) -> None:
    launched = launch("timed", clock)
    await_watch(launched)
    set_clock(clock, 99)
    launched.order("write still at it")
    assert launched.shown() == "still at it\n"
    assert launched.waits()
    set_clock(clock, 101)
    launched.send("write nearly")  # ends the launching process's wait
    assert launched.hear() is None

    assert launched.order("sigwait") == signal.SIGTERM
    launched.order("failed 0")
    launched.send("exit 0")
    status, shown = launched.left()
    assert status == EXIT_START_FAILED
    assert sorted(shown.splitlines()) == [
        "The daemon was not ready within 100 s: ending it.",
        "nearly",
    ]
    assert launched.daemon_ended()


def test_a_daemon_that_ignores_sigterm_is_killed(launch: Launch, clock: Path) -> None:
    launched = launch("timed", clock)
    await_watch(launched)
    set_clock(clock, 101)
    launched.order("write tick")
    assert launched.order("sigwait") == signal.SIGTERM
    set_clock(clock, 107)
    with contextlib.suppress(BrokenPipeError):  # it has seen the time by itself
        launched.send("write tock")  # ends its wait

    status, shown = launched.left()
    assert status == EXIT_START_FAILED
    assert "It has not ended within 5 s after SIGTERM.\n" in shown
    assert launched.daemon_ended()


def test_a_status_reported_in_time_counts_even_if_it_is_read_later(
    launch: Launch,
) -> None:
    address = f"zenactors-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as clock:
        clock.bind(f"\0{address}")
        clock.listen()
        clock.settimeout(DEADLINE)
        launched = launch("asking", address)
        answer_time(clock, 0)
        answer_time(clock, 0)
        launched.order("write tick")  # ends its wait, so it asks again
        asked, _ = clock.accept()
        launched.order("ready")
        asked.send(b"101")
        asked.close()

        assert launched.left() == (0, "tick\n")


def answer_time(clock: socket.socket, seconds: int) -> None:
    asked, _ = clock.accept()
    asked.send(str(seconds).encode())
    asked.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launching_process_is_passed_on(
    launch: Launch, number: signal.Signals
) -> None:
    launched = launch("plain")
    launched.process.send_signal(number)

    assert launched.order("sigwait") == number
    assert launched.waits()
    launched.order("write stopped in order")
    launched.order("failed 0")
    assert launched.left() == (0, "stopped in order\n")


def test_a_signal_that_came_before_the_forks_is_passed_on(launch: Launch) -> None:
    launched = launch("early")

    assert launched.order("sigwait") == signal.SIGTERM


def test_a_launching_process_that_may_open_no_more_files_waits_for_the_status() -> None:
    program = """if True:
        import os, socket, sys, time
        from zenactors.process.launcher import DAEMON, FINAL, LaunchWatch
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        text, _writer = os.pipe2(os.O_NONBLOCK)
        theirs.send(DAEMON)  # the kernel has left out the pidfd
        theirs.send(FINAL + bytes([3]))
        sys.exit(LaunchWatch(ours, text, time.monotonic, ()).status(30.0))
    """
    result = run_python("-c", program)
    assert (result.returncode, result.stderr) == (3, "")
