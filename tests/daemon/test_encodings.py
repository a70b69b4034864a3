"""No command fails because of what standard output or standard error can encode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.forked import ForkServer
from tests.running import ROOT

ENCODINGS = ("ascii", "latin-1", "utf-8:strict", "ascii:surrogateescape", "ascii:strict")
GREETER = ROOT / "tests" / "daemon" / "greeter.py"
PRELOAD = (
    "from zenactors import Outcome, ZenDaemon, ZenDaemonComponent, spec;"
    "from zenactors.components import FileTailer, RawWriter"
)


@pytest.fixture(scope="module", params=ENCODINGS)
def forks(request: pytest.FixtureRequest) -> Iterator[ForkServer]:
    """Yield a server whose standard streams have an encoding of their own."""
    with ForkServer(PRELOAD, PYTHONIOENCODING=request.param) as server:
        yield server


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
    argv: list[str], status: int, expected: str, forks: ForkServer
) -> None:
    done = forks.run(GREETER, *argv)

    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert expected in done.stdout + done.stderr


def test_a_path_that_is_no_text_can_be_told(forks: ForkServer, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pid")
    done = forks.run(GREETER, "--pid-file", path, "--action", "config-view")

    assert done.returncode == 0, done.stderr
    assert "caf" in done.stdout


@pytest.mark.parametrize(
    ("argv", "status"),
    [(["check", "ü.toml"], 0), (["run", "ü.toml", "--action", "config-view"], 0),
     (["check", "ö.toml"], 78), (["run", "ü.toml", "--exit-when-idle"], 0)],
)  # fmt: skip
def test_a_command_says_everything_in_any_encoding(
    argv: list[str], status: int, forks: ForkServer, tmp_path: Path
) -> None:
    write(tmp_path / "in.log", "one\n")
    write(
        tmp_path / "ü.toml",
        'name = "copy"\n[[component]]\nuse = "zenactors.components:FileTailer"\nname = "čau"\n'
        'options = { patterns = ["in.log"] }\n[[component]]\nname = "grüß"\n'
        'use = "zenactors.components:RawWriter"\n',
    )

    done = forks.run("-m", "zenactors", *argv, cwd=tmp_path)

    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
