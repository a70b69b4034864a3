"""One open file: blocks, the end, and what was written anew."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components._files import SYSTEM_FILES
from zenactors.components.tail.identity import Identities, fingerprint_of, mark_of
from zenactors.components.tail.reader import (
    LARGEST_BLOCK,
    SMALLEST_BLOCK,
    FileReader,
    RewrittenError,
    has_false_size,
    open_file,
)


@pytest.fixture
def open_reader(tmp_path):
    readers: list[FileReader] = []

    def open_reader(data: bytes, offset: int = 0) -> FileReader:
        (tmp_path / "a.log").write_bytes(data)
        fd, _ = open_file(str(tmp_path / "a.log"), SYSTEM_FILES)
        readers.append(FileReader(SYSTEM_FILES, fd, offset))
        return readers[-1]

    yield open_reader
    for reader in readers:
        reader.close()


def test_blocks_grow_with_the_backlog_and_shrink_at_the_end(open_reader, tmp_path):
    reader = open_reader(bytes(3 * LARGEST_BLOCK))
    sizes = []
    while not reader.at_end:
        sizes.append(len(reader.read()))

    assert sizes[:5] == [SMALLEST_BLOCK << shift for shift in range(5)]
    assert max(sizes) == LARGEST_BLOCK
    assert sum(sizes) == reader.offset == 3 * LARGEST_BLOCK
    with (tmp_path / "a.log").open("ab") as file:
        file.write(bytes(2 * SMALLEST_BLOCK))
    assert len(reader.read()) == SMALLEST_BLOCK


def test_the_end_is_an_empty_block_and_more_may_come(open_reader, tmp_path):
    reader = open_reader(b"one\n")
    assert reader.read() == b"one\n"
    assert reader.read() == b""
    with (tmp_path / "a.log").open("ab") as file:
        file.write(b"two\n")

    assert reader.read() == b"two\n"


@pytest.mark.parametrize("new", [b"", b"ONE\ntwo\n", b"another\nand more of it\n"])
def test_a_file_with_other_bytes_before_the_offset_was_written_anew(open_reader, tmp_path, new):
    reader = open_reader(b"one\ntwo\n")
    reader.read()
    (tmp_path / "a.log").write_bytes(new)

    with pytest.raises(RewrittenError):
        reader.read()
    reader.restart()
    assert reader.read() == new


def test_within_a_turn_only_a_shorter_file_is_noticed(open_reader, tmp_path):
    reader = open_reader(b"one\ntwo\n")
    reader.read()
    (tmp_path / "a.log").write_bytes(b"one")

    with pytest.raises(RewrittenError):
        reader.read(check=False)


def test_a_reader_that_begins_inside_checks_what_is_before(open_reader, tmp_path):
    reader = open_reader(b"x" * 500 + b"\nnew\n", offset=501)
    assert reader.before == b"x" * 255 + b"\n"
    assert reader.read() == b"new\n"
    assert reader.is_unchanged()
    (tmp_path / "a.log").write_bytes(b"y" * 505)
    assert not reader.is_unchanged()


def test_an_error_changes_nothing(open_reader, monkeypatch):
    reader = open_reader(b"one\ntwo\n")

    def failing(fd, size, offset):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failures:
        failures.setattr(SYSTEM_FILES, "pread", failing)
        with pytest.raises(OSError, match="Input/output"):
            reader.read()
    assert reader.read() == b"one\ntwo\n"


def test_a_file_of_proc_has_a_false_size(tmp_path):
    (tmp_path / "empty").touch()
    for path, expected in (("/proc/self/status", True), (str(tmp_path / "empty"), False)):
        fd, stat = open_file(path, SYSTEM_FILES)
        assert has_false_size(fd, stat, SYSTEM_FILES) is expected
        os.close(fd)


@given(st.binary(max_size=1500), st.binary(max_size=1500))
def test_a_fingerprint_fits_a_file_that_begins_with_what_it_was_made_of(head, more):
    fingerprint = fingerprint_of(head[:1024])

    assert fingerprint.fits((head[:1024] + more)[:1024])
    if head[:1024]:
        assert not fingerprint.fits(bytes([head[0] ^ 1]) + head[1:])
        assert not fingerprint.fits(head[:1024][:-1])


@given(st.binary(max_size=200), st.integers(0, 63))
def test_a_mark_fits_the_bytes_before_its_offset_and_no_others(data, at):
    mark = mark_of(data)
    assert mark.fits(data[-64:])
    if len(data) > at:
        changed = bytearray(data)
        changed[-1 - at] ^= 1
        assert not mark.fits(bytes(changed[-64:]))
        assert not mark.fits(data[-64:][1:]) or len(data) > 64


def test_a_device_of_a_network_is_no_part_of_the_identity(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    stat = (tmp_path / "a").stat()
    local = Identities(SYSTEM_FILES).of(stat, str(tmp_path / "a"))
    monkeypatch.setattr(SYSTEM_FILES, "is_network", lambda path: True)
    remote = Identities(SYSTEM_FILES).of(stat, str(tmp_path / "a"))

    assert local == (stat.st_dev, stat.st_ino)
    assert remote == (0, stat.st_ino)
