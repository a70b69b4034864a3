"""A program that was forked ends, and is given, what a fresh one ends with and is given."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.forked import ForkServer
from tests.running import run_python

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


PROGRAM = """
import atexit, os, signal, sys, threading

atexit.register(print, "the end")
print(__name__, sys.argv, sys.path[:2], os.getcwd(), os.environ["GIVEN"], "NOT_GIVEN" in os.environ)
print(vars(sys.modules["__main__"]) is globals(), threading.enumerate()[0].name)
print(sorted(os.listdir("/proc/self/fd"))[:3], len(os.listdir("/proc/self/fd")))
print("without an end", end="", file=sys.stderr)
threading.Thread(target=print, args=("from a thread",)).start()
if sys.argv[1] == "kill":
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("start", [("program.py",), ("-m", "program")], ids=" ".join)
@pytest.mark.parametrize("end", ["0", "3"])
def test_a_program_does_the_same_as_one_that_is_started(
    start: tuple[str, ...], end: str, forks: ForkServer, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    new = run_python(*start, end, cwd=tmp_path, GIVEN="here")
    forked = forks.run(*start, end, cwd=tmp_path, GIVEN="here")

    assert (forked.returncode, forked.stderr) == (new.returncode, new.stderr)
    assert forked.stdout == new.stdout
    assert new.returncode == int(end)


def test_a_program_leaves_nothing_to_the_next_one(forks: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    killed = forks.run("program.py", "kill", cwd=tmp_path, GIVEN="here", NOT_GIVEN="but here")
    assert killed.returncode == -9
    assert killed.stdout.splitlines()[0].endswith("here True")

    after = forks.run("program.py", "0", cwd=tmp_path, GIVEN="there")
    assert after.returncode == 0
    assert after.stdout.splitlines()[0].endswith("there False")


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
