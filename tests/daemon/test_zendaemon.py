"""The main thread's promises, on real processes with real signals."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.program import BACKLOG
from tests.forked import ForkServer
from tests.running import ROOT
from zenactors import ConfigurationError, ZenDaemon, ZenDaemonComponent, handles
from zenactors.errors import (
    EXIT_CONFIG,
    EXIT_DATA_ERROR,
    EXIT_FAILURE,
    EXIT_FORCED_STOP,
    EXIT_OK,
    EXIT_START_FAILED,
)

DEADLINE = 30.0  # seconds: generous, so that only a hang fails
PROGRAM = ROOT / "tests" / "daemon" / "program.py"


class Program:
    """One run of program.py."""

    def __init__(self, forks: ForkServer, mode: str, state_file: Path, *options: str) -> None:
        self._out, stdout = os.pipe()
        self._err, stderr = os.pipe()
        with Path(os.devnull).open("rb") as stdin:
            self.process = forks.start(
                [str(PROGRAM), mode, str(state_file), *options],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
        os.close(stdout)
        os.close(stderr)

    def expect(self, word: str) -> None:
        """Wait until the program says `word`, and no other before."""
        assert read_line(self._out).strip() == word

    def wait_for_log(self, text: str) -> None:
        """Read the program's log until a line holds `text`."""
        while text not in (line := read_line(self._err)):
            assert line, f"ended before it logged {text!r}"

    def send(self, *signals: signal.Signals) -> None:
        for number in signals:
            self.process.send_signal(number)

    def end(self) -> tuple[int, list[str], str]:
        """Return the exit status, the other words said, and the log."""
        said, log = bytearray(), bytearray()
        left = {self._out: said, self._err: log}
        while left:
            ready, _, _ = select.select(list(left), [], [], DEADLINE)
            assert ready, "it goes on"
            for descriptor in ready:
                part = os.read(descriptor, select.PIPE_BUF)
                left[descriptor] += part
                if not part:
                    del left[descriptor]
        return self.process.wait(DEADLINE), said.decode().split("\n")[:-1], log.decode()

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._out)
        os.close(self._err)


Launch = Callable[..., Program]


@pytest.fixture
def launch(forks: ForkServer, tmp_path: Path) -> Iterator[Launch]:
    programs: list[Program] = []

    def start(mode: str, *options: str) -> Program:
        programs.append(Program(forks, mode, tmp_path / "program.state", *options))
        return programs[-1]

    yield start
    for program in programs:
        program.clean_up()


def test_with_nothing_left_to_do_it_ends_by_itself_with_status_0(launch: Launch) -> None:
    status, said, _ = launch("idle").end()

    assert (status, said) == (EXIT_OK, ["ready", "stop", "teardown after 1"])


def test_one_sigint_handles_the_queued_events_and_ends_with_status_0(launch: Launch) -> None:
    program = launch("backlog")
    program.expect("ready")
    program.send(signal.SIGINT)

    status, said, _ = program.end()

    assert (status, said) == (EXIT_OK, ["stop", f"teardown after {1 + BACKLOG}"])


def test_three_sigints_leave_at_once_though_a_component_is_blocked(launch: Launch) -> None:
    program = launch("work-blocks")
    program.expect("ready")
    program.expect("blocked")
    begun = time.monotonic()
    program.send(signal.SIGINT)
    program.wait_for_log("Received SIGINT")
    program.send(signal.SIGINT)
    program.wait_for_log("Received SIGINT")
    program.send(signal.SIGINT)

    status, said, log = program.end()

    assert (status, said) == (EXIT_FORCED_STOP, [])
    assert "left behind: subject" in log
    assert time.monotonic() - begun < 15.0  # and not the 30 s of the stop's time-out


def test_sigterm_ends_at_once_with_status_0_though_a_component_is_blocked(launch: Launch) -> None:
    program = launch("work-blocks")
    program.expect("ready")
    program.expect("blocked")
    begun = time.monotonic()
    program.send(signal.SIGTERM)

    status, said, log = program.end()

    assert (status, said) == (EXIT_OK, [])
    assert "left behind: subject" in log
    assert time.monotonic() - begun < 15.0


def test_sigterm_does_not_wait_for_its_event_behind_a_blocked_component(launch: Launch) -> None:
    program = launch("work-blocks", "30", "policy")  # global: no event passes one that is stuck
    program.expect("ready")
    program.expect("blocked")
    begun = time.monotonic()
    program.send(signal.SIGTERM)

    assert program.end()[0] == EXIT_OK
    assert time.monotonic() - begun < 15.0


def test_sigterm_leaves_the_backlog_and_tears_down(launch: Launch) -> None:
    program = launch("backlog")
    program.expect("ready")
    program.send(signal.SIGTERM)

    status, said, log = program.end()

    assert status == EXIT_OK
    assert said[-1].startswith("teardown after")
    assert "Events not handled" in log


def test_a_blocked_teardown_is_left_behind_after_three_sigints(launch: Launch) -> None:
    program = launch("teardown-blocks")
    program.expect("ready")
    program.expect("stop")
    program.expect("tearing down")
    begun = time.monotonic()
    for _ in range(3):
        program.send(signal.SIGINT)
        program.wait_for_log("Received SIGINT")

    status, said, log = program.end()

    assert (status, said) == (EXIT_FORCED_STOP, [])
    assert "left behind: subject" in log
    assert time.monotonic() - begun < 15.0


def test_a_blocked_teardown_is_left_behind_after_the_time_out(launch: Launch) -> None:
    program = launch("teardown-blocks", "1.0")

    status, said, log = program.end()

    assert (status, said) == (EXIT_FORCED_STOP, ["ready", "stop", "tearing down"])
    assert "left behind: subject" in log


def test_initial_events_are_not_held_up_by_the_queues_limit(launch: Launch) -> None:
    status, said, _ = launch("limited").end()

    assert (status, said[-1]) == (EXIT_OK, "teardown after 6")


def test_a_blocked_component_holds_a_graceful_stop_until_its_time_out_only(launch: Launch) -> None:
    program = launch("work-blocks", "0.3")
    program.expect("ready")
    program.expect("blocked")
    program.send(signal.SIGINT)

    status, _, log = program.end()

    assert status == EXIT_FORCED_STOP
    assert "left behind: subject" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_start_up_is_honoured_at_once(launch: Launch, number: signal.Signals) -> None:
    program = launch("setup-blocks")
    program.expect("setup")
    begun = time.monotonic()
    program.send(number)

    status, said, _ = program.end()

    assert (status, said) == (EXIT_OK, [])
    assert time.monotonic() - begun < 15.0


def test_a_signal_that_another_thread_gets_becomes_an_event_too(launch: Launch) -> None:
    program = launch("thread")
    program.expect("ready")
    program.expect("usr1")
    program.send(signal.SIGINT)

    assert program.end()[0] == EXIT_OK


def test_sigusr2_writes_the_state_for_the_owner_alone(launch: Launch, tmp_path: Path) -> None:
    program = launch("waits")
    program.expect("ready")
    program.send(signal.SIGUSR2)
    program.expect("state")  # the daemon's own callback comes first in the chain

    path = tmp_path / "program.state"
    state = json.loads(path.read_text())
    assert state["name"] == "program"
    assert state["pid"] == program.process.pid
    assert state["chains"]["work"] == [["subject", "cbk_event_work"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    program.send(signal.SIGINT)
    assert program.end()[0] == EXIT_OK


def test_sigalrm_wakes_and_harms_nothing(launch: Launch) -> None:
    program = launch("waits")
    program.expect("ready")
    program.send(signal.SIGALRM, signal.SIGHUP)
    program.wait_for_log("Configuration reloaded")
    program.send(signal.SIGINT)

    assert program.end()[0] == EXIT_OK


@pytest.mark.parametrize("mode", ["setup-raises", "start-raises"])
def test_a_component_that_does_not_start_is_one_clear_line(launch: Launch, mode: str) -> None:
    status, _, log = launch(mode).end()

    stage = mode.partition("-")[0]
    assert status == EXIT_START_FAILED
    assert f"ERROR Component 'subject' failed in {stage}: OSError: no such device" in log


def test_an_initial_event_without_a_handler_is_a_start_up_error(launch: Launch) -> None:
    status, said, log = launch("unknown-event").end()

    assert (status, said) == (EXIT_CONFIG, [])
    assert "Event 'unheard' was scheduled, but no component handles it" in log


@pytest.mark.parametrize(
    ("mode", "expected"), [("exits", 3), ("stops", EXIT_OK), ("raises", EXIT_DATA_ERROR)]
)
def test_the_exception_of_a_callback_decides_the_status(
    launch: Launch, mode: str, expected: int
) -> None:
    status, said, _ = launch(mode).end()

    assert (status, said[-1]) == (expected, "teardown after 1")


@pytest.mark.parametrize(("mode", "expected"), [("raises", EXIT_FAILURE), ("stops", EXIT_OK)])
def test_an_exception_ends_everything_by_policy(launch: Launch, mode: str, expected: int) -> None:
    assert launch(mode, "30", "policy").end()[0] == expected


def test_a_thousand_signals_in_a_row_hang_nothing(launch: Launch) -> None:
    program = launch("waits")
    program.expect("ready")
    for _ in range(500):
        program.send(signal.SIGALRM, signal.SIGUSR1)
    program.send(signal.SIGINT)

    status, said, _ = program.end()

    assert status == EXIT_OK
    assert "usr1" in said


def test_serving_outside_the_main_thread_says_what_to_do_instead() -> None:
    errors: list[str] = []

    def serve() -> None:
        try:
            ZenDaemon(name="misplaced").serve()
        except RuntimeError as cause:
            errors.append(str(cause))

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join(DEADLINE)

    assert "use a Dispatcher" in errors[0]


def test_a_daemon_serves_in_process_and_restores_the_signal_handlers(tmp_path: Path) -> None:
    class Once(ZenDaemonComponent):
        seen: list[str]

        @handles("hello")
        def cbk_event_hello(self, daemon: ZenDaemon, args: str) -> None:
            self.seen.append(args)

    once = Once()
    once.seen = []
    before = signal.getsignal(signal.SIGTERM)
    daemon = ZenDaemon(
        name="once",
        components=[once],
        schedule=[("start",), ("hello", "a")],
        schedule_next=[("hello", "first")],
        schedule_after=[(0.0, "hello", "timed")],
        schedule_at=[(0.0, "hello", "long ago")],
        state_file=tmp_path / "once.state",
    )

    assert daemon.serve() == EXIT_OK
    assert sorted(once.seen) == ["a", "first", "long ago", "timed"]
    assert once.seen.index("first") < once.seen.index("a")
    assert signal.getsignal(signal.SIGTERM) is before
    assert daemon.stop_report is not None
    assert daemon.stop_report.drained


@pytest.mark.parametrize("argument", ["schedule_at", "schedule_after"])
@pytest.mark.parametrize("moment", ["soon", math.nan, 10**400])
def test_an_initial_event_at_no_time_is_an_error_where_it_is_given(
    argument: str, moment: object
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{argument} "):
        ZenDaemon(name="x", **{argument: [(moment, "start")]})  # type: ignore[arg-type]


def test_a_component_with_broken_handlers_is_a_configuration_error() -> None:
    class Broken(ZenDaemonComponent):
        def get_events(self):
            return [("line", self.setup)]

    with pytest.raises(ConfigurationError, match=r"Broken.*gen_event_handler"):
        ZenDaemon(name="broken", components=[Broken()]).chains()


def read_line(fd: int) -> str:
    """Read one line, and no more: the rest is read from the descriptor later."""
    line = bytearray()
    while not line.endswith(b"\n"):
        assert select.select([fd], [], [], DEADLINE)[0], f"nothing more in time after {line!r}"
        byte = os.read(fd, 1)
        if not byte:
            break
        line += byte
    return line.decode()
