from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components.tail.lines import Lines, count_delimiters


def test_lines_knows_its_lines_and_their_offsets():
    lines = Lines("f", 100, b"one\n\nthree\n")

    assert lines.lines() == [b"one", b"", b"three"]
    assert lines.texts() == ["one", "", "three"]
    assert lines.offsets() == [100, 104, 105]
    assert len(lines) == 3


def test_a_piece_without_an_end_is_one_line():
    piece = Lines("f", 7, b"abc", complete=False)

    assert piece.lines() == [b"abc"]
    assert piece.texts() == ["abc"]
    assert piece.offsets() == [7]
    assert len(piece) == 1


def test_without_data_there_are_no_lines():
    empty = Lines("f", 7, b"")

    assert (empty.lines(), empty.texts(), empty.offsets(), len(empty)) == ([], [], [], 0)
    assert empty.bad_lines() == 0


def test_a_carriage_return_before_the_line_end_is_part_of_it():
    lines = Lines("f", 0, b"a\r\n\r\nb\rc\n\r\r\n")

    assert lines.lines() == [b"a", b"", b"b\rc", b"\r"]
    assert lines.texts() == ["a", "", "b\rc", "\r"]
    assert lines.offsets() == [0, 3, 5, 9]


def test_a_carriage_return_at_the_end_of_a_piece_belongs_to_the_line():
    piece = Lines("f", 0, b"a\r", complete=False)

    assert piece.lines() == [b"a\r"]
    assert piece.texts() == ["a\r"]


def test_with_another_delimiter_a_carriage_return_belongs_to_the_line():
    lines = Lines("f", 0, b"a\r\0b\n\0", delimiter=b"\0")

    assert lines.lines() == [b"a\r", b"b\n"]
    assert lines.texts() == ["a\r", "b\n"]


def test_records_keep_the_line_ends_inside_them():
    lines = Lines("f", 50, b"a\r\n b\r\nc\n d\n", starts=(0, 7))

    assert lines.lines() == [b"a\r\n b", b"c\n d"]
    assert lines.texts() == ["a\r\n b", "c\n d"]
    assert lines.offsets() == [50, 57]
    assert len(lines) == 2


def test_the_last_record_may_be_unfinished():
    lines = Lines("f", 0, b"a\nb\n c||", complete=False, starts=(0, 2), delimiter=b"\n")

    assert lines.lines() == [b"a", b"b\n c||"]


def test_bytes_that_are_no_text_are_replaced_and_their_lines_counted():
    lines = Lines("f", 0, b"good\nb\xff\xffd\n\xc3\ngood \xc3\xa9\n")

    assert lines.texts() == ["good", "b\ufffd\ufffdd", "\ufffd", "good é"]
    assert lines.bad_lines() == 2
    assert Lines("f", 0, "é\n".encode()).bad_lines() == 0


def test_bad_bytes_of_a_record_are_counted_once():
    lines = Lines("f", 0, b"a\xff\n\xff\nb\n", starts=(0, 5))

    assert lines.texts() == ["a\ufffd\n\ufffd", "b"]
    assert lines.bad_lines() == 1


def test_latin_1_has_a_character_for_each_byte():
    lines = Lines("f", 0, b"\xe9\xff\n", encoding="iso8859-1")

    assert lines.texts() == ["éÿ"]
    assert lines.bad_lines() == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "gb18030"])
def test_a_byte_order_mark_is_not_part_of_the_first_text(encoding: str):
    data = "\ufeffa\n\ufeffb\n".encode(encoding)
    delimiter = "\n".encode(encoding)

    lines = Lines("f", 0, data, delimiter=delimiter, encoding=encoding)
    assert lines.texts() == ["a", "\ufeffb"]
    assert b"".join(line + delimiter for line in lines.lines()) == data
    later = Lines("f", 8, data, delimiter=delimiter, encoding=encoding)
    assert later.texts() == ["\ufeffa", "\ufeffb"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_line_end_counts_only_where_a_code_unit_begins(encoding: str):
    text = "\u0a00\u000a\u0a0a\u0100\u0a00\u0001\r\nb"
    data = text.encode(encoding)
    unit = len("a".encode(encoding))
    lines = Lines("f", 400, data, delimiter="\n".encode(encoding), encoding=encoding)

    assert lines.texts() == ["\u0a00", "\u0a0a\u0100\u0a00\u0001", "b"]
    assert lines.lines() == [line.encode(encoding) for line in lines.texts()]
    assert lines.offsets() == [400, 400 + 2 * unit, 400 + 8 * unit]
    assert len(lines) == 3
    assert lines.bad_lines() == 0


def test_a_piece_that_begins_inside_a_code_unit_is_bad_only_at_its_beginning():
    data = "xa\nb\n".encode("utf-16-le")[1:]
    lines = Lines("f", 101, data, delimiter=b"\n\0", encoding="utf-16-le")

    assert lines.texts() == ["\ufffda", "b"]
    assert lines.offsets() == [101, 106]
    assert lines.bad_lines() == 1
    # As a whole it would be text, only another one.
    lines = Lines("f", 101, data + b"c", delimiter=b"\n\0", encoding="utf-16-le")
    assert lines.bad_lines() == 2


def test_a_truncated_line_is_one_line_whatever_it_ends_with():
    lines = Lines("f", 5, b"a|||", delimiter=b"||", truncated=True)

    assert lines.lines() == [b"a|"]
    assert lines.texts() == ["a|"]
    assert lines.offsets() == [5]
    assert len(lines) == 1


def test_a_known_count_is_believed_and_is_no_part_of_the_value():
    lines = Lines("f", 0, b"a\nb\n", count=7)

    assert len(lines) == 7
    assert lines == Lines("f", 0, b"a\nb\n")
    assert "7" not in repr(lines)


@given(
    lines=st.lists(st.sampled_from([0, 1, 30, 39, 41, 1_000, 70_000, 200_000]), max_size=40),
    delimiter=st.sampled_from([b"\n", b"\0", b"\r\n"]),
)
def test_lines_short_and_long_are_counted(lines: list[int], delimiter: bytes):
    data = b"".join(b"x" * size + delimiter for size in lines)

    assert count_delimiters(data, delimiter, 1, 0) == len(lines)


def test_short_lines_behind_long_ones_are_counted():
    data = b"x" * 70_000 + b"\n" + b"\n" * 300_000 + b"x" * 200_000 + b"\n"

    assert count_delimiters(data, b"\n", 1, 0) == 300_002
