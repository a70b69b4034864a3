"""The name of a daemon that was given none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.sample import write
from tests.running import ROOT, run_python

PROGRAM = """\
from zenactors import ZenDaemon, ZenDaemonComponent
daemon = ZenDaemon(components=[ZenDaemonComponent()])
print(daemon.name, flush=True)
daemon.run()
"""


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["-m", "alpha"], "alpha"),
        (["-m", "alpha.inner"], "alpha.inner"),
        (["-m", "alpha.module"], "module.py"),
        (["alpha/__main__.py"], "alpha"),
        (["alpha"], "alpha"),
        (["single.py"], "single.py"),
        (["-c", PROGRAM], "zenactors"),
    ],
)
def test_a_program_has_a_name_of_its_own(argv: list[str], name: str, tmp_path: Path) -> None:
    for file in ("alpha/__init__.py", "alpha/inner/__init__.py"):
        write(tmp_path / file, "")
    for file in ("alpha/__main__.py", "alpha/inner/__main__.py", "alpha/module.py", "single.py"):
        write(tmp_path / file, PROGRAM)

    done = run_python(*argv, "--help", cwd=tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path}")

    first, usage = done.stdout.split("\n", 1)
    assert (first, done.stderr) == (name, "")
    assert f"Usage:\n  {name} " in usage
