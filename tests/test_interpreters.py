from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interpreters import STATUS_MISSING, VERSIONS, find, main

OTHERS = [each for each in VERSIONS if each != "{}.{}".format(*sys.version_info)]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A machine without an interpreter, whose `make` writes its arguments to a file."""
    make = script(tmp_path / "make", f'echo "$@" $PYTHON_GIL >> {tmp_path}/made')
    return {"PATH": f"{tmp_path}/a:{tmp_path}/b", "HOME": str(tmp_path), "MAKE": str(make)}


def test_an_interpreter_in_path_is_found(tmp_path: Path, environ: dict[str, str]) -> None:
    python = script(tmp_path / "b/python3.12", "echo 3.12")
    assert (find("3.12", environ), find("3.13", environ)) == (python, None)


def test_one_in_path_comes_before_pyenvs(tmp_path: Path, environ: dict[str, str]) -> None:
    script(tmp_path / ".pyenv/versions/3.12.1/bin/python3.12", "echo 3.12")
    python = script(tmp_path / "b/python3.12", "echo 3.12")
    assert find("3.12", environ) == python


@pytest.mark.parametrize("shim", ["exit 127", "echo 3.9"])
def test_a_shim_that_runs_no_such_version_is_passed_over(
    shim: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    script(tmp_path / "a/python3.12", shim)
    python = script(tmp_path / ".pyenv/versions/3.12.1/bin/python3.12", "echo 3.12")
    assert find("3.12", environ) == python


def test_of_pyenvs_the_newest_is_taken(tmp_path: Path, environ: dict[str, str]) -> None:
    root = tmp_path / "elsewhere"
    for name in ("3.13.2", "3.13.10", "3.13.9", "3.13.11t", "3.13.12rc1", "3.13-dev"):
        script(root / f"versions/{name}/bin/python3.13", "echo 3.13")
    environ["PYENV_ROOT"] = str(root)
    assert find("3.13", environ) == root / "versions/3.13.10/bin/python3.13"


def test_each_other_version_is_tested_and_missing_ones_are_named(
    tmp_path: Path, environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    *there, missing = OTHERS
    for version in there:
        script(tmp_path / f"a/python{version}", f"echo {version}")

    assert main([], environ) == 0
    assert (tmp_path / "made").read_text().splitlines() == [
        f"test PYTHON={tmp_path}/a/python{version} VENV=build/venv-{version}" for version in there
    ]
    shown = capfd.readouterr().out.splitlines()
    assert [line for line in shown if line.endswith("passed")] == [
        f"Python {version}: passed" for version in there
    ]
    assert [line for line in shown if f"pyenv install {missing}" in line]


def test_a_failure_on_one_version_does_not_keep_others_from_being_tested(
    tmp_path: Path, environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    for version in OTHERS:
        script(tmp_path / f"a/python{version}", f"echo {version}")
    script(tmp_path / "make", f'case "$*" in *{OTHERS[0]}*) exit 2;; esac')

    assert main([], environ) == 1
    shown = capfd.readouterr().out
    assert f"Python {OTHERS[0]}: FAILED\nPython" in shown
    assert shown.count(": passed\n") == len(OTHERS) - 1


def test_in_shares_each_version_gets_another_share(
    tmp_path: Path, environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    for version in OTHERS:
        script(tmp_path / f"a/python{version}", f"echo {version}")
    environ["SHARES"] = "8"

    assert main([], environ) == 0
    made = (tmp_path / "made").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in made] == [
        f"OPTIONS=--share={VERSIONS.index(version)}/8" for version in OTHERS
    ]
    assert capfd.readouterr().out.count("passed, with --share=") == len(OTHERS)


def test_an_interpreter_without_the_gil_is_none_of_its_version(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    for name in ("b/python3.13", ".pyenv/versions/3.13.0t/bin/python3.13t"):
        python = script(tmp_path / name, "echo 3.13t")
    script(tmp_path / ".pyenv/versions/3.13.1t/bin/python3.13t", "exit 1")

    assert (find("3.13", environ), find("3.13t", environ)) == (None, python)


def test_tests_and_benchmarks_run_on_the_newest_python_without_the_gil(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    for version in ("3.13t", "3.14t"):
        python = script(tmp_path / f"a/python{version}", f"echo {version}")

    assert main(["free-threaded"], environ) == 0
    common = f"PYTHON={python} VENV=build/venv-3.14t"
    assert (tmp_path / "made").read_text().splitlines() == [
        f"test {common} 0",  # PYTHON_GIL
        f"bench {common} OPTIONS=--quick --json=build/bench-3.14t.json 0",
    ]


def test_benchmarks_run_even_if_the_tests_fail(tmp_path: Path, environ: dict[str, str]) -> None:
    script(tmp_path / "a/python3.14t", "echo 3.14t")
    script(tmp_path / "make", f'echo $1 >> {tmp_path}/made; [ "$1" != test ]')

    assert main(["free-threaded"], environ) == 1
    assert (tmp_path / "made").read_text().split() == ["test", "bench"]


def test_without_such_a_python_there_is_a_status_of_its_own(
    environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["free-threaded"], environ) == STATUS_MISSING
    assert "pyenv install 3.14t" in capfd.readouterr().out


def test_anything_else_is_wrong_usage(
    environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help"], environ) == 2
    assert "make freethreaded" in capfd.readouterr().out
