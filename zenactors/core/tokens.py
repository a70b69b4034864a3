"""Completion tokens: when are an event, and everything that came of it, done? Pure decisions.

A token counts the unfinished events that carry it. Only the thread that holds the dispatcher's
state counts, so an event's children count before the event itself is done, and a token ends once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any


class TokenOutcome(enum.Enum):
    """How an event ended, with everything that came of it. The worst of them counts."""

    DONE = "done"
    """Each was handled by its whole chain, or ended by a callback's FLAG_STOP."""

    FAILED = "failed"
    """One of them became a dead letter, was cancelled, or was left undone."""


OnDone = Callable[[TokenOutcome], Any]

ENDED = -1


class Token:
    """What an event and all events that came of it have in common.

    Attributes:
        owner: The index of the component that wants to know of the end.
        incarnation: Which of its incarnations.
        on_done: Called in that component's thread, with the outcome.
        parent: The token of the event during whose callback this one was made, or None.
        since: When it was made, on the monotonic clock.
        pending: How many unfinished events, holds and tokens it waits for; `ENDED` once it has
            ended, for good.
        outcome: The worst outcome so far.

    Thread: the one that holds the dispatcher's state, except `__init__`.
    """

    __slots__ = ("incarnation", "on_done", "outcome", "owner", "parent", "pending", "since")

    def __init__(
        self, owner: int, incarnation: int, on_done: OnDone, parent: Token | None, since: float
    ) -> None:
        self.owner = owner
        self.incarnation = incarnation
        self.on_done = on_done
        self.parent = parent
        self.since = since
        self.pending = 0
        self.outcome = TokenOutcome.DONE


class Tracked:
    """The args of an event that carries a token, on its way."""

    __slots__ = ("args", "token")

    def __init__(self, args: Any, token: Token) -> None:
        self.args = args
        self.token = token


def by_owner(tokens: Iterable[Token]) -> dict[int, list[Token]]:
    """Return the tokens of each component, in their order."""
    owners: dict[int, list[Token]] = {}
    for token in tokens:
        owners.setdefault(token.owner, []).append(token)
    return owners


class OpenTokens:
    """The tokens that have not ended.

    Attributes:
        finished: The tokens that have ended. The holder tells their owners, and empties it.
        telling: How many components have yet to take in what they were told: their callbacks may
            schedule more.

    Thread: the one that holds the dispatcher's state.
    """

    def __init__(self) -> None:
        self.finished: list[Token] = []
        self.telling = 0
        # By owner, so that a stop looks at each token once; of an owner, the oldest first.
        self._open: dict[int, dict[Token, None]] = {}
        self._closed: set[int] = set()

    def add(self, token: Token) -> None:
        """Count one more unfinished event, or hold."""
        if token.pending == ENDED or token.owner in self._closed:
            return  # a stop, or a late hold: nothing more counts
        if not token.pending:
            self._open.setdefault(token.owner, {})[token] = None
            if token.parent is not None:
                self.add(token.parent)
        token.pending += 1

    def end(self, token: Token, outcome: TokenOutcome) -> None:
        """Note that an event, or a hold, has ended."""
        if outcome is TokenOutcome.FAILED and token.pending != ENDED:
            token.outcome = outcome
        self.end_done((token,))

    def end_done(self, tokens: Iterable[Token]) -> None:
        """Note that events of these tokens are done; of a token as often as it is in there."""
        for token in tokens:
            pending = token.pending
            if pending > 1:
                token.pending = pending - 1
            elif pending == 1:
                self._finish(token)
            # Otherwise it was ended by a stop.

    def _finish(self, token: Token) -> None:
        token.pending = ENDED
        del self._open[token.owner][token]
        self.finished.append(token)
        if token.parent is not None:
            self.end(token.parent, token.outcome)

    def fail_those_of(self, owner: int) -> list[Token]:
        """End the open tokens of a component as failed. Return them, the oldest first.

        It is about to be torn down: what has not come by now does not come.
        """
        left = list(self._open.pop(owner, ()))
        for token in left:
            token.pending = ENDED
            token.outcome = TokenOutcome.FAILED
            if token.parent is not None:
                self.end(token.parent, TokenOutcome.FAILED)
        return left

    def close(self, owner: int) -> list[Token]:
        """End the open tokens of a component as failed, and from now on open none. Return them.

        It is being torn down, and hears of no other.
        """
        self._closed.add(owner)
        return self.fail_those_of(owner)

    def count(self) -> int:
        """Return how many tokens are open."""
        return sum(map(len, self._open.values()))

    def oldest(self) -> float | None:
        """Return when the oldest open token was made, on the monotonic clock; None if none is."""
        return min((next(iter(each)).since for each in self._open.values() if each), default=None)
