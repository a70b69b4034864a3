"""A daemon whose children do not end still ends, with its own status."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT

DEADLINE = 60.0  # seconds: generous, so that only a hang fails
METHODS = ("fork", "spawn")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Program:
    """One run of forking.py."""

    def __init__(self, method: str, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        # With `-m`, each spawned child would import the program.
        code = "from tests.daemon.forking import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, method, str(directory)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def children(self) -> list[int]:
        """Wait until its children run; return their PIDs."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        return [int(pid) for pid in (self.directory / "pids").read_text().split()]

    def end(self) -> tuple[int, str]:
        """Wait for its end, and for its children's; return its status and standard error."""
        _, err = self.process.communicate(timeout=DEADLINE)  # until the pipes close
        return self.process.returncode, err

    def clean_up(self) -> None:
        with self.process:
            self.process.kill()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[tuple[Program, signal.Signals]]]:
    programs: list[tuple[Program, signal.Signals]] = []
    try:
        for method, number in itertools.product(METHODS, SIGNALS):
            programs.append((Program(method, tmp_path / f"{method} {number}"), number))
        yield programs
    finally:
        for program, _ in programs:
            program.clean_up()


def test_children_of_multiprocessing_end_with_the_daemon(
    programs: list[tuple[Program, signal.Signals]],
) -> None:
    children = {program: program.children() for program, _ in programs}
    held = [
        os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115
        for pid in itertools.chain.from_iterable(children.values())
        for fd in os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
    ]
    for program, number in programs:  # all at once: each waits two seconds for the deaf children
        program.process.send_signal(number)

    for program, _ in programs:
        status, err = program.end()
        name = program.directory.name
        assert (name, status) == (name, 0), err
        assert (name, err.count("did not end: killed")) == (name, 2)
        assert [pid for pid in children[program] if Path(f"/proc/{pid}").exists()] == [], name
    assert not any(".pid" in link for link in held)
