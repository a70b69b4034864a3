"""`daemon.hold()`: keep an event from counting as done after its callback has returned."""

from __future__ import annotations

from collections.abc import Callable

from zenactors.core.batch_runner import BatchRunner
from zenactors.core.messages import TokenChange
from zenactors.core.tokens import Origin, Token, TokenOutcome


class TokenHold:
    """A hold on the event in whose callback it was made; for sinks that write in batches.

        self.batch.append((args, daemon.hold()))  # in a callback
        ...
        hold.release()  # once it was written

    Without `release`, `fail` or `leave` the event never counts as done, however long that takes;
    but at a restart of this component, and at the daemon's stop, it counts as left undone. On an
    event without a token it has no effect.

    Args:
        runner: The calling component's.
        ident: Returns the identity of the calling thread.

    Thread: own.
    """

    def __init__(self, runner: BatchRunner, ident: Callable[[], int]) -> None:
        self._runner = runner
        self._ident = ident
        self._thread = ident()
        self._token: Token | None = runner.token
        self._origin = None if self._token is None else self._token.origin(runner.event)
        if self._token is not None:
            with runner.undisturbed():
                runner.children.append(TokenChange(self._token, None))
                runner.holds.add(self)

    def release(self) -> None:
        """Let the event count as done, unless something else fails it. Once; then no effect."""
        self._end(TokenOutcome.DONE)

    def fail(self) -> None:
        """Let the event count as failed. Once; then no effect."""
        self._end(TokenOutcome.FAILED)

    def leave(self) -> None:
        """Let the event count as left undone: its source sends it again. Once; then no effect."""
        self._end(TokenOutcome.LEFT)

    @property
    def token(self) -> Token | None:
        """The event's token; None if it has none, or if the hold has ended."""
        return self._token

    @property
    def is_exact(self) -> bool:
        """True while it holds an event of a source whose outputs are written exactly once.

        What came of such an event is not to be sent again by the component that has sent it: other
        components may have it already. The source goes back as far as is needed if it is left.
        """
        return self._token is not None and self._token.is_exact

    @property
    def origin(self) -> Origin | None:
        """Where the event's source has read it, for sinks that must know it again after a crash.

        None if its source does not say so, or if a component has scheduled it.
        """
        return self._origin

    def check_thread(self) -> None:
        """Raise `RuntimeError` unless the calling thread is the one that made this hold."""
        if self._ident() != self._thread:
            raise RuntimeError(
                "A hold belongs to the component's own thread: use it in a callback."
            )

    def give_up(self, runner: BatchRunner) -> None:
        """Let the event count as left undone, because the component is torn down.

        Args:
            runner: The component's. It is another one than before if the thread that made this hold
                was abandoned.

        Thread: the component's.
        """
        token, self._token = self._token, None
        if token is not None:
            runner.holds.discard(self)
            runner.children.append(TokenChange(token, TokenOutcome.LEFT))

    def _end(self, outcome: TokenOutcome) -> None:
        self.check_thread()
        runner = self._runner
        with runner.undisturbed():
            token, self._token = self._token, None
            if token is not None:
                runner.holds.discard(self)
                runner.children.append(TokenChange(token, outcome))
