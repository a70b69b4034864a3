"""A daemon in the foreground, whatever it has inherited, and whatever becomes of its terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.running import ROOT

DEADLINE = 60.0  # seconds: generous, so that only a hang fails


class OnTerminal:
    """The program on a terminal of its own; standard output may go elsewhere."""

    def __init__(self, *words: str, stdout: str | None = None) -> None:
        reader, writer = os.pipe()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                os.dup2(writer, 9)
                if stdout is not None:
                    os.dup2(os.open(stdout, os.O_WRONLY), 1)
                os.environ.pop("PYTHONUNBUFFERED", None)
                os.chdir(ROOT)
                os.execv(sys.executable, [sys.executable, "-m", "tests.daemon.inherited", *words])
            finally:
                os._exit(127)
        os.close(writer)
        self.pidfd = os.pidfd_open(self.pid)
        self.words: BinaryIO = os.fdopen(reader, "rb", buffering=0)
        self.status: int | None = None

    def hear(self) -> str:
        """Return the next word; "" if the program has ended."""
        assert select.select([self.words], [], [], DEADLINE)[0], "it says nothing"
        return self.words.readline().decode().strip()

    def hang_up(self) -> None:
        os.close(self.terminal)
        self.terminal = -1

    def left(self) -> int:
        """Wait for the end; return the status."""
        assert select.select([self.pidfd], [], [], DEADLINE)[0], "it goes on"
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def clean_up(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.terminal >= 0:
            os.close(self.terminal)
        os.close(self.pidfd)
        self.words.close()


@pytest.fixture
def started() -> Iterator[list[OnTerminal]]:
    started: list[OnTerminal] = []
    yield started
    for each in started:
        each.clean_up()


@pytest.mark.parametrize("how", ["serve", "run"])
def test_it_ends_when_its_terminal_has_gone(how: str, started: list[OnTerminal]) -> None:
    program = OnTerminal(how)
    started.append(program)
    assert program.hear() == "ready"

    program.hang_up()

    assert program.hear() == "teardown"  # and no reload
    assert program.left() == 0


@pytest.mark.parametrize("how", ["serve", "run"])
def test_under_nohup_it_outlives_its_terminal(how: str, started: list[OnTerminal]) -> None:
    program = OnTerminal(how, "nohup")
    started.append(program)
    assert program.hear() == "ready"

    program.hang_up()

    assert program.hear() == "hup"
    os.kill(program.pid, signal.SIGTERM)
    assert program.hear() == "teardown"


def test_a_hangup_by_an_operator_is_a_reload_as_long_as_there_is_a_terminal(
    started: list[OnTerminal],
) -> None:
    program = OnTerminal("serve")
    started.append(program)
    assert program.hear() == "ready"

    os.kill(program.pid, signal.SIGHUP)

    assert program.hear() == "hup"


@pytest.mark.parametrize("how", ["serve", "run"])
@pytest.mark.parametrize("words", [[], ["sigchld"]])
def test_programs_have_their_true_statuses_even_if_sigchld_was_ignored(
    how: str, words: list[str], started: list[OnTerminal]
) -> None:
    program = OnTerminal(how, "spawns", *words)
    started.append(program)

    assert [program.hear(), program.hear()] == ["status 3", "status -9"]


def test_an_output_that_is_full_does_not_change_the_status(started: list[OnTerminal]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    program = OnTerminal("run", "buffered", stdout="/dev/full")
    started.append(program)

    assert [program.hear(), program.hear()] == ["ready", "teardown"]
    assert program.left() == 0
