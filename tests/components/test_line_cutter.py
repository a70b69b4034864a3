"""`LineCutter` against a slow definition of the same, wherever blocks end, and by examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zenactors.components.tail.cutter import CutterRules, LineCutter, Piece, rules_for
from zenactors.components.tail.lines import Lines

LIMIT = 8
INCOMPLETE = {"unexpected end of data", "truncated data", "incomplete multibyte sequence"}


# The definition: one position after the other, one line after the other.


@dataclass
class Line:
    """What a line, or a piece of one, must come out as."""

    offset: int
    data: bytes  # without the delimiter
    ended: bool
    complete: bool
    truncated: bool = False


def split_slowly(data: bytes, offset: int, rules: CutterRules) -> Iterator[tuple[int, bytes, bool]]:
    begin = at = 0
    while at < len(data):
        if not (offset + at) % rules.unit and data.startswith(rules.delimiter, at):
            yield offset + begin, data[begin:at], True
            begin = at = at + len(rules.delimiter)
        else:
            at += 1
    if begin < len(data):
        yield offset + begin, data[begin:], False


def characters_within(content: bytes, offset: int, rules: CutterRules) -> bytes:
    """Leave out the character that the limit has cut through, as Python's errors describe it."""
    content = content[: rules.max_line_bytes]
    begin = -offset % rules.unit
    while True:
        try:
            content[begin:].decode(rules.encoding)
        except UnicodeDecodeError as error:
            if error.reason in INCOMPLETE and begin + error.end == len(content):
                return content[: begin + error.start]
            begin += error.end
        else:
            return content


def expected_lines(data: bytes, offset: int, within: str, rules: CutterRules) -> Iterator[Line]:
    limit = rules.max_line_bytes
    for start, content, ended in split_slowly(data, offset, rules):
        state, within = within, ""
        if state == "drop":
            continue
        if len(content) <= limit or rules.long_lines == "split":
            whole = ended and not state and len(content) <= limit
            for begin in range(0, max(len(content), 1), limit):
                last = begin + limit >= len(content)
                piece = content[begin : begin + limit]
                yield Line(start + begin, piece, ended and last, whole)
        elif rules.long_lines == "truncate":
            kept = characters_within(content, start, rules)
            yield Line(start, kept, ended=True, complete=not state, truncated=True)


def text_of(line: bytes, offset: int, rules: CutterRules) -> str:
    part = -offset % rules.unit
    text = "\ufffd" * bool(part) + line[part:].decode(rules.encoding, "replace")
    return text if offset else text.removeprefix("\ufeff")


def strip(line: Line, rules: CutterRules) -> bytes:
    """Without the carriage return of the line end."""
    if line.ended and rules.delimiter == "\n".encode(rules.encoding):
        return line.data.removesuffix("\r".encode(rules.encoding))
    return line.data


def expected_records(lines: list[Line], rules: CutterRules) -> Iterator[list[Line]]:
    """Group lines into records."""
    assert rules.multiline is not None
    record: list[Line] = []
    for line in lines:
        whole = line.complete or not line.ended
        alone = line.truncated or not whole or (line.ended and not line.complete)
        if record:
            last = record[-1]
            size = line.offset + len(line.data) - record[0].offset
            if (
                alone
                or last.offset + len(last.data) + len(rules.delimiter) != line.offset
                or rules.multiline.match(text_of(strip(line, rules), line.offset, rules))
                or len(record) >= rules.max_record_lines
                or size > rules.max_record_bytes
            ):
                yield record
                record = []
        record.append(line)
        if alone:
            yield record
            record = []
    if record:
        yield record


# The inputs.

TEXTS = ["a", "b", "S", " x", "aba", "|", "\n", "\n", "\n", "\r", "\r\n", "\0", "-", "é", "€", "𝄞"]
TEXTS += ["\ufeff", "\u0a0a", "\u0a00", "漢", "字", "ソ"]
JUNK = [b"\n", b"\0", b"\xff", b"\xd8", b"\xd8\x00", b"\x81", b"\xe2\x82", b"0"]
ENCODINGS = ["utf-8", "utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
ENCODINGS += ["gb18030", "shift_jis", "cp037"]
DELIMITERS = [None, None, "\r\n", "\0", "|", "||", "aba", "--", "é", "€a", "\n\n", "\u0a0a"]
PATTERNS = ["S", "[^ ]", "é|漢", r"a$", r"\ufeff?S"]


@st.composite
def rules_and_data(draw: st.DrawFn, *, multiline: bool = False) -> tuple[CutterRules, bytes]:
    encoding = draw(st.sampled_from(ENCODINGS))
    options: dict[str, Any] = {
        "max_line_bytes": draw(st.integers(1, 20)),
        "long_lines": draw(st.sampled_from(["truncate", "split", "skip"])),
    }
    if multiline:
        options["multiline"] = draw(st.sampled_from(PATTERNS))
        options["max_record_lines"] = draw(st.integers(1, 5))
        options["max_line_bytes"] = draw(st.integers(1, 60))
    delimiter = draw(st.sampled_from(DELIMITERS))
    try:
        rules = rules_for(encoding, delimiter, **options)
    except ValueError:  # a delimiter that the encoding does not have
        rules = rules_for(encoding, None, **options)
    texts = [text.encode(rules.encoding, "ignore") for text in TEXTS]
    parts = st.sampled_from([*texts, *[rules.delimiter] * 4])
    if multiline:
        parts |= st.sampled_from([text.encode(rules.encoding) for text in ("S", " ", "aS", "\n")])
    data = draw(st.lists(parts, max_size=60))
    for junk in draw(st.lists(st.sampled_from(JUNK), max_size=2)):
        data.insert(draw(st.integers(0, len(data))), junk)
    return rules, b"".join(data)


SIZES = st.lists(st.integers(1, 50), max_size=60) | st.just([1] * 400)
OFFSETS = st.sampled_from([0, 0, 4, 401])
WITHIN = st.sampled_from(["", "", "piece", "drop"])


def blocks_of(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    begin = 0
    for size in sizes:
        yield data[begin : begin + size]
        begin += size
    yield data[begin:]


def cut(cutter: LineCutter, data: bytes, sizes: list[int]) -> list[Piece]:
    """Feed all of the data; check on the way how much is held."""
    out: list[Piece] = []
    rules = cutter.rules
    bound = rules.max_line_bytes + len(rules.delimiter)
    if rules.multiline is not None:
        bound += rules.max_record_bytes + len(rules.delimiter)
    for block in blocks_of(data, sizes):
        out += cutter.feed(block)
        assert cutter.held_bytes <= bound
        assert cutter.held_offset <= cutter.offset
        assert not out or cutter.held_offset >= out[-1].end
    out += cutter.flush()
    assert cutter.held_bytes == 0
    assert cutter.held_offset == cutter.offset
    return out


def seen(pieces: list[Piece], rules: CutterRules) -> list[tuple[int, bytes, str, bool, bool]]:
    out = []
    for piece in pieces:
        lines = piece.to_lines(rules, path="f")
        assert len(lines) == len(lines.lines())
        entries = list(zip(lines.offsets(), lines.lines(), lines.texts(), strict=True))
        for number, (offset, line, text) in enumerate(entries, 1):
            # Of an incomplete piece, only the last record is unfinished.
            complete = piece.complete or number < len(entries)
            out.append((offset, line, text, complete, piece.truncated))
    return out


def as_seen(lines: list[Line], rules: CutterRules) -> list[tuple[int, bytes, str, bool, bool]]:
    return [
        (
            line.offset,
            strip(line, rules),
            text_of(strip(line, rules), line.offset, rules),
            line.complete,
            line.truncated,
        )
        for line in lines
    ]


BETWEEN_UNITS = rules_for("utf-16-be", "\u0a0a")


# The properties.


@given(both=rules_and_data(), sizes=SIZES, offset=OFFSETS, within=WITHIN)
@example((CutterRules(delimiter=b"||"), b"a|||b"), [1] * 5, 0, "")
@example((CutterRules(delimiter=b"||", max_line_bytes=1), b"a||b||"), [], 0, "")
@example((CutterRules(max_line_bytes=2), b"a\nabc\nb\n"), [], 0, "")
@example((CutterRules(max_line_bytes=2, long_lines="split"), b"abc\n"), [], 4, "piece")
@example((BETWEEN_UNITS, "a\u0a0a\u0a00".encode("utf-16-be")), [], 0, "")
@example((BETWEEN_UNITS, "a\u000a\u0a0ab".encode("utf-16-be")), [], 0, "")
@example((CutterRules(delimiter=b"\r\n", max_line_bytes=2), b"ab\rc\r\n"), [3], 0, "")
@example((CutterRules(delimiter=b"\r\n", max_line_bytes=2), b"ab\r"), [1], 0, "")
def test_wherever_blocks_end_the_lines_are_those_of_the_definition(both, sizes, offset, within):
    rules, data = both
    cutter = LineCutter(rules, offset=offset, within=within)
    pieces = cut(cutter, data, sizes)

    expected = list(expected_lines(data, offset, within, rules))
    assert seen(pieces, rules) == as_seen(expected, rules)
    assert sum(piece.lines for piece in pieces) == sum(line.ended for line in expected)
    assert cutter.offset == offset + len(data)
    long = [
        (start, content)
        for start, content, _ in split_slowly(data, offset, rules)
        if len(content) > rules.max_line_bytes and (start > offset or within != "drop")
    ]
    if rules.long_lines == "split":
        long = [each for each in long if each[0] > offset or not within]
    counts = {
        "truncate": cutter.lines_truncated,
        "split": cutter.lines_split,
        "skip": cutter.lines_skipped,
    }
    assert counts.pop(rules.long_lines) == len(long)
    assert not any(counts.values())


@given(both=rules_and_data() | rules_and_data(multiline=True), sizes=SIZES, offset=OFFSETS)
def test_split_lines_lose_nothing(both, sizes, offset):
    rules, data = both
    rules = replace(rules, long_lines="split")
    pieces = cut(LineCutter(rules, offset=offset), data, sizes)

    assert b"".join(piece.data for piece in pieces) == data
    for piece in pieces:
        assert piece.offset == offset
        offset += len(piece.data)
        assert piece.end == offset


@given(both=rules_and_data() | rules_and_data(multiline=True), sizes=SIZES, offset=OFFSETS)
def test_reading_can_go_on_behind_any_piece(both, sizes, offset):
    rules, data = both
    pieces = cut(LineCutter(rules, offset=offset), data, sizes)

    for number, piece in enumerate(pieces, 1):
        again = LineCutter(rules, offset=piece.end, within=piece.within)
        rest = cut(again, data[piece.end - offset :], [])
        assert seen(rest, rules) == seen(pieces[number:], rules)


@given(both=rules_and_data() | rules_and_data(multiline=True), size=st.integers(0, 200))
def test_reading_can_go_on_at_the_first_byte_that_is_held(both, size):
    rules, data = both
    cutter = LineCutter(rules)
    pieces = cutter.feed(data[:size])
    again = LineCutter(rules, offset=cutter.held_offset, within=cutter.within)
    pieces += cut(again, data[cutter.held_offset :], [])

    assert seen(pieces, rules) == seen(cut(LineCutter(rules), data, []), rules)


@given(both=rules_and_data(multiline=True), sizes=SIZES, offset=OFFSETS)
def test_wherever_blocks_end_the_records_are_those_of_the_definition(both, sizes, offset):
    rules, data = both
    cutter = LineCutter(rules, offset=offset)
    pieces = cut(cutter, data, sizes)

    expected = []
    for record in expected_records(list(expected_lines(data, offset, "", rules)), rules):
        last = record[-1]
        text = b"".join(line.data + rules.delimiter for line in record[:-1]) + last.data
        joined = Line(record[0].offset, text, last.ended, last.complete, last.truncated)
        expected.append(joined)
    found = seen(pieces, rules)
    assert [each[:2] for each in found] == [each[:2] for each in as_seen(expected, rules)]
    assert [each[3:] for each in found] == [each[3:] for each in as_seen(expected, rules)]


@given(both=rules_and_data(multiline=True), sizes=SIZES, times=st.lists(st.booleans()))
def test_a_record_that_is_not_waited_for_loses_nothing(both, sizes, times):
    rules, data = both
    rules = replace(rules, long_lines="split")
    cutter = LineCutter(rules)
    out: list[Piece] = []
    for block in blocks_of(data, sizes):
        out += cutter.feed(block)
        if times and times.pop():
            out += cutter.flush_record()
            assert cutter.held_bytes <= rules.max_line_bytes + len(rules.delimiter)
    out += cutter.flush()

    assert b"".join(piece.data for piece in out) == data
    lines = list(expected_lines(data, 0, "", rules))
    assert sum(piece.lines for piece in out) == sum(line.ended for line in lines)
    assert {offset for offset, *_ in seen(out, rules)} <= {line.offset for line in lines}


# Examples.


def cut_all(data: bytes, *, step: int = 1 << 20, **options: Any) -> list[Piece]:
    cutter = LineCutter(rules_for(**options))
    return cut(cutter, data, [step] * (len(data) // step))


def test_a_block_that_ends_with_a_line_is_not_copied():
    block = b"one\ntwo\n"
    (piece,) = LineCutter(rules_for()).feed(block)

    assert piece == Piece(0, 8, block, 2)
    assert piece.data is block


def test_an_unfinished_last_line_is_held_until_its_end_arrives():
    cutter = LineCutter(rules_for(), offset=100)

    assert cutter.feed(b"one\ntw") == [Piece(100, 104, b"one\n", 1)]
    assert (cutter.offset, cutter.held_offset, cutter.held_bytes) == (106, 104, 2)
    assert cutter.feed(b"") == []
    assert cutter.feed(b"o\nthree") == [Piece(104, 108, b"two\n", 1)]
    assert cutter.flush() == [Piece(108, 113, b"three", 0, complete=False, within="piece")]
    assert cutter.flush() == []
    assert cutter.within == "piece"
    assert cutter.feed(b"!\nfour\n") == [
        Piece(113, 115, b"!\n", 1, complete=False),
        Piece(115, 120, b"four\n", 1),
    ]


def test_a_line_of_exactly_the_limit_stays_whole():
    (piece,) = cut_all(b"x" * LIMIT + b"\r\n", max_line_bytes=LIMIT, delimiter="\r\n")

    assert piece == Piece(0, 10, b"x" * LIMIT + b"\r\n", 1)


def test_a_long_line_is_truncated_and_its_file_goes_on():
    cutter = LineCutter(rules_for(max_line_bytes=LIMIT))

    assert cutter.feed(b"a\n" + b"x" * 20 + b"\nb\n") == [
        Piece(0, 2, b"a\n", 1),
        Piece(2, 23, b"x" * LIMIT + b"\n", 1, truncated=True),
        Piece(23, 25, b"b\n", 1),
    ]
    assert cutter.lines_truncated == 1


def test_a_line_that_never_ends_is_truncated_before_its_end():
    cutter = LineCutter(rules_for(max_line_bytes=LIMIT))
    (piece,) = cutter.feed(b"x" * 20)

    assert piece == Piece(0, 20, b"x" * LIMIT + b"\n", 1, truncated=True, within="drop")
    for _ in range(3):
        assert cutter.feed(b"x" * 1_000) == []
        assert cutter.held_bytes == 0
    assert (cutter.held_offset, cutter.within) == (3_020, "drop")
    assert cutter.flush() == []
    assert cutter.feed(b"x\nb\n") == [Piece(3_022, 3_024, b"b\n", 1)]


def test_a_long_line_is_skipped_and_the_position_moves_with_the_next_piece():
    cutter = LineCutter(rules_for(max_line_bytes=LIMIT, long_lines="skip"))

    assert cutter.feed(b"x" * 20 + b"\nb\n") == [Piece(21, 23, b"b\n", 1)]
    assert cutter.feed(b"x" * 20 + b"\n") == []
    assert (cutter.held_offset, cutter.within) == (44, "")
    assert cutter.lines_skipped == 2


def test_a_long_line_is_split():
    cutter = LineCutter(rules_for(max_line_bytes=LIMIT, long_lines="split"))

    assert cutter.feed(b"x" * 20 + b"\nb\n") == [
        Piece(0, 8, b"x" * 8, 0, complete=False, within="piece"),
        Piece(8, 16, b"x" * 8, 0, complete=False, within="piece"),
        Piece(16, 21, b"x" * 4 + b"\n", 1, complete=False),
        Piece(21, 23, b"b\n", 1),
    ]
    assert cutter.lines_split == 1


@pytest.mark.parametrize(
    ("encoding", "limit", "kept"),
    [
        ("utf-8", 5, "a€"),
        ("utf-8", 7, "a€é"),
        ("utf-8", 9, "a€é"),
        ("utf-8", 10, "a€é𝄞"),
        ("utf-16-le", 7, "a€é"),
        ("utf-16-be", 8, "a€é"),
        ("utf-16-be", 10, "a€é𝄞"),
        ("utf-32-le", 15, "a€é"),
        ("gb18030", 3, "a€"),
        ("gb18030", 8, "a€é"),
    ],
)
def test_a_line_is_truncated_between_characters(encoding: str, limit: int, kept: str):
    text = "a€é𝄞" + 20 * "x" + "\nb\n"
    first, second = cut_all(text.encode(encoding), encoding=encoding, max_line_bytes=limit)

    assert first.data == f"{kept}\n".encode(encoding)
    assert second.data == "b\n".encode(encoding)


def test_the_rest_of_a_line_comes_as_a_piece_or_is_dropped():
    data = b"rest\nb\n"

    assert LineCutter(rules_for(), offset=3, within="piece").feed(data) == [
        Piece(3, 8, b"rest\n", 1, complete=False),
        Piece(8, 10, b"b\n", 1),
    ]
    assert LineCutter(rules_for(), offset=3, within="drop").feed(data) == [Piece(8, 10, b"b\n", 1)]


class Searched(bytes):
    """Counts the searches in it."""

    searches = 0

    def find(self, *args: Any) -> int:
        self.searches += 1
        return super().find(*args)

    def rfind(self, *args: Any) -> int:
        self.searches += 1
        return super().rfind(*args)


def test_a_block_is_not_searched_for_each_line():
    block = Searched((b"x" * 199 + b"\n") * 5_000 + b"x")
    (piece,) = LineCutter(rules_for(max_line_bytes=100_000)).feed(block)

    assert piece.lines == 5_000
    assert block.searches <= 1 + 1 + len(block) // 99_000


def test_limits_can_change_while_a_line_is_held():
    cutter = LineCutter(rules_for())
    cutter.feed(b"x" * 20)
    cutter.change_limits(rules_for(max_line_bytes=LIMIT, long_lines="split"))

    assert [piece.data for piece in cutter.feed(b"x\n")] == [b"x" * 8, b"x" * 8, b"x" * 5 + b"\n"]
    with pytest.raises(ValueError, match="make another one"):
        cutter.change_limits(rules_for("utf-16"))


def lines_of(piece: Piece, rules: CutterRules) -> Lines:
    return piece.to_lines(rules, path="f", file_id="id", generation=3)


def test_a_piece_becomes_the_data_of_an_event():
    rules = rules_for("utf-16-be", max_line_bytes=4)
    (piece,) = LineCutter(rules, offset=10).feed("abcdef\n".encode("utf-16-be"))

    lines = lines_of(piece, rules)
    assert lines == Lines(
        path="f",
        offset=10,
        data="ab\n".encode("utf-16-be"),
        file_id="id",
        generation=3,
        delimiter=b"\0\n",
        encoding="utf-16-be",
        truncated=True,
    )
    assert lines.count == 1


TRACE = b"SEVERE: a\n  at b\n  at c\nSEVERE: d\nSEVERE: e\n  at f\n"


def test_lines_that_go_on_belong_to_the_record_before():
    rules = rules_for(multiline="SEVERE")
    cutter = LineCutter(rules)
    (records,) = cutter.feed(TRACE)

    assert records == Piece(0, 34, TRACE[:34], 4, starts=(0, 24))
    assert lines_of(records, rules).lines() == [b"SEVERE: a\n  at b\n  at c", b"SEVERE: d"]
    assert lines_of(records, rules).offsets() == [0, 24]
    assert lines_of(records, rules).count == 2
    assert (cutter.held_offset, cutter.held_bytes, cutter.within) == (34, 17, "")
    assert cutter.flush() == [Piece(34, 51, TRACE[34:], 2, starts=(0,))]


def test_lines_before_the_first_start_are_a_record():
    (first,) = LineCutter(rules_for(multiline="S")).feed(b" a\n b\nS\n")

    assert first == Piece(0, 6, b" a\n b\n", 2, starts=(0,))


def test_after_its_time_a_record_comes_without_its_unfinished_line():
    cutter = LineCutter(rules_for(multiline="S"))
    assert cutter.feed(b"S\n a\n b") == []

    assert cutter.flush_record() == [Piece(0, 5, b"S\n a\n", 2, starts=(0,))]
    assert cutter.flush_record() == []
    assert (cutter.held_offset, cutter.held_bytes) == (5, 2)
    assert cutter.feed(b"\nS\n") == [Piece(5, 8, b" b\n", 1, starts=(0,))]
    assert LineCutter(rules_for()).flush_record() == []


def test_an_unfinished_line_at_the_end_belongs_to_its_record():
    cutter = LineCutter(rules_for(multiline="S"))
    assert cutter.feed(b"S\n a") == []
    (record,) = cutter.flush()

    assert record == Piece(0, 4, b"S\n a", 1, complete=False, starts=(0,), within="piece")


def test_a_record_that_reaches_a_limit_goes_on_as_another_one():
    cutter = LineCutter(rules_for(multiline="S", max_record_lines=2))
    (records,) = cutter.feed(b"S\n a\n b\n c\n d\nS\n")
    assert records.starts == (0, 5, 11)
    assert cutter.records_cut == 2

    cutter = LineCutter(rules_for(multiline="S", max_line_bytes=7))
    (records,) = cutter.feed(b"S\n 1234\n 5\nS\n")
    assert records.starts == (0, 8)
    assert cutter.records_cut == 1


def test_records_that_end_at_a_limit_by_themselves_are_not_counted():
    cutter = LineCutter(rules_for(multiline="S", max_record_lines=2))
    cutter.feed(b"S\n a\nS\n b\nS\n")

    assert cutter.records_cut == 0


def test_a_truncated_line_is_a_record_of_its_own():
    cutter = LineCutter(rules_for(multiline="S", max_line_bytes=LIMIT))

    assert cutter.feed(b"S\n " + b"x" * 20 + b"\n a\nS\n") == [
        Piece(0, 2, b"S\n", 1, starts=(0,)),
        Piece(2, 24, b" xxxxxxx\n", 1, truncated=True),
        Piece(24, 27, b" a\n", 1, starts=(0,)),
    ]


def test_a_line_begins_a_record_only_if_it_matches_at_its_beginning():
    assert LineCutter(rules_for(multiline="S")).feed(b"S\n S\n") == []


def test_a_record_does_not_go_on_behind_a_skipped_line():
    options: dict[str, Any] = {"multiline": "S", "max_line_bytes": LIMIT, "long_lines": "skip"}
    cutter = LineCutter(rules_for(**options))
    data = b"S\n" + b"x" * 20

    assert cutter.feed(data) == []
    assert (cutter.held_offset, cutter.within) == (0, "")
    assert cutter.feed(b"\n a\nS\n") == [
        Piece(0, 2, b"S\n", 1, starts=(0,)),
        Piece(23, 26, b" a\n", 1, starts=(0,)),
    ]
    cutter = LineCutter(rules_for(**options))
    cutter.feed(data + b"\n a")
    assert [piece.offset for piece in cutter.flush()] == [0, 23]
    assert cutter.records_cut == 0


def test_a_delimiter_that_never_came_to_its_end_counts_for_the_limit():
    options: dict[str, Any] = {"multiline": "S", "max_line_bytes": 2, "delimiter": "\r\n"}
    cutter = LineCutter(rules_for(**options, long_lines="split"))
    cutter.feed(b"S\r\nab\r")
    assert cutter.held_bytes == 6
    assert [piece.data for piece in cutter.flush()] == [b"S\r\n", b"ab", b"\r"]

    cutter = LineCutter(rules_for(**options))
    cutter.feed(b"S\r\nab\r")
    assert [piece.data for piece in cutter.flush()] == [b"S\r\n", b"ab\r\n"]
    assert cutter.records_cut == 0


def test_limits_of_records_can_change():
    cutter = LineCutter(rules_for(multiline="S"))
    cutter.change_limits(rules_for(multiline="S", max_record_lines=1))

    (records,) = cutter.feed(b"S\n a\n b\n")
    assert records.starts == (0, 2)


def test_a_pattern_sees_the_text_without_byte_order_mark_and_carriage_return():
    data = "\ufeffS\r\n a\r\nS\r\n".encode("utf-16-le")
    cutter = LineCutter(rules_for("utf-16", multiline=r"S$", head=data[:4]))
    (record,) = cutter.feed(data)

    assert record.data.decode("utf-16-le") == "\ufeffS\r\n a\r\n"
