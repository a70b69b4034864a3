"""A program that was forked ends, and is given, what a fresh one ends with and is given."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.forked import ForkServer

FACTS = """
import atexit, json, os, sys
atexit.register(print, "the end")
fds = "/proc/self/fd"
open_ones = [each for each in os.listdir(fds) if os.path.exists(os.path.join(fds, each))]
print(json.dumps([__name__, sys.argv, os.getcwd(), os.environ.get("GIVEN"), sorted(open_ones)]))
"""


def test_it_has_what_it_was_given_and_nothing_of_the_server(
    forks: ForkServer, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(FACTS)

    done = forks.run(program, "--word", cwd=tmp_path, GIVEN="yes")

    facts, end = done.stdout.splitlines()
    argv, cwd = [str(program), "--word"], str(tmp_path)
    assert json.loads(facts) == ["__main__", argv, cwd, "yes", ["0", "1", "2"]]
    assert (end, done.returncode, done.stderr) == ("the end", 0, "")


@pytest.mark.parametrize(
    ("text", "status", "error"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
def test_its_status_is_its_own(
    text: str, status: int, error: str, forks: ForkServer, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(text)
    done = forks.run("-m", "program", cwd=tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (status, error, "")


def test_an_exception_has_its_traceback(forks: ForkServer, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("def fail():\n    raise OSError('bad')\nfail()\n")

    done = forks.run(program)

    assert done.returncode == 1
    assert done.stderr.endswith("OSError: bad\n")
    assert f'File "{program}", line 3, in <module>' in done.stderr


def test_it_is_a_child_of_the_test(forks: ForkServer, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os; print(os.getppid())")
    assert forks.run(program).stdout == f"{os.getpid()}\n"


def test_variables_that_python_has_read_cannot_be_changed(forks: ForkServer) -> None:
    with pytest.raises(AssertionError, match="Python has read them"):
        forks.run("program.py", PYTHONIOENCODING="ascii")
