"""Commands whose standard output or standard error takes nothing: true statuses, no tracebacks."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from tests.forked import ForkServer

SPEC = """
name = "copy"
[[component]]
use = "zenactors.components:FileTailer"
options = { patterns = ["copy.toml"], start = "beginning" }
[[component]]
use = "zenactors.components:RawWriter"
options = { path = "out" }
"""
ZENACTORS = ("-m", "zenactors")
DEMO = ("-m", "zenactors.demo")
REFUSING = {"full": ("/dev/full", os.O_WRONLY), "not writable": (os.devnull, os.O_RDONLY)}


class Refused:
    """Programs in a directory, one stream of which takes nothing. The other one is kept."""

    def __init__(self, directory: Path, python: ForkServer) -> None:
        self.kept = ""
        self._directory = directory
        self._python = python

    def run(self, words: tuple[str, ...], refusing: str, stream: str) -> int:
        """Return the exit status."""
        (self._directory / "copy.toml").write_text(SPEC)
        with contextlib.ExitStack() as stack:
            stdin = stack.enter_context(Path(os.devnull).open())
            kept = stack.enter_context(tempfile.TemporaryFile("w+"))
            descriptor = os.open(*REFUSING[refusing])
            stack.callback(os.close, descriptor)
            outputs = [
                descriptor if each == stream else kept.fileno() for each in ("stdout", "stderr")
            ]
            status = self._python.status_of(
                *words,
                cwd=self._directory,
                stdin=stdin,
                stdout=outputs[0],
                stderr=outputs[1],
                environ={"HOME": str(self._directory)},
            )
            kept.seek(0)
            self.kept = kept.read()
            return status


@pytest.fixture
def refused(tmp_path: Path, forks: ForkServer) -> Refused:
    return Refused(tmp_path, forks)


@pytest.mark.parametrize("refusing", REFUSING)
@pytest.mark.parametrize(
    "words",
    [
        (*ZENACTORS, "--help"),
        (*ZENACTORS, "--version"),
        (*ZENACTORS, "tail", "--help"),
        (*ZENACTORS, "check", "copy.toml"),
        (*ZENACTORS, "run", "copy.toml", "--action", "config-view"),
        (*DEMO, "--help"),
        (*DEMO, "--version"),
        (*DEMO, "--action", "config-schema"),
    ],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_one_line_and_status_74(
    refused: Refused, words: tuple[str, ...], refusing: str
) -> None:
    assert refused.run(words, refusing, "stdout") == 74, refused.kept
    assert "tandard output cannot be written: " in refused.kept
    assert refused.kept.count("\n") == 1


@pytest.mark.parametrize("refusing", REFUSING)
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((*ZENACTORS, "bogus"), 64),
        ((*ZENACTORS, "check", "missing.toml"), 78),
        ((*ZENACTORS, "run", "copy.toml", "--exit-when-idle"), 0),
        ((*ZENACTORS, "run", "copy.toml", "--action", "runlogs-list"), 66),
        ((*DEMO, "--bogus"), 64),
        ((*DEMO, "--action", "signal-check", "--pid-file", "no.pid"), 3),
    ],
    ids=str,
)
def test_a_status_does_not_depend_on_who_reads_the_messages(
    refused: Refused, words: tuple[str, ...], status: int, refusing: str
) -> None:
    assert refused.run(words, refusing, "stderr") == status
