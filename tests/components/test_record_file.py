from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zenactors.components._files import SystemFiles
from zenactors.components._record_file import RecordFile


class Failing(SystemFiles):
    """Writes that much, and then the disk is full."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, fd: int, data: bytes | memoryview, /) -> int:  # type: ignore[override]
        if not self.room:
            raise OSError(28, "No space left on device")
        piece = data[: self.room]
        self.room -= len(piece)
        return os.write(fd, piece)


def test_a_line_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    file = RecordFile(str(path))
    file.append(b"one\n")
    assert path.read_bytes() == b"one\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.append(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    file.close()


def test_a_line_that_a_crash_has_torn_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    path.write_bytes(b"one\ntor")
    file = RecordFile(str(path))
    assert path.read_bytes() == b"one\ntor"  # nothing is written before there is a line
    file.append(b"two\n")
    file.append(b"three\n")
    file.close()
    assert path.read_bytes() == b"one\ntor\ntwo\nthree\n"


def test_a_line_that_a_full_disk_has_torn_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    files = Failing(room=6)
    file = RecordFile(str(path), files)
    file.append(b"one\n")
    with pytest.raises(OSError, match="No space"):
        file.append(b"two\n")
    with pytest.raises(OSError, match="No space"):
        file.append(b"three\n")
    files.room = 100
    file.append(b"four\n")
    file.append(b"five\n")
    file.close()
    assert path.read_bytes() == b"one\ntw\nfour\nfive\n"


def test_two_programs_do_not_write_to_the_same_file(tmp_path: Path) -> None:
    path = str(tmp_path / "letters")
    first = RecordFile(path)
    with pytest.raises(BlockingIOError, match="Another program has it open") as caught:
        RecordFile(path)
    assert caught.value.filename == path
    first.close()
    RecordFile(path).close()


@pytest.mark.parametrize("removed", [False, True])
def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path, *, removed: bool) -> None:
    path, away = tmp_path / "letters", tmp_path / "letters.1"
    file = RecordFile(str(path))
    file.append(b"one\n")
    path.rename(away)
    if removed:
        away.unlink()
    file.append(b"two\n")
    file.close()
    assert path.read_bytes() == b"two\n"
    assert removed or away.read_bytes() == b"one\n"


def test_a_file_whose_place_another_program_has_taken_is_written_to_nevertheless(
    tmp_path: Path,
) -> None:
    path = tmp_path / "letters"
    mine = RecordFile(str(path))
    mine.append(b"1\n")
    path.rename(tmp_path / "letters.1")
    other = RecordFile(str(path))
    mine.append(b"2\n")
    other.append(b"other\n")
    mine.sync()
    assert (tmp_path / "letters.1").read_bytes() == b"1\n2\n"
    assert path.read_bytes() == b"other\n"
    other.close()
    mine.append(b"3\n")
    mine.close()
    assert path.read_bytes() == b"other\n3\n"


def test_links_and_directories_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "missing/letters"):
        with pytest.raises(OSError, match=r"."):
            RecordFile(str(tmp_path / name))
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if _leads_into(fd, tmp_path)]


def _leads_into(fd: Path, directory: Path) -> bool:
    try:
        return fd.readlink().is_relative_to(directory)
    except OSError:
        return False


def test_a_device_that_is_full_raises_and_breaks_nothing() -> None:
    file = RecordFile("/dev/full")
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            file.append(b"one\n")
    file.close()


def test_a_device_is_not_replaced_by_a_file() -> None:
    ours, theirs = os.openpty()
    path = os.ttyname(theirs)
    file = RecordFile(path)
    with pytest.raises(OSError, match="not a regular file"):
        file.rewrite([])
    file.close()
    assert os.path.samestat(os.stat(path), os.fstat(theirs))  # noqa: PTH116
    os.close(ours)
    os.close(theirs)
