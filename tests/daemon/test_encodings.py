"""No command fails because of what standard output or standard error can encode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.running import LIMIT, ROOT

ENCODINGS = ("ascii", "latin-1", "utf-8:strict", "ascii:surrogateescape", "ascii:strict")


def run(*argv: str | bytes, encoding: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, *argv],
        env=environment,
        cwd=cwd,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("argv", "status", "expected"),
    [
        (["--help"], 0, "what to say"),
        (["--action", "config-view"], 0, "au"),
        (["--action", "say"], 0, "au"),
        (["--action", "fail"], 1, "au"),
        (["--wörd"], 64, "rd"),
        (["--config-file", "/nö"], 78, "/n"),
    ],
)
def test_a_program_says_everything_in_any_encoding(
    argv: list[str], status: int, expected: str, encoding: str
) -> None:
    done = run("-m", "tests.daemon.greeter", *argv, encoding=encoding)

    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr
    assert expected.encode() in done.stdout + done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_path_that_is_no_text_can_be_told(encoding: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.pid"
    done = run(
        "-m", "tests.daemon.greeter", "--pid-file", path, "--action", "config-view",
        encoding=encoding,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert b"caf" in done.stdout


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("argv", "status"),
    [(["check", "ü.toml"], 0), (["run", "ü.toml", "--action", "config-view"], 0),
     (["check", "ö.toml"], 78), (["run", "ü.toml", "--exit-when-idle"], 0)],
)  # fmt: skip
def test_a_command_says_everything_in_any_encoding(
    argv: list[str], status: int, encoding: str, tmp_path: Path
) -> None:
    write(tmp_path / "in.log", "one\n")
    write(
        tmp_path / "ü.toml",
        'name = "copy"\n[[component]]\nuse = "zenactors.components:FileTailer"\nname = "čau"\n'
        'options = { patterns = ["in.log"] }\n[[component]]\nname = "grüß"\n'
        'use = "zenactors.components:RawWriter"\n',
    )

    done = run("-m", "zenactors", *argv, encoding=encoding, cwd=tmp_path)

    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr
