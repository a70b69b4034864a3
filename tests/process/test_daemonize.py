"""The recipe of daemon(7), step by step, and who hears of what (D1, D2, D3): real processes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zenactors.errors import EXIT_OS_ERROR, EXIT_START_FAILED
from zenactors.process.daemonize import SESSION_VARIABLES, sanitise_environment
from zenactors.process.pidfile import look_up

DEADLINE = 60.0  # seconds: generous, so that only a hang fails
ROOT = Path(__file__).parents[2]
NOBODY = 23_457  # a number without an entry, and without processes

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change user or root")


class Launched:
    """A launching process, and its daemon once that has called."""

    def __init__(self, mode: str, *arguments: object) -> None:
        address = f"zenactors-{uuid.uuid4()}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"\0{address}")
        self.listener.listen()
        self.listener.settimeout(DEADLINE)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.daemonize_program", mode, address]
            + [str(each) for each in arguments],
            cwd=ROOT,
            env={n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.connection: socket.socket | None = None
        self.pid = 0
        self.pidfd = -1

    def accept(self) -> None:
        """Wait until the daemon calls."""
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(DEADLINE)
        peer = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid, _, _ = struct.unpack("iii", peer)
        self.pidfd = os.pidfd_open(self.pid)
        self.reader = self.connection.makefile("r")
        self.writer = self.connection.makefile("w")

    def hear(self) -> Any:
        return json.loads(self.reader.readline())

    def send(self, order: str) -> None:
        self.writer.write(f"{order}\n")
        self.writer.flush()

    def order(self, order: str) -> Any:
        self.send(order)
        return self.hear()

    def shown(self) -> str:
        """Return the next line that the launching process shows."""
        assert self.process.stderr is not None
        return self.process.stderr.readline().decode()

    def waits(self) -> bool:
        return self.process.poll() is None

    def left(self) -> tuple[int, str]:
        """Wait for the launching process; return its status and what else it has shown."""
        _, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, err.decode()

    def daemon_ended(self) -> bool:
        """Wait for the daemon's end."""
        return bool(select.select([self.pidfd], [], [], DEADLINE)[0])

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if self.connection is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            assert self.daemon_ended()
            os.close(self.pidfd)
            with contextlib.suppress(OSError):  # nobody reads what it may still hold
                self.writer.close()
            self.reader.close()
            self.connection.close()
        self.listener.close()


Launch = Callable[..., Launched]


@pytest.fixture
def launch() -> Iterator[Launch]:
    launched: list[Launched] = []

    def start(mode: str, *arguments: object, calls: bool = True) -> Launched:
        launched.append(Launched(mode, *arguments))
        if calls:
            launched[-1].accept()
        return launched[-1]

    yield start
    for each in launched:
        each.clean_up()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What one daemon had before and after, which was started as badly as can be."""
    folder = tmp_path_factory.mktemp("hostile")
    master, slave = pty.openpty()
    launched = Launched("hostile", os.ttyname(slave), folder)
    try:
        launched.accept()
        seen = launched.hear()
        seen["launching"] = launched.process.pid
        launched.order("ready")
        seen["status"], seen["shown"] = launched.left()
        seen["settled"] = launched.order("facts")
        seen["descriptor"] = os.ttyname(slave)
        yield seen
    finally:
        launched.clean_up()
        os.close(slave)
        os.close(master)


def test_step_01_closes_all_descriptors_but_the_standard_ones(seen: dict[str, Any]) -> None:
    before, after = seen["before"]["descriptors"], seen["after"]["descriptors"]
    others = {n: what for n, what in after.items() if int(n) > 2 and what != "listing"}

    assert before[str(seen["high"])] == before["3"] == seen["descriptor"]
    assert others.pop(str(seen["kept"])) == "/dev/zero"
    assert sorted(what.partition(":")[0] for what in others.values()) == ["pipe", "socket"]


def test_step_01_leaves_nothing_open_after_the_final_word(seen: dict[str, Any]) -> None:
    settled = seen["settled"]["descriptors"]
    # The terminal and the test's own socket were opened after the step.
    others = {n: what for n, what in settled.items() if int(n) > 2 and what != "listing"}
    kinds = sorted(what.partition(":")[0] for what in others.values())

    assert kinds == sorted(["/dev/zero", seen["descriptor"], "socket"])


def test_step_02_gives_every_signal_its_default_effect(seen: dict[str, Any]) -> None:
    before, after = seen["before"]["handlers"], seen["after"]["handlers"]
    ignored = {int(number) for number, handler in after.items() if "SIG_IGN" in handler}
    others = {handler for number, handler in after.items() if int(number) not in ignored}

    assert "SIG_IGN" in before[str(int(signal.SIGHUP))]
    assert "lambda" in before[str(int(signal.SIGUSR1))]
    assert ignored == {signal.SIGPIPE, signal.SIGXFSZ}
    assert others == {repr(signal.SIG_DFL)}


def test_step_03_blocks_no_signals_but_those_asked_for(seen: dict[str, Any]) -> None:
    assert set(seen["before"]["mask"]) == {signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD}
    assert seen["after"]["mask"] == [signal.SIGTERM]


def test_step_04_removes_what_is_not_true_of_the_daemon(seen: dict[str, Any]) -> None:
    before, after = seen["before"]["environment"], seen["after"]["environment"]

    assert {"TERM", "NOTIFY_SOCKET", "LISTEN_FDS"} <= set(before)
    assert not SESSION_VARIABLES & set(after)
    assert {n: v for n, v in before.items() if n not in SESSION_VARIABLES} == after
    assert after["KEPT"] == "kept"


def test_step_05_goes_on_in_another_process(seen: dict[str, Any]) -> None:
    assert seen["before"]["pid"] == seen["launching"]
    assert seen["after"]["pid"] != seen["launching"]


def test_step_06_has_a_session_of_its_own_without_a_terminal(seen: dict[str, Any]) -> None:
    assert seen["before"]["terminal"] != 0
    assert seen["after"]["terminal"] == 0
    assert seen["after"]["session"] != seen["before"]["session"]
    assert seen["after"]["group"] == seen["after"]["session"]


def test_step_07_can_never_get_a_terminal_again(seen: dict[str, Any]) -> None:
    assert seen["after"]["session"] != seen["after"]["pid"]
    assert seen["descriptor"] in seen["then"]["descriptors"].values()
    assert seen["then"]["terminal"] == 0


def test_step_08_leaves_the_daemon_to_init(seen: dict[str, Any]) -> None:
    first_child = seen["after"]["session"]  # its leader

    assert seen["settled"]["parent"] not in (first_child, seen["launching"])
    assert not Path(f"/proc/{first_child}").exists()


def test_step_09_leads_the_standard_streams_to_dev_null(seen: dict[str, Any]) -> None:
    assert seen["before"]["descriptors"]["2"] != "/dev/null"
    assert [seen["after"]["descriptors"][n] for n in "012"] == ["/dev/null"] * 3


def test_step_10_resets_the_umask_to_0(seen: dict[str, Any]) -> None:
    assert (seen["before"]["umask"], seen["after"]["umask"]) == (0o077, 0)


def test_step_11_works_in_the_root_folder(seen: dict[str, Any]) -> None:
    assert seen["before"]["folder"] != "/"
    assert seen["after"]["folder"] == "/"


def test_steps_12_to_15_in_order_as_whoever_one_is(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "daemon.pid"
    launched = launch("whole", path)
    launched.hear()

    assert (look_up(path).state, look_up(path).pid) == ("running", launched.pid)  # step 12
    assert launched.waits()
    facts = launched.order("facts")
    assert facts["umask"] == 0o027
    assert facts["users"] == [list(os.getresuid()), list(os.getresgid())]  # step 13: as before
    launched.order("ready")  # step 14
    assert launched.left() == (0, "")  # step 15
    assert launched.order("release") == "released"
    assert look_up(path).state == "absent"


@needs_root
def test_steps_12_to_15_in_order_as_root_with_chroot_and_user(
    launch: Launch, tmp_path: Path
) -> None:
    path = tmp_path / "daemon.pid"
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "mark").touch()
    launched = launch("whole", path, inside, NOBODY + 1, NOBODY)

    assert launched.hear() == {
        "root": ["mark"],
        "users": [[NOBODY] * 3, [NOBODY + 1] * 3],  # step 13
    }
    assert (look_up(path).state, look_up(path).pid) == ("running", launched.pid)  # step 12
    assert path.stat().st_uid == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert launched.waits()
    launched.order("ready")  # step 14
    assert launched.left() == (0, "")  # step 15
    assert launched.order("release") == "released"
    assert look_up(path).state == "stale"
    assert path.stat().st_size == 0


def test_step_12_a_second_instance_is_refused_by_the_launching_process(
    launch: Launch, tmp_path: Path
) -> None:
    path = tmp_path / "daemon.pid"
    first = launch("whole", path)
    second = launch("whole", path, calls=False)

    status, shown = second.left()
    assert status == EXIT_OS_ERROR
    assert f"process {first.pid} holds the PID file" in shown


def test_step_13_what_the_system_refuses_is_shown_by_the_launching_process(
    launch: Launch, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    launched = launch("whole", tmp_path / "daemon.pid", missing, 0, 0, calls=False)

    status, shown = launched.left()
    assert status == EXIT_OS_ERROR
    assert shown.startswith(f"Cannot change the root to '{missing}': No such file")


def test_step_14_the_launching_process_waits_for_the_daemons_word(launch: Launch) -> None:
    launched = launch("plain")
    for number in range(3):
        launched.order(f"write line {number}")
        assert launched.shown() == f"line {number}\n"
        assert launched.waits()
    launched.order("ready")

    assert launched.left() == (0, "")


@pytest.mark.parametrize("status", [0, 1, 69, 78, 255])
def test_step_15_leaves_with_the_status_told(launch: Launch, status: int) -> None:
    launched = launch("plain")
    launched.order("write no such device")
    launched.order(f"failed {status}")

    assert launched.left() == (status, "no such device\n")


def test_all_that_was_written_before_the_last_word_is_shown(launch: Launch) -> None:
    launched = launch("plain")
    launched.order("lines 500")

    status, shown = launched.left()
    assert status == 3
    assert shown.splitlines() == [f"line {number}" for number in range(500)]


def test_only_the_first_final_word_counts(launch: Launch) -> None:
    launched = launch("plain")
    for order in ("failed 3", "ready", "failed 4", "write too late"):
        assert launched.order(order) is None

    assert launched.left() == (3, "")


def test_the_daemon_goes_on_when_the_launching_process_is_gone(launch: Launch) -> None:
    launched = launch("plain")
    launched.process.kill()
    launched.process.wait()

    for order in ("write a", "flood 1000000", "ready", "write b", "failed 3"):
        assert launched.order(order) is None


def test_the_daemon_goes_on_when_the_launching_process_is_stopped(launch: Launch) -> None:
    launched = launch("plain")
    launched.process.send_signal(signal.SIGSTOP)
    for order in ("flood 1000000", "write lost", "ready"):
        assert launched.order(order) is None
    launched.process.send_signal(signal.SIGCONT)

    status, shown = launched.left()
    assert status == 0
    assert set(shown) == {"x"}


def test_the_daemon_goes_on_when_nobody_reads_what_is_shown(launch: Launch) -> None:
    launched = launch("plain")
    assert launched.process.stderr is not None
    launched.process.stderr.close()
    launched.process.stderr = None
    for order in ("write a", "write b", "ready"):
        assert launched.order(order) is None

    assert launched.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("order", ["exit 0", "exit 3", "kill 9"])
def test_a_daemon_that_ends_without_a_word_has_failed(launch: Launch, order: str) -> None:
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


def test_a_daemon_that_does_not_heed_sigterm_is_killed(launch: Launch, clock: Path) -> None:
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


def test_a_word_that_came_before_the_time_was_up_counts_also_if_it_is_read_later(
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


def test_a_signal_in_the_middle_of_the_forks_does_no_harm(launch: Launch) -> None:
    launched = launch("struck")
    launched.order("ready")

    assert launched.left() == (0, "")


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


def test_a_signal_to_the_daemon_waits_for_its_handlers(launch: Launch) -> None:
    launched = launch("plain")
    signal.pidfd_send_signal(launched.pidfd, signal.SIGTERM)

    assert launched.order("trap") == [signal.SIGTERM]
    launched.order("ready")
    assert launched.left() == (0, "")


def test_what_was_buffered_and_what_is_to_be_done_at_the_end_happens_once(
    launch: Launch, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    launched = launch("buffered", journal)
    launched.order("ready")
    out, err = launched.process.communicate(timeout=DEADLINE)
    assert launched.connection is not None
    launched.connection.shutdown(socket.SHUT_RDWR)
    assert launched.daemon_ended()

    assert (out, err) == (b"once", b"twice?")
    assert journal.read_text() == "finally False\nexit False\n"


def test_streams_that_were_closed_lead_to_dev_null(launch: Launch) -> None:
    launched = launch("closed")
    descriptors = launched.order("facts")["descriptors"]
    launched.order("write nobody sees it")
    launched.order("ready")

    assert [descriptors[n] for n in "012"] == ["/dev/null"] * 3
    assert launched.left() == (0, "")


def test_other_threads_are_refused_by_name(launch: Launch) -> None:
    launched = launch("crowded")
    by_name, by_number = launched.hear()

    assert by_name.startswith("Cannot detach while other threads run: 'worker-7'.")
    assert "start threads, log sinks and sockets after detaching" in by_name
    assert by_number.startswith("Cannot detach while other threads run: thread ")
    launched.order("ready")  # threads that have been joined are no hindrance
    assert launched.left() == (0, "")


@needs_root
def test_a_refused_first_fork_leaves_the_caller_as_it_was(launch: Launch) -> None:
    status, shown = launch("limited", NOBODY + 2, 0, calls=False).left()

    assert status == 0, shown
    assert shown.startswith("Cannot detach: [Errno 11] Resource temporarily unavailable.")


@needs_root
def test_a_refused_second_fork_is_shown_by_the_launching_process(launch: Launch) -> None:
    status, shown = launch("limited", NOBODY + 3, 2, calls=False).left()

    assert status == EXIT_OS_ERROR
    assert shown.startswith("Cannot detach: [Errno 11] Resource temporarily unavailable.")
    assert shown.count("\n") == 1


def test_descriptors_are_closed_without_a_loop_over_the_limit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.daemonize_program", "many", "20"],
        cwd=ROOT,
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    result = json.loads(done.stdout)
    took, loop, limit = result["took"], result["loop"], result["limit"]

    # For `pytest -s`. Promised are 50 ms with a limit of 1,048,576.
    sys.stdout.write(f"{took * 1000:.2f} ms, a loop {loop * 1000:.2f} ms, limit {limit:,}\n")
    assert result["left"] == [0, 1, 2, limit - 1]
    assert took < loop / 3


def test_an_environment_with_nothing_to_remove_stays() -> None:
    environ = {"HOME": "/", "LANG": "C"}
    sanitise_environment(environ)

    assert environ == {"HOME": "/", "LANG": "C"}
