"""A daemon in the foreground, whatever it has inherited, and whatever becomes of its terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.forked import ForkServer
from tests.running import ROOT

DEADLINE = 60.0  # seconds: generous, so that only a hang fails
PROGRAM = ROOT / "tests" / "daemon" / "inherited.py"


class OnTerminal:
    """The program on a terminal of its own; standard output may go elsewhere."""

    def __init__(self, forks: ForkServer, *words: str, stdout: str | None = None) -> None:
        reader, writer = os.pipe()
        self.terminal, terminal = pty.openpty()
        output = terminal if stdout is None else os.open(stdout, os.O_WRONLY)
        self.process = forks.start(
            [str(PROGRAM), *words],
            stdin=terminal,
            stdout=output,
            stderr=terminal,
            pass_fds={9: writer},
            on_terminal=True,
        )
        for descriptor in {writer, terminal, output}:
            os.close(descriptor)
        self.words: BinaryIO = os.fdopen(reader, "rb", buffering=0)

    def hear(self) -> str:
        """Return the next word; "" if the program has ended."""
        assert select.select([self.words], [], [], DEADLINE)[0], "it says nothing"
        return self.words.readline().decode().strip()

    def hang_up(self) -> None:
        os.close(self.terminal)
        self.terminal = -1

    def left(self) -> int:
        """Wait for the end; return the status."""
        return self.process.wait(DEADLINE)

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.terminal >= 0:
            os.close(self.terminal)
        self.words.close()


Start = Callable[..., OnTerminal]


@pytest.fixture
def start(forks: ForkServer) -> Iterator[Start]:
    started: list[OnTerminal] = []

    def start(*words: str, stdout: str | None = None) -> OnTerminal:
        started.append(OnTerminal(forks, *words, stdout=stdout))
        return started[-1]

    yield start
    for each in started:
        each.clean_up()


@pytest.mark.parametrize("how", ["serve", "run"])
def test_it_ends_when_its_terminal_has_gone(how: str, start: Start) -> None:
    program = start(how)
    assert program.hear() == "ready"

    program.hang_up()

    assert program.hear() == "teardown"  # and no reload
    assert program.left() == 0


@pytest.mark.parametrize("how", ["serve", "run"])
def test_under_nohup_it_outlives_its_terminal(how: str, start: Start) -> None:
    program = start(how, "nohup")
    assert program.hear() == "ready"

    program.hang_up()

    assert program.hear() == "hup"
    os.kill(program.process.pid, signal.SIGTERM)
    assert program.hear() == "teardown"


def test_a_hangup_by_an_operator_is_a_reload_as_long_as_there_is_a_terminal(
    start: Start,
) -> None:
    program = start("serve")
    assert program.hear() == "ready"

    os.kill(program.process.pid, signal.SIGHUP)

    assert program.hear() == "hup"


@pytest.mark.parametrize("how", ["serve", "run"])
@pytest.mark.parametrize("words", [[], ["sigchld"]])
def test_programs_have_their_true_statuses_even_if_sigchld_was_ignored(
    how: str, words: list[str], start: Start
) -> None:
    program = start(how, "spawns", *words)

    assert [program.hear(), program.hear()] == ["status 3", "status -9"]


def test_an_output_that_is_full_does_not_change_the_status(start: Start) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    program = start("run", "buffered", stdout="/dev/full")

    assert [program.hear(), program.hear()] == ["ready", "teardown"]
    assert program.left() == 0
