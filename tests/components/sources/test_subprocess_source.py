"""`SubprocessSource`: scripted programs in virtual time, and real ones."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.components.conftest import Logged
from tests.components.programs import (
    IGNORES_TERM,
    WAITS,
    Collector,
    Keeper,
    Stage,
    is_gone,
    python,
    wait_for_end,
)
from tests.running import LIMIT
from zenactors import Dispatcher, handles
from zenactors.components.sources.subprocess_source import SubprocessSource
from zenactors.errors import EXIT_NO_INPUT, ComponentStartError
from zenactors.testing import Harness

FLOOD = """
import sys
number = 0
while True:
    number += 1
    print(number)
"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


def source(**options: Any) -> SubprocessSource:
    return SubprocessSource(**{"command": ["prog"], **options})


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"command": "tail -f x"},
            "command is 'tail -f x', but a list is expected, because there is no shell: write"
            " ['tail', '-f', 'x'].",
        ),
        (
            {"command": [1]},
            "command is [1], but a list of the program and its arguments is expected,"
            ' such as ["journalctl", "-f"].',
        ),
        ({"command": []}, 'command is [], but a program is expected, such as ["date"].'),
        (
            {"command": ["a\0"]},
            "command has a null character: 'a\\x00'. No file's name can have one.",
        ),
        ({"stderr": "x"}, 'stderr is \'x\', but "log", "lines" or "discard" is expected.'),
        (
            {"restart": "no"},
            'restart is \'no\', but "always", "on-failure" or "never" is expected.',
        ),
        (
            {"environment": "A=1"},
            'environment is no table of names and texts, such as { LANG = "C" }.',
        ),
        (
            {"environment": {"A=": "1"}},
            "environment has 'A=', which no variable's name can be.",
        ),
        (
            {"environment": {"A": 1}},
            "environment.A is no text that a variable can have: write it in quotes.",
        ),
        ({"working_directory": ""}, "working_directory is '', but a directory is expected."),
        (
            {"stop_grace": 0},
            "stop_grace is 0, but a number of seconds above 0 is expected.",
        ),
        (
            {"max_line_bytes": 0},
            "max_line_bytes is 0, but a whole number of at least 1 is expected.",
        ),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        source(**options)


# --- in virtual time -------------------------------------------------------------------------


def test_lines_are_handed_over_as_they_are_printed(stage: Stage) -> None:
    collector = Collector()
    with stage.harness([source(), collector]) as harness:
        stage.last.prints(b"one\ntwo\nthr")
        harness.run_until_idle()
        assert collector.values == ["one", "two"]
        stage.last.prints(b"ee\n")
        harness.run_until_idle()
        assert collector.values == ["one", "two", "three"]
        assert [args.path for args in collector.args] == ["prog", "prog"]
        assert [args.offset for args in collector.args] == [0, 8]


def test_a_last_line_without_an_end_comes_when_the_output_ends(stage: Stage) -> None:
    collector = Collector()
    with stage.harness([source(), collector]) as harness:
        stage.last.prints(b"one\nrest")
        stage.last.ends(0)
        harness.run_until_idle()
        assert collector.values == ["one", "rest"]
        assert not collector.args[-1].complete


def test_a_stop_hands_over_a_line_that_has_no_end_yet(stage: Stage) -> None:
    collector = Collector()
    with stage.harness([source(), collector]) as harness:
        stage.last.prints(b"rest")
        harness.run_until_idle()
        harness.stop()
    assert collector.values == ["rest"]


@pytest.mark.parametrize(
    ("restart", "status", "again"),
    [
        ("always", 0, True),
        ("always", 1, True),
        ("on-failure", 0, False),
        ("on-failure", 1, True),
        ("on-failure", -9, True),
        ("never", 0, False),
        ("never", 1, False),
    ],
)
def test_restart_decides_whether_the_program_runs_again(
    stage: Stage, *, restart: str, status: int, again: bool
) -> None:
    with stage.harness([source(restart=restart), Collector()]) as harness:
        stage.last.ends(status)
        harness.advance(0.2)
        assert len(stage.programs) == 1 + again


def test_the_delay_doubles_up_to_half_a_minute_and_begins_anew_after_a_minute(
    stage: Stage,
) -> None:
    one = source(restart="always")
    with stage.harness([one, Collector()]) as harness:
        for number in range(12):
            longest = min(0.2 * 2**number, 30.0)
            stage.last.ends(1)
            harness.advance(longest / 2 - 0.001)
            assert len(stage.programs) == number + 1
            harness.advance(longest / 2 + 0.001)
            assert len(stage.programs) == number + 2
        harness.advance(60.0)
        stage.last.ends(1)
        harness.advance(0.2)
        assert len(stage.programs) == 14
        assert one.get_state()["statistics"]["starts"] == 14
        assert one.get_state()["statistics"]["failures"] == 13


def test_a_program_that_fails_at_once_for_an_hour_is_run_seldom(stage: Stage) -> None:
    stage.on_spawn = lambda program: program.ends(1)
    with stage.harness([source(restart="always"), Collector()]) as harness:
        harness.advance(3600.0)
        assert 120 <= len(stage.programs) <= 250


def test_without_a_restart_the_daemon_ends_by_itself_with_the_status_of_missing_input(
    stage: Stage, logged: Logged
) -> None:
    harness = stage.harness([source(restart="never"), Collector()])
    with harness:
        stage.last.ends(3)
        harness.run(10.0)
        assert harness.daemon.is_idle()
    assert harness.daemon.status == EXIT_NO_INPUT
    assert logged.of("ERROR") == [
        "prog: it has ended with status 3. It does not run again, and the daemon will end with"
        " status 66"
    ]


def test_a_daemon_that_exits_when_idle_runs_the_program_once(stage: Stage) -> None:
    with stage.harness([source(restart="always"), Collector()], exit_when_idle=True) as harness:
        stage.last.prints(b"one\n")
        stage.last.ends(0)
        harness.run(3600.0)
        assert harness.daemon.is_idle()
    assert harness.daemon.status == 0
    assert len(stage.programs) == 1


def test_a_program_that_is_gone_when_it_is_to_run_again_counts_as_failed(
    stage: Stage, logged: Logged
) -> None:
    with stage.harness([source(restart="always"), Collector()]) as harness:
        stage.refuses = FileNotFoundError(2, "No such file or directory", "prog")
        stage.last.ends(0)
        harness.advance(5.0)
        assert len(stage.programs) == 1
        assert logged.of("WARNING")[0].startswith(
            "prog: Cannot run 'prog': No such file or directory. Check command"
        )
        stage.refuses = None
        harness.advance(10.0)
        assert len(stage.programs) == 2


def test_a_program_that_closes_its_output_but_lives_is_ended(stage: Stage) -> None:
    with stage.harness([source(stop_grace=3.0), Collector()]) as harness:
        program = stage.last
        program.ends_at = {signal.SIGKILL}
        program.closes_output()
        assert program.stderr is not None
        harness.advance(2.9)
        assert program.signals == []
        harness.advance(0.2)
        assert program.signals == [signal.SIGTERM]
        harness.advance(3.0)
        assert program.signals == [signal.SIGTERM, signal.SIGKILL]
        harness.advance(1.0)
        assert len(stage.programs) == 2


def test_a_process_that_keeps_the_output_of_an_ended_program_is_not_waited_for(
    stage: Stage, logged: Logged
) -> None:
    collector = Collector()
    with stage.harness([source(restart="always"), collector]) as harness:
        stray = os.dup(stage.last.stdout or -1)
        try:
            stage.last.prints(b"one\n")
            stage.last.ends(0)
            harness.advance(3.0)
            assert collector.values == ["one"]
            assert len(stage.programs) == 2
        finally:
            os.close(stray)
    assert "another process has its output" in logged.of("WARNING")[0]


def test_standard_error_is_logged_but_a_flood_of_it_is_not(stage: Stage, logged: Logged) -> None:
    one = source()
    with stage.harness([one, Collector()]) as harness:
        for number in range(120):
            stage.last.complains(b"problem %d\n" % number)
        harness.run_until_idle()
        harness.advance(10.0)
        stage.last.complains(b"later\n")
        harness.run_until_idle()
    told = [text for text in logged.of("INFO") if text.startswith("prog: ")]
    assert told == [f"prog: problem {number}" for number in range(50)] + ["prog: later"]
    assert logged.of("WARNING") == [
        "prog has written 70 more lines to its standard error; they are not logged, because they"
        " are too many"
    ]
    assert one.get_state()["statistics"]["stderr_lines"] == 121
    assert one.get_state()["statistics"]["stderr_unlogged"] == 70


def test_standard_error_can_be_handed_over(stage: Stage) -> None:
    collector = Collector()
    with stage.harness([source(stderr="lines"), collector]) as harness:
        stage.last.complains(b"problem\n")
        stage.last.prints(b"line\n")
        harness.run_until_idle()
        found = {args.path: args.texts() for args in collector.args}
        assert found == {"prog": ["line"], "prog:stderr": ["problem"]}


def test_standard_error_can_be_discarded(stage: Stage) -> None:
    with stage.harness([source(stderr="discard"), Collector()]):
        assert stage.last.stderr is None


def test_nothing_is_read_while_too_many_events_are_unfinished(stage: Stage) -> None:
    keeper = Keeper()
    one = source()
    one.max_unfinished = 2
    with stage.harness([one, keeper]) as harness:
        for number in range(4):
            stage.last.prints(b"%d\n" % number)
            harness.run_until_idle()
        assert keeper.values == ["0", "1"]
        harness.advance(60.0)
        assert keeper.values == ["0", "1"]
        harness.queue.schedule("release")
        harness.run_until_idle()
        assert keeper.values == ["0", "1", "2", "3"]  # in one event


def test_the_program_gets_its_environment_and_directory(stage: Stage) -> None:
    options = {"environment": {"TOKEN": "secret"}, "working_directory": "/srv"}
    with stage.harness([source(command=["bin/prog", "x"], **options), Collector()]):
        assert stage.last.argv == ["bin/prog", "x"]
        assert stage.last.options["env"] == {**os.environ, "TOKEN": "secret"}
        assert stage.last.options["cwd"] == "/srv"


def test_runs_leave_no_descriptor_open(stage: Stage) -> None:
    def run_again() -> int:
        stage.last.ends(1)
        harness.advance(30.0)
        for program in stage.programs[:-1]:
            program.release()
        del stage.programs[:-1]
        return len(list(Path("/proc/self/fd").iterdir()))

    with stage.harness([source(), Collector()]) as harness:
        before = run_again()
        assert [run_again() for _ in range(20)] == [before] * 20


@pytest.mark.parametrize("seed", range(5))
def test_the_lines_are_the_same_for_each_seed(stage: Stage, seed: int) -> None:
    collector = Collector()
    with stage.harness([source(restart="always"), collector], seed=seed) as harness:
        for run in range(3):
            stage.last.prints(b"%d a\n%d b\n" % (run, run))
            harness.run_until_idle()
            stage.last.prints(b"%d c" % run)
            stage.last.ends(run)
            harness.advance(2.0)
    assert collector.values == [f"{run} {x}" for run in range(3) for x in "abc"]


# --- real programs ---------------------------------------------------------------------------


def run(*components: Any, **options: Any) -> int:
    with Dispatcher(components, **options) as dispatcher:
        assert dispatcher.wait_for_end(LIMIT)
    return dispatcher.status


def test_the_lines_of_a_real_program_are_complete_and_in_order() -> None:
    collector = Collector()
    code = "for number in range(50_000): print(number)"
    assert run(source(command=python(code), restart="never"), collector) == 0
    assert collector.values == [str(number) for number in range(50_000)]


def test_a_missing_program_makes_the_start_fail_with_one_line() -> None:
    with pytest.raises(ComponentStartError) as caught:
        run(source(command=["/none/such"]), Collector())
    assert "Cannot run '/none/such': No such file or directory. Check command" in str(caught.value)


def test_a_missing_directory_makes_the_start_fail_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(ComponentStartError) as caught:
        run(source(command=["true"], working_directory=str(tmp_path / "none")), Collector())
    assert f"Cannot run 'true' in '{tmp_path / 'none'}': No such file" in str(caught.value)


def test_a_program_that_is_killed_runs_again() -> None:
    collector = Collector()
    code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with Dispatcher([source(command=python(code)), collector]):
        first = int(collector.wait_for(lambda pids: len(pids) == 1)[0])
        os.kill(first, signal.SIGKILL)
        second = int(collector.wait_for(lambda pids: len(pids) == 2)[1])
        assert is_gone(first)
        assert not is_gone(second)
    assert is_gone(second)


def test_a_flood_stops_when_nothing_takes_it_and_the_daemon_stops_all_the_same() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Collector):
        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            entered.set()
            assert leave.wait(LIMIT)
            super().cbk_event_lines(daemon, args)

    one, slow = source(command=python(FLOOD)), Slow()
    one.max_unfinished = 3
    with Dispatcher([one, slow]):
        assert entered.wait(LIMIT)
        pid = one.get_state()["pid"]
        leave.set()
    assert is_gone(pid)
    assert slow.values == [str(number + 1) for number in range(len(slow.values))]


def test_a_program_that_ignores_sigterm_is_killed_with_its_children() -> None:
    code = IGNORES_TERM + (
        "import os\npid = os.fork()\nif pid: print(os.getpid(), pid, flush=True)\nsignal.pause()"
    )
    collector = Collector()
    with Dispatcher([source(command=python(code), stop_grace=0.05), collector]):
        pids = [int(pid) for pid in collector.wait_for(len)[0].split()]
    assert is_gone(pids[0])
    for pid in pids:
        wait_for_end(pid)


def test_a_program_that_only_closes_its_output_is_ended_and_runs_again() -> None:
    collector = Collector()
    code = "import os; print('x', flush=True); os.close(1); " + WAITS
    with Dispatcher([source(command=python(code), stop_grace=0.05), collector]):
        collector.wait_for(lambda found: len(found) >= 2)


def test_a_harness_can_be_closed_while_a_program_runs(stage: Stage) -> None:
    harness = Harness([source(stop_grace=0.1), Collector()])
    harness.daemon.spawn = stage.spawn
    with harness:
        program = stage.last
        program.ends_at = {signal.SIGKILL}
    assert program.signals == [signal.SIGTERM, signal.SIGKILL]
