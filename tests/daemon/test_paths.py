"""The default directories of a daemon, and the modes of those that it makes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from zenactors.daemon.paths import ROOT_VARIABLE, default_paths, make_user_directories


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
