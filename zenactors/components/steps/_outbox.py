"""Events that a component schedules by itself, and that must arrive, if need be in the next run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from zenactors.core.component import ZenDaemonComponent
from zenactors.core.daemon_api import Daemon
from zenactors.core.tokens import TokenOutcome


class _Kept(NamedTuple):
    """An event that has not ended.

    Attributes:
        event: Its name, as the component calls it.
        args: Its args.
        is_exact: It came of an event of a source with outputs written exactly once.
    """

    event: str
    args: Any
    is_exact: bool = False


class Outbox:
    """Schedule events of a component, and keep each until it has ended.

    Args:
        component: Knows the names of its events.
        on_change: Called when what is kept has changed, and should be saved.
        goes_back: Returns True if exact sources go back when an event is left undone, and what is
            kept is restored then. So an event that came of theirs is not scheduled again before.

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
        self._kept: dict[int, _Kept] = {}
        self._under_way: set[int] = set()
        self._numbers = itertools.count()

    def send(self, daemon: Daemon, event: str, args: Any) -> None:
        """Schedule an event, by the component's own name. Its args are of types that JSON has."""
        hold = daemon.hold()
        is_exact = hold.is_exact
        hold.release()  # what is scheduled here counts as part of the event anyway
        number = next(self._numbers)
        self._kept[number] = _Kept(event, args, is_exact)
        self._schedule(daemon, number)
        self._on_change(daemon)

    def send_again(self, daemon: Daemon) -> None:
        """Schedule everything that is kept, except what this object has under way."""
        for number in sorted(self._kept.keys() - self._under_way):
            self._kept[number] = self._kept[number]._replace(is_exact=False)
            self._schedule(daemon, number)

    def forget_exact(self) -> None:
        """Forget what came of events of exact sources: these hear how it ends.

        For a component that was made anew, which does not hear of it.
        """
        self._kept = {number: kept for number, kept in self._kept.items() if not kept.is_exact}

    def _schedule(self, daemon: Daemon, number: int) -> None:
        event, args, is_exact = self._kept[number]

        def ended(outcome: TokenOutcome) -> None:
            self._under_way.discard(number)
            if outcome is not TokenOutcome.LEFT:  # it has arrived, or a dead letter has it
                self._kept.pop(number, None)
                self._on_change(daemon)
            elif is_exact and self._goes_back():
                return  # what is kept is restored
            elif number in self._kept and not daemon.is_done():
                self._schedule(daemon, number)  # a component that had it was made anew

        self._under_way.add(number)
        daemon.queue.schedule(self._component.event(event), args, on_done=ended)

    def stored(self) -> list[_Kept]:
        """Return what is kept, for JSON."""
        return list(self._kept.values())

    def restore(self, stored: Any) -> None:
        """Keep what `stored` has returned, instead of what is kept. `send_again` schedules it.

        Raises:
            TypeError, ValueError: It is something else.
        """
        self._kept = {
            next(self._numbers): _Kept(str(event), args, *map(bool, is_exact))
            for event, args, *is_exact in stored
        }
