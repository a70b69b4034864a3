"""The default directories of a daemon, and the modes of those that it makes."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ROOT
from zenactors.daemon.paths import (
    ROOT_VARIABLE,
    advice_without_home,
    default_paths,
    make_user_directories,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of an ordinary user, who this process seems to be."""
    monkeypatch.setattr(os, "geteuid", lambda: 23_457)
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_directories_and_their_missing_parents_are_the_users_alone(home: Path) -> None:
    make_user_directories(default_paths({}))

    made = [home / ".local", home / ".local/state"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o700, 0o700]


def test_directories_that_exist_keep_their_modes(home: Path) -> None:
    (home / ".local").mkdir()
    (home / ".local").chmod(0o755)

    make_user_directories(default_paths({}))

    assert stat.S_IMODE((home / ".local").stat().st_mode) == 0o755
    assert stat.S_IMODE((home / ".local/state").stat().st_mode) == 0o700


def test_the_places_are_those_of_the_xdg_specification(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_default = default_paths({})
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/conf")
    chosen = default_paths({})

    state = str(home / ".local/state")
    kinds = ("cfg", "log", "run")
    assert [by_default[kind] for kind in kinds] == [str(home / ".config"), state, state]
    assert [chosen[kind] for kind in kinds] == ["/conf", "/state", "/state"]


def test_relative_directories_are_ignored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = default_paths({})
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
        monkeypatch.setenv(name, "relative")

    assert default_paths({}) == before | {"tmp": "/tmp"}


def test_files_of_a_running_daemon_do_not_depend_on_a_login(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = default_paths({})
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/5")

    assert default_paths({}) == before


@pytest.mark.parametrize("value", [None, "", "/", "relative"])
def test_a_user_without_a_home_gets_advice(
    home: Path, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert advice_without_home(default_paths({})) == ""
    if value is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", value)

    assert "set HOME or XDG_STATE_HOME" in advice_without_home(default_paths({}))
    assert advice_without_home(default_paths({"run": "/elsewhere"})) == ""
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert advice_without_home(default_paths({})) == ""


def test_without_home_a_known_user_has_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    known = next((each for each in pwd.getpwall() if each.pw_uid and each.pw_dir > "/"), None)
    if known is None:
        pytest.skip("the system knows only root")
    monkeypatch.setattr(os, "geteuid", lambda: known.pw_uid)
    for name in (ROOT_VARIABLE, "HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    found = pwd.getpwuid(known.pw_uid).pw_dir
    assert default_paths({})["cfg"] == str(Path(found, ".config"))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["tail", "{file}", "--from", "beginning", "--exit-when-idle"], 0, "line"),
        (["run", "spec.toml"], 78, "--app-dir '.' is relative, and the current directory is gone"),
        (["simulate", "x:y"], 78, "--app-dir '.' is relative, and the current directory is gone"),
    ],
)
def test_in_a_deleted_directory_a_command_works_or_says_what_it_needs(
    words: list[str], status: int, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("line\n")
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        "import os, sys; os.rmdir(os.getcwd());"
        "from zenactors.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    # -P: the search for modules does not begin in this directory, as with an installed command.
    argv = [sys.executable, "-P", "-c", program, *(word.format(file=file) for word in words)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(argv, cwd=gone, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stderr
    assert said in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
