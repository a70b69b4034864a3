"""The base class of the engine's actors: one whose end is noticed, whatever ends it.

pykka calls `on_stop` only for an actor that was asked to stop. An exception of the inbox, of
`on_start` or of a log handler ends the thread without it.
"""

from __future__ import annotations

from types import TracebackType

import pykka


class EngineActor(pykka.ThreadingActor):
    """An actor that calls `on_end` exactly once, as the last thing in its thread."""

    # A thread that hangs in a callback must not keep the process alive.
    use_daemon_thread = True

    _cause: BaseException | None = None
    _has_ended = False

    def on_end(self, cause: BaseException | None) -> None:
        """Release what the thread holds.

        Args:
            cause: The exception that has ended the actor. None: it was asked to stop.
        """

    def on_stop(self) -> None:
        """Call `on_end`, unless it was called."""
        if not self._has_ended:
            self._has_ended = True
            self.on_end(self._cause)

    def _actor_loop(self) -> None:
        try:
            super()._actor_loop()
        except (Exception, SystemExit, KeyboardInterrupt) as cause:
            self._cause = self._cause or cause
        if not self._has_ended:
            self.actor_stopped.set()
            self.on_stop()
            self._actor_loop_teardown()  # answers the questions that wait
        self._cause = None  # its traceback would keep this frame

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cause = exception_value
        super()._handle_failure(exception_type, exception_value, traceback)
