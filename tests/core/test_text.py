from __future__ import annotations

import pytest

from zenactors.core.text import MAX_REPR, format_error, printable, short_repr


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no repr")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("é and 日本", "é and 日本"),
        ("\x1b[2J", "\\x1b[2J"),  # clears a terminal
        ("\x9b2J", "\\x9b2J"),  # the same in one byte of Latin-1
        ("a\nb\tc\x00", "a\\nb\\tc\\x00"),
        ("a\u2028b\u202ec", "a\\u2028b\\u202ec"),  # a new line, and text from right to left
        ("\udc80", "\\udc80"),
    ],
)
def test_a_terminal_gets_no_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_repr_is_cut() -> None:
    assert short_repr("x" * 10) == repr("x" * 10)
    assert short_repr("x" * MAX_REPR) == "'" + "x" * (MAX_REPR - 1) + "…"


def test_a_repr_that_raises_is_named() -> None:
    assert short_repr(Unprintable()) == "<Unprintable whose repr raises ValueError>"


def test_an_error_is_its_class_and_its_text() -> None:
    assert format_error(KeyError("a")) == "KeyError: 'a'"
