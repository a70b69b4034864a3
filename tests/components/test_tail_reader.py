from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components._files import SYSTEM_FILES
from zenactors.components.tail.lines import Lines
from zenactors.components.tail.reader import BLOCK_BYTES, FileReader

LIMIT = 8


@pytest.fixture
def open_reader(tmp_path):
    readers: list[FileReader] = []

    def open_reader(data: bytes, *, offset: int = 0, limit: int = 1_048_576) -> FileReader:
        path = tmp_path / f"{len(readers)}.log"
        path.write_bytes(data)
        fd = os.open(path, os.O_RDONLY)
        reader = FileReader(str(path), fd, files=SYSTEM_FILES, offset=offset, max_line_bytes=limit)
        readers.append(reader)
        return reader

    yield open_reader
    for reader in readers:
        reader.close()


def read_all(reader: FileReader) -> list[Lines]:
    out: list[Lines] = []
    while not reader.at_end:
        out += reader.read()[1]
    return out


def test_lines_knows_its_lines_and_their_offsets():
    lines = Lines("f", 100, b"one\n\nthree\n")

    assert lines.lines() == [b"one", b"", b"three"]
    assert lines.offsets() == [100, 104, 105]
    assert len(lines) == 3


def test_a_piece_without_an_end_is_one_line():
    piece = Lines("f", 7, b"abc", complete=False)

    assert piece.lines() == [b"abc"]
    assert piece.offsets() == [7]
    assert len(piece) == 1


def test_a_carriage_return_belongs_to_the_line():
    assert Lines("f", 0, b"a\r\n").lines() == [b"a\r"]


def test_an_empty_file_has_no_lines(open_reader):
    reader = open_reader(b"")

    assert reader.read() == (0, [])
    assert reader.at_end


def test_an_unfinished_last_line_is_held_back_until_its_end_arrives(open_reader):
    reader = open_reader(b"one\ntw")

    assert read_all(reader) == [Lines(reader.path, 0, b"one\n")]
    assert reader.held_bytes == 2

    with Path(reader.path).open("ab") as file:
        file.write(b"o\nthree")
    assert reader.read()[1] == [Lines(reader.path, 4, b"two\n")]
    assert reader.flush() == [Lines(reader.path, 8, b"three", complete=False)]
    assert reader.flush() == []


def test_a_line_of_exactly_the_limit_stays_whole(open_reader):
    reader = open_reader(b"x" * LIMIT + b"\n", limit=LIMIT)

    assert read_all(reader) == [Lines(reader.path, 0, b"x" * LIMIT + b"\n")]
    assert reader.lines_split == 0


def test_a_line_longer_than_the_limit_comes_in_pieces_that_lose_nothing(open_reader):
    reader = open_reader(b"a\n" + b"x" * 20 + b"\nb\n", limit=LIMIT)

    assert read_all(reader) == [
        Lines(reader.path, 0, b"a\n"),
        Lines(reader.path, 2, b"x" * 8, complete=False),
        Lines(reader.path, 10, b"x" * 8, complete=False),
        Lines(reader.path, 18, b"x" * 4 + b"\n", complete=False),
        Lines(reader.path, 23, b"b\n"),
    ]
    assert reader.lines_split == 1


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=20),
    end=st.sampled_from([b"", b"\n"]),
    sizes=st.lists(st.integers(1, 40), max_size=60),
    limit=st.integers(1, 40),
)
def test_wherever_blocks_end_the_pieces_are_the_same_and_nothing_is_lost(lines, end, sizes, limit):
    data = b"\n".join(lines) + end
    fd = os.open(os.devnull, os.O_RDONLY)
    reader = FileReader("f", fd, files=SYSTEM_FILES, offset=0, max_line_bytes=limit)
    out: list[Lines] = []
    position = 0
    sizes = [min(size, limit) for size in sizes]
    while position < len(data):
        block = data[position : position + (sizes.pop() if sizes else limit)]
        position += len(block)
        start = reader.line_offset
        reader.offset += len(block)
        out += reader._cut(block, start)
    out += reader.flush()
    reader.close()

    assert b"".join(batch.data for batch in out) == data
    offset = 0
    for batch in out:
        assert batch.offset == offset
        offset += len(batch.data)
    seen = [
        (offset, line, batch.complete)
        for batch in out
        for offset, line in zip(batch.offsets(), batch.lines(), strict=True)
    ]
    assert seen == list(expected_pieces(data, limit))


def expected_pieces(data: bytes, limit: int):
    """The same by the definition: line by line."""
    offset = 0
    for line in data.split(b"\n"):
        ended = offset + len(line) < len(data)
        if not line and not ended:
            return
        for begin in range(0, max(len(line), 1), limit):
            whole = ended and len(line) <= limit
            yield offset + begin, line[begin : begin + limit], whole
        offset += len(line) + 1


def test_reading_a_very_long_line_costs_no_more_than_its_length(open_reader, monkeypatch):
    size = 8_000_000
    reader = open_reader(b"x" * size + b"\n", limit=1_000_000)
    copied = 0
    reads = 0
    pieces = FileReader._pieces
    real_read = SYSTEM_FILES.read

    def counting_pieces(self, start, **how):
        nonlocal copied
        copied += self.held_bytes
        return pieces(self, start, **how)

    def counting_read(fd, count):
        nonlocal reads
        reads += 1
        return real_read(fd, count)

    monkeypatch.setattr(FileReader, "_pieces", counting_pieces)
    monkeypatch.setattr(SYSTEM_FILES, "read", counting_read)
    out = read_all(reader)

    assert sum(len(piece.data) for piece in out) == size + 1
    assert reads == size // BLOCK_BYTES + 1
    assert copied < 1.2 * size


def test_a_file_can_be_read_on_through_a_new_handle(open_reader):
    reader = open_reader(b"one\ntwo\n", offset=4)
    reader.close()
    reader.close()

    with pytest.raises(ValueError, match="not open"):
        reader.read()
    reader.attach(os.open(reader.path, os.O_RDONLY))
    assert reader.read()[1] == [Lines(reader.path, 4, b"two\n")]
