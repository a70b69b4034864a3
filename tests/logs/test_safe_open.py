"""Opening a log file: links and files of other users are not trusted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zenactors.logs.safe_open import open_log_file

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_other_users_cannot_read_a_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        os.close(open_log_file(tmp_path / "a.log"))
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o640 & ~umask


def test_a_pipe_with_a_reader_is_opened_in_blocking_mode(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    fd = open_log_file(tmp_path / "pipe")
    blocking = os.get_blocking(fd)
    os.close(fd)
    os.close(reader)

    assert blocking


def test_own_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "relative").symlink_to("real")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative" / ".." / "relative")
    (tmp_path / "real" / "link.log").symlink_to("../real/a.log")
    fd = open_log_file(tmp_path / "absolute" / "link.log")
    os.write(fd, b"x")
    os.close(fd)

    assert (tmp_path / "real" / "a.log").read_text() == "x"


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """Return a directory like /tmp."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


@pytest.mark.parametrize("mode", [0o1777, 0o757, 0o775])
def test_links_in_a_directory_where_others_can_write_are_not_followed(
    tmp_path: Path, open_to_all: Path, mode: int
) -> None:
    if mode == 0o775:
        if os.geteuid() != 0:
            pytest.skip("only root can give a directory to another group")
        os.chown(open_to_all, -1, 12345)
    target = tmp_path / "passwd"
    target.write_text("root")
    (open_to_all / "a.log").symlink_to(target)
    (open_to_all / "sub").symlink_to(tmp_path)
    (open_to_all / "new.log").symlink_to(tmp_path / "new")
    (tmp_path / "trusted.log").symlink_to(open_to_all / "a.log")
    open_to_all.chmod(mode)

    for path in ("tmp/a.log", "tmp/sub/b.log", "tmp/new.log", "trusted.log"):
        with pytest.raises(
            PermissionError, match="symbolic link in a directory where others"
        ) as error:
            open_log_file(tmp_path / path)
        assert error.value.filename == str(tmp_path / path)

    assert target.read_text() == "root"
    assert not (tmp_path / "b.log").exists()
    assert not (tmp_path / "new").exists()


def test_an_own_file_in_a_directory_where_others_can_write_is_opened(open_to_all: Path) -> None:
    for _ in range(2):
        os.close(open_log_file(open_to_all / "a.log"))


def test_a_file_that_may_be_another_users_is_not_written_to(
    tmp_path: Path, open_to_all: Path
) -> None:
    (tmp_path / "passwd").write_text("root")
    os.link(tmp_path / "passwd", open_to_all / "second name")
    os.mkfifo(open_to_all / "pipe")
    reader = os.open(open_to_all / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    for name in ("second name", "pipe"):
        with pytest.raises(PermissionError, match="It may be another user's"):
            open_log_file(open_to_all / name)
    os.close(reader)


@needs_root
def test_another_users_file_in_a_directory_like_tmp_is_not_written_to(open_to_all: Path) -> None:
    (open_to_all / "a.log").write_text("")
    os.chown(open_to_all / "a.log", 12345, 12345)

    with pytest.raises(PermissionError):  # from this module, or from the kernel
        open_log_file(open_to_all / "a.log")


@needs_root
def test_another_users_directory_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.log").symlink_to(tmp_path / "passwd")
    os.chown(tmp_path / "theirs", 12345, 12345)

    with pytest.raises(PermissionError, match="symbolic link"):
        open_log_file(tmp_path / "theirs" / "a.log")
