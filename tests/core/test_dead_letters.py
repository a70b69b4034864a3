from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from zenactors.core.dead_letters import DeadLetter, Traceback, let_go_of_frames
from zenactors.core.repetition import LOGGED, SUMMARY_INTERVAL, Summaries
from zenactors.core.tokens import Token


class Thing:
    """Something that a frame holds."""


def raised(raiser: Any) -> tuple[BaseException, weakref.ref[Thing]]:
    """Return an exception whose frames hold a thing, and a reference to that."""

    def call() -> weakref.ref[Thing]:
        thing = Thing()
        reference = weakref.ref(thing)
        references.append(reference)
        raiser(thing)
        return reference

    references: list[weakref.ref[Thing]] = []
    try:
        call()
    except BaseException as cause:
        return cause, references[0]
    raise AssertionError("it did not raise")


def fail(_thing: Thing) -> None:
    raise LookupError("gone")


def fail_twice(thing: Thing) -> None:
    try:
        fail(thing)
    except LookupError as cause:
        raise ValueError("wrapped") from cause


def fail_in_handler(thing: Thing) -> None:
    try:
        fail(thing)
    except LookupError:
        raise ValueError("second")  # noqa: B904 - the context is what is tested


def fail_as_a_group(thing: Thing) -> None:
    try:
        fail(thing)
    except LookupError as cause:
        raise ExceptionGroup("several", [cause]) from None


def fail_on_an_attribute(thing: Thing) -> None:
    thing.missing  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize(
    "raiser", [fail, fail_twice, fail_in_handler, fail_as_a_group, fail_on_an_attribute]
)
def test_a_cause_that_was_let_go_of_keeps_nothing_of_its_frames(raiser: Any) -> None:
    cause, reference = raised(raiser)
    trace = Traceback(cause)
    gc.collect()
    assert reference() is not None  # the frames do keep it
    let_go_of_frames(cause)
    gc.collect()
    assert reference() is None
    assert raiser.__name__ in str(trace)
    assert "Traceback" in str(trace)


def test_a_chain_of_causes_that_is_a_ring_has_an_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    let_go_of_frames(first)
    assert "first" in str(Traceback(first))


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class HostileError(Exception):
    """Raises whenever its machinery is looked at."""

    @property
    def __cause__(self) -> Any:
        raise RuntimeError("no")

    @__cause__.setter
    def __cause__(self, _value: Any) -> None:
        raise RuntimeError("no")

    __context__ = __traceback__ = __cause__


class HostileGroup(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        raise RuntimeError("no")


def test_an_exception_that_cannot_be_looked_at_is_let_go_of_nevertheless() -> None:
    for hostile in (HostileError(), HostileGroup("several", [ValueError()])):
        cause, thing = raised(fail)
        cause.__context__ = hostile
        let_go_of_frames(hostile)
        let_go_of_frames(cause)
        gc.collect()
        assert thing() is None


def test_an_exception_without_a_text_has_a_traceback_nevertheless() -> None:
    cause = UnspeakableError()
    letter = DeadLetter("x", 1, "c", "cbk", cause).kept(1, 5.0)
    assert "UnspeakableError" in letter.traceback
    assert letter.cause_text == "UnspeakableError: its text raises RuntimeError"


def test_a_letter_that_is_kept_has_a_date_a_number_and_an_identity() -> None:
    letter = DeadLetter("x", 1, "c", "cbk", ValueError("no")).kept(7, 1_000.5)
    assert (letter.first, letter.last, letter.number) == (1_000.5, 1_000.5, 7)
    assert letter.id == "f4434-7"
    again = letter.kept(9, 2_000.0)
    assert (again.first, again.last, again.number, again.id) == (1_000.5, 2_000.0, 9, "f4434-7")


def test_ten_are_logged_and_then_one_line_sums_up_five_minutes() -> None:
    summaries = Summaries()
    assert [summaries.add("c", 0.0) for _ in range(LOGGED)] == [(n, 1) for n in range(1, 11)]
    assert summaries.add("other", 0.0) == (1, 1)
    assert [summaries.add("c", SUMMARY_INTERVAL - 1)[1] for _ in range(5)] == [0] * 5
    assert summaries.add("c", SUMMARY_INTERVAL) == (16, 6)
    assert summaries.add("c", SUMMARY_INTERVAL + 1) == (17, 0)
    assert summaries.add("c", 2 * SUMMARY_INTERVAL) == (18, 2)


def test_the_nearest_position_counts() -> None:
    first = Token(0, 1, print, None, 0.0, position=17)
    second = Token(0, 1, print, first, 0.0)
    third = Token(0, 1, print, second, 0.0, position={"line": 3})
    assert (first.source_position(), second.source_position()) == (17, 17)
    assert third.source_position() == {"line": 3}
    assert Token(0, 1, print, None, 0.0).source_position() is None
