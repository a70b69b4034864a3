from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenactors.components._files import SYSTEM_FILES
from zenactors.components._glob import expand
from zenactors.components.tail.discovery import discover
from zenactors.components.tail.identity import Identities


def paths(*patterns) -> list[str]:
    return list(
        discover(
            [str(pattern) for pattern in patterns], SYSTEM_FILES, Identities(SYSTEM_FILES)
        ).stats
    )


def test_globs_find_files_sorted_and_at_any_depth(tmp_path):
    for name in ("b.log", "a.log", "x/y/c.log", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert paths(tmp_path / "*.log") == [str(tmp_path / "a.log"), str(tmp_path / "b.log")]
    assert paths(tmp_path / "**" / "*.log") == [
        str(tmp_path / name) for name in ("a.log", "b.log", "x/y/c.log")
    ]


def test_links_that_lead_round_in_circles_end_and_each_file_has_one_name(tmp_path):
    (tmp_path / "z" / "y").mkdir(parents=True)
    (tmp_path / "z" / "y" / "x.log").touch()
    for link in ("a", "b", "z/a", "z/b", "z/y/a", "z/y/b"):
        (tmp_path / link).symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "z" / "y")
    (tmp_path / "round").symlink_to(tmp_path / "round")

    assert paths(tmp_path / "**" / "*.log") == [str(tmp_path / "z" / "y" / "x.log")]
    assert paths(tmp_path / "c" / "**" / "*.log") == [str(tmp_path / "c" / "x.log")]


def test_a_tree_behind_a_link_is_searched(tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "x.log").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "elsewhere")

    assert paths(tmp_path / "tree" / "**" / "*.log") == [str(tmp_path / "tree/link/deep/x.log")]


def test_a_directory_that_cannot_be_read_is_an_error_of_the_search(tmp_path, monkeypatch):
    for name in ("a/x.log", "b/y.log"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    real = os.scandir

    def scandir(path):  # root may read every directory, so its permissions do not help
        if path == f"{tmp_path}/a/":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for pattern in ("**/*.log", "*/*.log"):
        found = discover([f"{tmp_path}/{pattern}"], SYSTEM_FILES, Identities(SYSTEM_FILES))
        assert list(found.stats) == [f"{tmp_path}/b/y.log"]
        assert list(found.unreadable) == [f"{tmp_path}/a"]
    assert (
        discover([f"{tmp_path}/none/*.log"], SYSTEM_FILES, Identities(SYSTEM_FILES)).unreadable
        == {}
    )


NAMES = st.sampled_from(["a", "b", ".h", "a.log", "ab"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PARTS = st.sampled_from(["**", "*", "a", "?", "[ab]*", ".*", "*.log", "."])


TREES = st.lists(PATHS, max_size=6)
PATTERNS = st.lists(PARTS, min_size=1, max_size=4)


@settings(max_examples=60)
@given(created=TREES, parts=PATTERNS)
def test_without_links_the_same_is_found_as_by_the_module_glob(created, parts):
    check_same_as_glob(created, parts)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(created=TREES, parts=PATTERNS)
def test_in_many_trees_the_same_is_found_as_by_the_module_glob(created, parts):
    check_same_as_glob(created, parts)


def check_same_as_glob(created: list[str], parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
        for path in created:
            with contextlib.suppress(OSError):  # one name cannot be a file and a directory
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).touch()
        relative = "/".join(part for part, _ in itertools.groupby(parts))
        for pattern in (relative, f"{relative}/", f"{root}/{relative}"):
            matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - it is the standard
            expected = {path for path in matches if os.path.lexists(path)}
            assert sorted(expand(pattern)) == sorted(expected)


def test_two_paths_to_one_file_are_one_file(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "soft").symlink_to(tmp_path / "a")

    found = discover([str(tmp_path / "*")], SYSTEM_FILES, Identities(SYSTEM_FILES))

    assert len(found.stats) == 3
    assert list(found.paths.values()) == [str(tmp_path / "a")]


def test_a_named_file_that_is_missing_is_an_error_and_a_dead_link_in_a_glob_is_not(tmp_path):
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")

    found = discover(
        [str(tmp_path / "missing"), str(tmp_path / "*")], SYSTEM_FILES, Identities(SYSTEM_FILES)
    )

    assert found.stats == {}
    assert list(found.errors) == [str(tmp_path / "missing")]
