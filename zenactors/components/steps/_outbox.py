"""Events that a component schedules by itself, and that must arrive, if need be in the next run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.core.tokens import TokenOutcome


class Outbox:
    """Schedule events of a component, and keep each until it has ended.

    Args:
        component: Knows the names of its events.
        on_change: Called when what is kept has changed, and should be saved.
        goes_back: Returns True if sources go back when an event is left undone, and what is kept
            is restored then: an event that came of theirs is not scheduled again before.

    Thread: own.
    """

    def __init__(
        self,
        component: ZenDaemonComponent,
        on_change: Callable[[Daemon], object],
        goes_back: Callable[[], bool],
    ) -> None:
        self._component = component
        self._on_change = on_change
        self._goes_back = goes_back
        self._kept: dict[int, tuple[str, Any]] = {}
        self._numbers = itertools.count()

    def send(self, daemon: Daemon, event: str, args: Any) -> None:
        """Schedule an event, by the component's own name. Its args are of types that JSON has."""
        number = next(self._numbers)
        self._kept[number] = (event, args)
        self._schedule(daemon, number)
        self._on_change(daemon)

    def send_again(self, daemon: Daemon) -> None:
        """Schedule everything that is kept."""
        for number in list(self._kept):
            self._schedule(daemon, number)

    def _schedule(self, daemon: Daemon, number: int) -> None:
        event, args = self._kept[number]
        hold = daemon.hold()
        is_exact = hold.is_exact
        hold.release()  # what is scheduled here counts as part of the event anyway

        def ended(outcome: TokenOutcome) -> None:
            if outcome is not TokenOutcome.LEFT:  # it has arrived, or a dead letter has it
                self._kept.pop(number, None)
                self._on_change(daemon)
            elif is_exact and self._goes_back():
                pass
            elif number in self._kept and not daemon.is_done():
                self._schedule(daemon, number)  # a component that had it was made anew

        daemon.queue.schedule(self._component.event(event), args, on_done=ended)

    def stored(self) -> list[tuple[str, Any]]:
        """Return what is kept, for JSON."""
        return list(self._kept.values())

    def restore(self, stored: Any) -> None:
        """Keep what `stored` has returned, instead of what is kept. `send_again` schedules it.

        Raises:
            TypeError, ValueError: It is something else.
        """
        self._kept = {next(self._numbers): (str(event), args) for event, args in stored}
