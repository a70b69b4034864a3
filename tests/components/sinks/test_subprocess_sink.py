"""`SubprocessSink`: scripted programs in virtual time, and real ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.components.conftest import Logged
from tests.components.programs import IGNORES_TERM, Scripted, Stage, is_gone, python
from tests.running import LIMIT
from zenactors import Dispatcher, Supervision
from zenactors.components import Lines
from zenactors.components.sinks.subprocess_sink import SubprocessSink
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


Mode = Literal["stream", "batch"]


def sink(**options: Any) -> SubprocessSink:
    return SubprocessSink(**{"command": ["prog"], "batch_time": 0.1, "stop_grace": 0.1, **options})


def records(*numbers: int) -> list[dict[str, int]]:
    return [{"number": number} for number in numbers]


def dead_letters(harness: Harness) -> list[Any]:
    return [letter.args for letter in harness.daemon.dead_letters()]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"command": "cat"}, "command is 'cat', but a list is expected"),
        ({"mode": "x"}, 'mode is \'x\', but "stream" or "batch" is expected.'),
        ({"format": "x"}, 'format is \'x\', but "json" or "text" is expected.'),
        ({"timeout": 0}, "timeout is 0, but a number of seconds above 0 is expected."),
        ({"stderr": "lines"}, 'stderr is \'lines\', but "log" or "discard" is expected.'),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        sink(**options)


# --- in virtual time -------------------------------------------------------------------------


def test_a_program_gets_the_records_of_each_batch(stage: Stage) -> None:
    one = sink()
    with stage.harness([one]) as harness:
        harness.queue.schedule("lines", records(1, 2))
        harness.queue.schedule("lines", Lines("a.log", 0, b"x\ny\n"))
        harness.queue.schedule("lines", [b"raw \xff"])
        harness.advance(1.0)
        lines = [json.loads(line) for line in stage.last.reads().splitlines()]
        stage.last.ends_at.add(signal.SIGTERM)
    assert lines == [
        {"number": 1},
        {"number": 2},
        {"file": "a.log", "offset": 0, "line": "x"},
        {"file": "a.log", "offset": 2, "line": "y"},
        {"line": "raw \ufffd"},
    ]
    assert len(stage.programs) == 1
    assert one.get_state()["statistics"]["records"] == 5


def test_text_is_given_as_it_is(stage: Stage) -> None:
    with stage.harness([sink(format="text")]) as harness:
        harness.queue.schedule("lines", Lines("a.log", 0, b"x\ny\n"))
        harness.queue.schedule("lines", [b"raw \xff", "text", {"line": "of a dict"}])
        harness.advance(1.0)
        assert stage.last.reads() == b"x\ny\nraw \xff\ntext\nof a dict\n"


def test_what_cannot_be_text_is_a_dead_letter_and_the_rest_is_given(stage: Stage) -> None:
    with stage.harness([sink(format="text")]) as harness:
        harness.queue.schedule("lines", [b"one"])
        harness.queue.schedule("lines", [{"number": 1}])
        harness.queue.schedule("lines", [b"two\nlines"])
        harness.queue.schedule("lines", [b"three"])
        harness.advance(1.0)
        assert stage.last.reads() == b"one\nthree\n"
        assert dead_letters(harness) == [[{"number": 1}], [b"two\nlines"]]


def test_a_program_that_has_ended_runs_again_when_there_is_a_batch(
    stage: Stage, logged: Logged
) -> None:
    with stage.harness([sink()]) as harness:
        stage.last.complains(b"no disk\n")
        stage.last.ends(3)
        harness.advance(30.0)
        assert len(stage.programs) == 1
        harness.queue.schedule("lines", records(1))
        harness.advance(1.0)
        assert len(stage.programs) == 2
        assert stage.last.reads() == b'{"number":1}\n'
        harness.advance(60.0)
        stage.last.ends(0)
        harness.queue.schedule("lines", records(2))
        harness.advance(1.0)
        assert stage.last.reads() == b'{"number":2}\n'
        assert logged.of("WARNING") == [
            "A batch is tried again: prog: it has ended with status 3; its last message: no disk.",
            "prog: it has ended with status 0. It runs again, because there is a batch for it",
        ]


def test_programs_that_end_at_once_are_started_with_growing_delays(stage: Stage) -> None:
    stage.on_spawn = lambda program: program.ends(1)
    with stage.harness([sink(attempts=4)]) as harness:
        harness.queue.schedule("lines", records(1))
        harness.advance(10.0)
        assert dead_letters(harness) == [records(1)]
        assert len(stage.programs) <= 5


def test_a_program_that_cannot_be_run_any_more_fails_the_batch_in_the_end(stage: Stage) -> None:
    with stage.harness([sink(attempts=3)]) as harness:
        stage.last.ends(0)
        stage.refuses = FileNotFoundError(2, "No such file or directory", "prog")
        harness.queue.schedule("lines", records(1))
        harness.advance(10.0)
        assert dead_letters(harness) == [records(1)]
        stage.refuses = None
        harness.queue.schedule("lines", records(2))
        harness.advance(10.0)
        assert stage.last.reads() == b'{"number":2}\n'


def test_a_batch_is_done_when_its_program_has_ended_with_status_0(stage: Stage) -> None:
    read: list[bytes] = []

    def play(program: Scripted) -> None:
        status = 1 if len(stage.programs) < 3 else 0
        program.complains(b"try %d\n" % len(stage.programs))
        program.ends(status)
        read.append(b"%d" % status)

    stage.on_spawn = play
    one = sink(command=["/bin/true"], mode="batch")
    with stage.harness([one]) as harness:
        harness.queue.schedule("lines", records(1))
        harness.advance(5.0)
        assert read == [b"1", b"1", b"0"]
        assert dead_letters(harness) == []
        assert one.get_state()["statistics"]["retries"] == 2
        assert one.get_state()["statistics"]["records"] == 1


def test_a_batch_whose_program_always_fails_is_a_dead_letter_that_says_why(stage: Stage) -> None:
    def play(program: Scripted) -> None:
        program.complains(b"out of paper\n")
        program.ends(4)

    stage.on_spawn = play
    with stage.harness([sink(command=["/bin/true"], mode="batch", attempts=2)]) as harness:
        harness.queue.schedule("lines", records(1))
        harness.advance(5.0)
        letters = harness.daemon.dead_letters()
        assert len(letters) == 1
        assert str(letters[0].cause) == (
            "/bin/true: it has ended with status 4; its last message: out of paper."
        )


def test_a_failure_of_the_callback_costs_only_its_event(stage: Stage) -> None:
    faults = [Crash(component="SubprocessSink", event="lines", nth=1)]
    with stage.harness([sink()], faults=faults) as harness:
        harness.queue.schedule("lines", records(1))
        harness.queue.schedule("lines", records(2))
        harness.advance(1.0)
        assert stage.last.reads() == b'{"number":2}\n'


# --- real programs ---------------------------------------------------------------------------

APPENDS = """
import sys
with open(sys.argv[1], "ab") as file:
    for line in sys.stdin.buffer:
        file.write(line)
"""


@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_a_real_program_gets_all_records_in_order(tmp_path: Path, mode: Mode) -> None:
    command = python(APPENDS, tmp_path / "out")
    one = SubprocessSink(command=command, mode=mode, batch_count=5_000, stop_grace=LIMIT)
    with Dispatcher([one], exit_when_idle=True) as dispatcher:
        for number in range(200):
            dispatcher.queue.schedule("lines", records(*range(number * 100, number * 100 + 100)))
        assert dispatcher.wait_for_end(LIMIT)
    lines = (tmp_path / "out").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(20_000))
    starts = one.get_state()["statistics"]["starts"]
    assert starts == 1 if mode == "stream" else starts >= 4


@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_a_missing_program_makes_the_start_fail_with_one_line(mode: Mode) -> None:
    with (
        pytest.raises(ComponentStartError, match="Cannot run 'no-such-program'"),
        Dispatcher([SubprocessSink(command=["no-such-program"], mode=mode)]),
    ):
        pass


def test_a_program_that_is_killed_runs_again_and_gets_the_batch(tmp_path: Path) -> None:
    one = SubprocessSink(command=python(APPENDS, tmp_path / "out"), batch_time=0.01)
    with Dispatcher([one], exit_when_idle=True) as dispatcher:
        first = one.get_state()["pid"]
        os.kill(first, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # the sink was quicker
            os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        dispatcher.queue.schedule("lines", records(1))
        assert dispatcher.wait_for_end(LIMIT)
    assert is_gone(first)
    assert (tmp_path / "out").read_text() == '{"number":1}\n'


BIG = [{"text": "x" * 1_000}] * 1_000


def test_a_program_that_does_not_read_is_killed_after_the_timeout() -> None:
    code = IGNORES_TERM + "signal.pause()"
    one = SubprocessSink(command=python(code), timeout=0.1, attempts=2, batch_count=1)
    with Dispatcher([one], exit_when_idle=True) as dispatcher:
        dispatcher.queue.schedule("lines", BIG)
        assert dispatcher.wait_for_end(LIMIT)
        letters = dispatcher.dead_letters()
    assert [str(letter.cause).partition(": ")[2] for letter in letters] == [
        "it has read nothing for 0.1 s."
    ]


@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_a_write_that_blocks_can_be_interrupted(mode: Mode) -> None:
    class Sink(SubprocessSink):
        supervision = Supervision(hard_limit=0.2)

    code = IGNORES_TERM + "signal.pause()"
    one = Sink(command=python(code), mode=mode, batch_count=1, attempts=100)
    with Dispatcher([one], exit_when_idle=True) as dispatcher:
        dispatcher.queue.schedule("lines", BIG)
        assert dispatcher.wait_for_end(LIMIT)
        letters = dispatcher.dead_letters()
        assert dispatcher.abandoned() == []
    assert ["was interrupted" in str(letter.cause) for letter in letters] == [True]
    assert "retries" not in one.get_state()["statistics"]


def test_a_flood_of_messages_does_not_block_the_program(logged: Logged) -> None:
    code = "import sys\nfor line in sys.stdin: print('x' * 10_000, file=sys.stderr)"
    one = SubprocessSink(command=python(code), batch_count=1, stop_grace=LIMIT)
    with Dispatcher([one], exit_when_idle=True) as dispatcher:
        dispatcher.queue.schedule("lines", [{"number": number} for number in range(10_000)])
        assert dispatcher.wait_for_end(LIMIT)
    assert one.get_state()["statistics"]["stderr_lines"] == 10_000
    assert len([text for text in logged.of("INFO") if "xxx" in text]) <= 100


def test_a_program_that_does_not_end_at_a_stop_is_killed(logged: Logged) -> None:
    code = IGNORES_TERM + "print('ready', file=__import__('sys').stderr); signal.pause()"
    one = SubprocessSink(command=python(code), stop_grace=0.1)
    with Dispatcher([one]):
        pid = one.get_state()["pid"]
    assert is_gone(pid)
    assert "has perhaps not handled its last records" in logged.of("WARNING")[-1]


def test_a_program_that_reads_only_a_part_of_a_batch_decides_by_its_status() -> None:
    one = SubprocessSink(command=["head", "-c", "1"], mode="batch", batch_count=1, attempts=1)
    with Dispatcher([one], exit_when_idle=True) as dispatcher:
        dispatcher.queue.schedule("lines", BIG)
        assert dispatcher.wait_for_end(LIMIT)
        assert dispatcher.dead_letters() == []
    assert one.get_state()["statistics"]["records"] == 1_000
