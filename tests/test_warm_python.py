"""A program that is forked from a warm Python finds and does the same as one that is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running import run_python
from tests.warm_python import WarmPython

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
def test_a_program_does_the_same_in_a_new_process(
    start: tuple[str, ...], end: str, warm_python: WarmPython, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    new = run_python(*start, end, cwd=tmp_path, GIVEN="here")
    forked = warm_python.run(*start, end, cwd=tmp_path, GIVEN="here")

    assert (forked.returncode, forked.stderr) == (new.returncode, new.stderr)
    assert forked.stdout == new.stdout
    assert new.returncode == int(end)


def test_a_program_leaves_nothing_to_the_next_one(warm_python: WarmPython, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    killed = warm_python.run("program.py", "kill", cwd=tmp_path, GIVEN="here", NOT_GIVEN="but here")
    assert killed.returncode == -9
    assert killed.stdout.splitlines()[0].endswith("here True")

    after = warm_python.run("program.py", "0", cwd=tmp_path, GIVEN="there")
    assert after.returncode == 0
    assert after.stdout.splitlines()[0].endswith("there False")


def test_an_error_is_shown_with_its_place(warm_python: WarmPython, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("1 / 0\n")
    done = warm_python.run("program.py", cwd=tmp_path)
    assert done.returncode == 1
    assert 'File "program.py", line 1, in <module>' in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
