"""The base of sources: bounded, and told of the end of each event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zenactors.components.checkpoints import MOST_LEFT, Checkpoints, why_given_up
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import ConfigurationError


class AcknowledgingSource(ZenDaemonComponent):
    """The base of sources that are bounded, and that hear how each of their events has ended.

        class Numbers(AcknowledgingSource):
            def setup(self, daemon):
                super().setup(daemon)
                self.next = 0
                self.on_room()

            def on_room(self):
                while not self.is_full and self.next < 1_000:
                    self.hand_over([{"number": self.next}], size=8)
                    self.next += 1

    A source reads while it is not full, and goes on when `on_room` is called. What it hands over is
    a list of records, or of lines as bytes, or `Lines`, as the args of the event `lines`.

    Attributes:
        max_unfinished: How many events may be handed over and not done. A subclass or its
            constructor may set it; so they may `max_unfinished_bytes`.
        max_unfinished_bytes: How many bytes these may have; a larger event is alone.
        checkpoints: Remember across runs how far this source is; None: nothing does. See
            `use_checkpoints`.
    """

    emits = ("lines",)
    max_unfinished = 256
    max_unfinished_bytes = 8 << 20

    checkpoints: Checkpoints | None = None
    _daemon: Daemon
    _unfinished = 0
    _unfinished_bytes = 0
    _was_full = False

    def setup(self, daemon: Daemon) -> None:
        """Remember the daemon. A subclass calls this first, and then acquires."""
        self._daemon = daemon
        self._unfinished = self._unfinished_bytes = 0
        self._was_full = False

    def teardown(self, daemon: Daemon) -> None:
        """Save how far this source is, if it remembers that. A subclass calls this last."""
        if self.checkpoints is not None:
            self.checkpoints.close()

    def get_state(self) -> dict[str, Any]:
        """Return the statistics, and what is handed over and not done."""
        unfinished: dict[str, Any] = {
            "unfinished": self._unfinished,
            "unfinished_bytes": self._unfinished_bytes,
            "full": self._is_full_now(),
        }
        if self.checkpoints is not None:
            unfinished["checkpoints"] = self.checkpoints.get_state()
        return {**super().get_state(), **unfinished}

    def use_checkpoints(self, daemon: Daemon, **options: Any) -> None:
        """Remember across runs how far this source is, if the daemon has a `state_dir`.

        For `setup`. Events that are then handed over with a position are scheduled by
        `checkpoints`, and come at least once.

        Args:
            daemon: What `setup` gets.
            options: For `Checkpoints`.

        Raises:
            StateStoreError: The store cannot be opened.
        """
        try:
            store = daemon.state_store()
        except ConfigurationError:  # there is no state_dir
            self.checkpoints = None
            return
        self.checkpoints = Checkpoints(
            daemon, store, bound=self.max_unfinished, on_room=self._look_for_room, **options
        )

    @property
    def is_full(self) -> bool:
        """True if this source should read no more at present. `on_room` is called when it may."""
        full = self._is_full_now()
        self._was_full = self._was_full or full
        return full

    def _is_full_now(self) -> bool:
        return (
            self._unfinished >= self.max_unfinished
            or self._unfinished_bytes >= self.max_unfinished_bytes
            or (self.checkpoints is not None and self.checkpoints.is_full)
        )

    def on_room(self) -> None:
        """Go on reading: this source was full, and is no more. Thread: own."""

    def hand_over(
        self,
        args: Any,
        *,
        size: int,
        position: Any = None,
        key: str = "",
        on_done: Callable[[TokenOutcome], object] | None = None,
        event: str = "lines",
        again: bool = False,
    ) -> None:
        """Schedule an event, also if this source is full. Returns at once.

        Args:
            args: The event's args. Nothing may change them afterwards.
            size: How many bytes of memory they take, roughly.
            position: Where to go on once this event and all before it are done, as
                `Checkpoints.schedule` takes it. Without `checkpoints`, only the event's dead
                letters have it.
            key: Which of the source's positions it is.
            on_done: Called with the outcome when the event, and everything that came of it, has
                ended. `TokenOutcome.LEFT` comes only without `checkpoints`: it was left undone, by
                a stop or because a component was made anew.
            event: This component's name of the event.
            again: If it was left undone and the daemon goes on, hand it over again, up to two
                times; after that it is a dead letter, and has failed.

        Thread: own.
        """
        if again:
            on_done = self._again(args, size, position, on_done, event)

        def count(events: int) -> None:
            self._unfinished += events
            self._unfinished_bytes += events * size

        def ended(outcome: TokenOutcome) -> None:
            count(-1)
            if on_done is not None:
                on_done(outcome)
            self._look_for_room()

        count(1)
        name = self.event(event)
        try:
            if self.checkpoints is None or position is None:
                self._daemon.queue.schedule(name, args, on_done=ended, position=position)
            else:
                self.checkpoints.schedule(name, args, position, key=key, on_done=ended)
        except BaseException:  # it was not scheduled, whatever it was
            count(-1)
            raise

    def _again(
        self,
        args: Any,
        size: int,
        position: Any,
        on_done: Callable[[TokenOutcome], object] | None,
        event: str,
    ) -> Callable[[TokenOutcome], object]:
        """Return an `on_done` that hands an event over again if it was left undone."""
        times_left = 0

        def ended(outcome: TokenOutcome) -> None:
            nonlocal times_left
            if outcome is TokenOutcome.LEFT and not self._daemon.is_done():
                times_left += 1
                if times_left < MOST_LEFT:
                    self.hand_over(args, size=size, position=position, on_done=ended, event=event)
                    return
                # It may be the reason that they are made anew: it must not do that for ever.
                cause = why_given_up(times_left)
                self._daemon.dead_letter(self.event(event), args, cause, position=position)
                outcome = TokenOutcome.FAILED
            if on_done is not None:
                on_done(outcome)

        return ended

    def _look_for_room(self) -> None:
        if self._was_full and not self._is_full_now():
            self._was_full = False
            if not self._daemon.is_done():
                self.on_room()
