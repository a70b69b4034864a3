"""Commands whose standard output or standard error takes nothing: true statuses, no tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import LIMIT, ROOT

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


def run(
    directory: Path, words: tuple[str, ...], refusing: str, stream: str
) -> subprocess.CompletedProcess[str]:
    (directory / "copy.toml").write_text(SPEC)
    descriptor = os.open(*REFUSING[refusing])
    try:
        return subprocess.run(
            [sys.executable, *words],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(directory)},
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=LIMIT,
            check=False,
            stdout=descriptor if stream == "stdout" else subprocess.PIPE,
            stderr=descriptor if stream == "stderr" else subprocess.PIPE,
        )
    finally:
        os.close(descriptor)


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
    tmp_path: Path, words: tuple[str, ...], refusing: str
) -> None:
    done = run(tmp_path, words, refusing, "stdout")

    assert done.returncode == 74, done.stderr
    assert "tandard output cannot be written: " in done.stderr
    assert done.stderr.count("\n") == 1


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
    tmp_path: Path, words: tuple[str, ...], status: int, refusing: str
) -> None:
    assert run(tmp_path, words, refusing, "stderr").returncode == status
