"""Completion tokens: when are an event, and everything that came of it, done? Pure decisions.

A token counts the unfinished events that carry it. Only the thread that holds the dispatcher's
state counts, so an event's children count before the event itself is done, and a token ends once.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

from zenactors.core.dead_letters import DeadLetter


class TokenOutcome(enum.Enum):
    """How an event ended, with everything that came of it. The worst of them counts."""

    DONE = "done"
    """Each was handled by its whole chain, or ended by a callback's FLAG_STOP."""

    FAILED = "failed"
    """One of them became a dead letter or was cancelled, or a sink has failed its hold on it."""

    LEFT = "left"
    """One of them was left undone, and no dead letter has it: the source should send it again.

    The daemon stops; a callback has ended it (`SystemExit`); or a component had a hold on the event
    when it was made anew.
    """


OnDone = Callable[[TokenOutcome], Any]

_SEVERITY = {each: number for number, each in enumerate(TokenOutcome)}


class Origin(NamedTuple):
    """Where a source has read an event: the `position` of one that sinks are to know again.

    After a crash the source hands on again what was not done. A sink that keeps, with its data,
    which ranges it has applied leaves those out. All places are lists of whole numbers.

    Attributes:
        event: The event that has this origin. What a component schedules meanwhile has none.
        path: The way here: that of the source, and of each component that has sent it on.
        key: Which of the source's positions it is.
        begin: Where it begins.
        end: Where it ends; the next one begins there, or later.
        floor: The source hands on nothing again that ends here, or earlier.
        position: The source's own form of `end`.
    """

    event: Any
    path: str
    key: str
    begin: list[int]
    end: list[int]
    floor: list[int]
    position: Any

    def through(self, name: str, event: Any) -> Origin:
        """Return the origin of the only event of this name that a component makes of this one."""
        return self._replace(event=event, path=f"{self.path}/{path_of(name)}:{event}")


def path_of(source: str) -> str:
    """Return the path of events that come from a source directly; it has no slash."""
    return source.replace("%", "%25").replace("/", "%2F")


_NO_EVENT = object()  # the event of an origin that no event has

ENDED = -1
ANY_INCARNATION = 0


class Token:
    """What an event and all events that came of it have in common.

    Attributes:
        owner: The index of the component that wants to know of the end.
        incarnation: Which of its incarnations.
        on_done: Called in that component's thread, with the outcome.
        parent: The token of the event during whose callback this one was made, or None.
        position: Where the source has read the event, for its dead letter, or its `Origin`; None:
            it did not say.
        since: When it was made, on the monotonic clock.
        pending: How many unfinished events, holds and tokens it waits for; `ENDED` once it has
            ended, for good.
        outcome: The worst outcome so far.
        skip: How many callbacks of its event's chain are passed over first; only in a replay.
        is_left: One of its events was left undone. Set, before that event is reported, by the
            thread of the component that had it.

    Thread: the one that holds the dispatcher's state, except `__init__` and `is_left`.
    """

    __slots__ = (
        "incarnation",
        "is_left",
        "on_done",
        "outcome",
        "owner",
        "parent",
        "pending",
        "position",
        "since",
    )

    skip: ClassVar[int] = 0

    def __init__(
        self,
        owner: int,
        incarnation: int,
        on_done: OnDone,
        parent: Token | None,
        since: float,
        position: Any = None,
    ) -> None:
        self.owner = owner
        self.incarnation = incarnation
        self.on_done = on_done
        self.parent = parent
        self.position = position
        self.since = since
        self.pending = 0
        self.outcome = TokenOutcome.DONE
        self.is_left = False

    def worsen(self, outcome: TokenOutcome) -> None:
        """Let the outcome be at least as bad as this one."""
        if _SEVERITY[outcome] > _SEVERITY[self.outcome]:
            self.outcome = outcome

    def source_position(self) -> Any:
        """Return the nearest position: this token's own, or that of one it came of. Thread: any."""
        token = self._nearest()
        if token is None:
            return None
        return token.position.position if type(token.position) is Origin else token.position

    def origin(self, event: Any) -> Origin | None:
        """Return the origin of an event with this token; None if it has none. Thread: any."""
        token = self._nearest()
        if token is None or type(token.position) is not Origin:
            return None
        return token.position if token.position.event == event else None

    def _nearest(self) -> Token | None:
        """Return the nearest token with a position."""
        token: Token | None = self
        while token is not None and token.position is None:
            token = token.parent
        return token

    @property
    def is_exact(self) -> bool:
        """True if it has, or has come of, an event of a source with outputs written exactly once.

        Thread: any.
        """
        token = self._nearest()
        return token is not None and type(token.position) is Origin

    def begets(self, event: Any) -> None:
        """Note that an event is scheduled in addition. With two of a name, none has an origin.

        Thread: that of the component that schedules it.
        """
        token = self._nearest()
        if token is not None and token.origin(event) is not None:
            token.position = token.position._replace(event=_NO_EVENT)

    def pass_over(self, count: int) -> None:
        """Count off callbacks that are passed over. Thread: that of their component."""
        raise AssertionError("Only a replay passes over callbacks.")

    def replay(self) -> ReplayToken | None:
        """Return the token of the replay that this one is, or has come of. Thread: any."""
        token: Token | None = self
        while token is not None:
            if isinstance(token, ReplayToken):
                return token
            token = token.parent
        return None


class ReplayToken(Token):
    """The token of a dead letter's replay. Its end is for zenactors itself, in any incarnation.

    Args:
        owner: The index of the component in whose thread `on_done` is called.
        on_done: As for `Token`.
        since: As for `Token`.
        letter: The letter, as it was before.
        event: The event as which it is replayed.
        skip: How many callbacks of the event's chain had handled the letter's event before it
            failed: it begins behind them. The threads of their components count them off, one after
            the other.
    """

    __slots__ = ("event", "letter", "skip")

    skip: int  # type: ignore[misc] # of each replay

    def __init__(
        self, owner: int, on_done: OnDone, since: float, letter: DeadLetter, event: Any, skip: int
    ) -> None:
        super().__init__(owner, ANY_INCARNATION, on_done, None, since, letter.position)
        self.letter = letter
        self.event = event
        self.skip = skip

    def pass_over(self, count: int) -> None:
        """Count off callbacks that are passed over. Thread: that of their component."""
        self.skip -= count

    def failed_again(self, failed: DeadLetter, token: Token) -> DeadLetter:
        """Return the letter after its replay has failed, too.

        Args:
            failed: The letter of the event that failed: its own, or one that came of it.
            token: The token of that event.
        """
        letter = self.letter
        is_own = token is self and failed.event == self.event == letter.event
        return letter.failed_again(failed, is_own=is_own)


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

    def add(self, token: Token, count: int = 1) -> None:
        """Count more unfinished events, or a hold."""
        if token.pending == ENDED or token.owner in self._closed:
            return  # a stop, or a late hold: nothing more counts
        if not token.pending:
            self._open.setdefault(token.owner, {})[token] = None
            if token.parent is not None:
                self.add(token.parent)
        token.pending += count

    def end(self, token: Token, outcome: TokenOutcome, count: int = 1) -> None:
        """Note that events, or a hold, have ended."""
        if outcome is not TokenOutcome.DONE and token.pending != ENDED:
            token.worsen(TokenOutcome.LEFT if token.is_left else outcome)
        self.end_done(itertools.repeat(token, count))

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
        """End the open tokens of a component as left. Return them, the oldest first.

        It is about to be torn down: what has not come by now does not come.
        """
        left = list(self._open.pop(owner, ()))
        for token in left:
            token.pending = ENDED
            token.outcome = TokenOutcome.LEFT
            if token.parent is not None:
                self.end(token.parent, TokenOutcome.LEFT)
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
