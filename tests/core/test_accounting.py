from __future__ import annotations

import dataclasses

import pytest

from zenactors.core.accounting import Accounting, BestEffortCounts, ComponentCounts, Counts

WHOLE = Counts(
    accepted=1234,
    completed=1200,
    stopped=10,
    dead=3,
    waiting=15,
    in_flight=4,
    left=1,
    cancelled=1,
)


def test_counts_are_balanced_if_each_event_is_in_one_place() -> None:
    assert WHOLE.is_balanced
    assert (WHOLE.pending, WHOLE.ended) == (19, 1215)
    assert Counts().is_balanced
    assert (WHOLE + WHOLE).is_balanced
    assert (WHOLE + WHOLE).accepted == 2468


@pytest.mark.parametrize(
    "field",
    [field.name for field in dataclasses.fields(Counts) if field.name != "lost"],
)
@pytest.mark.parametrize("change", [-1, 1])
def test_each_count_is_part_of_the_balance(field: str, change: int) -> None:
    off = dataclasses.replace(WHOLE, **{field: getattr(WHOLE, field) + change})
    assert not off.is_balanced
    missing = change if field == "accepted" else -change
    assert f"+ {missing} unaccounted for" in str(off)


def test_a_negative_count_does_not_hide_behind_another() -> None:
    assert not Counts(accepted=1, completed=2, in_flight=-1).is_balanced


def test_counts_are_one_line_without_what_is_zero() -> None:
    assert str(WHOLE) == (
        "1,234 accepted = 1,200 completed + 10 stopped + 3 dead + 1 left + 1 cancelled"
        " + 15 waiting + 4 in flight"
    )
    assert str(Counts(accepted=2, completed=2)) == "2 accepted = 2 completed"
    assert str(Counts()) == "0 accepted = 0"


def test_books_name_the_first_event_that_does_not_add_up() -> None:
    books = Accounting({"x": WHOLE, "y": Counts(accepted=1), "z": Counts(dead=1)}, {})
    assert not books.is_balanced
    assert books.imbalance() == ("events 'y' do not add up: 1 accepted = 0 + 1 unaccounted for")
    assert Accounting({"x": WHOLE}, {}).imbalance() == ""


def test_an_imbalance_of_two_chains_that_offset_each_other_is_one() -> None:
    books = Accounting({"x": Counts(accepted=1), "y": Counts(completed=1)}, {})
    assert books.total.is_balanced
    assert not books.is_balanced


def test_books_are_a_text_for_people() -> None:
    books = Accounting(
        {"x": Counts(2, completed=2), "y": Counts(1, dead=1)},
        {"sink": ComponentCounts(handled=3, failed=1, restarts=1)},
        open_tokens=2,
        oldest_token=61.25,
    )
    assert str(books).splitlines() == [
        "all events: 3 accepted = 2 completed + 1 dead",
        "  x: 2 accepted = 2 completed",
        "  y: 1 accepted = 1 dead",
        "sink: 3 handled, 1 failed, 1 restarts",
        "open tokens: 2, the oldest 61.2 s",
    ]


def test_what_best_effort_components_lose_is_apart_from_the_balance() -> None:
    counts = Counts(3, 3, lost=2)
    assert counts.is_balanced
    assert str(counts) == "3 accepted = 3 completed; 2 lost by best effort"
    copies = BestEffortCounts(offered=10, handled=3, failed=1, left=1, lost=2)
    assert copies.pending == 3
    assert str(copies) == "10 offered = 3 handled + 1 failed + 1 left + 2 lost + 3 pending"
    assert (copies + copies).pending == 6
    books = Accounting({"x": counts}, {}, best_effort={"tap": copies})
    assert books.is_balanced
    assert str(books).splitlines()[-1] == f"tap, best effort: {copies}"
    more = dataclasses.replace(copies, handled=7)
    assert "tap" in Accounting({}, {}, best_effort={"tap": more}).imbalance()
