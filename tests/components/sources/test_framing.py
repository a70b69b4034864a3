"""Cutting a stream into messages: the same messages wherever it is cut, in bounded memory."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zenactors.components.sources._framing import Framer, FramingError, cut_datagram


def cut(framing, chunks, max_bytes=100, long_lines="truncate"):
    framer = Framer(framing, max_bytes, long_lines)
    messages = [message for chunk in chunks for message in framer.feed(chunk)]
    return messages, framer.finish(), framer.long


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("split", [lambda data: [data], one_by_one])
@pytest.mark.parametrize(
    ("framing", "data", "messages", "rest"),
    [
        ("line", b"a\nb\r\n\nc", [b"a", b"b", b""], b"c"),
        ("line", b"a\r", [], b"a"),
        ("octet", b"3 a\nb5 hello12 ", [b"a\nb", b"hello"], None),
        ("octet", b"3 abc\n4 defg\n9 cut", [b"abc", b"defg"], b"cut"),
        ("auto", b"<1>line\n5 <2>ab<3>end\n", [b"<1>line", b"<2>ab", b"<3>end"], None),
        ("auto", b"2 ab0 is no length\n12345678901 neither\n", [b"ab", *(
            b"0 is no length", b"12345678901 neither")], None),
        ("auto", b"12x\n", [b"12x"], None),
        ("auto", b"12", [], b"12"),
    ],
)  # fmt: skip
def test_messages_are_the_same_however_they_come(split, framing, data, messages, rest):
    assert cut(framing, split(data)) == (messages, rest, 0)


@pytest.mark.parametrize("split", [lambda data: [data], one_by_one])
@pytest.mark.parametrize(
    ("framing", "data"),
    [("line", b"0123456789\nok\r\n0123456\r\n"), ("octet", b"10 01234567892 ok7 0123456")],
)
def test_a_long_message_is_cut_or_left_out(split, framing, data):
    assert cut(framing, split(data), 7) == ([b"0123456", b"ok", b"0123456"], None, 1)
    assert cut(framing, split(data), 7, "skip") == ([b"ok", b"0123456"], None, 1)


@pytest.mark.parametrize("data", [b"x", b" 5", b"0 ", b"5\nabc", b"12345678901 ", b"1 a<2>"])
def test_what_has_no_length_is_an_error(data):
    with pytest.raises(FramingError):
        cut("octet", [data])


def test_the_messages_before_an_error_are_kept():
    with pytest.raises(FramingError) as raised:
        cut("octet", [b"2 ok3 yes?"])
    assert raised.value.messages == [b"ok", b"yes"]


@pytest.mark.parametrize("framing", ["line", "octet", "auto"])
@pytest.mark.parametrize("long_lines", ["truncate", "skip"])
def test_a_message_of_any_length_needs_bounded_memory(framing, long_lines):
    framer = Framer(framing, 1000, long_lines)
    chunk = bytes(65_536)
    framer.feed(b"1000000000 " if framing == "octet" else b"a")
    tracemalloc.start()
    try:
        for _ in range(200):
            assert framer.feed(chunk) == []
            assert framer.buffered <= 1001
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert framer.long == 1


@given(
    st.sampled_from(["line", "octet", "auto"]),
    st.sampled_from(["truncate", "skip"]),
    st.binary(max_size=200) | st.text("0129 \n\r<a", max_size=200).map(str.encode),
    st.lists(st.integers(0, 200), max_size=5),
    st.integers(1, 20),
)
@example("line", "truncate", b"\r02a\r", [], 1)
@example("auto", "truncate", b"9 <\n\n0a09\r\r", [], 2)
@example("line", "truncate", b"9\r<9\r9a0\n1", [], 2)
def test_random_bytes_give_the_same_messages_however_they_come(
    framing, long_lines, data, cuts, max_bytes
):
    places = sorted({0, len(data), *(each for each in cuts if each < len(data))})
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    found = []
    for split in ([data], chunks, one_by_one(data)):
        try:
            found.append(cut(framing, split, max_bytes, long_lines))
        except FramingError as error:
            found.append(error.args)
    assert found[0] == found[1] == found[2]
    if isinstance(found[0][0], list):
        assert all(len(message) <= max_bytes for message in found[0][0])


@pytest.mark.parametrize(
    ("framing", "data", "expected"),
    [
        ("line", b"a\nb\n", ([b"a", b"b"], 0)),
        ("line", b"a\nb", ([b"a", b"b"], 0)),
        ("line", b"a\r\n", ([b"a"], 0)),
        ("auto", b"a\nb\n", ([b"a\nb"], 0)),
        ("octet", b"5 a", ([b"5 a"], 0)),
        ("line", b"", ([], 0)),
        ("line", b"0123456789", ([b"0123456"], 1)),
        ("line", b"0123456789\nb", ([b"0123456", b"b"], 1)),
    ],
)
def test_a_datagram_has_lines_or_is_one_message(framing, data, expected):
    assert cut_datagram(data, framing, 7, "truncate") == expected
