from __future__ import annotations

import pytest

from zenactors.core.tokens import OpenTokens, Token, TokenOutcome


def token(owner: int, *, parent: Token | None = None, since: float = 0.0) -> Token:
    return Token(owner, 1, lambda outcome: None, parent, since)


def test_the_oldest_is_that_of_all_owners() -> None:
    tokens = OpenTokens()
    assert (tokens.count(), tokens.oldest()) == (0, None)
    first, second = token(1, since=3.0), token(0, since=5.0)
    tokens.add(first)
    tokens.add(second)
    assert (tokens.count(), tokens.oldest()) == (2, 3.0)
    tokens.end(first, TokenOutcome.DONE)
    assert (tokens.count(), tokens.oldest()) == (1, 5.0)


def test_a_component_that_is_torn_down_takes_only_its_own_tokens_with_it() -> None:
    tokens = OpenTokens()
    outer = token(0)
    inner, other = token(0, parent=outer), token(1, parent=outer)
    for each in (outer, inner, other):
        tokens.add(each)

    assert tokens.fail_those_of(0) == [outer, inner]
    assert outer.outcome is inner.outcome is TokenOutcome.LEFT
    assert tokens.count() == 1
    tokens.end(other, TokenOutcome.DONE)
    tokens.end(inner, TokenOutcome.DONE)  # too late
    assert tokens.finished == [other]
    assert tokens.fail_those_of(0) == []


def test_a_token_of_another_component_leaves_the_one_that_it_is_a_part_of() -> None:
    tokens = OpenTokens()
    outer = token(0)
    inner = token(1, parent=outer)
    for each in (outer, inner):
        tokens.add(each)
    tokens.end(outer, TokenOutcome.DONE)  # its own event has ended

    assert tokens.fail_those_of(1) == [inner]
    assert tokens.finished == [outer]
    assert outer.outcome is TokenOutcome.LEFT


@pytest.mark.parametrize("first", TokenOutcome)
@pytest.mark.parametrize("second", TokenOutcome)
def test_the_worst_outcome_counts_in_whatever_order_they_come(
    first: TokenOutcome, second: TokenOutcome
) -> None:
    tokens = OpenTokens()
    tokens.add(outer := token(0))
    tokens.add(inner := token(1, parent=outer))
    tokens.end(inner, first)
    tokens.end(outer, second)

    severity = list(TokenOutcome)
    assert tokens.finished == [inner, outer]
    assert outer.outcome is max(first, second, key=severity.index)


def test_an_event_that_was_left_outweighs_how_its_report_calls_it() -> None:
    tokens = OpenTokens()
    tokens.add(event := token(0))
    event.is_left = True
    tokens.end(event, TokenOutcome.FAILED)
    assert event.outcome is TokenOutcome.LEFT
