from __future__ import annotations

import os

from zenactors.components._files import SYSTEM_FILES
from zenactors.components.tail.discovery import discover
from zenactors.components.tail.identity import Fate, fate_of, identity_of


def paths(*patterns) -> list[str]:
    return list(discover([str(pattern) for pattern in patterns], SYSTEM_FILES).stats)


def test_globs_find_files_sorted_and_at_any_depth(tmp_path):
    for name in ("b.log", "a.log", "x/y/c.log", "a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert paths(tmp_path / "*.log") == [str(tmp_path / "a.log"), str(tmp_path / "b.log")]
    assert paths(tmp_path / "**" / "*.log") == [
        str(tmp_path / name) for name in ("a.log", "b.log", "x/y/c.log")
    ]


def test_two_paths_to_one_file_are_one_file(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "soft").symlink_to(tmp_path / "a")

    found = discover([str(tmp_path / "*")], SYSTEM_FILES)

    assert len(found.stats) == 3
    assert list(found.paths.values()) == [str(tmp_path / "a")]


def test_a_named_file_that_is_missing_is_an_error_and_a_dead_link_in_a_glob_is_not(tmp_path):
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")

    found = discover([str(tmp_path / "missing"), str(tmp_path / "*")], SYSTEM_FILES)

    assert found.stats == {}
    assert list(found.errors) == [str(tmp_path / "missing")]


def test_the_fate_of_a_file_is_derived_from_its_handle_and_its_path(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"12345")
    other.touch()
    with path.open("rb") as file:

        def fate(at_path, offset=5):
            return fate_of(os.fstat(file.fileno()), at_path, offset)

        assert fate(path.stat()) is Fate.SAME
        assert fate(path.stat(), offset=6) is Fate.TRUNCATED
        assert fate(other.stat()) is Fate.REPLACED
        assert identity_of(path.stat()) != identity_of(other.stat())
        path.rename(tmp_path / "c")
        assert fate(None) is Fate.MOVED
        (tmp_path / "c").unlink()
        assert fate(None) is Fate.VANISHED
