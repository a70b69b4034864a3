"""Save the positions in the input together with the outputs that were made of it.

A source with outputs that are to be written exactly once stops for a moment now and then. When all
its events are done, nothing can change an output, so it asks the sinks, by an event, for their
outputs' lengths, and saves these together with its positions. The next run lets the sinks cut their
outputs back to these lengths, and goes on at these positions.

It goes back in the same way if a component is made anew and leaves events undone, because other
components may have written their lines already: once nothing is under way, it lets the sinks cut
their outputs back, hands over again what it has handed over since the last checkpoint, and takes
the next one before it hands over anything else. Each time, one of these events at least is left
undone, and one that was left undone three times is not handed over again, but becomes a dead
letter. So this ends, even if components die of each event.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zenactors.components.output_checkpoint import OutputCheckpoint
from zenactors.components.tail.file_record import Position
from zenactors.core.tokens import TokenOutcome
from zenactors.errors import EXIT_CONFIG, RestartComponent

if TYPE_CHECKING:
    from zenactors.components.tail.delivery import Delivery
    from zenactors.components.tail.memory import Memory
    from zenactors.core.component import ZenDaemonComponent
    from zenactors.core.daemon_api import Cancellable, Daemon

LONGEST = 1.0  # seconds between two checkpoints, if there is anything to save
SHORTEST = 0.1  # until the first one: a short run makes progress, too
_LOOK_INTERVAL = 0.01  # seconds between two looks for what is under way
_PATIENCE = 10.0  # seconds until that is waited for no longer


class ExactOutputs:
    """Take checkpoints of the outputs.

    Args:
        tailer: Its log gets the errors.
        daemon: What `setup` gets.
        event: The event `checkpoint`.
        memory: Saves positions and outputs.
        delivery: Is paused while a checkpoint is taken.
        on_taken: Called when one was taken, or has failed.

    Attributes:
        has_failed: The last one has failed. The next one is taken in a while.

    Raises:
        UnknownEventError: No component handles the event.
    """

    def __init__(
        self,
        tailer: ZenDaemonComponent,
        daemon: Daemon,
        event: Any,
        memory: Memory,
        delivery: Delivery,
        on_taken: Callable[[], object],
    ) -> None:
        self._tailer = tailer
        self._daemon = daemon
        self._event = event
        self._memory = memory
        self._delivery = delivery
        self._on_taken = on_taken
        self._timer: Cancellable | None = None
        self._interval = SHORTEST
        self._is_asking = False
        self._is_wanted = False
        self._is_closed = False
        self._has_no_outputs = False  # the sinks keep themselves what they have applied
        self.has_failed = False
        # The first one lets the sinks cut their outputs back.
        self._restore = memory.saved_outputs
        self._is_restored = False
        self._goes_back = False  # what was handed over is to be handed over again
        self._since = tailer.clock.monotonic()  # nothing that is older may be under way
        self._look: Cancellable | None = None
        self._has_warned = False
        if self._restore is None or getattr(daemon, "incarnation", 1) == 1:
            self._ask()
        else:  # what the object before this one has handed over may be under way
            self.want()

    @property
    def is_settled(self) -> bool:
        """True if the last checkpoint has everything."""
        return not (self._is_asking or self._is_wanted or self._timer is not None)

    def something_sent(self) -> None:
        """Note that there will be something to save, or for the sinks to forget."""
        if self._has_no_outputs and not self._memory.has_forgotten:
            return
        self._has_no_outputs = False
        if self._delivery.kept.is_full and not self.has_failed:
            self.want()
        elif self._timer is None and not self._daemon.is_done():
            self._timer = self._daemon.io.call_later(self._interval, self._due)
            self._interval = min(2 * self._interval, LONGEST)

    def _due(self, _daemon: Any) -> None:
        self._timer = None
        self.want()

    def want(self) -> None:
        """Take a checkpoint as soon as everything is done; nothing is handed over before."""
        if self._is_closed or self._has_no_outputs:
            return
        self._cancel_timer()
        self._is_wanted = True
        self._delivery.paused = True
        self.go_on()

    def go_on(self) -> None:
        """Take the checkpoint that is wanted, if everything is done."""
        if not self._is_wanted or self._is_asking or not self._delivery.is_settled:
            return
        if self._restore is not None and not self._is_restored and self._waits_for_others():
            return
        if self._goes_back:
            if self._daemon.is_done():
                return  # the next run goes back
            self._memory.go_back()
        self._is_wanted = False
        self._ask()

    def go_back(self) -> bool:
        """Go back to the last checkpoint, because an event was left undone.

        Returns:
            False if there is no need to, because sinks know themselves what they have.

        Raises:
            RestartComponent: It was too long ago. The next object reads the files again.
        """
        kept = self._delivery.kept
        if self._is_closed or not kept.is_wanted:
            return False
        if not kept.is_complete:
            raise RestartComponent("The last checkpoint of the outputs is too long ago.")
        self._delivery.stop_again()
        if self._is_restored:
            self._tailer.log.warning(
                "A component that was made anew has left events undone: the outputs are cut back to"
                " the last checkpoint, and what came since then comes again"
            )
            self._is_restored, self._restore = False, self._memory.saved_outputs
        self._goes_back = True
        self._since = self._tailer.clock.monotonic()
        self.want()
        return True

    def _waits_for_others(self) -> bool:
        """Return True while something is under way that may still come to an output, and be older.

        A batch, say, of a component that was made anew: its lines are to be cut off, too.
        """
        now = self._tailer.clock.monotonic()
        count, age = self._daemon.open_tokens()
        if not count or now - age > self._since:
            return False
        if now - self._since >= _PATIENCE:
            if not self._has_warned:
                self._tailer.log.warning(
                    "Events have been under way for {seconds:.0f} s. If their lines come to an"
                    " output after it is cut back, they are there twice",
                    seconds=age,
                )
            self._has_warned = True
            return False
        if self._look is None:
            self._look = self._daemon.io.call_later(_LOOK_INTERVAL, self._looks)
        return True

    def _looks(self, _daemon: Any) -> None:
        self._look = None
        self.go_on()

    def close(self) -> None:
        """Take no more checkpoints."""
        self._is_closed = True
        self._cancel_timer()
        if self._look is not None:
            self._look.cancel()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _ask(self) -> None:
        keys = frozenset(self._memory.records) if self._memory.has_forgotten else None
        checkpoint = OutputCheckpoint(restore=self._restore, source=self._tailer.name, keys=keys)
        self._is_asking = True
        self._delivery.paused = True
        self._daemon.queue.schedule(
            self._event, checkpoint, on_done=functools.partial(self._answered, checkpoint)
        )

    def _answered(self, checkpoint: OutputCheckpoint, outcome: TokenOutcome) -> None:
        self._is_asking = False
        if self._is_closed or (outcome is TokenOutcome.LEFT and self._daemon.is_done()):
            return
        is_done = outcome is TokenOutcome.DONE
        if is_done and (checkpoint.refused or not (checkpoint.taken or checkpoint.applied)):
            self._stop(checkpoint.refused)
            return
        is_saved = is_done and self._save(checkpoint)
        if not is_done:  # left, if a component that held it was made anew
            self._tailer.log.error("The outputs could not be saved; trying again")
            # If its dead letter is replayed, nothing that has come since is cut off or forgotten.
            checkpoint.restore = checkpoint.keys = None
        self.has_failed = not is_saved
        if not is_saved:
            self._interval = LONGEST
            self.something_sent()  # try again
        if is_saved and checkpoint.keys is not None:
            self._memory.has_forgotten = not checkpoint.keys <= self._memory.records.keys()
        if is_saved or self._is_restored:  # the first one must be saved before lines follow
            self._is_restored, self._restore = True, None
            if self._goes_back:
                self._come_again()
                return
            if is_saved:
                self._delivery.kept.clear()
            self._delivery.paused = False
            self._on_taken()

    def _save(self, checkpoint: OutputCheckpoint) -> bool:
        """Save what the sinks have answered. False: that failed."""
        if not self._is_restored:
            for key, places in _fences_of(checkpoint.applied).items():
                self._delivery.fences.setdefault(key, set()).update(places)
            self._memory.applied = _positions_of(checkpoint.applied)
        self._delivery.kept.is_wanted = bool(checkpoint.taken)
        if checkpoint.taken:
            return self._memory.save_outputs(checkpoint.states | checkpoint.taken)
        # There is nothing that must be saved together with the positions.
        self._memory.forget_outputs()
        self._has_no_outputs = True
        self._is_wanted = False
        self._cancel_timer()
        return True

    def _come_again(self) -> None:
        """Hand over again what the outputs have lost, and nothing else before that is saved."""
        self._goes_back = False
        self._delivery.hand_over_again()
        self.want()

    def _stop(self, refused: dict[str, str]) -> None:
        """Stop the daemon, because a sink cannot take part, or none does."""
        self.close()
        reasons = [f"{name} {why}" for name, why in refused.items()]
        self._tailer.log.error(
            "The outputs cannot be written exactly once: {reason}. Stopping",
            reason="; ".join(reasons) or "there is no sink with an output",
        )
        self._daemon.set_exit_status(EXIT_CONFIG)
        self._daemon.set_done()


def _fences_of(
    applied: Mapping[str, Mapping[str, Iterable[Any]]],
) -> dict[str, set[tuple[int, int]]]:
    """Return where, in each file, the ranges begin and end that sinks have applied."""
    fences: dict[str, set[tuple[int, int]]] = {}
    for by_key in applied.values():
        for key, ranges in by_key.items():
            ends = {(place[0], place[1]) for each in ranges for place in each[:2] if place}
            fences.setdefault(key, set()).update(ends)
    return fences


def _positions_of(
    applied: Mapping[str, Mapping[str, Iterable[Any]]],
) -> dict[str, list[Position]]:
    """Return, for each file, the positions at the ends of the ranges that sinks have applied."""
    positions: dict[str, list[Position]] = {}
    for by_key in applied.values():
        for key, ranges in by_key.items():
            found = [Position.from_json(position) for _, _, position in ranges if position]
            positions.setdefault(key, []).extend(found)
    return positions
