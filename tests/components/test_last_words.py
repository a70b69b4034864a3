"""What a program writes to its standard error just before it ends: the reason, most often."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from loguru import logger

from tests.components.conftest import Logged
from tests.components.programs import Collector, Stage, is_gone, python
from tests.running import LIMIT
from zenactors import Dispatcher, ZenDaemonComponent
from zenactors.components import SubprocessFilter, SubprocessSink, SubprocessSource
from zenactors.components._child import Program, RunningProgram
from zenactors.components._error_log import ErrorLog
from zenactors.core.clock import SystemClock
from zenactors.core.tokens import TokenOutcome

Make = Callable[..., ZenDaemonComponent]

LAST_WORDS = b"".join(b"line %d of a traceback\n" % number for number in range(20)) + b"no disk"
EXPECTED = [f"line {number} of a traceback" for number in range(20)] + ["no disk"]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture(params=[SubprocessSource, SubprocessFilter, SubprocessSink])
def make(request: Any) -> Make:
    return lambda command=("prog",), **options: request.param(command=list(command), **options)


def messages(logged: Logged, program: str = "prog") -> list[str]:
    start = f"{program}: "
    told = [text.removeprefix(start) for text in logged.of("INFO") if text.startswith(start)]
    return [text for text in told if not text.startswith("it has ended")]


@pytest.mark.parametrize("status", [0, 1])
def test_they_are_logged_when_it_ends_by_itself(
    stage: Stage, logged: Logged, make: Make, status: int
) -> None:
    with stage.harness([make(stop_grace=0.1)]) as harness:
        stage.last.last_words = LAST_WORDS
        stage.last.ends(status)
        harness.run_until_idle()
    assert messages(logged) == EXPECTED


def test_they_are_logged_when_it_is_ended_at_a_stop(
    stage: Stage, logged: Logged, make: Make
) -> None:
    with stage.harness([make(stop_grace=0.1)]):
        stage.last.last_words = LAST_WORDS
    assert messages(logged) == EXPECTED


def test_they_are_logged_although_another_process_keeps_the_pipe(
    stage: Stage, logged: Logged, make: Make
) -> None:
    with contextlib.ExitStack() as strays:
        with stage.harness([make(stop_grace=0.1)]):
            stage.last.last_words = LAST_WORDS
            assert stage.last.stderr is not None
            strays.callback(os.close, os.dup(stage.last.stderr))
        assert messages(logged) == EXPECTED


def test_a_batch_that_failed_has_a_last_line_without_an_end_in_its_reason(stage: Stage) -> None:
    def play(program: Any) -> None:
        program.last_words = LAST_WORDS
        program.ends(4)

    stage.on_spawn = play
    one = SubprocessSink(command=["/bin/true"], mode="batch", attempts=1, batch_count=1)
    with stage.harness([one]) as harness:
        harness.queue.schedule("lines", [1])
        harness.run_until_idle()
        causes = [str(letter.cause) for letter in harness.daemon.dead_letters()]
    assert causes == ["/bin/true: it has ended with status 4; its last message: no disk."]


def test_a_real_program_can_write_much_while_it_ends_at_a_stop(logged: Logged) -> None:
    code = (
        "import os, signal\n"
        "def end(*_):\n"
        "    for number in range(40): os.write(2, b'x' * 9_999 + b'\\n')\n"
        "    os.write(2, b'bye')\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "os.write(1, b'ready\\n')\n"
        "while True: signal.pause()\n"
    )
    collector = Collector()
    one = SubprocessSource(command=python(code), stop_grace=LIMIT)
    with Dispatcher([one, collector]):
        collector.wait_for(lambda values: values == ["ready"])
        pid = one.get_state()["pid"]
    assert is_gone(pid)
    assert one.get_state()["statistics"]["stderr_lines"] == 41
    assert messages(logged, python(code)[0])[-1] == "bye"


class Undying:
    """A process that does not end, whatever comes."""

    pid = 0

    def __init__(self) -> None:
        self.exited, self.end = os.pipe()

    def poll(self) -> None:
        """It has not ended."""

    def exit_descriptor(self) -> int:
        return self.exited

    def send_group_signal(self, number: int) -> None:
        """It ignores that."""


def test_a_program_that_writes_all_the_time_is_waited_for_no_longer_than_another_one() -> None:
    clock = SystemClock()
    child: Any = Undying()
    counts: list[str] = []
    errors = ErrorLog("prog", logger, clock, lambda name, _: counts.append(name))
    endless = os.open("/dev/zero", os.O_RDONLY)
    program = Program(("prog",), {}, None, 1.0)
    running = RunningProgram(program, child, clock, errors, None, None, endless)
    try:
        assert running.wait(clock.monotonic() + 0.05) is None
    finally:
        for fd in (child.exited, child.end, endless):
            os.close(fd)


def test_a_program_that_only_complains_and_does_not_read_is_given_up() -> None:
    code = "import os\nwhile True: os.write(2, b'no\\n')"
    one = SubprocessSink(command=python(code), attempts=1, timeout=0.2, stop_grace=0.1)
    ended: SimpleQueue[TokenOutcome] = SimpleQueue()

    class Sender(ZenDaemonComponent):
        def setup(self, daemon: Any) -> None:
            daemon.queue.schedule("lines", ["x" * 1_000_000], on_done=ended.put)

    with Dispatcher([Sender(), one]) as dispatcher:
        assert ended.get(timeout=LIMIT / 2) is TokenOutcome.FAILED
    (letter,) = dispatcher.dead_letters()
    assert "it has read nothing for 0.2 s" in str(letter.cause)
