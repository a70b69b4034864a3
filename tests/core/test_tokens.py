from __future__ import annotations

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
    assert outer.outcome is inner.outcome is TokenOutcome.FAILED
    assert tokens.count() == 1
    tokens.end(other, TokenOutcome.DONE)
    tokens.end(inner, TokenOutcome.DONE)  # too late
    assert tokens.finished == [other]
    assert tokens.fail_those_of(0) == []


def test_a_token_of_another_component_fails_the_one_that_it_is_a_part_of() -> None:
    tokens = OpenTokens()
    outer = token(0)
    inner = token(1, parent=outer)
    for each in (outer, inner):
        tokens.add(each)
    tokens.end(outer, TokenOutcome.DONE)  # its own event has ended

    assert tokens.fail_those_of(1) == [inner]
    assert tokens.finished == [outer]
    assert outer.outcome is TokenOutcome.FAILED
